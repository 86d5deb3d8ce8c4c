#!/bin/sh
# make-big.sh FILE: a root file system of some 200 MB compressed (550 MB unpacked) for the benchmarks: Debian with a
# compiler, editors and interpreters, as a .tar.gz at gzip's own level, which is what registries hold. Needs root and
# mmdebstrap.
set -eu
mmdebstrap --quiet --variant=minbase \
	--include=build-essential,python3,git,perl,procps,vim,iputils-ping,libcap2-bin bookworm - | gzip -6 >"$1"
