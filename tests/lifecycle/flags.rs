//! Flags of `rl run` that podman's users type: the environment, files of /etc, what ends a container by itself.

use crate::support::Rl;

/// Not even tried, and why.
fn refused(rl: &Rl, words: &[&str], id: &str) {
    let out = rl.run(words).fails_with(125);
    assert!(out.stderr.contains(id), "{words:?}: {}", out.stderr);
}

mod everywhere {
    use super::refused;
    use crate::support::{Rl, missing};
    use crate::{Clean, background, inspect};

    fn lines(rl: &Rl, words: &[&str]) -> Vec<String> {
        rl.run(&[&["run", "--rm", "--network", "none"], words].concat())
            .success()
            .stdout
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn variables_that_nobody_has_typed_can_be_taken_away_and_changed() {
        let rl = Rl::new();
        let mut bare = lines(&rl, &["--unsetenv-all", "-e", "A=1", "--hostname", "box", "busybox", "/bin/env"]);
        bare.sort();
        assert_eq!(bare, ["A=1", "HOME=/root", "HOSTNAME=box"]);
        let unset = lines(&rl, &["--unsetenv", "container", "--unsetenv", "A", "-e", "A=1", "busybox", "env"]);
        assert!(
            unset.contains(&"A=1".to_owned()) && !unset.iter().any(|line| line.starts_with("container=")),
            "{unset:?}"
        );
        let merged = lines(&rl, &["--env-merge", "PATH=/opt:${PATH}", "busybox", "sh", "-c", "echo $PATH"]);
        assert!(merged[0].starts_with("/opt:/usr/local/sbin:"), "{merged:?}");
        refused(&rl, &["run", "--env-merge", "PATH", "busybox", "true"], "RL0101");
    }

    #[test]
    fn all_of_the_callers_variables_come_along_when_that_is_asked_for_and_are_below_those_that_were_typed() {
        let rl = Rl::new();
        let script = "echo $RL_TEST_ONE-$RL_TEST_TWO";
        let words = [
            "run",
            "--rm",
            "--network",
            "none",
            "--env-host",
            "-e",
            "RL_TEST_TWO=typed",
            "busybox",
            "sh",
            "-c",
            script,
        ];
        let out = rl.command(&words).env("RL_TEST_ONE", "one").env("RL_TEST_TWO", "two").output();
        assert_eq!(out.success().stdout, "one-typed\n");
        let out =
            rl.command(&["run", "--rm", "--network", "none", "busybox", "sh", "-c", script]).env("RL_TEST_ONE", "one");
        assert_eq!(out.output().success().stdout, "-\n");
    }

    /// Needs the host's time zones (Debian's tzdata).
    #[test]
    fn a_time_zone_is_the_hosts_file_whatever_the_image_has() {
        if !std::path::Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists() {
            missing("time zones below /usr/share/zoneinfo");
            return;
        }
        let rl = Rl::new();
        assert_eq!(lines(&rl, &["--tz", "Asia/Tokyo", "busybox", "date", "+%Z"]), ["JST"]);
        // A link to where there is nothing, as small images have it.
        let root = rl.busybox_root();
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Etc/UTC", root.join("etc/localtime")).expect("a link");
        let root = format!("{}:O", root.display());
        assert_eq!(lines(&rl, &["--tz", "Asia/Tokyo", "--rootfs", &root, "date", "+%Z"]), ["JST"]);
        for bad in ["Nowhere/AtAll", "../../../etc/passwd", "/etc/passwd"] {
            refused(&rl, &["run", "--rm", "--tz", bad, "busybox", "true"], "RL0101");
        }
    }

    #[test]
    fn files_of_etc_are_the_images_own_when_that_is_asked_for() {
        let rl = Rl::new();
        let script = "ls /etc; cat /etc/hosts 2>/dev/null | wc -l";
        let seen = lines(&rl, &["--no-hosts", "--no-hostname", "busybox", "sh", "-c", script]);
        assert!(!seen.contains(&"hosts".to_owned()) && !seen.contains(&"hostname".to_owned()), "{seen:?}");
        assert!(seen.contains(&"resolv.conf".to_owned()), "{seen:?}");
        refused(&rl, &["run", "--no-hosts", "--add-host", "a:127.0.0.1", "busybox", "true"], "RL0102");
    }

    #[test]
    fn a_container_is_killed_when_its_time_is_over() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let out = rl.run(&["run", "--rm", "--network", "none", "--timeout", "1", "busybox", "sleep", "600"]);
        assert_eq!(out.code(), 137, "{}", out.stderr);
        background(&rl, &["--name", "box", "--network", "none", "--timeout", "1", "busybox", "sleep", "600"]);
        assert_eq!(rl.run(&["wait", "box"]).success().stdout, "137\n");
        assert_eq!(inspect(&rl, "box", "{{.Config.Timeout}} {{.State.Status}}"), "1 exited");
        // One that ends before is left alone.
        let out = rl.run(&["run", "--rm", "--network", "none", "--timeout", "60", "busybox", "sh", "-c", "exit 3"]);
        assert_eq!(out.code(), 3);
        refused(&rl, &["run", "--timeout", "soon", "busybox", "true"], "RL0101");
    }

