#!/bin/sh
# make-foreign.sh FILE: a root file system of another architecture. FILE's name says which: busybox-arm64-*, around
# Debian's static busybox, or debian-riscv64-*, by mmdebstrap. RL_BINARY is an rl.
#
# Nothing is registered on the machine and no architecture is added to its dpkg: apt gets a state of its own, and
# mmdebstrap runs in the caller's mapped namespace, in which qemu is registered. The surprise: a mirror may be between
# two states of a release, and then the next one is taken.
set -eu

base=$(basename "$1")
kind=${base%%-*}
arch=${base#*-}
arch=${arch%%-*}
# Debian has riscv64 since 13.
case $arch in riscv64) suites="trixie forky" ;; *) suites=bookworm ;; esac
case $arch in arm64) qemu=aarch64 ;; armhf) qemu=arm ;; *) qemu=$arch ;; esac
mirror=http://deb.debian.org/debian
top=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$(readlink -f "$(dirname "$1")")/$base
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_busybox() {
	dir=$work/$1
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/etc/preferences.d"
	touch "$dir/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$dir/etc/sources.list"
	private() {
		apt-get -qq -o Dir::State="$dir" -o Dir::State::status="$dir/status" -o Dir::State::Lists="$dir/lists" \
			-o Dir::Cache="$dir/cache" -o Dir::Etc="$dir/etc" -o Dir::Etc::Parts="$dir/none" \
			-o Dir::Etc::SourceList="$dir/etc/sources.list" -o Dir::Etc::SourceParts="$dir/none" \
			-o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Acquire::Languages=none \
			-o Acquire::Check-Valid-Until=false -o APT::Update::Error-Mode=any -o APT::Sandbox::User=root "$@"
	}
	private update && (cd "$dir" && private download busybox-static) &&
		dpkg-deb -x "$dir"/busybox-static_*.deb "$dir/tree" &&
		BUSYBOX=$(find "$dir/tree" -type f -path '*/bin/busybox') BUSYBOX_LIST=$(command -v busybox) \
			"$top/make-busybox.sh" "$out"
}

# In the caller's mapped namespace, where mounting is allowed and the machine's table is out of reach.
make_debian() {
	# shellcheck disable=SC2016 # For the inner shell.
	"$RL_BINARY" unshare -m sh -euc '
		mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
		cat "/usr/lib/binfmt.d/qemu-$1.conf" >/proc/sys/fs/binfmt_misc/register
		TMPDIR=$4 exec mmdebstrap --quiet --mode=root --arch="$2" --variant=minbase --skip=check/qemu \
			--aptopt="Acquire::Check-Valid-Until \"false\"" --include=procps,util-linux,python3-minimal "$3" - "$5"
		' sh "$qemu" "$arch" "$1" "$work" "$mirror" 2>"$work/log" >"$work/root.tar" &&
		gzip -1 <"$work/root.tar" >"$out"
}

for suite in $suites; do
	case $kind in
	busybox) if make_busybox "$suite"; then exit 0; fi ;;
	debian) if make_debian "$suite"; then exit 0; fi ;;
	esac
done
cat "$work/log" >&2 2>/dev/null || true
exit 1
