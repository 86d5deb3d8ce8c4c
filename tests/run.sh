#!/bin/sh
# Prepares everything that the tests need and runs all of them: static checks, then the real binary as an unprivileged
# user, as root, and as root of a single-id namespace. Called by `./install.sh test`, as root or not.
#
# Nothing is made in the tree but cargo's target. What takes long is kept in RL_TEST_CACHE, named for the recipe that
# made it. The surprise: the tests never run in the clone, which the test users may not be able to read, but in a copy.
set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$top"
is_root() { [ "$(id -u)" = 0 ]; }
if is_root; then default=/var/cache/rl-tests; else default=${XDG_CACHE_HOME:-$HOME/.cache}/rl-tests; fi
RL_TEST_CACHE=${RL_TEST_CACHE:-$default}
export RL_TEST_CACHE

started=$(date +%s)
failed=
left_out=
say() { printf '\n== %s (after %s s)\n' "$*" "$(($(date +%s) - started))"; }

static_checks() {
	say "Static checks"
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	# nextest runs no examples of documentation.
	cargo test --doc --package slirp4netns-ctl --locked --quiet
	if command -v shellcheck >/dev/null; then
		git ls-files -z '*.sh' .ci/run tests/vm/run | xargs -0 shellcheck
	else
		left_out="$left_out shellcheck"
	fi
	# Advisories need a database that not every machine can reach; licences and sources are tests/hygiene.
	if command -v cargo-deny >/dev/null; then
		cargo deny check advisories || left_out="$left_out advisories"
	fi
}

build() {
	say "Build"
	cargo build --release --locked --quiet
	# The tests themselves are debug builds: they drive the release binary, and link in seconds.
	cargo nextest archive --workspace --all-targets --locked --cargo-quiet --archive-file "$work/tests.tar.zst"
	platform=$(rustc -vV | sed -n 's/^host: //p')
	cargo metadata --locked --format-version=1 --filter-platform "$platform" >"$work/metadata.json"
	# Where cargo builds is its own configuration's affair too, not just CARGO_TARGET_DIR's.
	target=$(sed 's/.*"target_directory":"\([^"]*\)".*/\1/' "$work/metadata.json")
	cp "$target/release/rl" "$work/rl"
	cp "$(command -v cargo-nextest)" "$work/cargo-nextest"
	mkdir "$work/src"
	# What git knows, and new files that it does not ignore.
	git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -cf - |
		tar -C "$work/src" --no-same-owner -xf -
	chmod -R a+rX "$work"
}

