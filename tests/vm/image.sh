#!/bin/sh
# image.sh DIR: a Debian virtual machine with systemd as pid 1: DIR/disk (ext4), DIR/kernel, DIR/initrd. The user `user`
# has subordinate ids and a key with which root reaches them over sshd; /srv/systemd is a root file system of theirs in
# which systemd can be pid 1. Needs mmdebstrap, mkfs.ext4 and busybox; root, or subordinate ids.
#
# The surprise: it calls itself to make the disk, in a user namespace where the caller is not root.
set -eu
self=$(readlink -f "$0")
PATH=$PATH:/usr/sbin:/sbin
export PATH

packages=systemd-sysv,dbus-user-session,libpam-systemd,polkitd,openssh-server,openssh-client,passwd,login,kmod,procps
packages=$packages,util-linux,iproute2,uidmap,slirp4netns,fuse-overlayfs,busybox-static,crun,podman,libseccomp2,apparmor

# What has nothing to do in a machine that lives for a minute: most of the boot under emulation.
masked="systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service systemd-udevd-control.socket
	systemd-udevd-kernel.socket systemd-timesyncd.service systemd-journal-flush.service systemd-random-seed.service
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-sysusers.service apt-daily.timer
	apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
	systemd-tmpfiles-clean.timer getty.target getty-static.service getty@tty1.service serial-getty@ttyS0.service
	systemd-binfmt.service proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount systemd-pstore.service
	systemd-boot-system-token.service systemd-hwdb-update.service systemd-machine-id-commit.service
	systemd-network-generator.service networking.service nftables.service systemd-modules-load.service
	dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
	sys-fs-fuse-connections.mount modprobe@.service podman.service podman.socket podman-auto-update.service
	podman-auto-update.timer podman-restart.service keyboard-setup.service console-setup.service apparmor.service
	systemd-remount-fs.service"

customize() {
	root=$1
	dpkg-deb --fsys-tarfile "$root"/var/tmp/linux-image-*.deb | tar --keep-directory-symlink -C "$root" -xf -
	rm "$root"/var/tmp/*.deb
	version=$(basename "$root"/lib/modules/*)
	find "$root/lib/modules/$version/kernel/drivers/net" -type f ! -name "tun.ko*" -delete
	rm -rf "$root/lib/modules/$version/kernel/drivers/nvme"
	chroot "$root" depmod "$version"

	for unit in $masked; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
	echo vm >"$root/etc/hostname"
	echo '127.0.0.1 localhost vm' >"$root/etc/hosts"
	echo '/dev/vda / ext4 defaults 0 0' >"$root/etc/fstab"
	mkdir -p "$root/etc/systemd/journald.conf.d"
	printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/vm.conf"
	# The debugging aids of a machine that nobody will ever debug.
	rm -f "$root/etc/update-motd.d/"* "$root/etc/motd"

	chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash user
	chroot "$root" useradd --create-home --uid 1001 --shell /bin/bash other
	mkdir -p "$root/root/.ssh" "$root/home/user/.ssh"
	chmod 700 "$root/root/.ssh" "$root/home/user/.ssh"
	ssh-keygen -q -t ed25519 -N '' -f "$root/root/.ssh/id_ed25519"
	cp "$root/root/.ssh/id_ed25519.pub" "$root/home/user/.ssh/authorized_keys"
	printf 'localhost,127.0.0.1 %s\n' "$(cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" \
		>"$root/root/.ssh/known_hosts"
	chroot "$root" chown -R user:user /home/user/.ssh
	printf 'UseDNS no\nPrintMotd no\nAcceptEnv RL_*\n' >"$root/etc/ssh/sshd_config.d/vm.conf"

	cat >"$root/etc/systemd/system/payload.service" <<-'END'
		[Unit]
		Description=The tests
		After=ssh.service systemd-logind.service systemd-user-sessions.service dbus.service
		Wants=ssh.service systemd-logind.service dbus.service systemd-user-sessions.service

		[Service]
		Type=oneshot
		ExecStart=/bin/sh /usr/local/lib/payload
		StandardOutput=tty
		StandardError=tty
		TTYPath=/dev/ttyS0
	END
	cat >"$root/usr/local/lib/payload" <<-'END'
		# The program on the second disk is carried out; its exit status goes to the second serial line.
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
		export PATH HOME
		stty -F /dev/ttyS0 -onlcr
		# udev's part.
		modprobe -a fuse tun overlay
		chmod 666 /dev/fuse /dev/net/tun
		mkdir /payload && tar -xf /dev/vdb -C /payload && sh /payload/main
		echo "exit $?" >/dev/ttyS1
		sync
		echo o >/proc/sysrq-trigger
	END
	ln -sf /lib/systemd/system/basic.target "$root/etc/systemd/system/default.target"
	mkdir -p "$root/etc/systemd/system/basic.target.wants"
	ln -sf ../payload.service "$root/etc/systemd/system/basic.target.wants/payload.service"
	sed -i 's/^\[Unit\]/[Unit]\nDefaultDependencies=no/' "$root/etc/systemd/system/payload.service"

	systemd_root "$root"
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/locale/* "$root"/usr/share/i18n/*
}

# A root file system that belongs to the user, as an image that they have unpacked: systemd as the distribution has it.
systemd_root() {
	tree=$1/srv/systemd
	mkdir -p "$tree/srv" "$tree/tmp" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/run" "$tree/mnt" "$tree/boot"
	chmod 1777 "$tree/tmp"
	(cd "$1" && tar --one-file-system --exclude='./lib/modules/*' --exclude='./usr/lib/modules/*' \
		--exclude='./usr/bin/podman' --exclude='./usr/lib/podman' --exclude='./usr/share/doc/*' \
		--exclude='./home/user' \
		--exclude='./usr/bin/qemu*' --exclude='./var/lib/apt/*' --exclude='./var/cache/*' \
		--exclude='./usr/share/man/*' \
		-cf - bin sbin lib lib64 usr etc var root home) | tar -C "$tree" -xf -
	rm -f "$tree"/etc/systemd/system/payload.service "$tree/etc/systemd/system/default.target"
	rm -rf "$tree/etc/systemd/system/basic.target.wants" "$tree/etc/fstab"
	for unit in $masked; do rm -f "$tree/etc/systemd/system/$unit"; done
	ln -s /lib/systemd/system/multi-user.target "$tree/etc/systemd/system/default.target"
	# Of several owners once, the first as the last: 0 becomes the user, N the Nth subordinate id.
	find "$tree" -printf '%U %G\n' | sort -u | while read -r uid gid; do
		find "$tree" -uid "$uid" -gid "$gid" -printf '%p\0' >"$1/var/tmp/list.$uid.$gid"
	done
	for list in "$1"/var/tmp/list.*; do
		ids=${list##*/list.}
		xargs -0 -a "$list" chown -h "$(shifted "${ids%.*}"):$(shifted "${ids#*.}")"
		rm "$list"
	done
}

