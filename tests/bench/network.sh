# shellcheck shell=sh disable=SC2154,SC2086
# network.sh: the rows about the network; read by run.sh, whose variables it uses, and living.sh's told().
#
# rl and podman take turns, both with slirp4netns. The other end is an address, not one of 127.0.0.0/8, of lo in the
# network namespace that run.sh makes for all of this when root calls it: nothing leaves the machine.

peer_address=192.0.2.1

# The middle of three numbers.
middle() { printf '%s\n' "$@" | sort -g | sed -n 2p; }

# rate NAME OURS THEIRS UNIT: more is better.
rate() {
	awk -v name="$1" -v a="$2" -v b="$3" -v unit="$4" 'BEGIN {
		printf "%-30s %9.2f %s %9.2f %s  podman %6.2f   at least 1.0\n", name, a, unit, b, unit, a / (b + 0.000001)
	}'
	printf '{"row":"%s","peer":"podman","rl":%s,"peer_value":%s,"unit":"%s","least":1.0}\n' "$1" "$2" "$3" "$4" \
		>>"$work/rows"
}

# busybox and iperf3 with its libraries.
with_iperf() {
	mkdir "$work/iperf"
	tar -C "$work/iperf" --no-same-owner -xf "$work/busybox.tar"
	iperf=$(command -v iperf3)
	for file in "$iperf" $(ldd "$iperf" | grep -o '/[^ ]*'); do
		mkdir -p "$work/iperf$(dirname "$file")"
		cp -L "$file" "$work/iperf$file"
	done
	tar -C "$work/iperf" -cf "$work/iperf.tar" .
}

# throughput COMMAND [-R]: what arrives, in Gbit/s, of one connection in three seconds.
throughput() {
	way=${2:-}
	$1 iperf3 -c "$peer_address" -t 3 -f g $way | awk '/receiver/ { print $(NF - 2) }'
}

# connections PORT: how many a second, each with a request and its answer.
connections() {
	many=300
	start=$(date +%s.%N)
	curl -sf -H 'Connection: close' "http://127.0.0.1:$1/index.html?[1-$many]" >/dev/null
	awk -v a="$start" -v b="$(date +%s.%N)" -v many="$many" 'BEGIN { print many / (b - a) }'
}

# three COMMAND OURS THEIRS [WORD]: medians of three, in turn.
three() {
	measure=$1 a=$2 b=$3
	shift 3
	one=$($measure "$a" "$@") other=$($measure "$b" "$@")
	two=$($measure "$b" "$@") second=$($measure "$a" "$@")
	third=$($measure "$a" "$@") last=$($measure "$b" "$@")
	ours=$(middle "$one" "$second" "$third") theirs=$(middle "$other" "$two" "$last")
}

network() {
	for need in podman iperf3 curl slirp4netns; do
		command -v "$need" >/dev/null || { echo "network: $need is not installed"; return; }
	done
	if ! ip -o address show to "$peer_address" 2>/dev/null | grep -q .; then
		echo "network: nobody has $peer_address here; called by root, run.sh makes it"
		return
	fi
	with_iperf
	$rl import -q "$work/iperf.tar" iperf >/dev/null
	podman_ import -q "$work/iperf.tar" iperf >/dev/null 2>&1
	iperf3 -s -B "$peer_address" >/dev/null 2>&1 &
	server=$!
	theirs_run="podman --root $work/podman --runroot $work/podman-run --cgroup-manager=cgroupfs"
	theirs_run="$theirs_run run --rm --network slirp4netns"
	three throughput "$rl run --rm iperf" "$theirs_run iperf"
	rate "throughput, out" "$ours" "$theirs" Gbit/s
	three throughput "$rl run --rm iperf" "$theirs_run iperf" -R
	rate "throughput, in" "$ours" "$theirs" Gbit/s
	kill "$server"
	wait "$server" 2>/dev/null || true
	serve='echo hello >/index.html; exec httpd -f -p 80 -h /'
	$rl run -d -p 127.0.0.1:8970:80 iperf sh -c "$serve" >/dev/null
	podman_ run -d --network slirp4netns -p 127.0.0.1:8971:80 iperf sh -c "$serve" >/dev/null 2>&1
	for port in 8970 8971; do
		until curl -sf "http://127.0.0.1:$port/index.html" >/dev/null; do sleep 0.05; done
	done
	three connections 8970 8971
	rate "connections through a port" "$ours" "$theirs" /s
	$rl rm -af >/dev/null
	podman_ rm -af -t 0 >/dev/null 2>&1
}
