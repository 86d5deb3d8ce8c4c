//! Images of several layers, made by umoci and skopeo, against what umoci itself unpacks.

mod full_map {
    use crate::support::{Rl, archive};

    /// Three layers: a whole root, then changes of every kind, then changes of those; as root of the mapped namespace, so that
    /// owners are real. `$1` is a root file system's archive, `$2` a directory for the layout and its bundle.
    const BUILD: &str = r#"
        set -eu; cd "$2"
        umoci init --layout layout; umoci new --image layout:v1
        umoci unpack --image layout:v1 bundle
        tar -C bundle/rootfs -xf "$1"
        cd bundle/rootfs
        mkdir -p kept/deep gone replaced hidden/below; chmod 2751 kept; chown 12:34 kept
        echo one >kept/file; echo one >gone/file; echo one >replaced/file; echo one >hidden/below/file; echo one >same
        ln kept/file kept/link; ln -s ../same kept/symbolic; mkfifo kept/fifo
        chmod 4755 kept/file; chown 7:8 same; touch -d '2001-02-03 04:05:06' kept/deep; setfattr -n user.note -v text same
        cd ../..; umoci repack --refresh-bundle --image layout:v1 bundle
        cd bundle/rootfs
        rm -r gone replaced hidden/below; echo two >replaced; mkdir hidden/below; echo two >hidden/below/other
        echo two >kept/deep/new; chmod 700 kept/deep; ln kept/link kept/second
        cd ../..; umoci repack --refresh-bundle --image layout:v1 bundle
        cd bundle/rootfs; mkdir gone; echo three >gone/again; rm kept/second
        cd ../..; umoci repack --image layout:v1 bundle
        umoci unpack --image layout:v1 oracle"#;

    /// Path, type, mode, owner, size of files, time, link target; then contents and attributes.
    const LIST: &str = r"cd $1; find . -mindepth 1 -type d -printf '%P %y %m %U:%G %T@\n' -o -mindepth 1 ! -type d \
        -printf '%P %y %m %U:%G %s %T@ %n %l\n' | sort
        find . -type f -exec sha256sum {} + | sort -k2; getfattr -R -h -d -m user.note . 2>/dev/null | sort";

    fn in_namespace(rl: &Rl, words: &[&str]) -> String {
        let mut all = vec!["unshare", "-m"];
        all.extend(words);
        rl.run(&all).success().stdout
    }

    #[test]
    fn the_files_are_those_that_umoci_unpacks() {
        let rl = Rl::empty();
        let dir = rl.dir("umoci");
        let dir = dir.to_string_lossy();
        in_namespace(&rl, &["sh", "-c", BUILD, "build", &archive("busybox.tar").to_string_lossy(), &dir]);
        let id = rl.run(&["pull", "-q", &format!("oci:{dir}/layout:v1")]).success().stdout;
        let shown = rl.run(&["images", "-q", "--no-trunc"]).success().stdout;
        assert_eq!(shown.trim(), format!("sha256:{}", id.trim()));
        let oracle = in_namespace(&rl, &["sh", "-c", LIST, "list", &format!("{dir}/oracle/rootfs")]);
        let mount =
            format!("m=$({} image mount {}) && set -- $m && {LIST}", crate::support::binary().display(), id.trim());
        let own = rl.shell(&format!(
            "{} unshare -m sh -c '{}'",
            crate::support::binary().display(),
            mount.replace('\'', r"'\''")
        ));
        similar(&own.success().stdout, &oracle);
        let run = |script: &str| rl.run(&["run", "--rm", id.trim(), "sh", "-c", script]).success().stdout;
        assert_eq!(
            run("cat gone/again replaced hidden/below/*; ls hidden/below; ls kept"),
            "three\ntwo\ntwo\nother\ndeep\nfifo\nfile\nlink\nsymbolic\n"
        );
        assert_eq!(rl.run(&["system", "check"]).success().stdout, "The store is clean.\n");
    }

    /// Equal, with the first difference shown.
    fn similar(own: &str, oracle: &str) {
        assert!(oracle.lines().count() > 20, "{oracle}");
        for (own, oracle) in own.lines().zip(oracle.lines()) {
            assert_eq!(own, oracle);
        }
        assert_eq!(own.lines().count(), oracle.lines().count());
    }

    #[test]
    fn many_layers_are_mounted() {
        let rl = Rl::empty();
        let dir = rl.dir("many");
        let script = r#"set -eu; cd "$2"; umoci init --layout layout; umoci new --image layout:v1; mkdir root; tar -C root -xf "$1"
            umoci insert --image layout:v1 root / ; for n in $(seq 126); do echo $n >file; umoci insert --image layout:v1 file /made-$n; done"#;
        in_namespace(
            &rl,
            &["sh", "-c", script, "x", &archive("busybox.tar").to_string_lossy(), &dir.to_string_lossy()],
        );
        let id = rl.run(&["pull", "-q", &format!("oci:{}/layout:v1", dir.display())]).success().stdout;
        for driver in ["overlay", "fuse-overlayfs", "copy"] {
            let words = [
                "--storage-driver",
                driver,
                "run",
                "--rm",
                id.trim(),
                "sh",
                "-c",
                "ls / | grep -c made; cat /made-126",
            ];
            assert_eq!(rl.run(&words).success().stdout, "126\n126\n", "{driver}");
        }
    }
}
