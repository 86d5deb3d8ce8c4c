//! RL045x and RL046x: volumes, and files of containers.

use super::entries;

entries! {
    /// A name that can't be a volume's.
    VOLUME_NAME = 451, exit 125, "cannot use this volume name",
        why "A volume's name is made of [a-zA-Z0-9][a-zA-Z0-9_.-]*; what has a slash is a path.",
        fix "Choose another name, or give a path that begins with / or ./ to bind a directory of the host.";
    /// There is no such volume.
    NO_VOLUME = 452, exit 1, "no such volume",
        why "No volume has this name.",
        fix "rl volume ls shows all volumes.";
    /// Somebody uses it.
    VOLUME_IN_USE = 453, exit 1, "the volume is in use",
        why "A container, running or not, was made with this volume, and would be started without its files.",
        fix "Remove the container first: rl rm NAME.";
    /// A volume can't be made, read or removed.
    VOLUME_STATE = 454, exit 125, "cannot make or change a volume",
        why "The disk is full or read-only, or the volume's directory was changed by hand.",
        fix "Check free space and the path that is named.";
    /// :U would give away more than the volume.
    VOLUME_OWNER = 455, exit 125, "cannot change the volume's owner",
        why "U gives all files of a volume to the container's user. Of your home directory, or of /, it would take you your own files; and a file that you own is none of the container's where its ids leave yours out (--userns=nomap, auto).",
        fix "Give the volume a directory of its own, or leave U out.";
    /// Files can't be copied into or out of a container.
    COPY = 461, exit 125, "cannot copy",
        why "A path is not there, is of another kind than its target, leads out of its tree, or the disk is full. Names are looked up inside the container's root; nothing in the container is executed for it.",
        fix "Check both paths: rl cp CONTAINER:/path ./path, or rl cp ./path CONTAINER:/path.";
    /// A stream that can't be unpacked to its end.
    STREAM = 463, exit 125, "cannot unpack the stream",
        why "It is no tar archive, it is cut off or damaged, it is compressed with what rl does not read (bzip2, lz4), it expands too far, a name in it leads elsewhere, or the disk is full. Files that came whole before that are there; all others are as they were.",
        fix "Look at it with tar -t. A plain tar is read, and one with gzip, zstd or xz; anything else goes through its own tool first: bzip2 -dc FILE | rl cp - CONTAINER:PATH.";
    /// A container of --rootfs has no image.
    NO_IMAGE = 462, exit 125, "the container has no image",
        why "It was made of a directory (--rootfs), into which it writes: what was there before is not known any more.",
        fix "Use --rootfs DIR:O to keep the directory as it is, and what the container writes apart.";
}
