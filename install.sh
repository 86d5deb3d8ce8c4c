#!/bin/sh
# install.sh: builds and installs rl, with what it needs at run time. No sudo in here: as root it installs for everybody, as
# a user into that user's home. Run twice it changes nothing.
set -eu

usage() {
	cat <<'END'
Usage: ./install.sh [demo|test] [--prefix DIR] [--binary FILE] [--uninstall] [--help]

  (nothing)      install rl and make the image `busybox`
  demo           the same, then show a container
  test           prepare everything that the tests need and run all of them
  --prefix DIR   install below DIR (root: /usr/local; a user: ~/.local)
  --binary FILE  install this rl instead of building one
  --uninstall    remove what was installed; images and containers stay (rl's data is ~/.local/share/rl)

As root the distribution's packages are installed. As a user slirp4netns, fuse-overlayfs and busybox are unpacked into
PREFIX/lib/rl from the distribution's archive, and what only an administrator can give is said.
END
}

say() { printf 'rl: %s\n' "$*"; }
die() { printf 'rl: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

top=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
verb=install
prefix=
binary=

while [ $# -gt 0 ]; do
	case $1 in
	demo | test) verb=$1 ;;
	--uninstall) verb=uninstall ;;
	--prefix) [ $# -gt 1 ] || die "--prefix needs a directory"; prefix=$2; shift ;;
	--prefix=*) prefix=${1#*=} ;;
	--binary) [ $# -gt 1 ] || die "--binary needs a file"; binary=$2; shift ;;
	--binary=*) binary=${1#*=} ;;
	--help | -h) usage; exit 0 ;;
	*) usage >&2; die "unknown word: $1" ;;
	esac
	shift
done

[ -n "${HOME:-}" ] || HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
if [ -z "$prefix" ]; then
	if is_root; then prefix=/usr/local; else prefix=$HOME/.local; fi
fi
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
lib=$prefix/lib/rl
ORIGINAL_PATH=$PATH
PATH=$prefix/bin:$lib/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export HOME PATH

# debian, fedora, arch, or unknown.
distribution() {
	ids=$(sed -n 's/^ID\(_LIKE\)\{0,1\}=//p' /etc/os-release 2>/dev/null | tr -d '"' | tr '\n' ' ')
	for id in $ids; do
		case $id in
		debian | ubuntu) echo debian; return ;;
		fedora | rhel | centos) echo fedora; return ;;
		arch) echo arch; return ;;
		esac
	done
	echo unknown
}

# What rl uses at run time, then what building it needs.
packages() {
	case $(distribution) in
	debian) echo "uidmap slirp4netns fuse-overlayfs busybox-static qemu-user-static" ;;
	fedora) echo "shadow-utils shadow-utils-subid slirp4netns fuse-overlayfs busybox qemu-user-static" ;;
	arch) echo "shadow slirp4netns fuse-overlayfs busybox qemu-user-static" ;;
	*) echo "newuidmap (uidmap or shadow-utils), slirp4netns, fuse-overlayfs, a static busybox, qemu-user-static" ;;
	esac
}

build_packages() {
	case $(distribution) in
	debian) echo "gcc libc6-dev libseccomp-dev ca-certificates" ;;
	fedora) echo "gcc libseccomp-devel" ;;
	arch) echo "gcc libseccomp" ;;
	*) echo "a C compiler and libseccomp's headers" ;;
	esac
}

# One call of the package manager, and none where nothing is missing.
system_install() {
	case $(distribution) in
	debian)
		wanted=
		for package in "$@"; do
			[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || wanted="$wanted $package"
		done
		[ -n "$wanted" ] || return 0
		say "installing:$wanted"
		# shellcheck disable=SC2086
		apt_get install -y --no-install-recommends $wanted >/dev/null 2>&1 ||
			{ apt_get update >/dev/null && apt_get install -y --no-install-recommends $wanted >/dev/null; }
		;;
	fedora) rpm -q "$@" >/dev/null 2>&1 || dnf install -y "$@" ;;
	arch) pacman -Q "$@" >/dev/null 2>&1 || pacman -S --needed --noconfirm "$@" ;;
	*) die "this distribution is not known. Install: $*" ;;
	esac
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q "$@"; }

