#!/bin/sh
# machine.sh DIR PAYLOAD [SECONDS [ARGUMENT...]]: boots the machine that image.sh has made in DIR, carries out `main` of
# the tar PAYLOAD as its root, and ends with that program's exit status. What it prints comes out as it is said;
# ARGUMENTs go to the kernel. Nothing that happens inside lasts.
#
# The surprise: there is no KVM where this runs, so every processor is software, and a second takes five.
set -eu
dir=$1
payload=$2
seconds=${3:-300}
shift "$(($# < 3 ? $# : 3))"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/rl-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT

quick="quiet loglevel=3 nokaslr mitigations=off tsc=reliable no_timer_check cryptomgr.notests random.trust_cpu=on
	rcupdate.rcu_expedited=1 panic=-1 systemd.show_status=0 rd.systemd.show_status=0 lsm=landlock,yama,apparmor"
arguments="root=/dev/vda console=ttyS0 $quick $*"
# Without cx16 6.12 has corrupted its memory in most boots under QEMU 7.2.
timeout "$seconds" qemu-system-x86_64 -M pc -cpu max,-cx16 -accel tcg,thread=multi -smp 2 -m 1024 -nodefaults \
	-no-user-config -display none -no-reboot -kernel "$dir/kernel" -initrd "$dir/initrd" -append "$arguments" \
	-drive "file=$dir/disk,if=virtio,format=raw,snapshot=on" \
	-drive "file=$payload,if=virtio,format=raw,readonly=on" \
	-serial stdio -serial "file:$work/status" </dev/null && status=0 || status=$?
answer=$(sed -n 's/^exit \([0-9]*\).*/\1/p' "$work/status" 2>/dev/null)
if [ -z "$answer" ]; then
	echo "machine.sh: no answer from the virtual machine within $seconds s (qemu: $status)" >&2
	exit 124
fi
exit "$answer"
