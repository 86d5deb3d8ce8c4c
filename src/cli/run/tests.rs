//! Whole command lines -> [`RunSpec`]. What needs more words than a line of a table is tested beside its parser.

use std::path::PathBuf;

use super::{args, resolve};
use crate::error::{Error, Result, catalog::command_line};
use crate::spec::{RunSpec, Share, Source, UserNs};

/// `rl run WORDS`, as far as the specification.
pub(super) fn resolved(words: &[&str]) -> Result<RunSpec> {
    let matches = args::command()
        .no_binary_name(true)
        .try_get_matches_from(words)
        .map_err(|error| Error::new(&command_line::USAGE, error.to_string()))?;
    resolve::resolve(&matches)
}

/// Flags, split at spaces, in front of an image and a command.
fn with(flags: &str) -> Result<RunSpec> {
    let words: Vec<_> = flags.split_whitespace().chain(["image", "cmd"]).collect();
    resolved(&words)
}

fn good(flags: &str) -> RunSpec {
    with(flags).unwrap_or_else(|error| panic!("{flags}: {error}"))
}

#[test]
fn without_flags_nothing_is_asked_for() {
    let run = good("");
    assert_eq!((run.source, run.command), (Source::Image("image".into()), vec!["cmd".to_owned()]));
    assert!(!run.interactive && !run.tty && !run.remove && !run.init && !run.read_only && !run.privileged);
    assert_eq!(
        (run.share, run.userns, run.umask, run.shm_size),
        (Share::default(), UserNs::Default, 0o022, 65_536_000)
    );
    assert!(run.entrypoint.is_none() && run.hostname.is_none() && run.name.is_none() && run.user.is_none());
}

#[test]
fn options_stop_at_the_image() {
    let run = resolved(&["--rm", "image", "cmd", "-it", "--privileged", "--", "--help"]).expect("a run");
    assert_eq!(run.command, ["cmd", "-it", "--privileged", "--", "--help"]);
    assert!(run.remove && !run.interactive && !run.privileged);
    let run = resolved(&["--rm", "--", "image", "--", "-i"]).expect("a run");
    assert_eq!((run.source, run.command), (Source::Image("image".into()), vec!["--".to_owned(), "-i".into()]));
}

#[test]
fn short_flags_cluster_and_take_their_value_in_any_way() {
    for words in ["-it", "-i -t", "-ti", "--interactive --tty", "-it --rm=false"] {
        let run = good(words);
        assert!(run.interactive && run.tty && !run.remove, "{words}");
    }
    for words in ["-w /x", "-w=/x", "-w/x", "--workdir /x", "--workdir=/x", "-itw /x", "-itw/x"] {
        assert_eq!(good(words).workdir.as_deref(), Some("/x"), "{words}");
    }
    assert_eq!(good("-h box").hostname.as_deref(), Some("box"));
}

#[test]
fn a_switch_takes_the_words_that_podman_takes() {
    for word in ["true", "TRUE", "t", "1"] {
        assert!(good(&format!("--rm={word}")).remove, "{word}");
    }
    for word in ["false", "False", "f", "0"] {
        assert!(!good(&format!("--rm --rm={word}")).remove, "{word}");
    }
    assert!(with("--rm=yes").is_err() && with("--rm=").is_err());
}

