#!/bin/sh
# install.sh: builds and installs rl, with what it needs at run time. No sudo in here: as root it installs for
# everybody, as a user into that user's home. Run twice it changes nothing.
#
# The surprise: a user without root gets even the compiler, where the machine has none: the distribution's packages are
# downloaded and unpacked below PREFIX/lib/rl, and never installed.
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

As root the distribution's packages are installed. As a user slirp4netns, fuse-overlayfs, busybox and qemu are unpacked
into PREFIX/lib/rl from the distribution's archive, and what only an administrator can give is said.
END
}

changed=
say() { printf 'rl: %s\n' "$*"; }
did() { changed=yes; say "$@"; }
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
callers_path=$PATH
PATH=$prefix/bin:$lib/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export HOME PATH
umask 022

# --- the distribution's packages ---

# debian, fedora, arch, or unknown.
find_distribution() {
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
distribution=$(find_distribution)

# What rl uses at run time.
packages() {
	case $distribution in
	debian) echo "uidmap slirp4netns fuse-overlayfs busybox-static qemu-user-static" ;;
	fedora) echo "shadow-utils shadow-utils-subid slirp4netns fuse-overlayfs busybox qemu-user-static" ;;
	arch) echo "shadow slirp4netns fuse-overlayfs busybox qemu-user-static" ;;
	*) echo "newuidmap (uidmap or shadow-utils), slirp4netns, fuse-overlayfs, a static busybox, qemu-user-static" ;;
	esac
}

# What building it needs beside Rust.
build_packages() {
	case $distribution in
	debian) echo "gcc libc6-dev libseccomp-dev ca-certificates" ;;
	fedora) echo "gcc libseccomp-devel libseccomp-static" ;;
	arch) echo "gcc libseccomp" ;;
	*) echo "a C compiler, libseccomp with its headers" ;;
	esac
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q "$@"; }
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

# One call of the package manager, and none where nothing is missing.
system_install() {
	wanted=
	for package in "$@"; do
		case $distribution in
		debian) is_installed "$package" || wanted="$wanted $package" ;;
		fedora) rpm -q --whatprovides "$package" >/dev/null 2>&1 || wanted="$wanted $package" ;;
		arch) pacman -Q "$package" >/dev/null 2>&1 || wanted="$wanted $package" ;;
		esac
	done
	[ "$distribution" != unknown ] || die "this distribution is not known. Install by hand: $*"
	[ -n "$wanted" ] || return 0
	did "installing packages:$wanted"
	log=$(mktemp)
	# shellcheck disable=SC2086 # A list of names.
	case $distribution in
	debian)
		apt_get install -y --no-install-recommends $wanted >"$log" 2>&1 ||
			{ apt_get update && apt_get install -y --no-install-recommends $wanted; } >"$log" 2>&1
		;;
	fedora) dnf install -y $wanted >"$log" 2>&1 ;;
	arch) pacman -Sy --needed --noconfirm $wanted >"$log" 2>&1 ;;
	esac || { tail -n 20 "$log" >&2; rm -f "$log"; die "the packages could not be installed:$wanted"; }
	rm -f "$log"
}

# --- the same without root: downloaded and unpacked, nothing of root's is touched ---

# apt with lists of this user's own, for machines on which root has never fetched any.
user_apt() {
	tool=$1
	shift
	set -- -q -o "Dir::Cache=$lib/apt/cache" -o Debug::NoLocking=1 "$@"
	[ ! -d "$lib/apt/lists" ] || set -- -o "Dir::State::Lists=$lib/apt/lists" "$@"
	"$tool" "$@"
}

own_lists() {
	[ ! -d "$lib/apt/lists" ] || return 0
	mkdir -p "$lib/apt/lists/partial" "$lib/apt/cache/archives/partial"
	say "fetching the distribution's package lists into $lib/apt"
	user_apt apt-get update >/dev/null 2>&1 || { rm -rf "$lib/apt"; return 1; }
}

# The named packages and all that they depend on, as far as this machine has it not.
missing() {
	user_apt apt-get -s --no-install-recommends install "$@" 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p'
}

