#!/bin/sh
# make-platform.sh DIR/debian-ARCH...: what Debian installs of busybox-static for ARCH and nothing else, as a tar.
# Nothing of it is run, so that no emulator is needed. Needs root and mmdebstrap.
set -eu
arch=${1##*/debian-}
mmdebstrap --quiet --variant=extract --arch="${arch%%[-.]*}" --include=busybox-static --format=tar bookworm "$1"
