//! Output of containers in the background: logs, attach, terminals.

mod everywhere {
    use crate::support::Rl;
    use crate::{Clean, background, eventually, inspect};

    #[test]
    fn both_streams_are_kept_apart_and_follow_ends_with_the_container() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "busybox", "sh", "-c", "echo out; echo err >&2; sleep 0.5; printf end"]);
        let out = rl.run(&["logs", "-f", "c"]).success();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\nend", "err\n"));
        let out = rl.run(&["logs", "-t", "--tail", "1", "c"]).success();
        let (time, text) = out.stdout.split_once(' ').expect("a time");
        assert!(text == "end" && time.ends_with('Z') && time.len() == 30, "{}", out.stdout);
    }

    #[test]
    fn several_containers_are_told_apart_and_followed_until_the_last_one_ends() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let script = |word: &str| format!("echo {word} first; read x; echo {word} last");
        let ids = ["a", "b"].map(|name| {
            rl.run(&["create", "-i", "--name", name, "busybox", "sh", "-c", &script(name)]).success().stdout[..12]
                .to_owned()
        });
        let mut clients = ["a", "b"].map(|name| rl.command(&["start", "-ai", name]).piped_stdin().spawn());
        clients[0].wait_for_line("a first");
        clients[1].wait_for_line("b first");
        let mut follower = rl.command(&["logs", "-f", "a", "b"]).spawn();
        follower.wait_for_line(&format!("{} a first", ids[0]));
        follower.wait_for_line(&format!("{} b first", ids[1]));
        for (index, client) in clients.into_iter().enumerate() {
            let mut client = client;
            client.type_in("go\n");
            client.finish().success();
            follower.wait_for_line(&format!("{} {} last", ids[index], ["a", "b"][index]));
        }
        follower.finish().success();
        let out = rl.run(&["logs", "--names", "--tail", "1", "a", "b"]).success().stdout;
        assert_eq!(out, "a a last\nb b last\n");
        let out = rl.run(&["logs", "--color", "--tail", "1", "a", "b"]).success().stdout;
        let painted = |color: u8, id: &str, name: &str| format!("\x1b[{color}m{id} {name} last\x1b[0m\n");
        assert_eq!(out, painted(37, &ids[0], "a") + &painted(31, &ids[1], "b"));
        let out = rl.run(&["logs", "nosuch", "a"]).fails_with(1);
        assert!(out.stdout.contains(" a last") && out.stderr.contains("nosuch"), "{}", out.stderr);
        assert_eq!(rl.run(&["logs", "-l"]).success().stdout, "b first\nb last\n");
        rl.run(&["logs", "-l", "a"]).fails_with(125);
    }

    #[test]
    fn since_and_until_cut_by_time() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "busybox", "sh", "-c", "echo one; sleep 1.2; echo two"]);
        rl.run(&["wait", "c"]).success();
        let stamps = rl.run(&["logs", "-t", "c"]).success().stdout;
        let second = stamps.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a time").to_owned();
        assert_eq!(rl.run(&["logs", "--since", &second, "c"]).success().stdout, "two\n");
        let first = stamps.split(' ').next().expect("a time");
        assert_eq!(rl.run(&["logs", "--until", first, "c"]).success().stdout, "one\n");
        assert_eq!(rl.run(&["logs", "--since", "1h", "c"]).success().stdout, "one\ntwo\n");
        // As in docker: a date without a zone is in the caller's own. UTC-5 is POSIX for five hours east of Greenwich.
        let date = |form: &str| {
            let date = std::process::Command::new("date").args(["-d", "1 hour ago", form]).env("TZ", "UTC-5").output();
            String::from_utf8(date.expect("date").stdout).expect("text").trim().to_owned()
        };
        for (form, zone, shown) in [
            ("+%Y-%m-%dT%H:%M:%S", "UTC-5", "one\ntwo\n"),
            ("+%Y-%m-%dT%H:%M:%S.%N", "UTC-5", "one\ntwo\n"),
            ("+%Y-%m-%dT%H:%M", "UTC-5", "one\ntwo\n"),
            ("+%Y-%m-%dT%H:%M:%S%:z", "UTC", "one\ntwo\n"),
            ("+%Y-%m-%dT%H:%M:%S", "UTC", ""),
        ] {
            let since = date(form);
            let out = rl.command(&["logs", "--since", &since, "c"]).env("TZ", zone).output().success();
            assert_eq!(out.stdout, shown, "{since} in {zone}");
        }
    }

    #[test]
    fn a_follower_sees_every_line_across_rotation() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
        let options = ["--log-opt", "max-size=40k", "--log-opt", "max-file=4"];
        background(
            &rl,
            &[&["--name", "c"][..], &options, &["busybox", "sh", "-c", &format!("read x; {script}")]].concat(),
        );
        // Without -i its stdin is empty, so it begins at once; what matters is that the last lines are all there.
        rl.run(&["wait", "c"]).success();
        let out = rl.run(&["logs", "c"]).success().stdout;
        let lines: Vec<_> = out.lines().collect();
        let first = 3000 - lines.len();
        assert!(lines.len() > 500, "{} lines", lines.len());
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("line {}", first + number));
        }
    }

    #[test]
    fn what_is_typed_reaches_the_container_and_the_end_of_input_as_well() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "-i", "--name", "c", "busybox", "sh", "-c", "cat; echo done; exit 6"]).success();
        let out = rl.command(&["start", "-ai", "c"]).stdin("typed\n").output().fails_with(6);
        assert_eq!(out.stdout, "typed\ndone\n");
        assert_eq!(rl.run(&["logs", "c"]).success().stdout, "typed\ndone\n");
    }

    #[test]
    fn several_clients_are_attached_at_once_and_all_hear_the_end() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(
            &rl,
            &[
                "-i",
                "--name",
                "c",
                "busybox",
                "sh",
                "-c",
                "while read line; do echo got $line; [ $line = end ] && exit 4; done",
            ],
        );
        let mut first = rl.command(&["attach", "c"]).piped_stdin().spawn();
        let mut second = rl.command(&["attach", "c"]).piped_stdin().spawn();
        for _ in 0..200 {
            // Whoever is attached late has missed some, which is what attach means.
            let out = rl.command(&["attach", "c"]).stdin("more\n").spawn();
            drop(out);
            if rl.run(&["logs", "c"]).stdout.lines().count() > 3 {
                break;
            }
        }
        let mut last = rl.command(&["attach", "c"]).piped_stdin().spawn();
        last.type_in("end\n");
        first.wait_for_line("got end");
        second.wait_for_line("got end");
        for client in [first, second, last] {
            assert_eq!(client.finish().code(), 4);
        }
    }

    #[test]
    fn output_while_nobody_is_attached_goes_to_the_log_alone_and_stops_nobody() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "busybox", "sh", "-c", "yes | head -c 3000000; echo; echo end"]);
        assert_eq!(rl.run(&["wait", "c"]).success().stdout, "0\n");
        let out = rl.run(&["logs", "c"]).success().stdout;
        assert_eq!(out.len(), 3_000_000 + 5);
    }

    #[test]
    fn a_terminal_in_the_background_is_one() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["-t", "--name", "c", "busybox", "sh", "-c", "tty; stty size; sleep 0.2"]);
        rl.run(&["wait", "c"]).success();
        let out = rl.run(&["logs", "c"]).success().stdout;
        assert!(out.starts_with("/dev/"), "{out:?}");
        assert_eq!(inspect(&rl, "c", "{{.Config.Tty}}"), "true");
    }

    #[test]
    fn logs_are_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "busybox", "echo", "secret"]);
        rl.run(&["wait", "c"]).success();
        let path = inspect(&rl, "c", "{{.LogPath}}");
        eventually("it is there", || std::fs::metadata(&path).is_ok());
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
