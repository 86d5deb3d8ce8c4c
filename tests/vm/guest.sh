#!/bin/sh
# guest.sh: what the virtual machine carries out as its root, as `main` of its payload: the test binary in each of the
# ways in which people come to a shell. A test's modules say which: `over_ssh::`, `by_su::`, `from_cron::`, `as_root::`.
set -u
cd /payload || exit
filter=$(cat filter)
failed=

export RL_VM=1 RL_MUST_WORK=1 RL_BINARY=/payload/rl RL_TEST_CACHE=/payload CARGO_MANIFEST_DIR=/payload
variables="RL_VM=1 RL_MUST_WORK=1 RL_BINARY=/payload/rl RL_TEST_CACHE=/payload CARGO_MANIFEST_DIR=/payload"

# The serial line is slow: what passes takes one line.
run="./vm-tests --test-threads=1 --exact"

# way NAME COMMAND...: COMMAND carries out a line of shell as the user.
way() {
	name=$1
	shift
	tests=$(./vm-tests --list --format terse | sed -n 's/: test$//p' | grep "$name::" | grep -e "$filter" | tr '\n' ' ')
	[ -n "$tests" ] || return 0
	echo "-- $name (after $(cut -d' ' -f1 /proc/uptime) s)"
	"$@" "cd /payload && $variables RL_TEST_AS=$name $run $tests" 2>&1 |
		grep -v '^$\|^running [0-9]* test\|^test .* ok$'
}

# shellcheck disable=SC2029 # A line of shell for the other side, expanded here.
over_ssh() { ssh user@localhost "$1"; }
by_su() { su -l user -c "$1"; }
# A service of the machine's own manager with a user's name: no session, no XDG_RUNTIME_DIR, nothing in the environment.
from_cron() {
	systemd-run --quiet --pipe --wait --uid=user --gid=user -E HOME=/home/user -E PATH=/usr/bin:/bin /bin/sh -c "$1"
}
as_root() { sh -c "$1"; }

touch /tmp/report
chmod 666 /tmp/report

# First where no manager of the user runs: it stays for a while after a login.
for name in from_cron over_ssh by_su as_root; do
	way "$name" "$name" >"/tmp/$name" || true
	cat "/tmp/$name"
	# One line of a result that is not ok, or none at all, is a failure.
	if [ -s "/tmp/$name" ] && ! grep -q '^test result: ok' "/tmp/$name"; then failed=yes; fi
done
cat /tmp/report
echo "-- done (after $(cut -d' ' -f1 /proc/uptime) s)"
[ -z "$failed" ]