# unpack DIR PACKAGE...: with dependencies.
unpack() {
	destination=$1
	shift
	if [ "$distribution" != debian ] || ! have apt-get || ! have dpkg-deb; then return 1; fi
	names=$(missing "$@")
	[ -n "$names" ] || { own_lists && names=$(missing "$@"); }
	[ -n "$names" ] || return 1
	scratch=$(mktemp -d)
	mkdir -p "$destination"
	# shellcheck disable=SC2086 # A list of names.
	if (cd "$scratch" && user_apt apt-get download $names) >"$scratch/log" 2>&1 || {
		own_lists && (cd "$scratch" && user_apt apt-get download $names) >"$scratch/log" 2>&1
	}; then
		for file in "$scratch"/*.deb; do dpkg-deb -x "$file" "$destination"; done
		rm -rf "$scratch"
	else
		tail -n 5 "$scratch/log" >&2
		rm -rf "$scratch"
		return 1
	fi
}

# The directories of unpacked shared libraries, for programs that were built to find them in /usr/lib.
libraries() {
	find "$1" -name '*.so.*' ! -type d 2>/dev/null | sed 's|/[^/]*$||' | sort -u | tr '\n' ':' | sed 's/:$//'
}

# launcher FILE PROGRAM TREE [WORD...]: a script that starts an unpacked program with its libraries and these words.
launcher() {
	launcher=$1
	program=$2
	path=$(libraries "$3")
	shift 3
	mkdir -p "$(dirname "$launcher")"
	cat >"$launcher" <<-END
		#!/bin/sh
		LD_LIBRARY_PATH='$path' exec '$program' $* "\$@"
	END
	chmod 755 "$launcher"
}

# A program for this user alone: PREFIX/lib/rl/bin/NAME.
user_tool() {
	name=$1
	package=$2
	! have "$name" || return 0
	say "fetching $package"
	if unpack "$lib/tree" "$package"; then
		program=$(find "$lib/tree" -type f -name "$name" -perm -u+x | head -n 1)
		case $package in
		*-static) mkdir -p "$lib/bin" && ln -sf "$program" "$lib/bin/$name" ;;
		*) launcher "$lib/bin/$name" "$program" "$lib/tree" ;;
		esac
		did "unpacked $name into $lib"
	else
		say "$name could not be fetched; an administrator can install the package $package"
	fi
}

# qemu's user mode for every other architecture that rl runs: static programs, 10 MB each.
user_emulators() {
	if have qemu-aarch64-static || have qemu-x86_64-static; then return; fi
	say "fetching qemu-user-static"
	qemu=$lib/qemu.new
	rm -rf "$qemu"
	if unpack "$qemu" qemu-user-static; then
		mkdir -p "$lib/bin"
		for machine in x86_64 aarch64 arm i386 riscv64 ppc64le s390x mips64el loongarch64; do
			# Debian 13 calls its static programs qemu-aarch64 and the like.
			for program in "$qemu/usr/bin/qemu-$machine-static" "$qemu/usr/bin/qemu-$machine"; do
				if [ -f "$program" ] && [ ! -L "$program" ]; then
					mv "$program" "$lib/bin/qemu-$machine-static"
					break
				fi
			done
		done
		did "unpacked qemu-user-static into $lib/bin"
	else
		say "qemu could not be fetched, so images for other architectures do not run;" \
			"an administrator can install the package qemu-user-static"
	fi
	rm -rf "$qemu"
}

# --- building ---

# The first cargo that is new enough; rust-version of Cargo.toml says which.
needed_minor=$(sed -n 's/^rust-version = "1\.\([0-9]*\)"/\1/p' "$top/Cargo.toml" | head -n 1)
find_cargo() {
	for candidate in "$(command -v cargo || true)" "$HOME/.cargo/bin/cargo" /usr/local/cargo/bin/cargo \
		/usr/lib/rust-*/bin/cargo "$lib/build/bin/cargo"; do
		if [ -z "$candidate" ] || [ ! -x "$candidate" ]; then continue; fi
		minor=$("$candidate" --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\).*/\1/p')
		if [ "${minor:-0}" -ge "$needed_minor" ]; then
			echo "$candidate"
			return
		fi
	done
	return 1
}

