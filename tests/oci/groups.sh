#!/bin/bash
# groups.sh RUNTIME DIR: podman's verbs that need a control group, with an OCI runtime of their caller's choice.
#
# To be run as root in a mount namespace of its own, where it mounts cgroup2 on /sys/fs/cgroup, with an image
# `busybox.tar` in RL_TEST_CACHE. Everything is in DIR, which must be empty. Prints `ok NAME` or `FAIL NAME` with
# what was said, and ends with the number of failures.
set -u
runtime=$1 dir=$2
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
mount --make-rprivate / && mount -t cgroup2 none /sys/fs/cgroup || exit 99
export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf
cat >"$CONTAINERS_CONF" <<END
[engine]
runtime = "$runtime"
runtime_supports_json = ["$(basename "$runtime")", "crun"]
events_logger = "file"
cgroup_manager = "cgroupfs"
[containers]
log_driver = "k8s-file"
pids_limit = 0
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
END
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "vfs"
graphroot = "$dir/graph"
runroot = "$dir/run"
END
# shellcheck source=tests/oci/check.sh
. "${0%/*}/check.sh"
trap 'podman rm -fa >/dev/null 2>&1' EXIT

status() { check "$1" "$2" podman inspect --format '{{.State.Status}}' box; }

check import '*' podman import "$cache/busybox.tar" localhost/busybox
check run '*' podman run -d --network none --name box localhost/busybox sleep 300
group=/sys/fs/cgroup$(podman inspect --format '{{.State.CgroupPath}}' box)
check group 'populated 1*' cat "$group/cgroup.events"
check top '*sleep 300*' podman top box
check exec '*0::/*' podman exec box cat /proc/self/cgroup
check pause '*' podman pause box
status paused 'paused'
check frozen '1' cat "$group/cgroup.freeze"
check exec-paused =255 '*' podman exec box true
check unpause '*' podman unpause box
status unpaused 'running'
check stats '*box*' podman stats --no-stream --format '{{.Name}}' box
check kill '*' podman kill box
check wait '137' podman wait box
check rm '*' podman rm box
check gone =1 '' test -d "$group"
if grep -q memory /sys/fs/cgroup/cgroup.controllers; then
	check limited '67108864' podman run --rm --network none -m 64m localhost/busybox cat /sys/fs/cgroup/memory.max
else
	check refused =126 '*linux.resources*memory*' podman run --rm --network none -m 64m localhost/busybox true
fi
podman rm -fa >/dev/null 2>&1
find /sys/fs/cgroup/libpod_parent -depth -type d -exec rmdir {} + 2>/dev/null
exit "$failed"
