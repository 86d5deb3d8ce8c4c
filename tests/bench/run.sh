#!/bin/sh
# tests/bench/run.sh [--quick]: what rl costs beside its peers, in one run, as an unprivileged user, on a release build.
#
# As root it runs itself as rltest1 (./install.sh test makes that user), in a mount namespace of its own in which /sys/fs/cgroup is the
# unified hierarchy: crun and runc refuse another. Prints medians and ratios; the ratios are what docs/architecture.md promises.
set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
runs=200
[ "${1:-}" != --quick ] || runs=20

if [ "$(id -u)" = 0 ]; then
	user=rltest1
	copy=$(mktemp -d /var/tmp/rl-bench.XXXXXX)
	trap 'rm -rf "$copy"' EXIT
	chmod 755 "$copy"
	cp "${RL_BINARY:-${CARGO_TARGET_DIR:-$top/target}/release/rl}" "$copy/rl"
	cp -r "$top/tests" "$copy/tests"
	chmod -R a+rX "$copy"
	# shellcheck disable=SC2016
	unshare --mount sh -c '
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		exec setpriv --reuid "$1" --regid "$1" --init-groups env -i HOME="$(getent passwd "$1" | cut -d: -f6)" RL_BINARY="$2/rl" \
			RL_TEST_CACHE="$3" PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin XDG_RUNTIME_DIR="/run/user/$(id -u "$1")" "$2/tests/bench/run.sh" $4' \
		sh "$user" "$copy" "${RL_TEST_CACHE:-/var/cache/rl-tests}" "${1:-}"
	exit
fi

rl=${RL_BINARY:-$top/target/release/rl}
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
work=$(mktemp -d)
# The run directory goes first: with it the holder ends.
trap 'rm -rf "$work/run"; "$rl" --root "$work/data" --runroot "$work/gone" unshare rm -rf "$work/data" 2>/dev/null; rm -rf "$work"' EXIT
mkdir -m 700 "$work/data" "$work/run" "$work/rootfs" "$work/bundle"
tar -xf "$cache/busybox.tar" -C "$work/rootfs" --no-same-owner
rl="$rl --root $work/data --runroot $work/run"
$rl import -q "$cache/busybox.tar" busybox >/dev/null

median() { awk -F'"median": ' '/"median"/ { split($2, n, ","); print n[1] * 1000 }' "$1"; }
# measure NAME COMMAND: milliseconds, the median.
measure() {
	name=$1
	shift
	hyperfine -N --warmup 5 --runs "$runs" --export-json "$work/$name.json" "$@" >/dev/null 2>"$work/$name.err" ||
		{ cat "$work/$name.err" >&2; echo "$name failed: $*" >&2; return 1; }
	median "$work/$name.json"
}
row() {
	awk -v what="$1" -v ours="$2" -v peer="$3" -v theirs="$4" -v most="$5" 'BEGIN {
		printf "%-44s %8.2f ms   %-28s %8.2f ms   %5.2f   (at most %s)\n", what, ours, peer, theirs, ours / theirs, most }'
}

bundle() {
	(cd "$work/bundle" && rm -f config.json && "$1" spec --rootless && sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"\/bin\/true"/' config.json && ln -sfn "$work/rootfs" rootfs)
}

printf '%-44s %11s   %-28s %11s   %5s\n' what rl peer peer ratio
bwrap=$(measure bwrap "bwrap --unshare-all --bind $work/rootfs / --proc /proc --dev /dev /bin/true")
warm=$(measure warm "$rl run --rm --network none --rootfs $work/rootfs /bin/true")
image=$(measure image "$rl run --rm --network none busybox true")
# The first run of a session: no holder, no map.
first=$(measure first --prepare "rm -rf $work/run/holder" "$rl run --rm --network none busybox true")
row "--rootfs, warm" "$warm" "bwrap --unshare-all" "$bwrap" "1.3 now, 1.0 in the end"
row "image, warm" "$image" "bwrap --unshare-all" "$bwrap" "1.2 in the end"
for peer in crun runc; do
	command -v $peer >/dev/null || continue
	bundle $peer
	time=$(measure $peer "$peer --root $work/$peer run --bundle $work/bundle bench-$peer") || continue
	row "image, first run of a session" "$first" "$peer run" "$time" "1.5 of crun now, 1.0 in the end"
done
runs=5
archive=$cache/debian.tar.gz
import=$(measure import --prepare "$rl rmi -f bench || true" "$rl import -q $archive bench")
tar=$(measure tar --prepare "$rl unshare rm -rf $work/tar" "$rl unshare sh -c 'mkdir $work/tar && tar -xzf $archive -C $work/tar --numeric-owner 2>/dev/null; true'")
row "import of $(basename "$(readlink -f "$archive")")" "$import" "tar -xzf, mapped" "$tar" "0.7 in the end"
