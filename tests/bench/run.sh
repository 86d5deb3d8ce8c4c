#!/bin/sh
# run.sh [--quick] [--containers | --living | --images | --network] [--json FILE]: what rl costs beside its peers.
#
# Run as an unprivileged user. Prints one line a row: both medians, their ratio, and the ratio that the design allows.
# Called by root it becomes rltest1 (./install.sh test makes that user) in a mount namespace of its own, where
# /sys/fs/cgroup is cgroup2 alone: crun refuses the hybrid layout. The surprise: the programs take turns, several rounds
# each, because a machine's speed drifts more within a minute than rl and bubblewrap differ. Where a peer is not
# installed its row is left out.
set -eu

usage() { sed -n '2s/^# //p' "$0"; }
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
built() {
	(cd "$top" && cargo metadata --no-deps --format-version=1) |
		sed 's|.*"target_directory":"\([^"]*\)".*|\1/release/rl|'
}
quick=
only=
json=
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=yes ;;
	--containers | --living | --images | --network) only=${1#--} ;;
	--json) [ $# -gt 1 ] || { usage >&2; exit 2; }; json=$2; shift ;;
	--help | -h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
warmups=3
if [ -n "$quick" ]; then rounds=2 runs=20 slow=1; else rounds=5 runs=100 slow=3; fi

# --- as root: lay out what the user may read, and become that user ---

if [ "$(id -u)" = 0 ]; then
	id rltest1 >/dev/null 2>&1 || { echo "bench: there is no user rltest1; ./install.sh test makes it" >&2; exit 1; }
	dir=$(mktemp -d /var/tmp/rl-bench.XXXXXX)
	trap 'rm -rf "$dir"' EXIT
	mkdir "$dir/tests" "$dir/tests/bench"
	cp "${RL_BINARY:-$(built)}" "$dir/rl"
	cp "$top"/tests/make-busybox.sh "$dir/tests/"
	cp "$top"/tests/bench/*.sh "$dir/tests/bench/"
	# Only root can make it, and it is kept.
	kept=${RL_TEST_CACHE:-/var/cache/rl-tests}
	if [ ! -e "$kept/big.tar.gz" ] && command -v mmdebstrap >/dev/null; then
		echo "bench: making a root file system of 200 MB, once" >&2
		mkdir -p "$kept"
		"$top/tests/make-big.sh" "$kept/big.tar.gz.new" && mv "$kept/big.tar.gz.new" "$kept/big.tar.gz"
	fi
	chmod -R a+rX "$dir"
	touch "$dir/json"
	chown rltest1: "$dir/json"
	run=/run/user/$(id -u rltest1)
	mkdir -p "$run"
	chown rltest1: "$run"
	chmod 700 "$run"
	# shellcheck disable=SC2016  # The inner shell expands its own words.
	# A run directory on a tmpfs, as logind mounts it. A network of its own, too, for the rows about the network.
	unshare -mn sh -c 'mount --make-rprivate / && { mount -t cgroup2 none /sys/fs/cgroup || true; } &&
		mount -t tmpfs -o "mode=700,uid=$1,gid=$2" tmpfs "$3" && shift 3 &&
		ip link set lo up && ip address add 192.0.2.1/32 dev lo && exec "$@"' sh \
		"$(id -u rltest1)" "$(id -g rltest1)" "$run" \
		setpriv --reuid rltest1 --regid rltest1 --init-groups env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
		HOME="$(getent passwd rltest1 | cut -d: -f6)" XDG_RUNTIME_DIR="$run" RL_BINARY="$dir/rl" \
		RL_TEST_CACHE="${RL_TEST_CACHE:-/var/cache/rl-tests}" \
		"$dir/tests/bench/run.sh" ${quick:+--quick} ${only:+--$only} --json "$dir/json"
	[ -z "$json" ] || cp "$dir/json" "$json"
	exit
fi

command -v hyperfine >/dev/null || { echo "bench: hyperfine is not installed" >&2; exit 1; }
binary=${RL_BINARY:-$(built)}
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
work=$(mktemp -d)
# Whoever has one keeps what lasts a session in it; podman and the OCI runtimes are given a place in it, too.
run=$(mktemp -d -p "${XDG_RUNTIME_DIR:-$work}")
mkdir "$work/data" "$work/root" "$work/bundle"
chmod 700 "$work/data" "$run"
rl="$binary --root $work/data --runroot $run"
# Files of subordinate ids can be deleted from inside only; with the run directory the holder goes.
registry=
trap '[ -z "$registry" ] || kill "$registry" || true
	$rl unshare rm -rf "$work/data" "$work/unpacked" "$work/podman" 2>/dev/null || true; rm -rf "$work" "$run"' EXIT

"$top/tests/make-busybox.sh" "$work/busybox.tar"
tar -C "$work/root" --no-same-owner -xf "$work/busybox.tar"
$rl import -q "$work/busybox.tar" busybox >/dev/null
: >"$work/rows"

# --- measuring ---

# row NAME LIMIT PREPARE RUNS OURS PEER THEIRS: medians of all rounds, ours first and theirs first in turn.
row() {
	name=$1 limit=$2 prepare=$3 count=$4 ours=$5 peer=$6 theirs=$7
	if ! command -v "$peer" >/dev/null; then
		printf '%-30s %s is not installed\n' "$name" "$peer"
		return
	fi
	: >"$work/all"
	round=0
	while [ "$round" -lt "$rounds" ]; do
		set -- -n rl "$ours" -n peer "$theirs"
		[ $((round % 2)) = 0 ] || set -- -n peer "$theirs" -n rl "$ours"
		hyperfine -N --style none --warmup "$warmups" --runs "$count" --prepare "$prepare" \
			--export-csv "$work/csv" "$@" >"$work/log" 2>&1 ||
			{ cat "$work/log" >&2; echo "bench: $name: a command failed" >&2; exit 1; }
		tail -n +2 "$work/csv" >>"$work/all"
		round=$((round + 1))
	done
	one=$(median rl)
	other=$(median peer)
	awk -v name="$name" -v limit="$limit" -v peer="$peer" -v a="$one" -v b="$other" -v cpu="$(cpu)" 'BEGIN {
		printf "%-30s %9.2f ms %9.2f ms  %-6s %6.2f   %-7s %5.2f\n", name, a * 1000, b * 1000, peer, a / b, limit, cpu
	}'
	[ "$limit" != - ] || limit=null
	printf '{"row":"%s","peer":"%s","rl_s":%s,"peer_s":%s,"limit":%s,"cpu":%s}\n' "$name" "$peer" "$one" "$other" \
		"$limit" "$(cpu)" >>"$work/rows"
}

# The median of the rounds' medians.
median() {
	sed -n "s/^$1,//p" "$work/all" | cut -d, -f3 | sort -g |
		awk '{ at[NR] = $1 } END { print NR % 2 ? at[(NR + 1) / 2] : (at[NR / 2] + at[NR / 2 + 1]) / 2 }'
}

# Processor time of all rounds beside the peer's.
cpu() { awk -F, '{ sum[$1] += $5 + $6 } END { print sum["rl"] / (sum["peer"] + 0.000001) }' "$work/all"; }

# A bundle as the peer's own `spec --rootless` writes it, with the caller's full range, which is what rl maps.
bundle() {
	(cd "$work/bundle" && rm -f config.json && "$1" spec --rootless)
	uids=$(sed -n "s/^$(id -un)://p" /etc/subuid | head -n 1)
	gids=$(sed -n "s/^$(id -un)://p" /etc/subgid | head -n 1)
	awk -v root="$work/root" -v uids="$uids" -v gids="$gids" '
		/"terminal":/ { sub(/true/, "false") }
		/"path": "rootfs"/ { sub(/"rootfs"/, "\"" root "\"") }
		/"args":/ { args = 1 }
		args && /"sh"/ { sub(/"sh"/, "\"/bin/true\""); args = 0 }
		{ print }
		/"size": 1$/ {
			split(++seen == 1 ? uids : gids, range, ":")
			printf "},{\"containerID\":1,\"hostID\":%s,\"size\":%s\n", range[1], range[2]
		}' "$work/bundle/config.json" >"$work/bundle/new"
	mv "$work/bundle/new" "$work/bundle/config.json"
}

printf '%-30s %12s %12s  %-6s %6s   %-7s %5s\n' row rl peer '' ratio allowed cpu
containers() {
	warm="bwrap --unshare-all --bind $work/root / --proc /proc --dev /dev /bin/true"
	row "warm, --rootfs" 1.0 true "$runs" "$rl run --rm --network none --rootfs $work/root /bin/true" bwrap "$warm"
	row "warm, image on overlay" 1.2 true "$runs" "$rl run --rm --network none busybox true" bwrap "$warm"
	# Without its state the holder ends, and the next run makes one.
	cold="rm -rf $run/holder"
	first="$rl run --rm --network none busybox true"
	if command -v crun >/dev/null; then bundle crun; fi
	row "first run, image" 1.0 "$cold" "$runs" "$first" crun \
		"crun --root $run/crun --cgroup-manager=disabled run --bundle $work/bundle bench"
	row "rl oci run, bundle" 0.7 true "$runs" \
		"$binary oci --root $run/oci run --bundle $work/bundle bench" crun \
		"crun --root $run/crun --cgroup-manager=disabled run --bundle $work/bundle bench"
	if command -v runc >/dev/null; then bundle runc; fi
	row "first run, image" 1.0 "$cold" "$((runs / 2))" "$first" runc \
		"runc --root $run/runc run --bundle $work/bundle bench"
}

. "$top/tests/bench/living.sh"
. "$top/tests/bench/network.sh"
if [ -e "$cache/big.tar.gz" ] && command -v docker-registry >/dev/null; then
	. "$top/tests/bench/images.sh"
else
	images() { echo "images: no $cache/big.tar.gz, which root makes (tests/make-big.sh), or no docker-registry"; }
fi
case $only in
'') containers; living; network; images ;;
*) $only ;;
esac
[ -z "$json" ] || paste -sd, "$work/rows" | sed 's/^/[/; s/$/]/' >"$json"
