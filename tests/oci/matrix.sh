#!/bin/bash
# matrix.sh RUNTIME DIR: commands of podman and buildah, each with what it has to print, with an OCI runtime
# of their caller's choice.
#
# To be run as an unprivileged user, with an image `busybox.tar` in RL_TEST_CACHE. Storage, state and
# configuration are in DIR, which must be empty. Prints `ok NAME` or `FAIL NAME` with what was said, and ends with the
# number of failures. The surprise: it knows nothing of the runtime, so the same run with crun says what the engine
# itself can't do here.
#
# Containers have names that no image's id can begin with: `podman diff d` is that of an image whose id begins with d.
#
# What stands in single quotes here is for shells in containers.
# shellcheck disable=SC2016
set -u
runtime=$1 dir=$2
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
export CONTAINERS_CONF=$dir/containers.conf CONTAINERS_STORAGE_CONF=$dir/storage.conf
name=$(basename "$runtime")
# An unprivileged podman takes neither graphroot nor runroot of the file below: without these two it would work in the
# user's own store, among the images that every earlier run has left there.
export HOME=$dir XDG_RUNTIME_DIR=$dir/x
mkdir -m 0700 "$XDG_RUNTIME_DIR"
mkdir -p "$dir/build" "$dir/volume" "$dir/bin"
cat >"$CONTAINERS_CONF" <<END
[engine]
runtime = "$runtime"
runtime_supports_nocgroup = ["$name", "crun"]
runtime_supports_json = ["$name", "crun"]
events_logger = "file"
cgroup_manager = "cgroupfs"
[containers]
log_driver = "k8s-file"
END
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "vfs"
graphroot = "$dir/graph"
rootless_storage_path = "$dir/graph"
runroot = "$dir/run"
END
# shellcheck source=tests/oci/check.sh
. "${0%/*}/check.sh"
I=localhost/busybox

# Words of this script, as programs, because timeout(1) knows no functions.
program() {
	printf '#!/bin/sh\n%s\n' "$2" >"$dir/bin/$1"
	chmod 755 "$dir/bin/$1"
}
program p "exec podman --runtime '$runtime' \"\$@\""
program run "exec podman --runtime '$runtime' run --rm --network none \"\$@\""
# shellcheck disable=SC2016 # For the program.
program sh_ 'exec bash -c "$1"'
PATH=$dir/bin:$PATH

check import '*' p import "$cache/busybox.tar" $I
check run 'hello' run $I echo hello
check run-exit-code =7 '' run $I sh -c 'exit 7'
check run-not-found =127 '*not found*' run $I no-such-command
check run-not-executable =126 '*' run $I /etc
check run-stderr 'to stderr' run $I sh -c 'echo to stderr >&2'
check run-stdin 'typed' sh_ 'echo typed | run -i '$I' cat'
check run-env 'one' run -e A=one $I sh -c 'echo $A'
check run-workdir '/tmp' run -w /tmp $I pwd
check run-hostname 'box' run --hostname box $I hostname
check run-user '*uid=33*gid=33*' run -u 33:33 $I id
check run-groups '*44*' run -u 33 --group-add 44 $I id -G
check run-capabilities-default '*0000000000000000' run -u 33 $I grep CapEff /proc/self/status
check run-cap-drop-all '*0000000000000000' run --cap-drop all $I grep CapEff /proc/self/status
check run-cap-add '*0000000000001000' run --cap-drop all --cap-add net_admin $I grep CapEff /proc/self/status
check run-seccomp '*2' run $I sh -c 'grep Seccomp: /proc/self/status'
check run-seccomp-unconfined '*0' run --security-opt seccomp=unconfined $I grep Seccomp: /proc/self/status
check run-no-new-privileges '*1' run --security-opt no-new-privileges $I grep NoNewPrivs /proc/self/status
check run-read-only =1 '*Read-only file system*' run --read-only $I touch /file
check run-read-only-tmp '' run --read-only $I touch /tmp/file
check run-tmpfs '*size=1024k*' run --tmpfs /data:size=1m $I grep ' /data ' /proc/mounts
check run-tmpfs-copies-up 'root:*' run --tmpfs /etc/x --tmpfs /var $I head -n 1 /etc/passwd
check run-shm-size '*size=2048k*' run --shm-size 2m $I grep ' /dev/shm ' /proc/mounts
check run-volume 'from the host' sh_ \
	'echo from the host >'"$dir"'/volume/file; run -v '"$dir"'/volume:/v '$I' cat /v/file'
check run-volume-ro =1 '*Read-only*' run -v "$dir/volume:/v:ro" $I touch /v/other
check run-named-volume 'kept' sh_ 'run -v named:/v '$I' sh -c "echo kept >/v/f"; run -v named:/v '$I' cat /v/f'
check run-mount-bind 'from the host' run --mount "type=bind,src=$dir/volume,dst=/m/n" $I cat /m/n/file
check run-ulimit '77' run --ulimit nofile=77:77 $I sh -c 'ulimit -n'
check run-sysctl '1 1' run --sysctl "net.ipv4.ping_group_range=1 1" $I sh -c \
	'xargs echo </proc/sys/net/ipv4/ping_group_range'
check run-device 'c' run --device /dev/zero:/dev/nothing $I sh -c \
	'[ -c /dev/nothing ] && head -c 1 /dev/nothing >/dev/null && echo c'
check run-privileged '*c*' run --privileged $I sh -c '[ -c /dev/null ] && mount -t tmpfs x /tmp && echo c'
check run-umask '0077' run --umask 0077 $I sh -c umask
check run-init '1' run --init --init-path "$(command -v catatonit)" $I sh -c \
	'xargs -0 echo </proc/1/cmdline | grep -c init'
