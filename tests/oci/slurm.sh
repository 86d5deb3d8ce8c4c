#!/bin/bash
# slurm.sh RL USER DIR: one node of Slurm on loopback, and its jobs in containers, in both ways that docs/hpc.md shows.
#
# To be run as root, with Debian's slurm-wlm and munge; USER is who submits, DIR an empty directory that USER can read.
# Prints `ok NAME` or `FAIL NAME`, ends with the number of failures, and ends its daemons by their pids.
# Functions are called by check, and what stands in single quotes is for shells in containers.
# shellcheck disable=SC2317,SC2016
set -u
rl=$1 user=$2 dir=$3
cache=${RL_TEST_CACHE:-/var/cache/rl-tests}
uid=$(id -u "$user")
host=$(hostname -s)
mkdir -p "$dir/state" "$dir/spool" "$dir/munge" "$dir/bin" "$dir/oci" "$dir/bundle/rootfs" "$dir/work"
chmod 755 "$dir" "$dir/munge" "$dir/bin" "$dir/bundle"
# Where it was built may be closed to the user.
cp "$rl" "$dir/bin/rl"
ln -s rl "$dir/bin/rl-oci"
tar -C "$dir/bundle/rootfs" --no-same-owner -xf "$cache/busybox.tar"
chown -R "$user": "$dir/bundle" "$dir/work" "$dir/oci"
as() { setpriv --reuid "$user" --regid "$user" --init-groups env -i PATH="$dir/bin:/usr/bin:/bin" HOME="$dir/work" \
	XDG_RUNTIME_DIR="/run/user/$uid" SLURM_CONF="$dir/slurm.conf" TERM=xterm "$@"; }

head -c 1024 /dev/urandom >"$dir/munge/key"
chmod 400 "$dir/munge/key"
cat >"$dir/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
SlurmctldPort=26817
SlurmdPort=26818
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=5 State=UP
END
echo 'CgroupPlugin=cgroup/v1' >"$dir/cgroup.conf"
runtime="$dir/bin/rl-oci --root=$dir/oci"
cat >"$dir/oci.conf" <<END
RunTimeQuery="$runtime state %n.%u.%j.%s.%t"
RunTimeKill="$runtime kill -a %n.%u.%j.%s.%t"
RunTimeDelete="$runtime delete --force %n.%u.%j.%s.%t"
RunTimeRun="$runtime run --bundle %b %n.%u.%j.%s.%t"
END
(cd "$dir/bundle" && as "$dir/bin/rl-oci" spec --rootless)
# The root file system is this job's alone, so that Slurm's files find a place in it.
sed -i 's/"readonly": true/"readonly": false/; s/"terminal": true/"terminal": false/' "$dir/bundle/config.json"

pids=
daemon() { "$@" >>"$dir/daemons.log" 2>&1 & pids="$! $pids"; }
# The last one that was started first: a step that ends without munged would wait for it.
finish() {
	until_ok drained
	for pid in $pids; do
		kill "$pid" 2>/dev/null
		wait "$pid"
	done
}
trap finish EXIT
daemon munged --foreground --force --num-threads=1 --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
	--pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
export SLURM_CONF=$dir/slurm.conf
until_ok() { for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; return 1; }
until_ok munge --socket="$dir/munge/socket" -n || { cat "$dir/munge/log" "$dir/daemons.log"; exit 99; }
daemon slurmctld -D
daemon slurmd -D -N "$host"
drained() { [ -z "$(squeue -h)" ] && ! pgrep -f "slurmstepd: \\[" >/dev/null; }
idle() { sinfo -h -o %t | grep -q idle; }
until_ok idle || { tail -n 20 "$dir"/slurm*.log "$dir/daemons.log"; exit 99; }

# shellcheck source=tests/oci/check.sh
. "${0%/*}/check.sh"
# job_check NAME STATUS PATTERN COMMAND...: functions, with this call's input.
job_check() {
	local what=$1 want=$2 pattern=$3 out
	shift 3
	out=$("$@" 2>&1)
	verdict "$what" "$want" "$pattern" $? "$out"
}
job() { as srun --quiet --container="$dir/bundle" "$@"; }

job_check oci-srun 0 'root 1' job sh -c 'echo $(id -un) $$' </dev/null
job_check oci-exit-code 7 '*7*' job sh -c 'exit 7' </dev/null
job_check oci-stdin 0 'through' job cat < <(echo through)
job_check oci-stderr 0 'to stderr' job sh -c 'echo to stderr >&2' </dev/null
job_check oci-pty 0 '*a terminal*' script -qec "$(declare -f as); dir='$dir' user='$user' uid='$uid'
	as srun --quiet --pty --container='$dir/bundle' \
		sh -c 'test -t 0 && test -t 1 && echo a terminal'" /dev/null </dev/null
batch() {
	printf '#!/bin/sh\necho in a batch\n' >"$dir/work/batch"
	as sbatch --quiet --wait --container="$dir/bundle" --output="$dir/work/out" "$dir/work/batch" && cat "$dir/work/out"
}
job_check oci-sbatch 0 '*in a batch*' batch </dev/null
containers() { as "$dir/bin/rl-oci" --root="$dir/oci" list -q; }
runs() { [ -n "$(containers)" ]; }
gone() { [ -z "$(containers)" ]; }
cancelled() {
	# A first process ignores SIGTERM unless it handles it, which takes until it runs; without, Slurm asks for a minute.
	as srun --quiet --job-name=long --container="$dir/bundle" \
		sh -c 'trap "exit 0" TERM; touch /up; sleep 29171 & wait' >/dev/null 2>&1 &
	local job=$!
	until_ok test -e "$dir/bundle/rootfs/up"
	runs || { echo never ran; return 1; }
	as scancel --name=long
	wait "$job"
	until_ok gone || { echo still there; return 1; }
	# By its very number: the user has other processes.
	! pgrep -u "$uid" -f 'sleep 2917[1]' >/dev/null && echo gone
}
job_check oci-scancel 0 'gone' cancelled </dev/null
plain() { as srun --quiet "$@"; }
run=("$dir/bin/rl" --root "$dir/work/data" --runroot "$dir/work/run" run --rm --network none
	--rootfs "$dir/bundle/rootfs")
job_check plain-srun 0 'root' plain "${run[@]}" id -un </dev/null
job_check plain-exit-code 7 '*7*' plain "${run[@]}" sh -c 'exit 7' </dev/null
job_check plain-stdin 0 'through' plain "${run[0]}" "${run[@]:1:6}" -i "${run[@]:7}" cat < <(echo through)
echo "$failed failed"
exit "$failed"