shifted() {
	if [ "$1" = 0 ]; then echo 1000; else echo $((100000 + $1 - 1)); fi
}

# The kernel's modules for the disk, in the order of their needs.
initrd() {
	root=$1
	version=$(basename "$root"/lib/modules/*)
	tree=$work/initrd
	mkdir -p "$tree/bin" "$tree/proc" "$tree/dev" "$tree/root" "$tree/modules"
	cp "$root/bin/busybox" "$tree/bin/busybox"
	number=10
	for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
		file=$(find "$root/lib/modules/$version/" -name "$module.ko*")
		[ -z "$file" ] || cp "$file" "$tree/modules/$number-$module.ko"
		number=$((number + 1))
	done
	cat >"$tree/init" <<-'END'
		#!/bin/busybox sh
		b=/bin/busybox
		for module in /modules/*; do $b insmod $module; done
		$b mount -t devtmpfs dev /dev
		tries=0
		until [ -b /dev/vda ] || [ $tries = 500 ]; do $b usleep 10000; tries=$((tries + 1)); done
		$b mount -t ext4 /dev/vda /root || $b poweroff -f
		$b umount /dev
		exec $b switch_root /root /lib/systemd/systemd
	END
	chmod 755 "$tree/init"
	(cd "$tree" && find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$out/initrd"
	cp "$root"/boot/vmlinuz-* "$out/kernel"
}

disk() {
	mkdir "$work/root"
	tar --numeric-owner --exclude='./dev/*' -C "$work/root" -xpf "$work/root.tar"
	customize "$work/root"
	initrd "$work/root"
	rm -rf "$work/root/boot"
	# Without a journal: it is thrown away after each use.
	truncate -s 3G "$out/disk"
	mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 -m 0 -d "$work/root" "$out/disk"
	rm -rf "$work/root"
}

case $1 in
--kernel)
	# Downloaded and not installed: what the kernel's package depends on would build an initrd of 30 MB.
	# shellcheck disable=SC2016 # Expanded inside.
	chroot "$2" sh -c 'cd /var/tmp && apt-get -q download "$(apt-cache depends linux-image-cloud-amd64 |
		sed -n "s/^ *Depends: \(linux-image-[0-9].*\)/\1/p" | head -n 1)"'
	;;
--disk)
	out=$2
	work=$3
	disk
	;;
*)
	mkdir -p "$1"
	out=$(readlink -f "$1")
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/rl-vm.XXXXXX")
	chmod 755 "$work"
	trap 'rm -rf "$work"' EXIT
	mmdebstrap --quiet --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --customize-hook="'$self' --kernel \"\$1\"" \
		bookworm "$work/root.tar" >&2
	if [ "$(id -u)" = 0 ]; then
		"$self" --disk "$out" "$work"
	else
		unshare --map-root-user --map-auto "$self" --disk "$out" "$work"
	fi
	;;
esac
