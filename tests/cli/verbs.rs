//! What is typed before anything is started.

use crate::support::Rl;

#[test]
fn no_verb_shows_what_there_is_and_is_an_error() {
    let out = Rl::empty().run(&[]).fails_with(125);
    assert!(out.stdout.contains("Usage: rl ") && out.stdout.contains("\n  run "), "{}", out.stdout);
}

#[test]
fn help_is_no_error() {
    let rl = Rl::empty();
    let asked = rl.run(&["--help"]).success();
    assert_eq!(asked.stderr, "");
    assert_eq!(rl.run(&["help"]).success().stdout, asked.stdout);
}

#[test]
fn every_verb_of_the_help_has_a_help_of_its_own() {
    let rl = Rl::empty();
    let all = rl.run(&["--help"]).success().stdout;
    let verbs: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(verbs.len() >= 6 && verbs.contains(&"run"), "{verbs:?}");
    for verb in verbs {
        let out = rl.run(&[verb, "--help"]).success();
        assert!(out.stdout.contains(&format!("Usage: rl {verb}")), "{verb}: {}", out.stdout);
        assert_eq!(out.stderr, "", "{verb}");
    }
}

#[test]
fn an_unknown_verb_names_its_neighbours() {
    let out = Rl::empty().run(&["runn"]).fails_with(125);
    assert!(out.stderr.contains("\"runn\"") && out.stderr.contains("run"), "{}", out.stderr);
    assert_eq!(out.stdout, "");
}

#[test]
fn an_unknown_flag_is_named_with_its_verb_and_no_container_starts() {
    let out = Rl::new().run(&["run", "--no-such-flag", "busybox", "echo", "started"]).fails_with(125);
    assert!(out.stderr.contains("rl run") && out.stderr.contains("--no-such-flag"), "{}", out.stderr);
    assert_eq!(out.stdout, "");
}

#[test]
fn a_wrong_word_of_a_flag_names_the_help_of_the_verb_that_was_typed() {
    let rl = Rl::empty();
    for (words, verb) in [
        (&["run", "--expose=x", "busybox"][..], "run"),
        (&["run", "--ulimit=x", "busybox"], "run"),
        (&["run", "--network=a:b=c", "busybox"], "run"),
        (&["create", "--expose=x", "busybox"], "create"),
        (&["create", "--egress=x", "busybox"], "create"),
        (&["container", "create", "--memory=x", "busybox"], "container create"),
        (&["update", "box"], "update"),
        (&["network", "create", "--subnet=x", "web"], "network create"),
        (&["network", "create", "--nothing", "web"], "network create"),
        (&["network", "nothing"], "network"),
        (&["port", "a", "b", "c"], "port"),
        (&["nothing"], ""),
    ] {
        let out = rl.run(words).fails_with(125);
        let help = format!("rl {verb} --help").replace("  ", " ");
        assert!(out.stderr.contains(&format!("See: {help}\n")) && out.stdout.is_empty(), "{words:?}: {}", out.stderr);
        rl.run(&help.split(' ').skip(1).collect::<Vec<_>>()).success();
    }
}

#[test]
fn flags_behind_the_image_are_the_commands_own() {
    let out = Rl::new().run(&["run", "--rm", "busybox", "echo", "--privileged", "--rm"]).success();
    assert_eq!(out.stdout, "--privileged --rm\n");
}

#[test]
fn an_error_is_printed_once_with_its_id_and_can_be_explained() {
    let rl = Rl::new();
    let out = rl.run(&["run", "--rm", "--pull=never", "no-such-image", "true"]).fails_with(125);
    let ids: Vec<&str> = out.stderr.split(|c: char| !c.is_alphanumeric()).filter(|word| is_id(word)).collect();
    assert!(!ids.is_empty(), "{}", out.stderr);
    assert_eq!(out.stderr.matches("rl: ").count(), 1, "{}", out.stderr);
    let explained = rl.run(&["explain", ids[0]]).success();
    assert!(explained.stdout.starts_with(ids[0]), "{}", explained.stdout);
    assert!(
        explained.stdout.contains("\nWhy: ") && explained.stdout.contains("\nWhat to do: "),
        "{}",
        explained.stdout
    );
}

/// `RL0201`.
fn is_id(word: &str) -> bool {
    word.strip_prefix("RL").is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[test]
fn an_id_that_does_not_exist_is_refused() {
    for id in ["RL9999", "RL", "", "-1", "RL99999999999999999999", "ÄÖ"] {
        let out = Rl::empty().run(&["explain", "--", id]).fails_with(125);
        assert_eq!(out.stdout, "", "{id}");
    }
}

#[test]
fn the_status_is_the_commands_own() {
    let rl = Rl::new();
    for status in [0, 1, 42, 125, 126, 127, 255] {
        rl.run(&["run", "--rm", "busybox", "sh", "-c", &format!("exit {status}")]).fails_with(status);
    }
    // With --init, for pid 1 can't be killed from inside.
    rl.run(&["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"]).fails_with(128 + 9);
}

#[test]
fn the_help_survives_a_reader_that_goes_away() {
    // `rl --help | head -1` must not end in a panic about a broken pipe.
    let rl = Rl::empty();
    let script = format!("{} run --help | head -n 1; echo ${{PIPESTATUS[0]}}", rl.binary().display());
    let out = rl.shell(&script).success();
    let last = out.stdout.lines().last().unwrap_or_default();
    assert!(["0", "141"].contains(&last), "{}{}", out.stdout, out.stderr);
    assert!(!out.stderr.contains("panicked"), "{}", out.stderr);
}
