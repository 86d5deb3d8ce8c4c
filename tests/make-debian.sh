#!/bin/sh
# make-debian.sh FILE: a full Debian root file system as `docker export` makes it: a flat tar.gz with setuid files, file
# capabilities, hard links, device nodes, long names and a sparse file. Needs root and mmdebstrap.
set -eu
out=$(readlink -f "$(dirname "$1")")/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=iputils-ping,libcap2-bin,passwd,login,util-linux,procps \
	--customize-hook='cd "$1" && mkdir -p srv/things && cd srv/things && ln /etc/hostname hard 2>/dev/null || true' \
	--customize-hook='d="$1/srv/things"; long=$(printf "%0120d" 0); mkdir -p "$d/$long/$long" && echo long >"$d/$long/$long/$long"' \
	--customize-hook='d="$1/srv/things"; truncate -s 8M "$d/sparse" && printf end >>"$d/sparse"; echo one >"$d/first" && ln "$d/first" "$d/second"' \
	--customize-hook='d="$1/srv/things"; setfattr -n user.note -v "kept" "$d/first" || true; touch -d "2001-02-03 04:05:06.789012345" "$d/second"' \
	bookworm "$work/root.tar"
gzip -1 <"$work/root.tar" >"$out"
