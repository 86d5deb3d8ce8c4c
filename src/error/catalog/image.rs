//! RL03xx: images, archives and the store.

use super::entries;

entries! {
    /// No image of that name.
    IMAGE_NOT_FOUND = 301, exit 1, "no such image",
        why "The store has no image of that name, and nothing was allowed or able to fetch it.",
        fix "See what there is: rl images. Make one: rl import FILE NAME.";
    /// Not a name of an image.
    BAD_NAME = 302, exit 125, "not an image name",
        why "An image name is NAME[:TAG]: small letters and digits with . _ - / between them, and a tag of letters, digits, _ . -",
        fix "For example: rl import rootfs.tar.gz debian:12";
    /// The archive is damaged, cut off, hostile, or none.
    BAD_ARCHIVE = 303, exit 125, "cannot use this archive",
        why "The archive is no tar archive, is cut off, or has an entry that leads out of its tree, exceeds a limit or can be understood in two ways. Nothing of it was kept.",
        fix "Make the archive again, for example with: docker export CONTAINER, or tar -C ROOTFS -c .";
    /// An owner in the archive that the caller's namespace does not have.
    UNMAPPED_ID = 304, exit 125, "an owner that is not mapped",
        why "An entry of the archive belongs to an id beyond your subordinate ids, so its owner can't be kept.",
        fix "You need more subordinate ids (rl explain RL0202), or import with --userns=single, where everything belongs to root.";
    /// A file of the layer could not be made.
    APPLY = 305, exit 125, "cannot unpack the archive",
        why "A file of the archive could not be made on this file system. Network file systems often refuse owners other than yourself.",
        fix "Put the store on a local disk: rl --root DIR.";
    /// The disk is full.
    NO_SPACE = 306, exit 125, "no space left for the archive",
        why "The disk is full or your quota is used up. Nothing of the archive was kept.",
        fix "Make room (rl rmi IMAGE), or put the store elsewhere: rl --root DIR.";
    /// A document or directory of the store.
    STORE = 307, exit 125, "cannot read or write the image store",
        why "The store's directory is read-only, full, or was changed by hand.",
        fix "Check the path that is named and the free space.";
    /// A container runs on it.
    IN_USE = 308, exit 125, "the image is in use",
        why "A running container stands on the image's layers; without them it would break.",
        fix "Stop the containers that run on it, and remove it then.";
    /// Not a digest.
    BAD_DIGEST = 311, exit 125, "not a digest",
        why "A digest is sha256: with 64 hexadecimal digits, or sha512: with 128.",
        fix "Copy the whole digest, for example from: rl images --digests";
    /// A manifest or index that can't be an image's.
    BAD_MANIFEST = 312, exit 125, "cannot use this manifest",
        why "The document that describes the image is damaged, too large, ambiguous, or describes something else than a container image.",
        fix "Check the reference; look at what is there with: skopeo inspect --raw docker://REFERENCE";
    /// No image for the platform.
    NO_PLATFORM = 313, exit 125, "no image for this platform",
        why "The reference leads to images for other platforms only.",
        fix "Ask for one that there is: --platform linux/ARCH, or NAME-ARCH.";
    /// Other bytes than the digest says.
    WRONG_CONTENT = 314, exit 125, "the content is not what its digest says",
        why "What arrived has another digest or size than was announced: a damaged file, a broken proxy or registry, or an attack. Nothing of it was kept.",
        fix "Try again; if it stays, tell whoever runs the registry or made the archive.";
    /// Not a platform.
    BAD_PLATFORM = 315, exit 125, "not a platform",
        why "A platform is linux/ARCH or linux/ARCH/VARIANT, such as linux/arm64 or linux/arm/v7.",
        fix "For example: rl pull --platform linux/arm64 debian";
    /// Not an OCI layout, or not one that says which image is meant.
    BAD_LAYOUT = 316, exit 125, "cannot use this image layout",
        why "An OCI layout is a directory with oci-layout, index.json and blobs/. A file of it is missing, too large, or no regular file, or it has not exactly one image of the name.",
        fix "Name the image: oci:DIR:NAME. Make a layout with: skopeo copy docker://IMAGE oci:DIR:NAME";
    /// Images can't be mounted from here.
    MOUNT_IMAGE = 317, exit 125, "cannot mount the image here",
        why "Only in a mount namespace of their own can users mount anything; what is mounted there nobody else sees.",
        fix "Start a shell in one, and mount there: rl unshare -m";
    /// An archive or a layout could not be written.
    SAVE = 318, exit 125, "cannot save the image",
        why "The file or directory can't be written to: it is read-only, full, of another kind, or a pipe whose reader has gone.",
        fix "Check the path that is named and the free space.";
    /// Images for other users.
    SHARE = 319, exit 125, "cannot share images from this store",
        why "A shared store is for shared images only: all users of the machine read what is in it. Its maker needs subordinate ids, its users need fuse-overlayfs.",
        fix "See docs/shared-stores.md.";
    /// The registry does not answer, or not as one.
    REGISTRY = 320, exit 125, "cannot use the registry",
        why "The registry's host can't be reached, its certificate is not trusted, it is out of order, or something else than a registry answers there.",
        fix "Check the name and the network: curl -v https://REGISTRY/v2/. For a registry without TLS: --tls-verify=false.";
    /// The registry refuses.
    DENIED = 321, exit 125, "the registry refuses",
        why "The image is private, or does not exist: many registries give the same answer to both.",
        fix "Check the name, and log in if you have an account there.";
    /// The registry has no such image.
    NOT_IN_REGISTRY = 322, exit 125, "the registry has no such image",
        why "The repository or the tag does not exist there.",
        fix "Check the spelling of the name and the tag.";
    /// From https to http.
    INSECURE_REDIRECT = 323, exit 125, "the registry leads away from https",
        why "A redirection from https to http would let anybody on the way change or read what is transferred.",
        fix "Tell whoever runs the registry.";
    /// A file of logins, or a credential helper.
    CREDENTIALS = 324, exit 125, "cannot read your logins",
        why "A file of logins (auth.json, config.json) is damaged, or a credential helper that it names is missing or fails.",
        fix "Repair the file that is named, or set REGISTRY_AUTH_FILE to another one.";
    /// Nobody is logged in.
    NO_LOGIN = 327, exit 1, "you are not logged in",
        why "There is no login for the registry in the file where rl keeps them.",
        fix "Log in: rl login REGISTRY";
    /// Forbidden by configuration.
    BLOCKED = 325, exit 125, "this registry is blocked here",
        why "A configuration file of yours or of this machine says blocked = true for it.",
        fix "See the [[registry]] tables in config.toml and in registries.conf, yours and those below /etc.";
    /// A configuration file that can't be read.
    CONFIG = 326, exit 125, "cannot use a configuration file",
        why "A file is no TOML, or has a key that rl does not know.",
        fix "Correct the file that is named; docs/config.md has all keys.";
    /// The machine went down before a layer was on the disk.
    NOT_WRITTEN = 328, exit 125, "a layer may be half there",
        why "The machine went down before the layer that a pull or import had made was written to the disk.",
        fix "Make it again of its archive, which is there: rl system check --repair.";
    /// A tree could not be deleted.
    REMOVE = 310, exit 125, "cannot delete a directory tree",
        why "A file below it is a mount point of another process, immutable, or on a file system that is read-only.",
        fix "Try again when nothing uses it: rl unshare rm -rf DIR.";
}
