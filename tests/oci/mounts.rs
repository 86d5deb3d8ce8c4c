//! Mounts of a bundle, as the kernel shows them inside.

/// Where each is mounted, in the order of /proc/self/mountinfo.
const PLACES: &str = "cut -d' ' -f5 /proc/self/mountinfo";

mod everywhere {
    use serde_json::json;

    use super::PLACES;
    use crate::bundle::Oci;

    /// mountinfo goes by when a mount was made since Linux 6.8, by the tree before.
    #[test]
    fn mountinfo_has_binds_and_new_file_systems_in_the_listed_order() {
        let mut oci = Oci::shell(PLACES);
        let source = oci.dir("source");
        let bind = |target: &str| json!({ "destination": target, "source": source, "options": ["rbind", "ro"] });
        let tmpfs = |target: &str| json!({ "destination": target, "source": "tmpfs", "type": "tmpfs" });
        let more = [tmpfs("/mnt"), bind("/mnt/one"), tmpfs("/mnt/two"), bind("/mnt/two/three"), bind("/mnt/four")];
        oci = oci.with(|config| config["mounts"].as_array_mut().expect("a list").extend(more));
        let out = oci.run(&["run", "c"]).success().stdout;
        let found: Vec<_> = out.lines().filter(|place| place.starts_with("/mnt")).collect();
        assert_eq!(found, ["/mnt", "/mnt/one", "/mnt/two", "/mnt/two/three", "/mnt/four"], "{out}");
    }

    /// The new root is attached below the machine's while the machine's is copied.
    #[test]
    fn the_machines_root_as_a_volume_does_not_have_the_containers_own_root_in_it() {
        let oci = Oci::shell(PLACES).with(|config| {
            let machine = json!({ "destination": "/mnt", "source": "/", "options": ["rbind", "ro"] });
            config["mounts"].as_array_mut().expect("a list").push(machine);
        });
        let out = oci.run(&["run", "c"]).success().stdout;
        let own = oci.root.to_string_lossy().into_owned();
        assert!(out.lines().any(|place| place == "/mnt/proc"), "{out}");
        assert!(!out.contains(&own), "{out}");
    }

    #[test]
    fn mounts_obey_their_options() {
        let script =
            "grep -E ' /(deep|up|none) ' /proc/self/mountinfo; cat /up/file /file; touch /deep/x || echo read-only";
        let oci = Oci::shell(script);
        std::fs::create_dir_all(oci.bundle.join("rootfs/up")).expect("mkdir");
        std::fs::write(oci.bundle.join("rootfs/up/file"), "copied\n").expect("write");
        std::fs::write(oci.bundle.join("file"), "bound\n").expect("write");
        std::fs::create_dir(oci.bundle.join("source")).expect("mkdir");
        let oci = oci.with(|config| {
            let mounts = config["mounts"].as_array_mut().expect("a list");
            mounts.push(json!({ "destination": "/up", "type": "tmpfs", "options": ["tmpcopyup", "size=1m"] }));
            mounts.push(json!({ "destination": "/deep", "type": "none", "source": "source", "options": ["rbind", "rro", "noexec"] }));
            mounts.push(json!({ "destination": "/file", "type": "none", "source": "file", "options": ["bind"] }));
        });
        let out = oci.run(&["run", "c"]).success().stdout;
        assert!(out.contains("copied\nbound\nread-only\n"), "{out}");
        let deep = out.lines().find(|line| line.contains(" /deep ")).expect("a mount");
        assert!(deep.contains("ro,") && deep.contains("noexec"), "{deep}");
    }

    /// The kernel has one number for all of these, and wants it cleared first.
    #[test]
    fn modes_of_access_times_are_set_on_binds_or_it_is_told_that_they_are_locked() {
        let mut mounts = Vec::new();
        for word in ["noatime", "strictatime", "rnoatime", "nodiratime"] {
            let target = format!("/{word}");
            mounts.push(json!({ "destination": target, "source": "source", "options": ["rbind", "nosuid", word] }));
        }
        let oci = Oci::shell("grep -E ' /r?(noatime|strictatime|nodiratime) ' /proc/self/mountinfo").with(|config| {
            config["linux"]["mountLabel"] = "passed_over:without:selinux:s0".into();
            config["mounts"].as_array_mut().expect("a list").extend(mounts);
        });
        std::fs::create_dir(oci.bundle.join("source")).expect("mkdir");
        let run = oci.run(&["run", "c"]).success();
        let (out, told) = (run.stdout, run.stderr);
        let of = |target: &str| out.lines().find(|line| line.contains(target)).expect("a mount").to_owned();
        assert!(of(" /noatime ").contains("nosuid"), "{out}");
        // In a user namespace they are the host's and locked.
        let whole = std::fs::read_to_string("/proc/self/uid_map").expect("read").contains("4294967295");
        if nix::unistd::geteuid().is_root() && whole {
            assert!(of(" /noatime ").contains(",noatime"), "{out}");
            assert!(of(" /rnoatime ").contains(",noatime"), "{out}");
            assert!(!of(" /strictatime ").contains("relatime"), "{out}");
            assert_eq!(told, "");
        } else {
            for (target, word) in [("noatime", ",noatime"), ("rnoatime", ",noatime"), ("nodiratime", ",nodiratime")] {
                let set = of(&format!(" /{target} ")).contains(word);
                assert_eq!(set, !told.contains(&format!(" /{target} ")), "{out}{told}");
            }
        }
    }
}

