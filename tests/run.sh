#!/bin/sh
# Prepares everything that the tests need and runs all of them: static checks, then the real binary as an unprivileged
# user, as root, and as root of a single-id namespace. Called by `./install.sh test`, as root or not.
#
# Nothing is made in the tree. Caches lie in RL_TEST_CACHE and are named by the recipe that makes them.
set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$top"
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
target=${CARGO_TARGET_DIR:-$top/target}

say() { printf '\n== %s\n' "$*"; }

static_checks() {
	say "Static checks"
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	if command -v shellcheck >/dev/null; then
		shellcheck install.sh tests/*.sh tests/bench/*.sh .ci/run
	fi
	# Advisories need a database that not every machine can reach; licences and sources are a test (tests/hygiene).
	if command -v cargo-deny >/dev/null; then
		cargo deny check advisories || echo "cargo-deny: the advisories could not be checked"
	fi
}

build() {
	say "Build"
	cargo build --release --locked --quiet
	# The machine's tests are debug builds: they drive the release binary, and link in seconds.
	cargo nextest archive --workspace --all-targets --locked --archive-file "$work/tests.tar.zst" --cargo-quiet
}

# The root file systems, made once: $1 is the archive, the rest its recipe.
busybox_archive() {
	dir=$(mktemp -d)
	"$top/tests/make-busybox.sh" "$dir/busybox.tar"
	mv "$dir/busybox.tar" "$1"
	rm -rf "$dir"
}

archives() {
	say "Root file systems"
	mkdir -p "$cache"
	chmod 755 "$cache"
	made="$cache/busybox-$(cat tests/make-busybox.sh /bin/busybox | sha256sum | cut -c1-16).tar"
	[ -f "$made" ] || { "$top/tests/make-busybox.sh" "$made.new" && mv "$made.new" "$made"; }
	ln -sf "$made" "$cache/busybox.tar"
	made="$cache/debian-$(sha256sum <tests/make-debian.sh | cut -c1-16).tar.gz"
	[ -f "$made" ] || { "$top/tests/make-debian.sh" "$made.new" && mv "$made.new" "$made"; }
	ln -sf "$made" "$cache/debian.tar.gz"
	chmod 644 "$cache"/*.tar "$cache"/*.tar.gz
}

# A user with a home, subordinate ids that nobody else has, and a run directory, as a login makes them.
user() {
	id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$1"
	for kind in u g; do
		file=/etc/sub${kind}id
		touch "$file"
		if ! grep -q "^$1:" "$file"; then
			start=$(awk -F: 'BEGIN { end = 100000 } $2 + $3 > end { end = $2 + $3 } END { print end }' /etc/subuid /etc/subgid)
			echo "$1:$start:65536" >>"$file"
		fi
	done
	run=/run/user/$(id -u "$1")
	mkdir -p "$run"
	chown "$1": "$run"
	chmod 700 "$run"
}

# The environment of a login, and nothing of ours.
login() {
	name=$1
	shift
	setpriv --reuid "$name" --regid "$name" --init-groups env -i HOME="$(getent passwd "$name" | cut -d: -f6)" USER="$name" \
		PATH=/usr/local/bin:/usr/bin:/bin XDG_RUNTIME_DIR="/run/user/$(id -u "$name")" TERM=xterm LANG=C.UTF-8 "$@"
}

nextest() {
	filter=$1
	cargo-nextest nextest run --archive-file "$work/tests.tar.zst" --workspace-remap "$work/src" --no-fail-fast \
		--config-file "$work/src/.config/nextest.toml" --show-progress none --status-level fail --final-status-level fail -E "$filter"
}

settings() {
	echo "RL_BINARY=$work/rl" "RL_TEST_CACHE=$cache" ${RL_MUST_WORK:+RL_MUST_WORK=$RL_MUST_WORK} "RL_TEST_AS=$1"
}

as_this_user() {
	say "As $(id -un)"
	# shellcheck disable=SC2046
	env $(settings user) sh -c "work=$work; $(nextest_text); nextest 'not test(/as_root::|nested::/)'"
}

nextest_text() {
	sed -n '/^nextest() {/,/^}/p' "$top/tests/run.sh"
}

as_others() {
	say "As an unprivileged user"
	# shellcheck disable=SC2046
	login rltest1 $(settings user) sh -c "work=$work; $(nextest_text); nextest 'not test(/as_root::|nested::/)'"
	say "As root"
	# shellcheck disable=SC2046
	env -u XDG_RUNTIME_DIR $(settings root) sh -c "work=$work; $(nextest_text); nextest 'kind(test) and not binary(hygiene) and not test(/as_user::|nested::/)'"
	say "Nested, as root of a namespace with one id"
	# shellcheck disable=SC2046
	login rltest1 $(settings nested) unshare -r sh -c "work=$work; $(nextest_text); nextest 'kind(test) and not binary(hygiene) and not test(/as_user::|as_root::|full_map::/)'"
}

work=$(mktemp -d /var/tmp/rl-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
static_checks
build
mkdir "$work/src"
git -C "$top" ls-files -z | tar -C "$top" --null -T - -cf - | tar -C "$work/src" --no-same-owner -xf -
cp "$target/release/rl" "$work/rl"
chmod -R a+rX "$work"
archives
if [ "$(id -u)" = 0 ]; then
	user rltest1
	user rltest2
	# As udev does on a real machine.
	for device in /dev/fuse /dev/net/tun; do [ ! -e "$device" ] || chmod 666 "$device"; done
	as_others
else
	as_this_user
	echo "Left out, because it needs root: the tests as root, as a second user and in a nested namespace."
fi
