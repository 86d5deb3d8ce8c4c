# shellcheck shell=sh disable=SC2154,SC2086
# network.sh: the rows about the network; read by run.sh, whose variables it uses, and living.sh's told().
#
# rl and podman take turns, both with slirp4netns. The other end is an address, not one of 127.0.0.0/8, of lo in the
# network namespace that run.sh makes for all of this when root calls it: nothing leaves the machine.

peer_address=192.0.2.1

# Each pair of measurements gives a ratio; what is told is the middle one of all pairs. The surprise: one run's
# throughput differs from the next one's by a quarter, whoever runs it, so fewer pairs than these tell nothing.
if [ -n "$quick" ]; then pairs=5 seconds=2; else pairs=11 seconds=5; fi

# middle COLUMN: the median of a column of the pairs.
middle() {
	awk -v column="$1" '{ print $column }' "$work/pairs" | sort -g |
		awk '{ at[NR] = $1 } END { print NR % 2 ? at[(NR + 1) / 2] : (at[NR / 2] + at[NR / 2 + 1]) / 2 }'
}

# rate NAME UNIT COMMAND OURS THEIRS [WORD]: more is better; who comes first changes from pair to pair.
rate() {
	name=$1 unit=$2 measure=$3 a=$4 b=$5
	shift 5
	: >"$work/pairs"
	pair=0
	while [ "$pair" -lt "$pairs" ]; do
		if [ $((pair % 2)) = 0 ]; then
			ours=$($measure "$a" "$@") theirs=$($measure "$b" "$@")
		else
			theirs=$($measure "$b" "$@") ours=$($measure "$a" "$@")
		fi
		awk -v a="$ours" -v b="$theirs" 'BEGIN { print a, b, a / (b + 0.000001) }' >>"$work/pairs"
		pair=$((pair + 1))
	done
	least=$(awk '{ print $3 }' "$work/pairs" | sort -g | head -n 1)
	most=$(awk '{ print $3 }' "$work/pairs" | sort -g | tail -n 1)
	ours=$(middle 1) theirs=$(middle 2) ratio=$(middle 3)
	printf '%-30s %9.2f %s %9.2f %s  podman %6.2f   at least 1.0 (%.2f to %.2f)\n' \
		"$name" "$ours" "$unit" "$theirs" "$unit" "$ratio" "$least" "$most"
	printf '{"row":"%s","peer":"podman","rl":%s,"peer_value":%s,"unit":"%s","least":1.0,"ratio":%s}\n' "$name" "$ours" \
		"$theirs" "$unit" "$ratio" >>"$work/rows"
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

# throughput COMMAND [-R]: what arrives, in Gbit/s, over one connection that has been open for a second.
throughput() {
	way=${2:-}
	$1 iperf3 -c "$peer_address" -O 1 -t "$seconds" -f m $way | awk '/receiver/ { print $(NF - 2) / 1000 }'
}

# connections PORT: how many a second, each with a request and its answer.
connections() {
	many=1000
	start=$(date +%s.%N)
	curl -sf -H 'Connection: close' "http://127.0.0.1:$1/index.html?[1-$many]" >/dev/null
	awk -v a="$start" -v b="$(date +%s.%N)" -v many="$many" 'BEGIN { print many / (b - a) }'
}

# Each with the program that carries the packets, from the command line to the shell's next prompt.
network_start() {
	command -v podman >/dev/null || { echo "start, default network         podman is not installed"; return; }
	theirs="podman --root $work/podman/root --runroot $run/podman-slirp --tmpdir $work/podman/tmp"
	theirs="$theirs --storage-driver overlay --cgroup-manager cgroupfs --log-level error"
	$theirs import -q "$work/busybox.tar" busybox >/dev/null 2>&1
	row "start, default network" 0.15 true "$((runs / 10 + 1))" "$rl run --rm busybox true" podman \
		"$theirs run --rm --network slirp4netns localhost/busybox true"
}

network() {
	network_start
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
	theirs_run="podman --root $work/podman --runroot $run/podman --cgroup-manager=cgroupfs"
	theirs_run="$theirs_run run --rm --network slirp4netns"
	rate "throughput, out" Gbit/s throughput "$rl run --rm iperf" "$theirs_run iperf"
	rate "throughput, in" Gbit/s throughput "$rl run --rm iperf" "$theirs_run iperf" -R
	kill "$server"
	wait "$server" 2>/dev/null || true
	serve='echo hello >/index.html; exec httpd -f -p 80 -h /'
	$rl run -d -p 127.0.0.1:8970:80 iperf sh -c "$serve" >/dev/null
	podman_ run -d --network slirp4netns -p 127.0.0.1:8971:80 iperf sh -c "$serve" >/dev/null 2>&1
	for port in 8970 8971; do
		until curl -sf "http://127.0.0.1:$port/index.html" >/dev/null; do sleep 0.05; done
	done
	rate "connections through a port" /s connections 8970 8971
	$rl rm -af >/dev/null
	podman_ rm -af -t 0 >/dev/null 2>&1
}