# kept NAME RECIPE...: makes NAME with the first recipe unless the cache has what these very files make.
kept() {
	name=$1
	recipe=$2
	shift
	made=$RL_TEST_CACHE/${name%%.*}-$(cat "$@" | sha256sum | cut -c 1-16).${name#*.}
	if [ ! -e "$made" ]; then
		"$recipe" "$made.$$" || { rm -f "$made.$$"; return 1; }
		chmod 644 "$made.$$"
		mv "$made.$$" "$made"
	fi
	ln -sfn "$made" "$RL_TEST_CACHE/$name"
}

# The root file systems.
archives() {
	say "Root file systems"
	mkdir -p "$RL_TEST_CACHE"
	chmod 755 "$RL_TEST_CACHE"
	kept busybox.tar "$top/tests/make-busybox.sh" "$(command -v busybox)"
	if command -v mmdebstrap >/dev/null; then
		kept debian.tar.gz "$top/tests/make-debian.sh"
		kept postgres.tar.gz "$top/tests/make-postgres.sh"
		for arch in amd64 arm64; do kept "debian-$arch.tar" "$top/tests/make-platform.sh"; done
	else
		left_out="$left_out debian(mmdebstrap)"
		RL_TEST_FILTER="not test(/debian/)"
		export RL_TEST_FILTER
	fi
}

# Root file systems of other architectures: of four, and two whole distributions, made with the rl that was built.
foreign_archives() {
	say "Root file systems of other architectures"
	RL_BINARY=$work/rl
	export RL_BINARY
	for name in busybox-arm64.tar busybox-armhf.tar busybox-riscv64.tar busybox-s390x.tar; do
		kept "$name" "$top/tests/make-foreign.sh" "$top/tests/make-busybox.sh" || left_out="$left_out $name"
	done
	for name in debian-arm64.tar.gz debian-riscv64.tar.gz; do
		kept "$name" "$top/tests/make-foreign.sh" || left_out="$left_out $name"
	done
	unset RL_BINARY
}

# A user with a home, subordinate ids that nobody else has, and a run directory, as a login makes them.
user() {
	id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$1"
	for kind in u g; do
		file=/etc/sub${kind}id
		touch "$file"
		if ! grep -q "^$1:" "$file"; then
			start=$(awk -F: 'BEGIN { end = 100000 } $2 + $3 > end { end = $2 + $3 } END { print end }' \
				/etc/subuid /etc/subgid)
			echo "$1:$start:65536" >>"$file"
		fi
	done
	run=/run/user/$(id -u "$1")
	mkdir -p "$run"
	chown "$1": "$run"
	chmod 700 "$run"
}

# login NAME COMMAND...: in the environment of a login, with nothing of ours.
login() {
	name=$1
	shift
	setpriv --reuid "$name" --regid "$name" --init-groups env -i HOME="$(getent passwd "$name" | cut -d: -f6)" \
		USER="$name" PATH=/usr/local/bin:/usr/bin:/bin XDG_RUNTIME_DIR="/run/user/$(id -u "$name")" \
		TERM=xterm LANG=C.UTF-8 RL_TEST_CACHE="$RL_TEST_CACHE" ${RL_MUST_WORK:+RL_MUST_WORK="$RL_MUST_WORK"} \
		${RL_TEST_FILTER:+RL_TEST_FILTER="$RL_TEST_FILTER"} "$@"
}

# pass TEXT COMMAND...: a failure is remembered, and the next pass runs all the same.
pass() {
	say "$1"
	shift
	"$@" || failed=yes
}

passes() {
	if is_root; then
		user rltest1
		user rltest2
		# As udev does on a real machine.
		for device in /dev/fuse /dev/net/tun; do [ ! -e "$device" ] || chmod 666 "$device"; done
		pass "As an unprivileged user" login rltest1 "$work/src/tests/pass.sh" user "$work"
		pass "As root" env -u XDG_RUNTIME_DIR "$work/src/tests/pass.sh" root "$work"
		pass "Nested, as root of a namespace with one id" \
			login rltest1 unshare -r "$work/src/tests/pass.sh" nested "$work"
	else
		pass "As $(id -un)" "$work/src/tests/pass.sh" user "$work"
		pass "Nested, as root of a namespace with one id" unshare -r "$work/src/tests/pass.sh" nested "$work"
		left_out="$left_out root's pass"
	fi
	pass "In a virtual machine with systemd" env RL_BINARY="$work/rl" "$top/tests/vm/run"
}

work=$(mktemp -d /var/tmp/rl-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
static_checks
archives
build
if command -v apt-get >/dev/null && command -v mmdebstrap >/dev/null && command -v qemu-aarch64-static >/dev/null; then
	foreign_archives
else
	left_out="$left_out other-architectures(apt,mmdebstrap,qemu-user-static)"
	RL_TEST_FILTER="${RL_TEST_FILTER:+$RL_TEST_FILTER and }not test(/foreign/)"
	export RL_TEST_FILTER
fi
passes
say "Done"
[ -z "$left_out" ] || echo "Left out, and not counted:$left_out."
[ -z "$left_out" ] || [ -z "${RL_MUST_WORK:-}" ] || failed=yes
[ -z "$failed" ] || { echo "There were failures."; exit 1; }
