//! `rl cp`: docker's rules of what lands where, and row 6 of the attacks that rl must survive.

mod everywhere {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use crate::exec::Living;
    use crate::support::Rl;

    #[test]
    fn what_lands_where_is_as_in_docker() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "mkdir -p /there /tree/sub; echo in >/tree/sub/file; echo x >/file");
        let dir = rl.dir("here");
        let here = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let cp = |from: &str, to: &str| rl.run(&["cp", from, to]);
        cp("box:/tree", &here("new")).success();
        assert_eq!(read("new/sub/file"), "in\n");
        cp("box:/tree", &here("new")).success();
        assert_eq!(read("new/tree/sub/file"), "in\n");
        cp("box:/tree/.", &here("new")).success();
        cp("box:/file", &here("new/")).success();
        cp("box:file", &here("other")).success();
        assert_eq!((read("new/file"), read("other")), ("x\n".into(), "x\n".into()));
        cp("box:/file", &here("none/")).fails_with(125);
        cp("box:/file", &here("none/file")).fails_with(125);
        cp("box:/tree", &here("other")).fails_with(125);
        cp("box:/none", &here("x")).fails_with(125);
        cp("none:/file", &here("x")).fails_with(1);
        // The other way.
        fs::set_permissions(dir.join("other"), fs::Permissions::from_mode(0o750)).expect("chmod");
        cp(&here("other"), "box:/there").success();
        cp(&here("other"), "box:/there/renamed").success();
        cp(&here("new/."), "box:/there").success();
        cp(&here("new"), "box:/made").success();
        cp(&here("other"), "box:/nowhere/").fails_with(125);
        let out = living.exec(&[
            "box",
            "sh",
            "-c",
            "cat /there/other /there/renamed /there/sub/file /made/sub/file; stat -c '%a %u:%g' /there/other",
        ]);
        assert_eq!(out.success().stdout, "x\nx\nin\nin\n750 0:0\n");
        assert_eq!(
            fs::metadata(dir.join("new/sub/file")).expect("stat").uid(),
            fs::metadata(&dir).expect("stat").uid()
        );
        // The same by streams.
        let stream = rl.shell(&format!("{} cp box:/tree - | tar -tf - | sort", rl.binary().display())).success();
        assert_eq!(stream.stdout, "tree/\ntree/sub/\ntree/sub/file\n");
        let script = format!("tar -C {} -cf - new | {} cp - box:/there", dir.display(), rl.binary().display());
        rl.shell(&script).success();
        living.exec(&["box", "test", "-e", "/there/new/sub/file"]).success();
    }

    /// Row 6: names that change while they are copied.
    #[test]
    fn a_directory_that_becomes_a_link_and_back_leads_nowhere_else() {
        let rl = Rl::new();
        let canary = rl.canary();
        let out = rl.dir("out");
        let host = canary.path().to_string_lossy().into_owned();
        // The names of the canary are there inside, too, with something else in them.
        let make = format!(
            "mkdir -p {host} /x /real; echo inside >/real/secret; echo inside >{host}/secret; cp -r /real /dir"
        );
        let swap =
            format!("(while :; do mv /dir /x/dir; ln -s {host} /dir; rm /dir; mv /x/dir /dir; done) 2>/dev/null &");
        let _living = Living::start(&rl, &[], &format!("{make}; {swap}"));
        let file = rl.dir("in").join("file");
        fs::write(&file, "from outside").expect("write");
        for round in 0..100 {
            let to = out.join(format!("copy{round}"));
            let _ = rl.run(&["cp", "box:/dir", &to.to_string_lossy()]);
            let _ = rl.run(&["cp", "box:/dir/secret", &to.with_extension("file").to_string_lossy()]);
            let _ = rl.run(&["cp", &file.to_string_lossy(), "box:/dir/secret"]);
            let _ = rl.run(&["cp", &file.to_string_lossy(), "box:/dir/"]);
        }
        canary.is_untouched("cp");
        let mut seen = 0;
        for entry in fs::read_dir(&out).expect("list").flatten() {
            let path = if entry.path().is_dir() { entry.path().join("secret") } else { entry.path() };
            if let Ok(text) = fs::read_to_string(&path) {
                assert!(["inside\n", "from outside"].contains(&text.as_str()), "{}: {text}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 20, "only {seen} copies came through: the race proves nothing");
    }

    /// Row 6: what a container may leave for whoever copies.
    #[test]
    fn fifos_devices_links_and_trojans_do_no_harm() {
        let rl = Rl::new();
        let canary = rl.canary();
        let (out, there) = (rl.dir("out"), canary.path().to_string_lossy().into_owned());
        let trojans = "for name in tar gzip xz sh ld.so; do printf '#!/bin/busybox sh\\ntouch /executed\\n' >/t/$name; chmod 755 /t/$name; done";
        let script = format!(
            "mkdir /t; mkfifo /t/fifo; ln -s {there} /t/away; ln -s ../../../.. /t/up; {trojans}; cp -r /t/tar /bin/tar.new"
        );
        let living = Living::start(&rl, &[], &script);
        rl.run(&["cp", "box:/t", &out.to_string_lossy()]).success();
        assert_eq!(fs::read_link(out.join("t/away")).expect("a link").to_string_lossy(), there);
        rl.run(&["cp", "box:/t/fifo", &out.join("fifo").to_string_lossy()]).success();
        // A link that the first copy has brought is not written through by the second.
        living.exec(&["box", "sh", "-c", "rm /t/away; mkdir /t/away; echo bad >/t/away/secret"]).success();
        rl.run(&["cp", "box:/t", &out.to_string_lossy()]).fails_with(125);
        canary.is_untouched("links");
        living.exec(&["box", "test", "!", "-e", "/executed"]).success();
        // Streams whose names lead elsewhere.
        let pack = "tar -P --transform='s,^,../../,' -C / -cf - etc/hostname";
        rl.shell(&format!("{pack} | {} cp - box:/t", rl.binary().display())).fails_with(125);
        symlink("/nowhere", out.join("dangling")).expect("symlink");
        rl.run(&["cp", "box:/t/tar", &out.join("dangling").to_string_lossy()]).success();
        assert!(!out.join("dangling").is_symlink(), "what is there goes before the new file comes");
    }
}

mod full_map {
    use crate::exec::Living;
    use crate::support::Rl;

    #[test]
    fn owners_come_along_where_they_are_asked_for() {
        let rl = Rl::new();
        let living = Living::start(&rl, &["--init"], "mkdir /d; touch /d/f; chown 7:8 /d/f");
        let listed =
            rl.shell(&format!("{} cp box:/d - | tar --numeric-owner -tvf - | grep d/f", rl.binary().display()));
        assert!(listed.success().stdout.contains(" 7/8 "));
        let script = format!("{0} cp box:/d - | {0} cp - box:/tmp", rl.binary().display());
        living.exec(&["box", "mkdir", "-p", "/tmp"]).success();
        rl.shell(&script).success();
        assert_eq!(living.exec(&["box", "stat", "-c", "%u:%g", "/tmp/d/f"]).success().stdout, "7:8\n");
    }
}