# The distribution's packages of a compiler that is new enough. Debian 12 has a current one for its browsers, as
# rustc-web; later releases and Ubuntu have rustc-1.91 and the like beside rustc.
rust_packages() {
	case $distribution in
	debian)
		for cargo in cargo $(user_apt apt-cache pkgnames cargo- | grep -E '^cargo-(web|[0-9.]+)$' | sort -rV); do
			minor=$(user_apt apt-cache policy "$cargo" | sed -n 's/^ *Candidate: .*1\.\([0-9]*\)\..*/\1/p')
			if [ "${minor:-0}" -ge "$needed_minor" ]; then
				echo "$cargo rustc${cargo#cargo}"
				return
			fi
		done
		return 1
		;;
	fedora) echo "cargo rust" ;;
	arch) echo "rust" ;;
	*) return 1 ;;
	esac
}

need_cargo() {
	if cargo=$(find_cargo); then return; fi
	if names=$(rust_packages) || { refresh_lists && names=$(rust_packages); }; then
		# shellcheck disable=SC2086 # A list of names.
		if is_root; then
			system_install $names
		else
			say "fetching a Rust compiler ($names) into $lib/build"
			# What the compiler depends on includes a C compiler, where there is none.
			! unpack "$lib/build/tree" $names || user_rust
		fi
		if cargo=$(find_cargo); then return; fi
	fi
	die "no Rust compiler that is new enough (1.$needed_minor) could be had. Install one from https://rustup.rs into
    your home, or give a built rl with --binary FILE"
}

refresh_lists() {
	if is_root && [ "$distribution" = debian ]; then apt_get update >/dev/null 2>&1; else own_lists; fi
}

# Programs of an unpacked compiler find their own parts beside themselves, but not their libraries.
user_rust() {
	tree=$lib/build/tree
	for name in cargo rustc; do
		program=$(find "$tree"/usr/lib/rust-*/bin "$tree/usr/bin" -type f -name "$name*" 2>/dev/null | head -n 1)
		launcher "$lib/build/bin/$name" "$program" "$tree"
	done
}

# An unpacked gcc finds cc1 beside itself; the linker, the start files, the headers and libc must be shown to it.
user_cc() {
	tree=$lib/build/tree
	program=$(find "$tree/usr/bin" -name 'gcc-[0-9]*' ! -type d 2>/dev/null | head -n 1)
	[ -n "$program" ] || return 1
	set -- "-B'$tree/usr/bin/'"
	start=$(find "$tree/usr/lib" -name crt1.o | head -n 1)
	if [ -n "$start" ]; then
		dir=$(dirname "$start")
		include=$tree/usr/include
		set -- "$@" "-B'$dir/' -L'$dir' -isystem '$include' -isystem '$include/$(basename "$dir")'"
		# This script names the part of libc that is linked statically by its place in the root directory.
		grep -q "$tree" "$dir/libc.so" || sed -i "s|/usr/lib/[^ ]*/libc_nonshared.a|$tree&|" "$dir/libc.so"
	fi
	launcher "$lib/build/bin/cc" "$program" "$tree" "$@"
	have ar || launcher "$lib/build/bin/ar" "$(readlink -f "$tree/usr/bin/ar")" "$tree"
}

