#!/bin/sh
# make-debian.sh FILE: a full Debian root file system as `docker export` makes it: a flat tar.gz with setuid files, file
# capabilities, hard links, device nodes, long names and a sparse file. Needs root and mmdebstrap.
set -eu
if [ "${1:-}" = --things ]; then
	# Called back by mmdebstrap with the root directory: what a distribution has too little of.
	mkdir -p "$2/srv/things"
	cd "$2/srv/things"
	long=$(printf '%0120d' 0)
	mkdir -p "$long/$long"
	echo long >"$long/$long/$long"
	truncate -s 8M sparse
	printf end >>sparse
	echo one >first
	ln first second
	setfattr -n user.note -v kept first
	touch -d '2001-02-03 04:05:06.789012345' first
	exit 0
fi
out=$(readlink -f "$(dirname "$1")")/$(basename "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
self=$(readlink -f "$0")
mmdebstrap --quiet --variant=minbase --include=iputils-ping,libcap2-bin,passwd,login,util-linux,procps \
	--customize-hook="'$self' --things \"\$1\"" bookworm "$work/root.tar"
gzip -1 <"$work/root.tar" >"$out"
