//! `--plan=shell`: the script, run by the same user, makes the same container.

mod everywhere {
    use std::path::Path;
    use std::process::Command;

    use crate::support::Rl;

    /// What must be the same: who, where, pid 1, rights, environment, and the mounts with their flags (the superblock's own flags
    /// and paths are not the container's; sorted, for the kernel lists them by when they were opened, not by where they are).
    const SCRIPT: &str = "id; hostname; echo $$; pwd; umask; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; env | sort; ls -a / /dev; \
                          awk '{ i = 7; while ($i != \"-\") i++; print $5, $6, $(i + 1) }' /proc/self/mountinfo | sort";

    fn by_script(rl: &Rl, words: &[&str]) -> String {
        let text = rl.run(words).success().stdout;
        assert!(text.starts_with("#!/bin/sh\n"), "{text}");
        let file = rl.dir("script").join("script.sh");
        std::fs::write(&file, text).expect("write");
        let out = Command::new("sh")
            .arg(&file)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .output()
            .expect("sh");
        assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn same(flags: &[&str], image: &[&str]) {
        let rl = Rl::new();
        let line = |plan: &[&'static str]| {
            let mut words: Vec<&str> = vec!["run", "--rm", "--hostname", "byhand"];
            words.extend(plan);
            words.extend(flags);
            words.extend(image);
            words.extend(["sh", "-c", SCRIPT]);
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let (run, plan) = (line(&[]), line(&["--plan=shell"]));

        let run = rl.run(&run.iter().map(String::as_str).collect::<Vec<_>>()).success().stdout;
        let script = by_script(&rl, &plan.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(script, run);
    }

    #[test]
    fn the_script_makes_the_same_container() {
        same(&[], &["busybox"]);
    }

    #[test]
    fn with_other_rights_a_tmpfs_a_volume_and_odd_words_too() {
        let rl = Rl::new();
        let dir = rl.dir("it's a, dir");
        std::fs::write(dir.join("file"), "x").expect("write");
        let mount = format!("type=bind,\"src={}\",dst=/v,ro", dir.display());
        same(
            &[
                "--cap-drop=all",
                "--cap-add=net_raw",
                "-e",
                "A=it's $HOME",
                "-w",
                "/tmp",
                "--umask",
                "0077",
                "--mount",
                &mount,
                "--tmpfs",
                "/t:size=1m",
            ],
            &["busybox"],
        );
    }

    #[test]
    fn the_script_ends_with_the_commands_status_and_leaves_nothing() {
        let rl = Rl::new();
        let text =
            rl.run(&["run", "--rm", "--plan=shell", "busybox", "sh", "-c", "touch /made; exit 7"]).success().stdout;
        let file = rl.dir("script").join("script.sh");
        std::fs::write(&file, text).expect("write");
        let tmp = rl.dir("script/tmp");
        let out = Command::new("sh").arg(&file).env("TMPDIR", &tmp).output().expect("sh");
        assert_eq!(out.status.code(), Some(7), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(std::fs::read_dir(&tmp).expect("list").count(), 0);
    }

    /// It begins anew in them, and whatever it had made before would stay. Only root may join those of a container that runs.
    #[test]
    fn a_script_that_joins_namespaces_leaves_nothing_either() {
        let rl = Rl::new();
        let mut web =
            rl.command(&["run", "--rm", "--name=web", "--network=none", "-i", "busybox", "cat"]).piped_stdin().spawn();
        web.type_in("up\n");
        web.wait_for_line("up");
        let text =
            rl.run(&["run", "--rm", "--plan=shell", "--network=container:web", "busybox", "true"]).success().stdout;
        let file = rl.dir("script").join("script.sh");
        std::fs::write(&file, text).expect("write");
        let tmp = rl.dir("script/tmp");
        let out = Command::new("timeout").args(["60", "sh"]).arg(&file).env("TMPDIR", &tmp).output().expect("sh");
        web.close_stdin();
        web.finish().success();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() || said.contains("nsenter"), "{}: {said}", out.status);
        assert_eq!(std::fs::read_dir(&tmp).expect("list").count(), 0);
    }

    #[test]
    fn no_plan_starts_or_makes_anything() {
        let rl = Rl::new();
        for format in ["shell", "oci", "json"] {
            rl.run(&["run", "--rm", &format!("--plan={format}"), "busybox", "true"]).success();
        }
        let left = |dir: &Path| std::fs::read_dir(dir).map_or(0, Iterator::count);
        assert_eq!(left(&rl.runroot()), 0, "no holder, no container");
        assert_eq!(left(&rl.root().join("containers")), 0);
    }

    #[test]
    fn the_oci_document_is_one() {
        let rl = Rl::new();
        let text = rl.run(&["run", "--rm", "--plan=oci", "-v", "/tmp:/t:ro", "busybox", "true"]).success().stdout;
        let spec: oci_spec::runtime::Spec = serde_json::from_str(&text).expect("an OCI specification");
        assert_eq!(spec.process().as_ref().and_then(|process| process.args().clone()), Some(vec!["true".to_owned()]));
        assert!(spec.linux().as_ref().is_some_and(|linux| linux.seccomp().is_some() && linux.uid_mappings().is_some()));
    }
}
