#!/bin/bash
# validation.sh root|rootless DIR RUNTIME...: the programs of OCI's runtime-tools with each runtime, beside each other.
#
# DIR has what `make runtimetest validation-executables` leaves in a checkout of runtime-tools, flat: runtimetest,
# rootfs-amd64.tar.gz and one NAME.t a program. They are neither packaged nor fetched: whoever has them runs this.
# It must be started as root, also for `rootless`, which becomes $RL_VALIDATION_USER (rltest1; it needs subordinate
# ids) in a user namespace with all of that user's ids. Either way it is a mount namespace of its own, in which
# /sys/fs/cgroup is cgroup2 alone, because crun refuses a machine with both hierarchies.
# Prints a line a program and the sums; ends with 1 where the first runtime fails what the last one passes.
# The surprise: a program's exit status says nothing, what counts are the lines of TAP that it prints.
set -u
mode=$1 dir=$2
shift 2
if [ -z "${RL_VALIDATION_INSIDE:-}" ]; then
	export RL_VALIDATION_INSIDE=1
	user=${RL_VALIDATION_USER:-rltest1}
	# shellcheck disable=SC2016 # For the shell in the namespace.
	mounts='mount --make-rprivate / && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
	self=$(realpath "$0")
	if [ "$mode" = root ]; then
		exec unshare -m sh -c "$mounts" sh bash "$self" "$mode" "$dir" "$@"
	fi
	run=${RL_VALIDATION_RUN:-/run/user/$(id -u "$user")}
	exec unshare -m sh -c "$mounts" sh setpriv --reuid "$user" --regid "$user" --init-groups \
		env HOME="$(getent passwd "$user" | cut -d: -f6)" XDG_RUNTIME_DIR="$run" \
		unshare --map-root-user --map-auto --mount bash "$self" "$mode" "$dir" "$@"
fi
cd "$dir" || exit 2
# A file system of this mount namespace: a runtime may leave mounts of the machine's /proc and /sys below it, among
# which nothing must be removed.
out=$(mktemp -d)
mount -t tmpfs none "$out" || exit 2
trap 'umount -l "$out"; rmdir "$out"' EXIT
TMPDIR=$out/tmp
mkdir "$TMPDIR"
export TMPDIR
last=${*: -1}

# passes FILE: lines of TAP, none of them a failure.
passes() {
	grep -qE '^ *ok ' "$1" && ! grep -vE '# (SKIP|TODO)' "$1" | grep -qE '^ *not ok ' && ! grep -q '^STATUS ' "$1"
}

worse=0
printf '%-40s' program
for runtime in "$@"; do printf ' %-8s' "$(basename "$runtime")"; done
echo
declare -A sum
for program in *.t; do
	printf '%-40s' "${program%.t}"
	first=
	for runtime in "$@"; do
		log=$out/${program%.t}.$(basename "$runtime")
		RUNTIME=$runtime timeout -k 5 180 "./$program" >"$log" 2>&1 || echo "STATUS $?" >>"$log"
		if passes "$log"; then verdict=ok; else verdict=FAIL; fi
		[ $verdict = ok ] && sum[$runtime]=$((${sum[$runtime]:-0} + 1))
		first=${first:-$verdict}
		if [ "$runtime" = "$last" ] && [ $verdict = ok ] && [ "$first" = FAIL ]; then worse=1; fi
		printf ' %-8s' $verdict
	done
	echo
done
[ -z "${RL_VALIDATION_LOGS:-}" ] || cp -r "$out"/*.* "$RL_VALIDATION_LOGS"
printf '%-40s' passed
for runtime in "$@"; do printf ' %-8s' "${sum[$runtime]:-0}"; done
echo
exit $worse
