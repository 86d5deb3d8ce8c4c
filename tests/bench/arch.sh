#!/bin/sh
# arch.sh [--quick]: what a foreign start costs beside a native one, measured side by side, as the calling user.
#
# Two rows: the first run of a session (nothing is mapped yet) may take 10 ms more than a native one; later ones 1 ms
# more than a native one and qemu itself, which is measured by starting it outside of any container. The programs are
# the two architectures' static busyboxes, which ./install.sh test makes. The surprise: what is compared are differences
# of some hundred microseconds between programs of milliseconds, so all of them take turns.
set -eu

top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
case ${1:-} in
--quick) rounds=3 runs=20 ;;
'') rounds=7 runs=60 ;;
*) sed -n '2s/^# //p' "$0" >&2; exit 2 ;;
esac
command -v hyperfine >/dev/null || { echo "bench: hyperfine is not installed" >&2; exit 1; }
binary=${RL_BINARY:-$top/target/release/rl}
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
qemu=$(command -v qemu-aarch64-static) || { echo "bench: qemu-user-static is not installed" >&2; exit 1; }
work=$(mktemp -d)
mkdir "$work/data" "$work/run" "$work/root"
chmod 700 "$work/data" "$work/run"
rl="$binary --root $work/data --runroot $work/run"
# Files of subordinate ids can be deleted from inside only; with the run directory the holder goes.
trap '$rl unshare rm -rf "$work/data" 2>/dev/null || true; rm -rf "$work"' EXIT

$rl import -q "$cache/busybox.tar" busybox >/dev/null
$rl import -q --platform linux/arm64 "$cache/busybox-arm64.tar" busybox-arm64 >/dev/null
tar -C "$work/root" --no-same-owner -xf "$cache/busybox-arm64.tar"

native="$rl run --rm --network none busybox true"
foreign="$rl run --rm --network none busybox-arm64 true"
emulator="$qemu $work/root/bin/busybox true"

# measure PREPARE: every round's medians into $work/all; who is first changes.
measure() {
	prepare=$1
	: >"$work/all"
	round=0
	while [ "$round" -lt "$rounds" ]; do
		set -- -n native "$native" -n foreign "$foreign" -n qemu "$emulator"
		[ $((round % 2)) = 0 ] || set -- -n foreign "$foreign" -n qemu "$emulator" -n native "$native"
		hyperfine -N --style none --warmup 3 --runs "$runs" --prepare "$prepare" --export-csv "$work/csv" "$@" \
			>"$work/log" 2>&1 || { cat "$work/log" >&2; echo "bench: a command failed" >&2; exit 1; }
		tail -n +2 "$work/csv" >>"$work/all"
		round=$((round + 1))
	done
}

# The median of the rounds' medians, in seconds.
median() {
	sed -n "s/^$1,//p" "$work/all" | cut -d, -f3 | sort -g |
		awk '{ at[NR] = $1 } END { print NR % 2 ? at[(NR + 1) / 2] : (at[NR / 2] + at[NR / 2 + 1]) / 2 }'
}

# row NAME ALLOWED: what is over the native start, and over qemu's own where ALLOWED is for that.
row() {
	awk -v name="$1" -v allowed="$2" -v less="$3" -v native="$(median native)" -v foreign="$(median foreign)" \
		-v qemu="$(median qemu)" 'BEGIN {
			over = (foreign - native - (less ? qemu : 0)) * 1000
			printf "%-28s %7.2f ms %7.2f ms %7.2f ms %7.2f ms   %s ms\n", name, foreign * 1000, native * 1000,
				qemu * 1000, over, allowed
		}'
}

printf '%-28s %10s %10s %10s %10s   %s\n' row foreign native qemu over allowed
measure "rm -rf $work/run/holder"
row "first run of a session" 10 ""
measure true
row "later runs" 1 yes
