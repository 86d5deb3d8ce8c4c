//! RL04xx: mounts, volumes, the root file system.

use super::entries;

entries! {
    /// Setting up the container's root file system failed.
    MOUNT = 401, exit 125, "cannot set up the container's file systems",
        why "A mount was refused by the kernel, or a path inside the image leads somewhere it must not.",
        fix "The message names the mount; rl run --plan=shell shows all of them in order.";
    /// The directory of --rootfs can't be used.
    ROOTFS = 402, exit 125, "cannot use this root file system",
        why "The directory given to --rootfs is missing, is not a directory, or can't be read by the caller.",
        fix "Give a directory that holds a root file system (bin, etc, usr, ...).";
    /// A path inside the root file system leads where a mount must not go.
    UNSAFE_TARGET = 404, exit 125, "an unsafe path in the root file system",
        why "A path on which something must be mounted is a symbolic link where none may be, or has a component that is no directory. A hostile image does this to escape.",
        fix "Look at the path in the image; do not run it if you did not make it.";
    /// Owners could not be shifted for another id map.
    SHIFT = 405, exit 125, "cannot mount the image with fuse-overlayfs",
        why "With keep-id, auto, nomap or --uidmap the container sees other ids than the image was unpacked with, and fuse-overlayfs shifts them at the mount; rl never copies an image for it. It is used, too, where the kernel has no overlay for users. It, or /dev/fuse, is missing or refused.",
        fix "Install the package fuse-overlayfs and see that /dev/fuse is readable and writable, or leave --userns out.";
    /// The kernel refuses an overlay of the layers.
    OVERLAY = 406, exit 125, "cannot mount the image's layers",
        why "The kernel has no overlay for user namespaces (before Linux 5.11), or the file system below the store can't carry one (NFS, a file system without user.* attributes). rl then takes fuse-overlayfs, and without it copies the image.",
        fix "Install fuse-overlayfs, put the store on a local disk (rl --root DIR), or copy: --storage-driver copy.";
    /// No such storage driver.
    STORAGE_DRIVER = 407, exit 125, "cannot use this storage driver",
        why "The drivers are overlay (the kernel's), fuse-overlayfs and copy.",
        fix "Leave --storage-driver out: rl probes which one works.";
    /// fuse-overlayfs went away while a container ran on it.
    FUSE_GONE = 410, exit 125, "the container has lost its files",
        why "fuse-overlayfs, which shows the container the image's files, was killed or has failed while the container ran; what the container did with files from then on failed with ENOTCONN (Transport endpoint is not connected). The image is as it was.",
        fix "Start the container again. Whether memory was short: dmesg.";
    /// A volume's source or target can't be used.
    VOLUME = 403, exit 125, "cannot use this volume",
        why "The source of a bind mount is missing or the target is not a path inside the container.",
        fix "Give an existing SOURCE and an absolute TARGET: -v SOURCE:TARGET[:ro].";
    /// The ids of a mount can't be mapped.
    ID_MAPPED = 411, exit 125, "cannot map the ids of this mount",
        why "A mount of config.json has idmap, ridmap or uidMappings. The kernel maps the ids of a mount only for whoever has CAP_SYS_ADMIN in the user namespace to which its file system belongs: that is root of the machine for a disk, and root of a namespace for a tmpfs that was mounted there. Not every kind of file system can (Linux 5.12 began with ext4, FAT and XFS; tmpfs came with 6.3; overlay and most network file systems can't).",
        fix "Leave idmap and the maps of the mount out, or let root of the machine start the container.";
    /// A device node can't be made or bound.
    DEVICE = 408, exit 125, "cannot give the container this device",
        why "linux.devices names a node that the kernel lets this caller neither make nor bind from the host.",
        fix "Look whether the host has the device under the same path, and whether you may open it.";
}
