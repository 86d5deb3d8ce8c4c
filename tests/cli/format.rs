//! `--format` and filters through the real binary, and Go's templates compared with podman's answers to the same ones.

use rl::cli::format::Format;
use serde_json::Value;

use crate::support::{Rl, archive, missing};

/// A store with `busybox` of two tags, labelled, and an image without a name.
fn filled() -> Rl {
    let rl = Rl::empty();
    let file = archive("busybox.tar");
    let file = file.to_str().expect("UTF-8");
    rl.run(&["import", "-q", "-c", "LABEL tier=web", file, "app:one"]).success();
    rl.run(&["import", "-q", "-c", "LABEL tier=db extra=1", file, "app:two"]).success();
    rl.run(&["import", "-q", "-m", "has no name", file]).success();
    rl
}

fn lines(rl: &Rl, words: &[&str]) -> Vec<String> {
    let mut all = vec!["images"];
    all.extend(words);
    let mut lines: Vec<String> = rl.run(&all).success().stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_table_has_dockers_columns() {
    let rl = filled();
    let listed = rl.run(&["images"]).success().stdout;
    let header = listed.lines().next().expect("a header");
    assert_eq!(
        header.split("  ").filter(|word| !word.is_empty()).map(str::trim).collect::<Vec<_>>(),
        ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    );
    let row = listed.lines().find(|line| line.starts_with("app")).expect("a row");
    assert!(row.contains(" ago ") && row.ends_with("MB") && !row.ends_with(" MB"), "{row}");
    // Columns stand below their headers.
    let place = header.find("IMAGE ID").expect("a column");
    assert!(listed.lines().skip(1).all(|line| line.as_bytes()[place - 1] == b' ' && line.as_bytes()[place] != b' '));
    assert!(rl.run(&["images", "--digests"]).success().stdout.contains("DIGEST"));
}

#[test]
fn ids_are_short_unless_asked_for_whole() {
    let rl = filled();
    let short = lines(&rl, &["-q"]);
    assert!(short.len() == 3 && short.iter().all(|id| id.len() == 12), "{short:?}");
    let whole = lines(&rl, &["-q", "--no-trunc", "-a"]);
    assert!(whole.iter().all(|id| id.len() == 71 && id.starts_with("sha256:")), "{whole:?}");
    assert!(whole.iter().zip(&short).all(|(whole, short)| whole[7..].starts_with(short.as_str())));
    // As in docker, a template is stronger than -q.
    assert_eq!(lines(&rl, &["-q", "--format", "{{.Tag}}", "app"]), ["one", "two"]);
}

#[test]
fn json_is_an_array_and_the_function_one_object_a_line() {
    let rl = filled();
    let array = rl.run(&["images", "--format", "json"]).success().stdout;
    let array: Vec<Value> = serde_json::from_str(&array).expect("an array");
    assert_eq!(array.len(), 3);
    let of = |tag: &str| array.iter().find(|row| row["Tag"] == tag).expect(tag);
    assert_eq!(of("two")["Labels"], serde_json::json!({ "tier": "db", "extra": "1" }));
    assert_eq!(of("<none>")["Repository"], "<none>");
    let lines = rl.run(&["images", "--format", "{{json .}}"]).success().stdout;
    let each: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let ids = |rows: &[Value]| rows.iter().map(|row| row["ID"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&each), ids(&array));
}

#[test]
fn filters_and_names_choose_images() {
    let rl = filled();
    let tags = |words: &[&str]| {
        let mut all = vec!["--format", "{{.Tag}}"];
        all.extend(words);
        lines(&rl, &all)
    };
    assert_eq!(tags(&["--filter", "dangling=true"]), ["<none>"]);
    assert_eq!(tags(&["-f", "dangling=false"]), ["one", "two"]);
    assert_eq!(tags(&["-f", "label=tier"]), ["one", "two"]);
    assert_eq!(tags(&["-f", "label=tier=db"]), ["two"]);
    assert_eq!(tags(&["-f", "reference=a*:o*"]), ["one"]);
    assert_eq!(tags(&["docker.io/library/app:two"]), ["two"]);
    assert_eq!(tags(&["nothing"]), [""; 0]);
    let out = rl.run(&["images", "-f", "before=never-was"]).fails_with(125);
    assert!(out.stderr.contains("never-was"), "{}", out.stderr);
    let out = rl.run(&["images", "-f", "color=red"]).fails_with(125);
    assert!(out.stderr.contains("reference"), "{}", out.stderr);
}

#[test]
fn an_unknown_field_is_an_error_with_those_that_there_are() {
    let rl = filled();
    let out = rl.run(&["images", "--format", "{{.Name}}"]).fails_with(125);
    assert!(out.stdout.is_empty() && out.stderr.contains("no field .Name"), "{}", out.stderr);
    assert!(out.stderr.contains("CreatedAt") && out.stderr.contains("Repository"), "{}", out.stderr);
    let out = rl.run(&["images", "--format", "{{.ID"]).fails_with(125);
    assert!(out.stderr.contains("{{.ID"), "{}", out.stderr);
}

/// Of a script that is tried on an empty machine, too.
#[test]
fn what_is_no_template_is_an_error_without_rows_too() {
    let rl = Rl::empty();
    for verb in [
        "ps",
        "ps -q",
        "images",
        "images -q",
        "volume ls",
        "network ls",
        "stats --no-stream",
        "events --stream=false",
        "image inspect none",
        "volume inspect none",
        "volume inspect -a",
        "network inspect none",
        "inspect none",
        "history none",
        "system df",
        "info",
        "search none",
    ] {
        for bad in ["{{nosuch .}}", "{{if .ID}}{{nosuch .}}{{end}}", "{{range .}}{{$x}}{{end}}", "{{.ID", "{{end}}"] {
            let words: Vec<_> = verb.split(' ').chain(["--format", bad]).collect();
            let out = rl.run(&words).fails_with(125);
            assert!(out.stdout.is_empty(), "{verb}: {}", out.stdout);
            assert!(out.stderr.contains("RL0101") && out.stderr.contains("--format"), "{verb} {bad}: {}", out.stderr);
        }
    }
    // A table is not headed before the mistake is found.
    for verb in ["ps", "images", "volume ls"] {
        let words: Vec<_> = verb.split(' ').chain(["--format", "table {{.ID}}{{if .ID}}{{nosuch .}}{{end}}"]).collect();
        assert_eq!(rl.run(&words).fails_with(125).stdout, "", "{verb}");
    }
}

#[test]
fn a_label_cannot_steer_the_terminal_but_a_pipe_gets_it_as_it_is() {
    let rl = Rl::empty();
    let file = archive("busybox.tar");
    let file = file.to_str().expect("UTF-8");
    rl.run(&["import", "-q", "-c", "LABEL evil=\x1b]52;c;aGk=\x07\u{202e}", file, "evil"]).success();
    let piped = rl.run(&["images", "--format", "{{.Labels.evil}}"]).success().stdout;
    assert_eq!(piped, "\x1b]52;c;aGk=\x07\u{202e}\n");
    // script(1) gives it a terminal.
    let line = format!(
        "script -qec \"{} images --format '{{{{.Labels.evil}}}} {{{{.Tag}}}}'\" /dev/null </dev/null",
        rl.binary().display()
    );
    let shown = rl.shell(&line).success().stdout;
    assert!(shown.contains("\\u001b]52;c;aGk=\\u0007\\u202e latest"), "{shown:?}");
    assert!(!shown.contains('\x1b') && !shown.contains('\u{202e}'), "{shown:?}");
}

/// Podman itself does not run as root of a namespace with one id, and once is enough.
mod as_user {
    use super::*;

    /// podman in a home of its own.
    struct Podman(tempfile::TempDir);

    impl Podman {
        /// None: there is none that works.
        fn new() -> Option<Self> {
            let podman = Self(tempfile::tempdir().expect("a home"));
            let works = podman.says("json").is_some_and(|(worked, _)| worked);
            if works {
                return Some(podman);
            }
            missing("a podman that works");
            None
        }

        fn command(&self) -> std::process::Command {
            let mut command = std::process::Command::new("podman");
            command.env("HOME", self.0.path()).env("XDG_RUNTIME_DIR", self.0.path());
            command
        }

        /// Its answer to a template.
        fn says(&self, format: &str) -> Option<(bool, String)> {
            let output = self.command().args(["version", "--format", format]).output().ok()?;
            Some((output.status.success(), String::from_utf8(output.stdout).expect("UTF-8")))
        }
    }

    impl Drop for Podman {
        /// Ends the process that holds podman's namespace, which its first verb has started.
        fn drop(&mut self) {
            let _ = self.command().args(["system", "migrate"]).output();
        }
    }

    #[test]
    fn templates_mean_what_they_mean_to_podman() {
        let Some(podman) = Podman::new() else { return };
        let (_, text) = podman.says("json").expect("an answer");
        let row: Value = serde_json::from_str(&text).expect("JSON");
        for template in [
            "{{.Client.Version}}",
            "{{ .Client.Os }}/{{- .Client.OsArch }}",
            "{{json .Client.GoVersion}}",
            "{{.Client.Version | printf \"%10s|%-10s|%q\" \"a\" \"b\"}}",
            "{{printf \"%d %x %05d %v %t\" .Client.Built 255 7 .Client.Built true}}",
            "{{len .Client.Version}} {{index .Client.Version 0}} {{slice .Client.Version 1 3}}",
            "{{if eq .Client.Os \"linux\"}}yes{{else}}no{{end}}",
            "{{if ne .Client.Os \"linux\"}}a{{else if gt 1 2}}b{{else}}c{{end}}",
            "{{with .Client}}{{.Os}}{{$.Client.Os}}{{end}}{{with \"\"}}x{{else}}empty{{end}}",
            "{{$x := .Client.Os}}{{$x}}{{$x = \"other\"}}{{$x}}",
            "{{range $i, $part := split .Client.Version \".\"}}{{$i}}={{$part}};{{end}}",
            "{{range split \"\" \",\"}}<{{.}}>{{else}}none{{end}}",
            "{{join (split \"a,b,c\" \",\") \"-\"}} {{split \"a,b\" \",\"}}",
            "{{upper .Client.Os}} {{lower \"ABC\"}} {{title \"a first word\"}}",
            "{{pad \"x\" 2 3}}| {{truncate \"abcdef\" 3}} {{truncate \"ab\" 3}}",
            "{{and 1 0}} {{or 0 \"x\"}} {{not true}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}} {{eq 1 2 1}}",
            "a {{- /* nothing */ -}} b {{- \" c \" -}} d",
            "{{println 1 \"a\" true}}{{print 1 2 \"a\" \"b\"}}",
            "{{`raw`}} {{\"esc \\\"quoted\\\"\"}} {{'a'}} {{1.5}} {{1e3}} {{0x1f}}",
            "{{printf \"%v %s %q\" true \"ä\" 'x'}} {{html \"<a>\"}} {{urlquery \"a b&\"}} {{js \"'\"}}",
            "{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .Client.Os}}",
            "{{printf \"%6.2f|%e|%g\" 3.14159 1234.5 1e21}} {{printf \"%!\"}} {{printf \"%d\" \"x\"}}",
        ] {
            let Some((true, expected)) = podman.says(template) else { panic!("podman refuses {template}") };
            let mut shown = Vec::new();
            let format = Format::parse(Some(template), &[]).unwrap_or_else(|error| panic!("{template}: {error}"));
            format.print(std::slice::from_ref(&row), &mut shown).unwrap_or_else(|error| panic!("{template}: {error}"));
            assert_eq!(
                String::from_utf8_lossy(&shown).trim_end_matches('\n'),
                expected.trim_end_matches('\n'),
                "{template}"
            );
        }
        for bad in [
            "{{.Client.Nothing}}",
            "{{",
            "{{end}}",
            "{{if 1}}",
            "{{nothing 1}}",
            "{{.Client.Os.Deeper}}",
            "{{index 1 1}}",
        ] {
            assert!(podman.says(bad).is_some_and(|(worked, _)| !worked), "podman takes {bad}");
            let result = Format::parse(Some(bad), &[]);
            assert!(
                result.and_then(|format| format.print(std::slice::from_ref(&row), &mut Vec::new())).is_err(),
                "{bad}"
            );
        }
    }

    /// Where nothing comes by, so that only who looks at all of the template knows.
    #[test]
    fn a_template_is_right_or_wrong_as_a_whole_as_for_podman() {
        let Some(podman) = Podman::new() else { return };
        let parsed = |template: &str| Format::parse(Some(template), &[]).is_ok();
        for part in [
            "{{nosuch .}}",
            "{{nosuch}}",
            "{{json . | nosuch}}",
            "{{len (nosuch .)}}",
            "{{(nosuch .).A}}",
            "{{$x}}",
            "{{if 1}}{{$x := 1}}{{end}}{{$x}}",
            "{{range $i, $v := .A}}{{end}}{{$v}}",
            "{{break}}",
            "{{range .}}{{else}}{{continue}}{{end}}",
            "{{.A | .}}",
            "{{.A | json | 1}}",
            "{{if nosuch}}{{end}}",
            "{{template \"t\" nosuch}}",
        ] {
            let template = format!("{{{{if false}}}}{part}{{{{end}}}}");
            assert!(podman.says(&template).is_some_and(|(worked, _)| !worked), "podman takes {template}");
            assert!(!parsed(&template), "{template}");
        }
        for part in [
            "{{.Nothing}}",
            "{{index 1 1}}",
            "{{template \"nowhere\"}}",
            "{{$x := 1}}{{$x}}",
            "{{$x = 1}}{{$x}}",
            "{{range $i, $v := .A}}{{$i}}{{break}}{{continue}}{{else}}{{$v}}{{end}}",
            "{{1 | json | .A}}",
            "{{len 1 2 3}}",
        ] {
            let template = format!("{{{{if false}}}}{part}{{{{end}}}}");
            assert!(podman.says(&template).is_some_and(|(worked, _)| worked), "podman refuses {template}");
            assert!(parsed(&template), "{template}");
        }
    }
}
