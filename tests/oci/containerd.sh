#!/bin/bash
# containerd.sh RUNTIME DIR: containerd 1.6's own client with an OCI runtime of its caller's choice.
#
# To be run as root in a mount namespace of its own, where it mounts cgroup2 on /sys/fs/cgroup and an empty /run, with
# `busybox.tar` in RL_TEST_CACHE. Everything is in DIR, which must be empty and is best near /. Prints `ok NAME` or
# `FAIL NAME` with what was said, and ends with the number of failures. The surprise: the documents are the runtime's
# own `spec`, because containerd's default one limits the processor, which cgroup2 beside cgroup v1 can't.
set -u
runtime=$1 dir=$2
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
mount --make-rprivate / && mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs tmpfs /run || exit 99
export CONTAINERD_ADDRESS=/run/containerd.sock
group=/rl-containerd-$$
cat >"$dir/containerd.toml" <<END
version = 2
root = "$dir/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$CONTAINERD_ADDRESS"
END
containerd -c "$dir/containerd.toml" >"$dir/log" 2>&1 &
daemon=$!
# shellcheck disable=SC2317 # By trap.
cleanup() {
	ctr task kill -s KILL two >/dev/null 2>&1
	ctr task rm -f two >/dev/null 2>&1
	ctr container rm two >/dev/null 2>&1
	kill "$daemon"
	wait "$daemon"
	rmdir "/sys/fs/cgroup$group"
} 2>/dev/null
trap cleanup EXIT
for _ in $(seq 300); do
	ctr version >/dev/null 2>&1 && break
	sleep 0.1
done
# shellcheck source=tests/oci/check.sh
. "${0%/*}/check.sh"

# document NAME COMMAND: its config.json, with the root file system of this script.
document() {
	sed -e 's/"terminal": true/"terminal": false/' -e "s|\"path\": \"rootfs\"|\"path\": \"$dir/rootfs\"|" \
		-e "s|\"linux\": {|\"linux\": { \"cgroupsPath\": \"$group/$1\",|" "$dir/config.json" |
		tr -d '\n' | sed "s|\"args\": \[ *\"sh\" *\]|\"args\": [$2]|" >"$dir/$1.json"
}

mkdir "$dir/rootfs" && tar -C "$dir/rootfs" -xf "$cache/busybox.tar"
"$runtime" spec --bundle "$dir"
document one '"echo", "hello"'
document two '"sleep", "300"'
check run 'hello' ctr run --runc-binary "$runtime" --rm --config "$dir/one.json" one
check detached '' ctr run --runc-binary "$runtime" -d --config "$dir/two.json" two
check list '*two*RUNNING*' ctr task ls
check exec 'inside' ctr task exec --exec-id more two echo inside
check ps '*PID*' ctr task ps two
check pause '' ctr task pause two
check paused '*two*PAUSED*' ctr task ls
check resume '' ctr task resume two
check resumed '*two*RUNNING*' ctr task ls
check metrics '*two*' ctr task metrics two
check kill '' ctr task kill -s KILL two
# Its end comes by an event, for which `rm` with force waits.
check rm '*' ctr task rm -f two
check gone '' ctr task ls -q
exit "$failed"
