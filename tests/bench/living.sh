# shellcheck shell=sh disable=SC2154,SC2034,SC2086
# living.sh: the rows about containers in the background; read by run.sh, whose variables and row() it uses.
#
# podman runs with its cgroupfs manager, for there may be no systemd, and without a network, as rl. The surprise:
# how much memory a process costs is its proportional set size, for which the kernel divides shared pages among
# those that have them; so both are asked while as many containers run.

podman_() { podman --root "$work/podman" --runroot "$run/podman" --cgroup-manager=cgroupfs "$@"; }

# The mean proportional set size, in KiB, of the caller's processes of a name.
pss() {
	for pid in $(pgrep -x -u "$(id -u)" "$1"); do
		sed -n 's/^Pss: *//p' "/proc/$pid/smaps_rollup" 2>/dev/null
	done | awk '{ sum += $1; count++ } END { print count ? sum / count : 0 }'
}

# told NAME OURS THEIRS UNIT LIMIT
told() {
	awk -v name="$1" -v a="$2" -v b="$3" -v unit="$4" -v limit="$5" 'BEGIN {
		printf "%-30s %9.2f %s %9.2f %s  podman %6.2f   %s\n", name, a, unit, b, unit, a / b, limit
	}'
	printf '{"row":"%s","peer":"podman","rl":%s,"peer_value":%s,"unit":"%s","limit":%s}\n' "$1" "$2" "$3" "$4" "$5" \
		>>"$work/rows"
}

# Seconds that a command takes so often.
repeated() {
	start=$(date +%s.%N)
	count=$1
	shift
	while [ "$count" -gt 0 ]; do
		"$@" >/dev/null 2>&1
		count=$((count - 1))
	done
	awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { print b - a }'
}

exec_row() {
	$rl run --rm --network none --name bench busybox sh -c 'echo ready; exec sleep 1000' >"$work/ready" &
	living=$!
	while ! [ -s "$work/ready" ]; do sleep 0.01; done
	inside=$(grep -o '"pid":[0-9]*' "$run"/containers/*/state.json | head -n 1 | cut -d: -f2)
	row "exec" 2.0 true "$runs" "$rl exec bench true" nsenter "nsenter -t $inside -U -m -u -i -n -p -C true"
	kill -9 "$living"
	wait "$living" 2>/dev/null || true
}

living() {
	exec_row
	if ! command -v podman >/dev/null; then
		echo "containers in the background: podman is not installed"
		return
	fi
	podman_ import -q "$work/busybox.tar" busybox >/dev/null 2>&1
	many=100 listed=1000
	[ -z "$quick" ] || { many=10 listed=50; }
	# A supervisor gives memory back when it has had nothing to do for a second.
	$rl run -d --network none busybox sleep 1000 >/dev/null
	podman_ run -d --network none busybox sleep 1000 >/dev/null 2>&1
	sleep 2
	told "memory of one supervisor" "$(pss rl-supervisor)" "$(pss conmon)" KiB 1.0
	ours=$(repeated $many $rl run -d --network none busybox sleep 1000)
	theirs=$(repeated $many podman_ run -d --network none busybox sleep 1000)
	told "$many in the background" "$ours" "$theirs" s 0.125
	sleep 2
	told "memory of each of $many" "$(pss rl-supervisor)" "$(pss conmon)" KiB 1.0
	$rl rm -af >/dev/null
	podman_ rm -af -t 0 >/dev/null 2>&1
	repeated $listed $rl create busybox true >/dev/null
	repeated $listed podman_ create --network none busybox true >/dev/null
	rounds=1
	row "ps -a of $listed" 0.1 true 10 "$rl ps -a" podman \
		"podman --root $work/podman --runroot $run/podman --cgroup-manager=cgroupfs ps -a"
	$rl rm -af >/dev/null
	podman_ rm -af >/dev/null 2>&1
	podman_ system reset -f >/dev/null 2>&1
}