# Packages of the distribution, unpacked but not installed: nothing of root's is touched.
unpack() {
	destination=$1
	shift
	[ "$(distribution)" = debian ] && have apt-get && have dpkg-deb || return 1
	scratch=$(mktemp -d)
	for package in "$@"; do
		(cd "$scratch" && apt-get -q download "$package" >/dev/null 2>&1) || { rm -rf "$scratch"; return 1; }
	done
	mkdir -p "$destination"
	for file in "$scratch"/*.deb; do dpkg-deb -x "$file" "$destination"; done
	rm -rf "$scratch"
}

# A program for this user alone: PREFIX/lib/rl/bin/NAME.
user_tool() {
	name=$1
	package=$2
	have "$name" && return 0
	if unpack "$lib/tree" "$package"; then
		mkdir -p "$lib/bin"
		found=$(find "$lib/tree" -type f -name "$name" -perm -u+x | head -n 1)
		[ -n "$found" ] && ln -sf "$found" "$lib/bin/$name" && say "unpacked $name into $lib"
	else
		say "$name could not be fetched; an administrator can install the package $package"
	fi
}

# The newest cargo that is new enough; rust-version of Cargo.toml says which.
find_cargo() {
	for candidate in "$(command -v cargo || true)" "$HOME/.cargo/bin/cargo" /usr/local/cargo/bin/cargo "$lib"/rust/usr/bin/cargo \
		/usr/lib/rust-*/bin/cargo; do
		if [ -z "$candidate" ] || [ ! -x "$candidate" ]; then continue; fi
		minor=$(PATH=$(dirname "$candidate"):$PATH "$candidate" --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p')
		needed=$(sed -n 's/^rust-version = "1\.\([0-9]*\)"/\1/p' "$top/Cargo.toml" | head -n 1)
		if [ "${minor:-0}" -ge "$needed" ]; then
			echo "$candidate"
			return
		fi
	done
	return 1
}

# Debian 12 has a current compiler as rustc-web, later ones as rustc.
need_cargo() {
	cargo=$(find_cargo) && return
	case $(distribution) in
	debian) compiler="cargo-web rustc-web" ;;
	fedora) compiler="cargo rust" ;;
	*) compiler="rust" ;;
	esac
	if is_root; then
		# shellcheck disable=SC2086
		system_install $compiler || [ "$(distribution)" != debian ] || system_install cargo rustc
		cargo=$(find_cargo) && return
	fi
	die "no Rust compiler that is new enough (see rust-version in Cargo.toml). Install one from https://rustup.rs into your home, ask the administrator for: $compiler, or give a built rl with --binary FILE"
}

