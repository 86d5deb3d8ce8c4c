//! `rl commit`: images of containers, and who can read them.

use std::io::Write;

use crate::support::{Output, Rl};

/// A store of the test's own, because images are made in it.
fn with_busybox() -> Rl {
    let rl = Rl::empty();
    // With gzip, because not every other tool knows the zstd in which a plain archive is kept.
    let archive = rl.dir("archives").join("busybox.tar.gz").to_string_lossy().into_owned();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&std::fs::read(crate::support::archive("busybox.tar")).expect("read")).expect("write");
    std::fs::write(&archive, encoder.finish().expect("finish")).expect("write");
    rl.run(&["import", "-q", "-c", "CMD [\"sh\"]", "-c", "ENV P=1", "-c", "USER 0", &archive, "busybox"]).success();
    rl
}

/// Fields of an image.
fn field(rl: &Rl, image: &str, template: &str) -> String {
    rl.run(&["image", "inspect", "-f", template, image]).success().stdout.trim_end().to_owned()
}

fn sh(rl: &Rl, image: &str, script: &str) -> Output {
    rl.run(&["run", "--rm", image, "sh", "-c", script])
}

mod everywhere {
    use super::{field, sh, with_busybox};
    use crate::{Clean, background, eventually, inspect};

    const SCRIPT: &str = "mkdir -p /srv/d; echo hi >/srv/d/f; rm /etc/passwd; rm -r /root; mkdir /root; ln /srv/d/f /srv/d/h; \
                          ln -s f /srv/d/s; chmod 700 /tmp; echo x >>/etc/group";
    const LOOK: &str = "cat /srv/d/h; stat -c '%h %a' /srv/d/f; readlink /srv/d/s; ls -d /etc/passwd 2>&1; ls /root; \
                        stat -c %a /tmp; tail -n1 /etc/group; test -x /bin/busybox";
    const SEEN: &str = "hi\n2 644\nf\nls: /etc/passwd: No such file or directory\n700\nx\n";

    #[test]
    fn an_image_of_a_container_has_its_files_and_its_configuration() {
        let rl = with_busybox();
        let _clean = Clean(&rl);
        let flags = ["--name", "one", "-e", "A=b", "-w", "/srv", "-l", "tier=web", "-v", "data:/data"];
        rl.run(&[&["run"], &flags[..], &["busybox", "sh", "-c", &format!("{SCRIPT}; touch /data/x")]].concat())
            .success();
        let id = rl.run(&["commit", "-a", "me", "-m", "a word", "one", "new:1"]).success().stdout;
        assert_eq!(field(&rl, "new:1", "{{.Id}}\n"), id.trim_end());
        assert_eq!(sh(&rl, "new:1", LOOK).success().stdout, SEEN);
        assert_eq!(
            sh(&rl, "new:1", "ls /data; env | grep -E '^(A|P)=' | sort; pwd").success().stdout,
            "A=b\nP=1\n/srv\n"
        );
        assert_eq!(field(&rl, "new:1", "{{.Author}} {{.Config.Labels.tier}} {{len .RootFS.Layers}}"), "me web 2");
        assert_eq!(field(&rl, "new:1", "{{(index .History 1).comment}} {{index .Config.Cmd 0}}"), "a word sh");
        // The same of one that runs; with changes, and without a name.
        background(&rl, &["--name", "two", "busybox", "sh", "-c", &format!("{SCRIPT}; echo ready; exec sleep 1000")]);
        eventually("it is ready", || rl.run(&["logs", "two"]).stdout.contains("ready"));
        let changes = ["-c", "CMD [\"cat\", \"/srv/d/f\"]", "-c", "ENV A=2", "-c", "USER 0:0"];
        let id = rl.run(&[&["commit"], &changes[..], &["two"]].concat()).success().stdout;
        let id = id.trim_end().trim_start_matches("sha256:").to_owned();
        assert_eq!(rl.run(&["run", "--rm", &id]).success().stdout, "hi\n");
        assert_eq!(field(&rl, &id, "{{.Config.User}} {{.Config.Env}}"), "0:0 [P=1 A=2]");
        assert_eq!(inspect(&rl, "two", "{{.State.Status}}"), "running");
        rl.run(&["commit", "nosuch", "x"]).fails_with(1);
        rl.run(&["commit", "-c", "RUN x", "one", "x"]).fails_with(125);
        rl.run(&["system", "check"]).success();
    }