#[test]
fn the_last_of_several_values_wins_and_lists_grow() {
    assert_eq!(good("--name a --name b -w /x -w /y").name.as_deref(), Some("b"));
    assert_eq!(good("--cap-add a --cap-add b --cap-drop c").cap_add, ["a", "b"]);
    let pairs = good("-e A=1 -e B=2 -e A=3").env;
    assert_eq!(pairs.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[test]
fn no_image_says_what_to_type() {
    for (words, example) in
        [(vec![], "rl run IMAGE"), (vec!["--rm"], "rl run IMAGE"), (vec!["--rootfs"], "--rootfs DIR")]
    {
        let error = resolved(&words).expect_err("no image");
        assert!(error.remedy().contains(example), "{words:?}: {error}");
    }
}

#[test]
fn a_flag_that_does_not_exist_is_never_an_image() {
    for (flags, named) in [("--netwrok-alias=x", "--netwrok-alias"), ("-Y 1", "-Y")] {
        let error = with(flags).expect_err(flags);
        assert!(error.summary().contains(&format!("'{named}'")), "{flags}: {error}");
    }
}

#[test]
fn a_root_directory_may_have_an_overlay() {
    for (word, overlay) in [("/usr", false), ("/usr/", false), ("/usr:O", true)] {
        let run = resolved(&["--rootfs", word, "cmd"]).expect(word);
        assert_eq!(run.source, Source::Directory { path: PathBuf::from("/usr"), overlay }, "{word}");
        assert_eq!(run.command, ["cmd"]);
    }
    for bad in ["/nowhere/at/all", "/etc/passwd", "", ":O"] {
        assert!(resolved(&["--rootfs", bad, "cmd"]).is_err(), "{bad:?}");
    }
}

#[test]
fn an_entrypoint_is_one_word_or_a_json_array() {
    let entrypoint = |word| resolved(&["--entrypoint", word, "image"]).map(|run| run.entrypoint);
    assert_eq!(entrypoint("a b").expect("one"), Some(vec!["a b".to_owned()]));
    assert_eq!(entrypoint(r#"["a","b c"]"#).expect("two"), Some(vec!["a".to_owned(), "b c".into()]));
    assert_eq!(entrypoint("").expect("none"), Some(Vec::new()));
    assert!(entrypoint(r#"["a""#).is_err() && entrypoint("[1]").is_err());
}

#[test]
fn names_are_of_a_strict_pattern() {
    for fine in ["a", "A.b_c-9", &"x".repeat(128)] {
        assert_eq!(resolved(&["--name", fine, "image"]).expect(fine).name.as_deref(), Some(fine));
    }
    for bad in ["", "../x", "-rf", ".x", "_x", "a/b", "a b", "a\n", "%n%s/", "ä", &"x".repeat(300)] {
        assert!(resolved(&[&format!("--name={bad}"), "image"]).is_err(), "{bad:?}");
    }
}

#[test]
fn hostnames_fit_the_kernel() {
    for fine in ["a", "box.example.org", &"x".repeat(64)] {
        assert!(resolved(&["-h", fine, "image"]).is_ok(), "{fine}");
    }
    for bad in ["", "-x", ".x", "a b", "a\nb", "a/b", &"x".repeat(65)] {
        assert!(resolved(&[&format!("--hostname={bad}"), "image"]).is_err(), "{bad:?}");
    }
}

#[test]
fn namespaces_are_private_or_the_hosts() {
    let all = Share { pid: true, ipc: true, uts: true, network: true, cgroup: true };
    assert_eq!(good("--pid=host --ipc=host --uts=host --network=host --cgroupns=host").share, all);
    let none = "--pid=private --ipc=private --uts=private --network=none --cgroupns=private";
    assert_eq!(good(none).share, Share::default());
    assert_eq!(good("--net none").network, good("--network=none").network);
    for bad in ["--pid=container:x", "--ipc=x", "--network=a/b", "--cgroupns=x", "--uts=x"] {
        assert!(with(bad).is_err(), "{bad}");
    }
}

#[test]
fn contradictions_are_named() {
    for bad in [
        "--uts=host -h box",
        "--ipc=host --shm-size=1m",
        "--userns=keep-id --uidmap=0:0:1",
        "--network=host --sysctl=net.ipv4.ip_forward=1",
        "--ipc=host --sysctl=kernel.msgmax=1",
        "--uts=host --sysctl=kernel.domainname=x",
        "-v /tmp:/x --tmpfs /x",
        "--network=none --network=host",
        "--network=none --network-alias=x",
    ] {
        assert_eq!(with(bad).expect_err(bad).entry(), &command_line::CONFLICT, "{bad}");
    }
}

#[test]
fn user_namespaces_have_modes_and_maps() {
    assert_eq!(good("--userns=keep-id:uid=5").userns, UserNs::KeepId { uid: Some(5), gid: None });
    assert_eq!(good("--userns single").userns, UserNs::Single);
    let extent = subid::Extent { inside: 0, outside: 1, count: 9 };
    let custom = UserNs::Custom { uid: vec![extent], gid: vec![extent] };
    assert_eq!(good("--uidmap 0:1:9").userns, custom);
    assert_eq!(good("--gidmap 0:1:9").userns, custom);
    for bad in
        ["--userns=host", "--userns=x", "--uidmap=0", "--uidmap=0:1:0", "--gidmap=a:b:c", "--uidmap=0:4294967295:2"]
    {
        assert!(with(bad).is_err(), "{bad}");
    }
}

#[test]
fn pull_policies_are_docker_s_and_podman_s() {
    let want = |flags: &str| {
        let words: Vec<_> = flags.split_whitespace().chain(["image"]).collect();
        let matches = args::command().no_binary_name(true).try_get_matches_from(words).expect(flags);
        super::image::Want::of(&matches)
    };
    for fine in ["missing", "never", "newer", "always"] {
        assert!(want(&format!("--pull={fine}")).is_ok(), "{fine}");
    }
    assert!(want("--pull=sometimes").expect_err("no policy").summary().contains("--pull"));
}

#[test]
fn hosts_and_name_servers_are_addresses() {
    let run = good("--add-host a.b:10.0.0.1 --add-host c:::1 --add-host d:[::2] --dns 9.9.9.9 --dns ::1");
    let hosts = [("a.b", "10.0.0.1"), ("c", "::1"), ("d", "::2")].map(|(name, ip)| (name.to_owned(), ip.to_owned()));
    assert_eq!((run.add_hosts, run.dns), (hosts.to_vec(), vec!["9.9.9.9".to_owned(), "::1".into()]));
    for bad in
        ["--add-host a", "--add-host :1.2.3.4", "--add-host a:b", "--add-host #a:1.2.3.4", "--dns x", "--dns 1.2.3"]
    {
        assert!(with(bad).is_err(), "{bad}");
    }
    assert!(resolved(&["--add-host", "a\tb:1.2.3.4", "image"]).is_err());
}

#[test]
fn clocks_have_one_offset_or_two() {
    assert_eq!(good("--timens 5").time_offset, Some((5, 5)));
    assert_eq!(good("--timens -5:7").time_offset, Some((-5, 7)));
    for bad in ["x", "1:", ":1", "1:2:3", "1.5"] {
        assert!(with(&format!("--timens={bad}")).is_err(), "{bad}");
    }
}

#[test]
fn labels_come_from_files_and_flags() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "# comment\na=1\n\n b=2 \n").expect("write");
    let run = good(&format!("-l c -l a=3=4 --label-file {}", file.path().display()));
    let expected =
        [("a", "1"), ("b", "2"), ("c", ""), ("a", "3=4")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(run.labels, expected);
    assert!(with("-l =x").is_err() && with("--label-file /nowhere").is_err());
}

#[test]
fn the_rest_is_handed_on_as_it_was_typed() {
    let run =
        good("-u a:b --group-add c --group-add 7 --stop-signal INT --cidfile /x/y --init --read-only --privileged");
    assert_eq!((run.user.as_deref(), run.group_add), (Some("a:b"), vec!["c".to_owned(), "7".into()]));
    assert_eq!((run.stop_signal, run.cidfile), (Some(2), Some(PathBuf::from("/x/y"))));
    assert!(run.init && run.read_only && run.privileged);
}

#[test]
fn the_callers_groups_stand_alone() {
    let run = with("--group-add keep-groups").expect("flags");
    assert!(run.keep_groups && run.group_add.is_empty());
    assert!(with("--group-add keep-groups --group-add 5").expect_err("another").summary().contains("keep-groups"));
}

#[test]
fn an_error_names_the_flag_and_the_word() {
    for (flags, flag, word) in [
        ("--network=../magic", "--network", "../magic"),
        ("--ulimit nofiles=1", "--ulimit", "nofiles=1"),
        ("--shm-size 1q", "--shm-size", "1q"),
        ("--umask 9", "--umask", "9"),
        ("-v /tmp:x", "--volume", "\"x\""),
        ("--tmpfs x", "--tmpfs", "x"),
        ("--mount type=magic,dst=/x", "--mount", "magic"),
        ("--device x", "--device", "x"),
        ("--security-opt magic", "--security-opt", "magic"),
        ("--sysctl vm.swappiness=1", "--sysctl", "vm.swappiness=1"),
        ("--stop-signal NOPE", "--stop-signal", "NOPE"),
        ("--timens x", "--timens", "x"),
    ] {
        let summary = with(flags).expect_err(flags).summary();
        assert!(summary.contains(flag) && summary.contains(word), "{flags}: {summary}");
    }
}