check run-tty '*/dev/pts/0*' run -t $I tty
check run-tty-size '*' run -t $I stty size
check run-keep-id "$(id -u)" run --userns keep-id $I id -u
check run-uidmap '*0 *1 *10*' run --uidmap 0:1:10 --gidmap 0:1:10 $I cat /proc/self/uid_map
check run-userns-nomap '0' run --userns nomap $I id -u
check run-pid-host '*' run --pid host $I sh -c '[ "$$" != 1 ]'
if [ -d /dev/mqueue ]; then check run-ipc-host '' run --ipc host $I true; fi
check run-uts-host "$(hostname)" run --uts host $I hostname
check run-network-host '*lo*' p run --rm --network host $I ls /sys/class/net
check run-cgroupns-host '' run --cgroupns host $I true
check run-cgroups-disabled '' run --cgroups=disabled $I true
check run-rootfs 'rooted' sh_ \
	"mkdir $dir/rootfs && tar -C $dir/rootfs --no-same-owner -xf $cache/busybox.tar &&
	run --rootfs $dir/rootfs echo rooted"
check run-preserve-fds 'descriptor' sh_ \
	'echo descriptor >'"$dir"'/fd; run --preserve-fds 1 '$I' cat /dev/fd/3 3<'"$dir"'/fd'
check run-annotation '' run --annotation org.example=x $I true
check run-oom-score-adj '500' run --oom-score-adj 500 $I cat /proc/self/oom_score_adj
check run-dns-file 'nameserver 192.0.2.1' p run --rm --network slirp4netns --dns 192.0.2.1 $I grep nameserver \
	/etc/resolv.conf
check run-slirp '*10.0.2.*' p run --rm --network slirp4netns $I ip -o -4 addr show tap0
check run-timezone-mask '' run --security-opt mask=/proc/version $I sh -c 'cat /proc/version'
check run-personality 'x86_64' run $I uname -m
check detach '*' p run -d --name box --network none $I sh -c \
	'trap "exit 3" TERM; echo started; while :; do sleep 0.1; done'
check ps 'box' p ps --format '{{.Names}}'
check logs 'started' sh_ 'for i in $(seq 50); do l=$(p logs box); [ -z "$l" ] || break; sleep 0.1; done; echo "$l"'
check inspect-running 'running' p inspect -f '{{.State.Status}}' box
check exec 'inside' p exec box echo inside
check exec-user '*uid=33*' p exec -u 33 box id
check exec-env-workdir '/tmp 2' p exec -e A=2 -w /tmp box sh -c 'echo $(pwd) $A'
check exec-exit-code =9 '' p exec box sh -c 'exit 9'
check exec-not-found =127 '*not found*' p exec box no-such-command
check exec-stdin 'typed' sh_ 'echo typed | p exec -i box cat'
check exec-tty '*/dev/pts/*' p exec -t box tty
check exec-privileged '*1ffffffffff' p exec --privileged box grep CapEff /proc/self/status
check exec-detached '' sh_ \
	'p exec -d box touch /detached >/dev/null
	for i in $(seq 50); do p exec box test -e /detached && exit; sleep 0.1; done; exit 1'
check top '*sleep*' p top box
check cp-in '' sh_ 'echo copied >'"$dir"'/c; p cp '"$dir"'/c box:/tmp/c'
check cp-out 'copied' sh_ 'p cp box:/tmp/c '"$dir"'/out && cat '"$dir"'/out'
check diff '*/detached*' p diff box
check net-container '' p run --rm --network container:box $I true
check port-less '' p port box
check commit '' sh_ 'p commit -q box localhost/made >/dev/null'
check run-committed 'copied' run localhost/made cat /tmp/c
check kill-signal '*' p kill -s TERM box
check wait '3' p wait box
check restart-stopped '*' p start box
check restart '*' p restart -t 1 box
check stop '*' p stop -t 1 box
check inspect-stopped 'exited' p inspect -f '{{.State.Status}}' box
check rm '*' p rm box
check create '*' p create --name c -i --network none $I cat
check start-attach 'through' sh_ 'echo through | p start -ai c'
check rm-force '*' p rm -f c
check attach 'line' sh_ 'p run -d --name a --network none '$I' sh -c "sleep 1; echo line" >/dev/null; p attach a'
check rm-attached '*' p rm -f a
check healthcheck '' sh_ \
	"p run -d --name h --network none --health-cmd true --health-interval disable $I sleep 30 >/dev/null
	p healthcheck run h"
check rename '' p rename h h2
check rm-all '*' p rm -fa -t 0
check pod '*0*' sh_ \
	"p pod create --infra-image $I --infra-command 'sleep 100' --network none --name pod >/dev/null &&
	p run --rm --pod pod $I sh -c 'echo 0 \$(hostname)'"
check pod-rm '*' p pod rm -f pod
check buildah-from '*' buildah from --name b $I
check buildah-run 'built' buildah run --runtime "$runtime" --isolation oci --network none b -- echo built
check buildah-run-code =4 '*' buildah run --runtime "$runtime" --isolation oci --network none b -- sh -c 'exit 4'
check buildah-rm '*' buildah rm b
printf 'FROM %s\nRUN echo layer >/layer && id -u\nUSER 33\nRUN id -u\nCMD cat /layer\n' $I >"$dir/build/Containerfile"
check podman-build '*' p build -q --isolation oci --network none -t localhost/built "$dir/build"
check run-built 'layer' run localhost/built
check volume-prune '*' p volume prune -f
echo "$((count - failed)) of $count passed"
p rm -fa -t 0 >/dev/null 2>&1
podman unshare rm -rf "$dir/graph" "$dir/run"
# Ends the process that holds podman's namespace.
podman system migrate >/dev/null 2>&1
exit "$failed"
