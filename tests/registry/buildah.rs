//! An image that buildah makes layer by layer, seen through rl and unpacked by umoci: the same tree.
//!
//! Owns a build with what layers do to each other. The surprise: link counts are left out, because an overlay shows a
//! file's of its own layer, names that a higher layer has removed included.

use crate::support::{Rl, archive, missing};

/// `$1` is busybox as a tar archive, `$2` an empty directory.
const BUILD: &str = r#"
    set -eu; cd "$2"; mkdir context context/dir; cp "$1" context/busybox.tar
    buildah() { command buildah --root "$PWD/storage" --runroot "$PWD/run" --storage-driver vfs "$@"; }
    export BUILDAH_ISOLATION=chroot TMPDIR="$PWD"
    echo attributed >context/dir/attributed; setfattr -n user.color -v blue context/dir/attributed
    tar -C context --xattrs -cf context/dir.tar dir; rm -r context/dir
    cat >Containerfile <<C
FROM scratch
ADD busybox.tar /
ADD dir.tar /srv
RUN echo one >/etc/one && cp /bin/busybox /bin/rooted && chmod 6755 /bin/rooted && ln /etc/one /etc/two
RUN mkdir -p /srv/gone/deep /srv/emptied /srv/filled && touch /srv/gone/deep/x /srv/emptied/y /srv/filled/old
RUN rm -r /srv/gone && rm /srv/emptied/y && ln -s ../etc/one /srv/link && chown 5:6 /etc/one && chmod 2750 /srv/emptied
RUN rm -r /srv/filled && mkdir /srv/filled && echo new >/srv/filled/new && mkfifo -m 622 /srv/fifo
RUN ln /etc/two /srv/three && mv /etc/two /etc/four
C
    id=$(buildah bud -q --layers -f Containerfile context)
    buildah push -q "$id" oci:layout:built
    umoci unpack --image layout:built bundle"#;

/// Names, kinds, modes, owners, times and targets; sizes of what is no directory; contents; attributes.
const LIST: &str = r#"
    set -eu; cd "$1"
    prune='( -path ./dev -o -path ./proc -o -path ./sys -o -path ./etc/hosts -o -path ./etc/hostname
        -o -path ./etc/resolv.conf ) -prune'
    find . -mindepth 1 $prune -o -printf '%P %y %m %U:%G %T@ %l ' \( -type d -printf '\n' -o -printf '%s\n' \) | sort
    find . $prune -o -type f -exec sha256sum {} + | sort -k 2
    find . -samefile srv/three | sort
    getfattr -Rhd -m - bin etc srv"#;

mod as_user {
    use super::*;

    #[test]
    fn an_image_that_buildah_made_is_the_tree_that_umoci_unpacks() {
        if !["buildah", "umoci", "setfattr"].iter().all(|name| which(name)) {
            missing("buildah, umoci and setfattr");
            return;
        }
        let rl = Rl::empty();
        let dir = rl.dir("work");
        let (busybox, dir) = (archive("busybox.tar"), dir.to_string_lossy().into_owned());
        let build = ["unshare", "-m", "sh", "-c", BUILD, "build", &busybox.to_string_lossy(), &dir];
        rl.run(&build).success();
        rl.run(&["pull", "-q", &format!("oci:{dir}/layout:built")]).success();
        let list = |tree: &str| rl.run(&["unshare", "sh", "-c", LIST, "list", tree]).success().stdout;
        let theirs = list(&format!("{dir}/bundle/rootfs"));
        let mounted = format!(
            r#"tree=$("{}" --root "{}" --runroot "{}" image mount built); set -- "$tree"; {LIST}"#,
            rl.binary().display(),
            rl.root().display(),
            rl.runroot().display(),
        );
        let ours = rl.run(&["unshare", "-m", "sh", "-c", &mounted]).success().stdout;
        for part in ["rooted f 6755", "three f 644 5:6", "fifo p 622", "link l 777", "color=\"blue\"", "./etc/four"] {
            assert!(theirs.contains(part), "{part} is not in {theirs}");
        }
        let differ: Vec<_> = theirs.lines().zip(ours.lines()).filter(|(a, b)| a != b).take(5).collect();
        assert!(theirs == ours, "{} and {} bytes; {differ:#?}", theirs.len(), ours.len());
    }

    fn which(name: &str) -> bool {
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).exists()))
    }
}