    #[test]
    fn a_container_without_changes_gives_an_image_without_a_new_layer() {
        let rl = with_busybox();
        let _clean = Clean(&rl);
        rl.run(&["run", "--name", "one", "busybox", "true"]).success();
        rl.run(&["commit", "one", "same"]).success();
        assert_eq!(field(&rl, "same", "{{len .RootFS.Layers}} {{(index .History 1).empty_layer}}"), "1 true");
        rl.run(&["create", "--name", "never", "busybox", "true"]).success();
        rl.run(&["commit", "never", "never"]).success();
        assert_eq!(field(&rl, "never", "{{len .RootFS.Layers}}"), "1");
        // A commit of a commit, and it all goes again.
        rl.run(&["run", "--name", "more", "same", "sh", "-c", "echo more >/more"]).success();
        rl.run(&["commit", "more", "more"]).success();
        assert_eq!(sh(&rl, "more", "cat /more").success().stdout, "more\n");
        assert_eq!(field(&rl, "more", "{{len .RootFS.Layers}} {{len .History}}"), "2 3");
    }

    #[test]
    fn where_there_are_no_layers_the_image_is_all_that_the_container_sees() {
        let rl = with_busybox();
        let _clean = Clean(&rl);
        let root = rl.busybox_root().to_string_lossy().into_owned();
        rl.run(&["run", "--name", "dir", "--rootfs", &root, "sh", "-c", SCRIPT]).success();
        rl.run(&[
            "run",
            "--name",
            "below",
            "--rootfs",
            &format!("{}:O", rl.busybox_root().display()),
            "sh",
            "-c",
            SCRIPT,
        ])
        .success();
        rl.run(&["--storage-driver", "copy", "run", "--name", "copy", "busybox", "sh", "-c", SCRIPT]).success();
        for name in ["dir", "below", "copy"] {
            rl.run(&["commit", name, name]).success();
            assert_eq!(sh(&rl, name, LOOK).success().stdout, SEEN, "{name}");
            assert_eq!(field(&rl, name, "{{len .RootFS.Layers}}"), "1", "{name}");
        }
    }

    /// A container's names can't delete or hide what is in its image.
    #[test]
    fn a_file_called_like_a_whiteout_is_none() {
        let rl = with_busybox();
        let _clean = Clean(&rl);
        rl.run(&[
            "run",
            "--name",
            "one",
            "busybox",
            "sh",
            "-c",
            "touch /etc/.wh.group /bin/.wh.busybox; touch /etc/new",
        ])
        .success();
        rl.run(&["commit", "one", "one"]).success();
        assert_eq!(sh(&rl, "one", "ls -a /etc | grep -E 'group|new'").success().stdout, "group\nnew\n");
    }

    #[test]
    fn what_keeps_a_commit_from_its_end_leaves_the_store_as_it_was() {
        let rl = with_busybox();
        let _clean = Clean(&rl);
        rl.run(&["run", "--name", "one", "busybox", "sh", "-c", "echo x >/x"]).success();
        rl.run(&["commit", "--iidfile", "/nowhere/at/all", "one", "late"]).fails_with(125);
        rl.run(&["commit", "one", "BAD/Name"]).fails_with(125);
        assert!(rl.run(&["system", "check"]).success().stdout.contains("clean"));
    }
}

mod full_map {
    use super::{sh, with_busybox};
    use crate::Clean;
    use crate::support::Rl;