/// A bind of `source`, whose files are mapped as `ids` say: pairs of an id on the disk and an id of the caller.
fn mapped(source: &std::path::Path, ids: &[(u32, u32)]) -> serde_json::Value {
    let maps: Vec<_> = ids
        .iter()
        .map(|(disk, caller)| serde_json::json!({ "containerID": disk, "hostID": caller, "size": 1 }))
        .collect();
    let options = ["bind", "idmap"];
    serde_json::json!({ "destination": "/tmp", "source": source, "options": options, "uidMappings": maps, "gidMappings": maps })
}

fn with_mount(oci: crate::bundle::Oci, mount: serde_json::Value) -> crate::bundle::Oci {
    oci.with(|config| config["mounts"].as_array_mut().expect("a list").push(mount))
}

const OWNER: &str = "stat -c %u:%g /tmp/file";

mod as_root {
    use serde_json::json;

    use super::{OWNER, mapped, with_mount};
    use crate::bundle::Oci;
    use crate::support::Line;

    /// The machine's, as far as the container and this test know: all verbs are called in it.
    #[test]
    fn without_a_mount_namespace_the_root_is_changed_and_delete_takes_the_mounts_away() {
        let oci = Oci::shell("ls /bin/busybox >/tmp/seen; readlink /proc/self/ns/mnt >>/tmp/seen; exec sleep 100");
        let oci = oci.without_namespace("mount");
        let script = "set -e; mount --make-rprivate /
            rl=$1 root=$2; cd \"$3\"
            \"$rl\" --root \"$root\" create --pid-file pid c >out 2>&1 </dev/null || { cat out; exit 9; }
            grep -c \" $root/c/mnt\" /proc/self/mountinfo >before
            \"$rl\" --root \"$root\" start c; readlink /proc/self/ns/mnt
            if \"$rl\" --root \"$root\" exec c true 2>refused; then exit 8; fi
            until [ \"$(wc -l <rootfs/tmp/seen)\" = 2 ]; do sleep 0.1; done
            \"$rl\" --root \"$root\" delete --force c
            if grep \"$root\" /proc/self/mountinfo; then exit 7; fi; cat rootfs/tmp/seen";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(oci.dir("bin").join("rl-oci"));
        command.arg(&oci.root).arg(&oci.bundle);
        let out = Line::new(command, "unshare".into()).output().success();
        let lines: Vec<_> = out.stdout.lines().collect();
        assert_eq!(lines.len(), 3, "{}{}", out.stdout, out.stderr);
        assert_eq!((lines[0], lines[1]), (lines[2], "/bin/busybox"));
        assert!(oci.bundle.join("rootfs/bin/busybox").exists() && !oci.root.join("c").exists());
    }

    #[test]
    fn a_bind_shows_its_files_with_mapped_ids_and_new_files_get_those_of_the_disk() {
        let oci = Oci::shell(&format!("{OWNER}; touch /tmp/new"));
        let source = oci.dir("source");
        std::fs::write(source.join("file"), "").expect("write");
        std::os::unix::fs::chown(source.join("file"), Some(1000), Some(1000)).expect("chown");
        std::os::unix::fs::chown(&source, Some(1000), Some(1000)).expect("chown");
        let oci = with_mount(oci, mapped(&source, &[(1000, 0)]));
        assert_eq!(oci.run(&["run", "c"]).success().stdout, "0:0\n");
        let made = std::fs::metadata(source.join("new")).expect("the new file");
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 1000);
    }

    #[test]
    fn a_bind_shows_the_ids_of_the_containers_own_user_namespace() {
        let oci = Oci::shell(&format!("{OWNER}; cat /proc/self/uid_map"));
        let source = oci.dir("source");
        std::fs::write(source.join("file"), "").expect("write");
        let mount = json!({ "destination": "/tmp", "source": source, "options": ["rbind", "ridmap"] });
        let oci = with_mount(oci, mount).with(|config| {
            config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
            let ids = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
            config["linux"]["uidMappings"] = ids.clone();
            config["linux"]["gidMappings"] = ids;
        });
        // The directories of this test are root's, who is nobody in there.
        let top = oci.bundle.parent().expect("a directory");
        let open = |path: &std::path::Path| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(path, mode).expect("chmod");
        };
        [top, &oci.bundle, &oci.root].into_iter().for_each(open);
        let out = oci.run(&["run", "c"]).success().stdout;
        assert!(out.starts_with("0:0\n") && out.contains("100000"), "{out}");
    }
}

mod as_user {
    use super::{OWNER, mapped, with_mount};
    use crate::bundle::Oci;
    use crate::support::Line;

    #[test]
    fn a_disk_is_not_mapped_and_the_line_says_who_could() {
        let oci = Oci::shell(OWNER);
        let source = oci.dir("source");
        let refused = with_mount(oci, mapped(&source, &[(0, 0)])).run(&["run", "c"]).fails_with(1);
        let line = &refused.stderr;
        assert!(line.contains(".uidMappings") && line.contains("root of the machine"), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }

    /// The tmpfs is the namespace's own.
    #[test]
    fn root_of_a_namespace_maps_what_was_mounted_in_it() {
        let oci = Oci::shell(OWNER).without_namespace("user");
        let source = oci.dir("source");
        let oci = with_mount(oci, mapped(&source, &[(5, 0)]));
        let script = "mount -t tmpfs none \"$1\" && touch \"$1/file\" && chown 5:5 \"$1/file\" \"$1\" &&
            exec \"$2\" --root \"$3\" run --bundle \"$4\" c";
        let mut command = std::process::Command::new("unshare");
        command.args(["--map-root-user", "--map-auto", "--mount", "sh", "-c", script, "sh"]).arg(&source);
        command.arg(oci.dir("bin").join("rl-oci")).arg(&oci.root).arg(&oci.bundle);
        let out = Line::new(command, "unshare".into()).output().success();
        assert_eq!(out.stdout, "0:0\n");
    }
}