need_linker() {
	PATH=$PATH:$lib/build/bin
	if ! have cc && ! is_root; then
		[ -e "$lib/build/tree/usr/lib/gcc" ] || {
			say "fetching a C compiler into $lib/build"
			unpack "$lib/build/tree" gcc libc6-dev || true
		}
		user_cc || true
	fi
	have cc || die "no C compiler to link with. Ask the administrator for: $(build_packages);
    or give a built rl with --binary FILE"
	# The library's archive is linked where there is one (src/sys/build.rs), else the shared library.
	for file in libseccomp.a libseccomp.so; do
		case $(cc -print-file-name=$file) in /*) return ;; esac
	done
	archive=$(find "$lib/build" -name libseccomp.a 2>/dev/null | head -n 1)
	if [ -z "$archive" ]; then
		unpack "$lib/build/tree" libseccomp-dev ||
			die "libseccomp is missing. Ask the administrator for: $(build_packages)"
		archive=$(find "$lib/build" -name libseccomp.a | head -n 1)
	fi
	LIBSECCOMP_LIB_PATH=$(dirname "$archive")
	export LIBSECCOMP_LIB_PATH
}

# Certificates for crates.io: a minimal machine has none, and the package makes its bundle only when it is installed.
need_certificates() {
	if [ -n "${SSL_CERT_FILE:-}${CARGO_HTTP_CAINFO:-}" ] || [ -e /etc/ssl/certs/ca-certificates.crt ]; then return; fi
	[ ! -d /etc/pki/tls/certs ] || return 0
	bundle=$lib/build/ca-certificates.crt
	if [ ! -e "$bundle" ]; then
		unpack "$lib/build/tree" ca-certificates || return 0
		find "$lib/build/tree/usr/share/ca-certificates" -name '*.crt' -exec cat {} + >"$bundle"
	fi
	CARGO_HTTP_CAINFO=$bundle
	export CARGO_HTTP_CAINFO
}

# Where cargo builds: its own configuration may say otherwise than CARGO_TARGET_DIR. Without a cargo, the default.
target_directory() {
	found=
	if candidate=$(find_cargo); then
		found=$(cd "$top" && PATH=$(dirname "$candidate"):$PATH "$candidate" metadata --no-deps --format-version=1 \
			2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
	fi
	echo "${found:-${CARGO_TARGET_DIR:-$top/target}}"
}

# A binary that is newer than all sources is used as it is.
build() {
	if [ ! -w "$top" ] && [ -z "${CARGO_TARGET_DIR:-}" ]; then
		CARGO_TARGET_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/rl-build
		export CARGO_TARGET_DIR
	fi
	binary=$(target_directory)/release/rl
	set -- "$top/src" "$top/helpers" "$top/Cargo.toml" "$top/Cargo.lock"
	newer=$(find "$@" -newer "$binary" -type f 2>/dev/null || echo all)
	if [ -x "$binary" ] && [ -z "$newer" ]; then return; fi
	if is_root; then
		# shellcheck disable=SC2046 # A list of names.
		[ "$distribution" = unknown ] || system_install $(build_packages)
	fi
	need_cargo
	need_linker
	need_certificates
	did "building rl with $cargo (some minutes the first time)"
	(cd "$top" && PATH=$(dirname "$cargo"):$PATH "$cargo" build --release --locked --quiet)
	binary=$(target_directory)/release/rl
	# cargo leaves the file alone where only tests have changed.
	touch "$binary"
}

# --- installing ---

install_rl() {
	mkdir -p "$prefix/bin"
	# Engines look for the runtime by this name.
	if [ "$(readlink "$prefix/bin/rl-oci" 2>/dev/null)" != rl ]; then
		ln -sfn rl "$prefix/bin/rl-oci"
		did "installed $prefix/bin/rl-oci, a link to rl"
	fi
	if cmp -s "$binary" "$prefix/bin/rl"; then return 0; fi
	# Renamed into place: a running rl's file can't be written to, and must not be.
	cp "$binary" "$prefix/bin/rl.new"
	chmod 755 "$prefix/bin/rl.new"
	mv "$prefix/bin/rl.new" "$prefix/bin/rl"
	did "installed $prefix/bin/rl"
}

tools() {
	if is_root; then
		# shellcheck disable=SC2046 # A list of names.
		if [ "$distribution" = unknown ]; then say "install by hand: $(packages)"; else system_install $(packages); fi
		return
	fi
	user_tool slirp4netns slirp4netns
	user_tool fuse-overlayfs fuse-overlayfs
	user_tool busybox busybox-static
	user_emulators
}

# What a user can't have without root; rl works without it, with one id.
what_root_must_give() {
	! is_root || return 0
	name=$(id -un)
	have newuidmap || say "for more than one id inside, an administrator types: apt-get install uidmap" \
		"(Fedora: dnf install shadow-utils; Arch: pacman -S shadow)"
	if ! grep -qs "^$name:\|^$(id -u):" /etc/subuid && ! getsubids "$name" >/dev/null 2>&1; then
		start=$(cat /etc/subuid /etc/subgid 2>/dev/null |
			awk -F: 'BEGIN { end = 100000 } $2 + $3 > end { end = $2 + $3 } END { print end }')
		range=$start-$((start + 65535))
		say "and, for your range of ids: usermod --add-subuids $range --add-subgids $range $name"
	fi
}

busybox_image() {
	if ! "$prefix/bin/rl" images 2>/dev/null | grep -q '^busybox '; then
		static=$(command -v busybox) || { say "no busybox, so no image was made"; return 0; }
		mkdir -p "$lib"
		BUSYBOX=$static "$top/tests/make-busybox.sh" "$lib/busybox.tar"
		quietly "$prefix/bin/rl" import --quiet -c 'CMD ["sh"]' "$lib/busybox.tar" busybox ||
			die "the image busybox could not be made"
		did "made the image busybox from $static"
		! is_root || say "other users get it with: rl import -c 'CMD [\"sh\"]' $lib/busybox.tar busybox"
	fi
}

# What it says is shown when it fails; what is missing for more than one id is said once, by what_root_must_give.
quietly() {
	log=$(mktemp)
	"$@" >"$log" 2>&1 && status=0 || status=$?
	[ "$status" = 0 ] || cat "$log" >&2
	rm -f "$log"
	return "$status"
}

install_all() {
	tools
	[ -n "$binary" ] || build
	[ -x "$binary" ] || die "$binary is not a program"
	install_rl
	busybox_image
	what_root_must_give
	# With nothing but PATH and HOME, as cron and su leave it.
	quietly env -i PATH="$callers_path" HOME="$HOME" "$prefix/bin/rl" run --rm busybox true ||
		die "rl was installed but does not run a container; the message above says why"
	case :$callers_path: in
	*:"$prefix/bin":*) ;;
	*) say "add $prefix/bin to your PATH" ;;
	esac
	[ -n "$changed" ] || say "everything was there and nothing was changed"
	say "ready: rl run --rm -it busybox"
}

demo() {
	install_all
	"$prefix/bin/rl" run --rm -i busybox sh <<-'END'
		echo "id         $(id)"
		echo "uname -n   $(uname -n)"
		echo "echo \$\$    $$"
		echo "mount      $(mount | head -n 1 | cut -c 1-60)... and $(($(mount | wc -l) - 1)) more"
		ps >/tmp/ps
		sed '1s/^/ps      /; 1!s/^/        /' /tmp/ps
	END
}

uninstall() {
	removed=
	for path in "$prefix/bin/rl" "$prefix/bin/rl-oci" "$lib"; do
		if [ -e "$path" ] || [ -L "$path" ]; then
			rm -rf "$path"
			removed="$removed $path"
		fi
	done
	say "removed:${removed:- nothing, there was nothing}"
	say "your images and containers stay in ${XDG_DATA_HOME:-$HOME/.local/share}/rl; so do the distribution's packages"
}

run_tests() {
	if is_root; then
		# shellcheck disable=SC2046 # A list of names.
		system_install $(packages) $(build_packages)
		[ "$distribution" != debian ] || system_install mmdebstrap tmux attr libcap2-bin shellcheck strace procps \
			util-linux iproute2 passt git xz-utils zstd umoci skopeo buildah podman crun docker-registry apache2-utils \
			openssl curl qemu-system-x86 e2fsprogs openssh-client conmon containerd catatonit slirp4netns \
			slurm-wlm munge postgresql-contrib nftables systemd \
			python3-jsonschema golang-github-opencontainers-specs-dev
	fi
	need_cargo
	need_linker
	need_certificates
	PATH=$(dirname "$cargo"):$HOME/.cargo/bin:$PATH
	have cargo-nextest || { did "building cargo-nextest"; "$cargo" install --quiet --locked cargo-nextest; }
	exec "$top/tests/run.sh"
}

case $verb in
install) install_all ;;
demo) demo ;;
test) run_tests ;;
uninstall) uninstall ;;
esac