    /// An archive with one file that has owners and attributes.
    fn archive(rl: &Rl) -> String {
        let capability: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut builder = tar::Builder::new(Vec::new());
        let records = [("SCHILY.xattr.user.note", &b"kept"[..]), ("SCHILY.xattr.security.capability", &capability[..])];
        builder.append_pax_extensions(records).expect("pax");
        let mut header = tar::Header::new_ustar();
        header.set_path("marked").expect("a name");
        header.set_size(0);
        header.set_mode(0o4755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_cksum();
        builder.append(&header, std::io::empty()).expect("append");
        let path = rl.dir("here").join("marked.tar");
        std::fs::write(&path, builder.into_inner().expect("finish")).expect("write");
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn owners_and_attributes_are_in_what_commit_and_export_write() {
        let rl = with_busybox();
        let _clean = Clean(&rl);
        let marked = archive(&rl);
        for (name, flag) in [("plain", "--userns=full"), ("moved", "--userns=keep-id")] {
            rl.run(&["run", "--name", name, flag, "-u", "0", "busybox", "true"]).success();
            rl.shell(&format!("{} cp - {name}:/srv <{marked}", rl.binary().display())).fails_with(125);
            rl.run(&["cp", &rl.dir("empty").to_string_lossy(), &format!("{name}:/srv")]).success();
            rl.shell(&format!("{} cp - {name}:/srv <{marked}", rl.binary().display())).success();
            let exported = rl.shell(&format!(
                "{} export {name} | tar --numeric-owner --xattrs --xattrs-include='*' -tvv | grep -A3 srv/marked",
                rl.binary().display()
            ));
            let exported = exported.success().stdout;
            assert!(exported.contains("-rwsr-xr-x* 7/8"), "{name}: {exported}");
            assert!(exported.contains("user.note") && exported.contains("security.capability"), "{name}: {exported}");
            rl.run(&["commit", name, name]).success();
            assert_eq!(sh(&rl, name, "stat -c '%u:%g %a' /srv/marked").success().stdout, "7:8 4755\n", "{name}");
            let (file, listing) = (rl.dir("here").join(format!("{name}.tar")), rl.dir("here").join(name));
            rl.run(&["save", "-q", "-o", &file.to_string_lossy(), name]).success();
            std::fs::create_dir_all(&listing).expect("mkdir");
            // docker's archive has the layers as files.
            let list = format!(
                "cd {} && tar -xf {} && for layer in $(find . -type f); do tar --xattrs --xattrs-include='*' --numeric-owner -tvvf $layer 2>/dev/null; done | grep -A3 srv/marked",
                listing.display(),
                file.display()
            );
            let listed = rl.shell(&list).success().stdout;
            assert!(
                listed.contains("7/8") && listed.contains("user.note") && listed.contains("security.capability"),
                "{name}: {listed}"
            );
        }
    }
}

mod as_user {
    use std::process::Command;

    use super::{field, with_busybox};
    use crate::Clean;
    use crate::support::{Line, missing};

    /// Other tools' eyes.
    #[test]
    fn skopeo_umoci_and_podman_read_what_commit_and_export_write() {
        let rl = with_busybox();
        let _clean = Clean(&rl);
        let script = "mkdir /mine; echo hi >/mine/f; chown 7:8 /mine/f; rm /etc/passwd; rm -r /root; mkdir /root; touch /root/new";
        rl.run(&["run", "--name", "one", "busybox", "sh", "-c", script]).success();
        rl.run(&["commit", "-c", "LABEL a=b", "one", "new:1"]).success();
        let dir = rl.dir("out");
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let tool = |program: &str, words: &[&str]| {
            let mut command = Command::new(program);
            command.args(words).env("HOME", rl.dir("other-home")).env("XDG_RUNTIME_DIR", rl.dir("other-run"));
            Line::new(command, format!("{program} {}", words.join(" "))).output()
        };
        for program in ["skopeo", "umoci", "podman"] {
            if tool(program, &["--version"]).code() != 0 {
                missing(program);
                return;
            }
        }
        rl.run(&["save", "-q", "--format", "oci-dir", "-o", &path("layout"), "new:1"]).success();
        let text = tool("skopeo", &["inspect", "--config", &format!("oci:{}", path("layout"))]).success().stdout;
        let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(config["config"]["Labels"]["a"], "b");
        assert_eq!(config["rootfs"]["diff_ids"].as_array().expect("layers").len(), 2);
        tool("skopeo", &["copy", "-q", &format!("oci:{}", path("layout")), &format!("oci:{}:one", path("plain"))])
            .success();
        tool("umoci", &["unpack", "--rootless", "--image", &format!("{}:one", path("plain")), &path("bundle")])
            .success();
        let root = dir.join("bundle/rootfs");
        assert_eq!(std::fs::read_to_string(root.join("mine/f")).expect("read"), "hi\n");
        assert!(
            !root.join("etc/passwd").exists() && root.join("root/new").exists() && root.join("bin/busybox").exists()
        );
        let store = ["--root", &path("p"), "--runroot", &path("r"), "--tmpdir", &path("t"), "--storage-driver", "vfs"];
        let podman = |words: &[&str]| tool("podman", &[&store[..], words].concat());
        rl.run(&["save", "-q", "-o", &path("docker.tar"), "new:1"]).success();
        podman(&["load", "-q", "-i", &path("docker.tar")]).success();
        let id = podman(&["image", "inspect", "-f", "{{.Id}} {{.Config.Cmd}} {{.Labels.a}}", "new:1"]).success().stdout;
        assert_eq!(
            id.trim_end(),
            field(&rl, "new:1", "{{.Id}} {{.Config.Cmd}} {{.Config.Labels.a}}").trim_start_matches("sha256:")
        );
        podman(&["create", "--network", "none", "--name", "c", "new:1"]).success();
        podman(&["export", "-o", &path("podman.tar"), "c"]).success();
        rl.run(&["run", "--name", "two", "new:1", "true"]).success();
        rl.run(&["export", "-o", &path("rl.tar"), "two"]).success();
        podman(&["import", "-q", &path("rl.tar"), "flat"]).success();
        // What every start of rl's makes, podman makes elsewhere.
        let ours = "^(dev|proc|sys|run|etc/(hosts|hostname|resolv.conf|mtab)$|etc/$)";
        let list = |tar: &str| {
            rl.shell(&format!("tar --numeric-owner -tvf {} | awk '{{print $1, $2, $6, $7, $8}}' | sed 's,/$,,' | awk '$3 !~ /{}/' | sort", path(tar), ours.replace('/', "\\/"))).success().stdout
        };
        assert_eq!(list("podman.tar"), list("rl.tar"));
        podman(&["rm", "-f", "c"]);
        let _ = podman(&["unshare", "rm", "-rf", &path("p"), &path("bundle")]);
        // Last, because it ends the process that holds podman's namespace, which every other verb starts again.
        podman(&["system", "migrate"]);
    }
}
