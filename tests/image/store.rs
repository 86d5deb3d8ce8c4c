//! The store: names, what is shared, what is deleted, and what a kill leaves.

mod everywhere {
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use crate::support::{Rl, archive, binary};
    use crate::tar::Tar;
    use crate::{assert_nothing_is_left, entries, layer};

    fn import(rl: &Rl, bytes: &[u8], words: &[&str]) -> String {
        let file = rl.dir("archives").join("a.tar");
        std::fs::write(&file, bytes).expect("write");
        let mut all = vec!["import", "-q"];
        let file = file.to_string_lossy();
        all.push(&file);
        all.extend(words);
        rl.run(&all).success().stdout.trim().to_owned()
    }

    fn images(rl: &Rl) -> Vec<(Option<String>, String)> {
        let out = rl.run(&["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]).success();
        let name = |name: &str| (name != "<none>:<none>").then(|| name.to_owned());
        let mut all: Vec<_> = (out.stdout.lines())
            .map(|line| line.split_once(' ').expect("a name and an id"))
            .map(|(repository, id)| (name(repository), id.to_owned()))
            .collect();
        // They come newest first, and within a second in no order to rely on.
        all.sort();
        all
    }

    #[test]
    fn an_image_is_imported_listed_and_removed() {
        let rl = Rl::empty();
        let id = import(&rl, &Tar::new().file("a", "content").end(), &["web/app:1.0"]);
        assert_eq!(images(&rl), [(Some("web/app:1.0".to_owned()), id.clone())]);
        let table = rl.run(&["images"]).success().stdout;
        let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
        assert_eq!(rows[1][..3], ["web/app", "1.0", &id[7..19]]);
        assert_eq!(rl.run(&["images", "-q", "--no-trunc"]).success().stdout.trim(), id);
        let out = rl.run(&["rmi", "web/app:1.0"]).success();
        assert_eq!(out.stdout, format!("Untagged: web/app:1.0\nDeleted: {id}\n"));
        assert_nothing_is_left(&rl, "rmi");
    }

    #[test]
    fn images_share_a_layer_and_it_goes_with_the_last() {
        let rl = Rl::empty();
        let tar = Tar::new().file("a", "content").end();
        let one = import(&rl, &tar, &["one"]);
        let two = import(&rl, &tar, &["-c", "CMD [\"two\"]", "two"]);
        assert_ne!(one, two);
        let shared = layer(&rl);
        let out = rl.run(&["rmi", "one", "gone", "gone/x:1"]).fails_with(1);
        assert!(out.stdout.starts_with("Untagged: one:latest\n"), "{}", out.stdout);
        assert_eq!(out.stderr.matches("RL0301").count(), 2, "{}", out.stderr);
        assert!(shared.exists());
        rl.run(&["rmi", "two"]).success();
        assert_nothing_is_left(&rl, "the last rmi");
        rl.run(&["rmi", "-f", "two"]).success();
    }

    #[test]
    fn an_image_without_a_name_has_its_id() {
        let rl = Rl::empty();
        let tar = Tar::new().file("a", "content").end();
        let id = import(&rl, &tar, &[]);
        assert_eq!(images(&rl), [(None, id.clone())]);
        // The same image with two names is one image, which is removed by its id.
        import(&rl, &tar, &["one"]);
        import(&rl, &tar, &["two:2"]);
        import(&rl, &tar, &[]);
        let names = [("one:latest", &id), ("two:2", &id)].map(|(name, id)| (Some(name.to_owned()), id.clone()));
        assert_eq!(images(&rl), names);
        rl.run(&["rmi", &id[7..19]]).success();
        assert_nothing_is_left(&rl, "rmi by id");
    }

    #[test]
    fn an_image_whose_name_is_given_away_stays_without_one() {
        let rl = Rl::empty();
        let old = import(&rl, &Tar::new().file("a", "old").end(), &["x"]);
        let new = import(&rl, &Tar::new().file("a", "new").end(), &["x"]);
        assert_eq!(images(&rl), [(None, old.clone()), (Some("x:latest".to_owned()), new)]);
        rl.run(&["rmi", &old]).success();
        assert_eq!(std::fs::read_to_string(layer(&rl).join("a")).expect("read"), "new");
    }

    #[test]
    fn an_unknown_image_is_answered_with_near_names() {
        let rl = Rl::empty();
        let none = rl.run(&["rmi", "busybox"]).fails_with(1);
        assert!(
            none.stderr.contains("There is no image yet") && none.stderr.contains("rl import FILE busybox"),
            "{}",
            none.stderr
        );
        import(&rl, &Tar::new().file("a", "").end(), &["busybox:1"]);
        let near = rl.run(&["run", "--rm", "--pull=never", "busybxo", "true"]).fails_with(125);
        assert!(near.stderr.contains("RL0301") && near.stderr.contains("Did you mean busybox:1?"), "{}", near.stderr);
        let bad = rl.run(&["import", "/dev/null", "Upper"]).fails_with(125);
        assert!(bad.stderr.contains("RL0302"), "{}", bad.stderr);
    }

    #[test]
    fn the_store_is_closed_to_others_whatever_the_umask() {
        let rl = Rl::empty();
        let file = rl.dir("archives").join("a.tar");
        std::fs::write(&file, Tar::new().file("a", "").end()).expect("write");
        std::fs::set_permissions(rl.root(), PermissionsExt::from_mode(0o755)).expect("chmod");
        rl.shell(&format!("umask 000; {} import -q {} x", binary().display(), file.display())).success();
        let mode = |path: &Path| std::fs::metadata(path).expect("metadata").mode() & 0o7777;
        let inside = layer(&rl).parent().expect("its directory").to_owned();
        for path in [rl.root(), rl.root().join("images"), rl.root().join("layers"), rl.root().join("staging"), inside] {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
        }
    }

    /// An import that has read `bytes` from its stdin and waits for more.
    fn waiting_import(rl: &Rl, bytes: &[u8]) -> std::process::Child {
        let mut command = Command::new(binary());
        command.arg("--root").arg(rl.root()).arg("--runroot").arg(rl.runroot()).args(["import", "-", "x"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("rl");
        child.stdin.as_mut().expect("stdin").write_all(bytes).expect("write");
        child
    }

    #[test]
    fn what_a_killed_import_leaves_goes_with_the_next() {
        let rl = Rl::empty();
        // Far more than a pipe holds: when it is written, rl has unpacked a part of it.
        let half = Tar::new().file("a", &"x".repeat(4 << 20)).0;
        let mut child = waiting_import(&rl, &half);
        child.kill().expect("kill");
        child.wait().expect("wait");
        let orphans = entries(&rl.root().join("staging"));
        assert_eq!(orphans.len(), 1);
        assert!(rl.run(&["images", "-q"]).success().stdout.is_empty());
        // One that is at work is left alone.
        let mut other = waiting_import(&rl, &half);
        import(&rl, &Tar::new().file("a", "").end(), &["x"]);
        let left = entries(&rl.root().join("staging"));
        assert!(left.len() == 1 && left != orphans, "{left:?}");
        other.stdin.take().expect("stdin").write_all(&[0; 1024]).expect("write");
        assert!(other.wait().expect("wait").success());
        assert!(entries(&rl.root().join("staging")).is_empty());
    }

    #[test]
    fn imports_side_by_side_all_succeed_and_keep_one_layer() {
        let rl = Rl::empty();
        let half = Tar::new().file("a", &"x".repeat(1 << 20)).0;
        let all: Vec<_> = (0..8).map(|_| waiting_import(&rl, &half)).collect();
        for mut child in all {
            child.stdin.take().expect("stdin").write_all(&[0; 1024]).expect("write");
            assert!(child.wait().expect("wait").success());
        }
        assert_eq!(images(&rl).len(), 1);
        assert!(layer(&rl).join("a").exists());
        assert!(entries(&rl.root().join("staging")).is_empty());
    }

    #[test]
    fn an_image_that_a_container_stands_on_is_not_removed() {
        let rl = Rl::empty();
        rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "busybox"]).success();
        let words = ["run", "--rm", "-i", "busybox", "sh", "-c", "echo ready; read line; ls /bin/busybox"];
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("ready");
        let refused = rl.run(&["rmi", "busybox"]).fails_with(1);
        assert!(refused.stderr.contains("RL0308"), "{}", refused.stderr);
        // Its name can go to another image meanwhile.
        import(&rl, &Tar::new().file("a", "").end(), &["busybox"]);
        running.close_stdin();
        let out = running.finish().success();
        assert!(out.stdout.ends_with("/bin/busybox\n"), "{}", out.stdout);
        let old = images(&rl).into_iter().find(|(name, _)| name.is_none()).expect("the old image").1;
        rl.run(&["rmi", &old, "busybox"]).success();
        assert_nothing_is_left(&rl, "rmi");
    }

    #[test]
    fn changes_are_in_the_configuration_of_a_run() {
        let rl = Rl::empty();
        let busybox = archive("busybox.tar");
        let busybox = busybox.to_string_lossy();
        let changes =
            ["-c", "ENV A=1 B=\"two words\"", "-c", "WORKDIR /tmp", "-c", "CMD [\"sh\", \"-c\", \"echo $A $B; pwd\"]"];
        let words = [&["import", "-q"][..], &changes, &[&busybox, "mine"]].concat();
        rl.run(&words).success();
        assert_eq!(rl.run(&["run", "--rm", "mine"]).success().stdout, "1 two words\n/tmp\n");
    }
}