need_linker() {
	have cc || die "no C compiler to link with. Ask the administrator for: $(build_packages); or give a built rl with --binary FILE"
	# The static library makes a binary that starts faster and needs nothing; without either, it is fetched.
	for dir in /usr/lib/*/ /usr/lib64/ /usr/lib/; do
		[ -e "${dir}libseccomp.so" ] && return
		[ -e "${dir}libseccomp.a" ] && return
	done
	if unpack "$lib/build" libseccomp-dev; then
		LIBSECCOMP_LIB_PATH=$(dirname "$(find "$lib/build" -name libseccomp.a | head -n 1)")
		LIBSECCOMP_LINK_TYPE=static
		export LIBSECCOMP_LIB_PATH LIBSECCOMP_LINK_TYPE
	else
		die "libseccomp's library is missing. Ask the administrator for: $(build_packages)"
	fi
}

# A binary that is newer than all sources is used as it is.
build() {
	built=${CARGO_TARGET_DIR:-$top/target}/release/rl
	if [ -x "$built" ] && [ -z "$(find "$top/src" "$top/helpers" "$top/Cargo.toml" "$top/Cargo.lock" -newer "$built" -type f 2>/dev/null | head -n 1)" ]; then
		binary=$built
		return
	fi
	need_cargo
	need_linker
	if [ ! -w "$top" ] && [ -z "${CARGO_TARGET_DIR:-}" ]; then
		CARGO_TARGET_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/rl-build
		export CARGO_TARGET_DIR
		built=$CARGO_TARGET_DIR/release/rl
	fi
	say "building (a minute or two)"
	(cd "$top" && PATH=$(dirname "$cargo"):$PATH "$cargo" build --release --locked --quiet)
	binary=$built
}

install_rl() {
	mkdir -p "$prefix/bin"
	if cmp -s "$binary" "$prefix/bin/rl"; then return 0; fi
	# Renamed into place: a running rl's file can't be written to, and must not be.
	cp "$binary" "$prefix/bin/rl.new"
	chmod 755 "$prefix/bin/rl.new"
	mv "$prefix/bin/rl.new" "$prefix/bin/rl"
	say "installed $prefix/bin/rl"
}

tools() {
	if is_root; then
		# shellcheck disable=SC2046
		system_install $(packages)
		return
	fi
	user_tool slirp4netns slirp4netns
	user_tool fuse-overlayfs fuse-overlayfs
	user_tool busybox busybox-static
}

# What a user can't have without root; rl works without it, with one id.
what_root_must_give() {
	is_root && return 0
	name=$(id -un)
	have newuidmap || say "an administrator can give you more than one id inside: install the package uidmap (shadow-utils on Fedora)"
	if ! grep -qs "^$name:\|^$(id -u):" /etc/subuid; then
		start=$(awk -F: 'BEGIN { end = 100000 } $2 + $3 > end { end = $2 + $3 } END { print end }' /etc/subuid /etc/subgid 2>/dev/null || echo 100000)
		say "and your range: usermod --add-subuids $start-$((start + 65535)) --add-subgids $start-$((start + 65535)) $name"
	fi
}

busybox_image() {
	if "$prefix/bin/rl" images 2>/dev/null | grep -q '^busybox '; then return 0; fi
	static=$(command -v busybox) || { say "no busybox, so no image was made"; return 0; }
	tar=$(mktemp)
	BUSYBOX=$static "$top/tests/make-busybox.sh" "$tar"
	"$prefix/bin/rl" import --quiet -c 'CMD ["sh"]' "$tar" busybox >/dev/null
	rm -f "$tar"
	say "made the image busybox from $static"
}

install_all() {
	tools
	if [ -z "$binary" ]; then
		if is_root && [ ! -x "$top/target/release/rl" ]; then
			# shellcheck disable=SC2046
			system_install $(build_packages)
		fi
		build
	fi
	[ -x "$binary" ] || die "$binary is not a program"
	install_rl
	busybox_image
	what_root_must_give
	# With nothing but PATH and HOME, as cron and su leave it.
	env -i PATH="$PATH" HOME="$HOME" "$prefix/bin/rl" run --rm busybox true || die "rl was installed but does not run a container; the message above says why"
	case :${ORIGINAL_PATH:-$PATH}: in
	*:"$prefix/bin":*) ;;
	*) say "add $prefix/bin to your PATH" ;;
	esac
	say "ready: rl run --rm -it busybox"
}

demo() {
	install_all
	"$prefix/bin/rl" run --rm busybox sh -c '
		show() { printf "$ %s\n" "$*"; sh -c "$*"; }
		show id; show uname -n; show ps; show "mount | head -n 2"; echo "$ echo \$\$"; echo $$'
}

uninstall() {
	removed=
	for path in "$prefix/bin/rl" "$lib"; do
		if [ -e "$path" ]; then
			rm -rf "$path"
			removed="$removed $path"
		fi
	done
	say "removed:${removed:- nothing, there was nothing}"
	say "your images and containers stay in ${XDG_DATA_HOME:-$HOME/.local/share}/rl"
}

run_tests() {
	if is_root; then
		# shellcheck disable=SC2046
		system_install $(packages) $(build_packages)
		[ "$(distribution)" != debian ] || system_install mmdebstrap tmux attr acl libcap2-bin shellcheck procps util-linux iproute2 bubblewrap git
	fi
	need_cargo
	PATH=$(dirname "$cargo"):$PATH
	have cargo-nextest || { say "building cargo-nextest"; "$cargo" install --quiet --locked cargo-nextest; }
	exec "$top/tests/run.sh"
}

case $verb in
install) install_all ;;
demo) demo ;;
test) run_tests ;;
uninstall) uninstall ;;
esac