    #[test]
    fn only_the_streams_that_were_asked_for_are_shown() {
        let rl = Rl::new();
        let script = "echo out; echo err >&2";
        let of = |stream| {
            rl.run(&["run", "--rm", "--network", "none", "-a", stream, "busybox", "sh", "-c", script]).success()
        };
        let (out, err) = (of("stdout"), of("STDERR"));
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", ""));
        assert_eq!((err.stdout.as_str(), err.stderr.as_str()), ("", "err\n"));
        let words = ["run", "--rm", "-i", "--network", "none", "-a", "stdin", "-a", "stdout", "busybox", "cat"];
        assert_eq!(rl.command(&words).stdin("typed").output().success().stdout, "typed");
        for bad in [&["-a", "stdlog"][..], &["-d", "-a", "stdout"], &["-t", "-a", "stderr"], &["--sig-proxy=false"]] {
            let out = rl.run(&[&["run", "--rm"], bad, &["busybox", "true"]].concat());
            assert_eq!(out.code(), 125, "{bad:?}");
        }
    }

    #[test]
    fn numbers_of_processes_are_in_files_when_the_command_runs() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let dir = rl.dir("files");
        let (own, watcher) = (dir.join("own"), dir.join("watcher"));
        let (one, other) = (own.display().to_string(), watcher.display().to_string());
        let flags = ["--name", "box", "--network", "none", "--pidfile", &one, "--conmon-pidfile", &other];
        background(&rl, &[&flags[..], &["busybox", "sleep", "600"]].concat());
        let read = || [&own, &watcher].map(|path| std::fs::read_to_string(path).expect("a number"));
        let told = || inspect(&rl, "box", "{{.State.Pid}} {{.State.ConmonPid}}");
        let first = read();
        assert_eq!(first.join(" "), told());
        rl.run(&["restart", "-t", "0", "box"]).success();
        assert_eq!(read().join(" "), told());
        assert_ne!(read(), first);
        assert_eq!(inspect(&rl, "box", "{{.PidFile}} {{.ConmonPidFile}}"), format!("{one} {other}"));
    }

    #[test]
    fn an_image_goes_with_its_container_unless_another_one_needs_it() {
        let rl = Rl::empty();
        let _clean = Clean(&rl);
        let archive = crate::support::archive("busybox.tar").display().to_string();
        let import = || rl.run(&["import", "-q", &archive, "busybox"]).success();
        let there = || !rl.run(&["images", "-q"]).success().stdout.is_empty();
        import();
        assert_eq!(rl.run(&["run", "--rmi", "--network", "none", "busybox", "sh", "-c", "exit 4"]).code(), 4);
        assert!(!there() && rl.run(&["ps", "-aq"]).success().stdout.is_empty());
        import();
        background(&rl, &["--rmi", "--name", "box", "--network", "none", "busybox", "sh", "-c", "read x || sleep 600"]);
        rl.run(&["kill", "box"]).success();
        crate::eventually("the image goes", || !there());
        import();
        rl.run(&["create", "--name", "other", "--network", "none", "busybox", "true"]).success();
        let out = rl.run(&["run", "--rmi", "--network", "none", "busybox", "true"]).success();
        assert!(there() && out.stderr.is_empty(), "{}", out.stderr);
        refused(&rl, &["run", "--rmi", "--rm=false", "busybox", "true"], "RL0102");
    }

    #[test]
    fn descriptors_of_the_caller_are_passed_on_when_they_are_counted() {
        let rl = Rl::new();
        let dir = rl.dir("given");
        std::fs::write(dir.join("three"), "three\n").expect("write");
        std::fs::write(dir.join("four"), "four\n").expect("write");
        let at = dir.display();
        let binary = rl.binary().display().to_string();
        let run = format!("{binary} run --rm --network none");
        let script = "cat <&3; cat <&4; ls /proc/self/fd | grep -c '^[5-9]$'";
        let out = rl.shell(&format!(
            "{run} --preserve-fds 2 busybox sh -c \"{script}\" 3<{at}/three 4<{at}/four 5</etc/passwd"
        ));
        // ls has one of its own open, the directory.
        assert_eq!(out.stdout, "three\nfour\n1\n", "{}", out.stderr);
        let out = rl.shell(&format!("{run} busybox sh -c 'cat <&3' 3<{at}/three"));
        assert!(out.code() != 0 && out.stdout.is_empty(), "{}", out.stdout);
        let out = rl.shell(&format!("{run} --preserve-fds 2 busybox true 3<{at}/three 4<&-"));
        assert!(out.code() == 125 && out.stderr.contains("descriptor 4 is not open"), "{}", out.stderr);
    }

    #[test]
    fn an_exec_has_descriptors_of_its_caller_too() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let dir = rl.dir("given");
        std::fs::write(dir.join("three"), "three\n").expect("write");
        let (at, binary) = (dir.display(), rl.binary().display().to_string());
        let cidfile = dir.join("cid").display().to_string();
        background(&rl, &["--name", "box", "--network", "none", "--cidfile", &cidfile, "busybox", "sleep", "600"]);
        let out = rl.shell(&format!("{binary} exec --preserve-fds 1 box sh -c 'cat <&3' 3<{at}/three"));
        assert_eq!(out.success().stdout, "three\n");
        let out = rl.shell(&format!("{binary} exec box sh -c 'cat <&3' 3<{at}/three"));
        assert!(out.code() != 0 && out.stdout.is_empty(), "{}", out.stdout);
        assert_eq!(rl.run(&["exec", "--preserve-fds", "1", "-d", "box", "true"]).code(), 125);
        assert_eq!(rl.run(&["exec", "--cidfile", &cidfile, "echo", "here"]).success().stdout, "here\n");
    }

    #[test]
    fn words_of_the_document_are_in_it() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "--name", "box", "--annotation", "a=b=c", "--domainname", "example.org", "busybox", "true"])
            .success();
        let template = "{{.Config.Annotations.a}} {{.HostConfig.Annotations.a}} {{.Config.Domainname}}";
        assert_eq!(inspect(&rl, "box", template), "b=c b=c example.org");
        let out = rl.run(&["run", "--plan=oci", "--annotation", "a=b", "busybox", "true"]).success();
        let document: serde_json::Value = serde_json::from_str(&out.stdout).expect("JSON");
        assert_eq!(document["annotations"]["a"], "b");
        let script = "cat /proc/sys/kernel/domainname; uname -m";
        let seen =
            lines(&rl, &["--domainname", "example.org", "--personality", "LINUX32", "busybox", "sh", "-c", script]);
        assert_eq!(seen[0], "example.org");
        assert_ne!(seen[1], nix::sys::utsname::uname().expect("uname").machine().to_string_lossy());
        refused(&rl, &["run", "--personality", "BSD", "busybox", "true"], "RL0101");
        refused(&rl, &["run", "--annotation", "a", "busybox", "true"], "RL0101");
    }

    #[test]
    fn an_images_volumes_are_what_the_flag_says() {
        let rl = Rl::empty();
        let _clean = Clean(&rl);
        let archive = crate::support::archive("busybox.tar").display().to_string();
        rl.run(&["import", "-q", "-c", "VOLUME /data", &archive, "with"]).success();
        let script =
            "grep -c ' /data ' /proc/self/mountinfo; grep ' /data ' /proc/self/mountinfo | grep -c tmpfs; true";
        let of = |mode: &str| lines(&rl, &["--image-volume", mode, "with", "sh", "-c", script]).join(" ");
        assert_eq!(of("ignore"), "0 0");
        assert_eq!(of("tmpfs"), "1 1");
        assert!(of("bind").starts_with("1 ") && of("anonymous").starts_with("1 "));
        rl.run(&["create", "--image-volume", "ignore", "with", "true"]).success();
        assert!(rl.run(&["volume", "ls", "-q"]).success().stdout.is_empty());
        refused(&rl, &["run", "--image-volume", "some", "with", "true"], "RL0101");
    }

    #[test]
    fn a_read_only_container_has_memory_to_write_to_unless_it_is_told_otherwise() {
        let rl = Rl::new();
        let touch = |flags: &[&str]| {
            rl.run(
                &[&["run", "--rm", "--network", "none", "--read-only"], flags, &["busybox", "touch", "/tmp/x"]]
                    .concat(),
            )
        };
        touch(&[]).success();
        assert_ne!(touch(&["--read-only-tmpfs=false"]).code(), 0);
    }

    #[test]
    fn the_platform_has_podmans_words_too() {
        let rl = Rl::new();
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        rl.run(&["run", "--rm", "--network", "none", "--arch", arch, "--os", "linux", "busybox", "true"]).success();
        let out = rl.run(&["run", "--rm", "--pull", "never", "--arch", "s390x", "busybox", "true"]);
        assert_eq!(out.code(), 125);
        refused(&rl, &["run", "--os", "windows", "busybox", "true"], "RL0101");
        refused(&rl, &["run", "--platform", "linux/amd64", "--variant", "v7", "busybox", "true"], "RL0102");
    }

    #[test]
    fn a_flag_that_is_not_here_says_why_and_what_to_do() {
        let rl = Rl::new();
        for (words, why) in [
            (&["run", "--pod", "web", "busybox"][..], "--network"),
            (&["create", "--secret=x", "busybox"], "-v ./secret"),
            (&["run", "--gpus", "all", "busybox"], "--device"),
            (&["ps", "-p"], "network="),
            (&["pod", "ls"], "network"),
            (&["container", "checkpoint", "x"], "rl pause"),
        ] {
            let out = rl.run(words);
            refused(&rl, words, "RL0105");
            assert!(out.stderr.contains(why), "{words:?}");
        }
        refused(&rl, &["run", "--no-such-flag", "busybox"], "RL0101");
        refused(&rl, &["run", "--log-driver", "journald", "busybox", "true"], "RL0101");
        refused(&rl, &["run", "--sdnotify", "container", "busybox", "true"], "RL0101");
    }
}

mod as_root {
    use std::process::Command;

    use super::refused;
    use crate::support::{Line, Rl};

    /// Needs another group than the own one, which root may give itself.
    #[test]
    fn groups_of_the_caller_are_kept_when_that_is_asked_for() {
        let rl = Rl::new();
        let of = |flags: &[&str]| {
            let mut command = Command::new("setpriv");
            command
                .args(["--groups", "0,4242"])
                .arg(rl.binary())
                .arg("--root")
                .arg(rl.root())
                .arg("--runroot")
                .arg(rl.runroot());
            command.args(["run", "--rm", "--network", "none"]).args(flags).args([
                "busybox",
                "grep",
                "Groups",
                "/proc/self/status",
            ]);
            let out = Line::new(command, "setpriv rl run".into()).output().success();
            out.stdout.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        // An id that nobody in the container has shows as nobody's.
        assert_eq!(of(&["--group-add", "keep-groups"]), ["0", "65534"]);
        assert_eq!(of(&[]), ["0"]);
        refused(&rl, &["run", "--group-add", "keep-groups", "--group-add", "5", "busybox", "true"], "RL0102");
    }
}
