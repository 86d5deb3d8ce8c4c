#!/bin/sh
# newer-crun.sh DIR: the crun of Debian's unstable suite as DIR/crun, on whatever Debian this is, for validation.sh.
#
# Nothing is installed: the package and the libraries that it needs, the C library among them, are unpacked in DIR,
# where it must stay, and the program is told to take them. Needs apt-get, dpkg-deb and patchelf; no root.
set -eu
mkdir -p "$1"
dir=$(readlink -f "$1")
mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/root"
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] http://deb.debian.org/debian sid main" >"$dir/apt/sources.list"
: >"$dir/apt/status"
own_apt() {
	command=$1
	shift
	"$command" -qq -o Dir::Etc::sourcelist="$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State="$dir/apt" -o Dir::State::lists="$dir/apt/lists" -o Dir::State::status="$dir/apt/status" \
		-o Dir::Cache="$dir/apt" -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@"
}
own_apt apt-get update
needs=$(own_apt apt-cache depends crun | sed -n 's/^ *Depends: \([^<]*\)$/\1/p')
cd "$dir/apt/archives"
# shellcheck disable=SC2086 # Names of packages.
own_apt apt-get download crun $needs
for package in *.deb; do dpkg-deb -x "$package" "$dir/root"; done
libraries=$dir/root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
cp "$dir/root/usr/bin/crun" "$dir/crun"
# The libraries look for others where they are themselves.
for library in "$libraries"/lib*.so.*; do
	case $library in */libc.so.* | */libpthread.so.* | */librt.so.* | */libdl.so.*) continue ;; esac
	if [ ! -L "$library" ]; then patchelf --force-rpath --set-rpath "$libraries" "$library" 2>/dev/null || true; fi
done
patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libraries" "$dir/crun"
"$dir/crun" --version | head -n 1
