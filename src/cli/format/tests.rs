//! What `--format` shows, form by form. What Go and podman say of the same templates is tests/cli/format.rs.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const TABLE: &[(&str, &str)] = &[("REPOSITORY", "{{.Repository}}"), ("IMAGE ID", "{{.ID}}"), ("SIZE", "{{.Size}}")];

fn rows() -> Vec<Value> {
    vec![
        json!({ "Repository": "busybox", "ID": "a1b2c3d4e5f6", "Size": "4.42MB", "Bytes": 4_420_000, "Null": null,
                "Names": ["x", "y"], "Labels": { "a.b": "1", "c": "2" }, "Config": { "Env": ["A=1"], "User": "" } }),
        json!({ "Repository": "ghcr.io/someone/app", "ID": "0123456789ab", "Size": "12B", "Bytes": 12, "Null": null,
                "Names": [], "Labels": {}, "Config": { "Env": [], "User": "me" } }),
    ]
}

fn shown(format: &str, rows: &[Value]) -> Result<String> {
    let mut out = Vec::new();
    Format::parse(Some(format), TABLE)?.print(rows, &mut out)?;
    Ok(String::from_utf8(out).expect("UTF-8"))
}

/// Of the first row, without the line's end.
fn first(format: &str) -> String {
    let text = shown(format, &rows()[..1]).unwrap_or_else(|error| panic!("{format}: {error}"));
    text.strip_suffix('\n').expect("a line").to_owned()
}

fn refused(format: &str) -> Error {
    shown(format, &rows()).expect_err(format)
}

#[test]
fn a_table_has_dockers_columns() {
    let table = "\
REPOSITORY            IMAGE ID       SIZE
busybox               a1b2c3d4e5f6   4.42MB
ghcr.io/someone/app   0123456789ab   12B
";
    for format in ["", "table", " table "] {
        assert_eq!(shown(format, &rows()).expect("a table"), table, "{format:?}");
    }
    assert_eq!(shown("table", &[]).expect("a table"), "REPOSITORY   IMAGE ID   SIZE\n");
}

#[test]
fn a_table_of_ones_own_is_headed_by_the_names_of_its_fields() {
    let table = "IMAGE ID   CREATED AT   USER      NAMES\n";
    let template = r"table {{.ID}}\t{{.CreatedAt}}\t{{.Config.User}}\t{{join .Names ','}}".replace('\'', "\"");
    assert_eq!(shown(&template, &[]).expect("a table"), table);
    let shown = shown("table {{upper .ID}}\t{{if .Names}}{{.Size}}{{end}}", &rows()).expect("a table");
    assert_eq!(shown, "IMAGE ID       SIZE\nA1B2C3D4E5F6   4.42MB\n0123456789AB   \n");
}

#[test]
fn a_cell_stays_one_cell() {
    let rows = [json!({ "ID": "a\tb\nc\x1b[1m", "Size": "漢字" }), json!({ "ID": "x", "Size": "y" })];
    let shown = shown("table {{.ID}}\t{{.Size}}|", &rows).expect("a table");
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.contains("a\\u0009b\\u000ac\\u001b[1m   漢字|"), "{shown}");
}

#[test]
fn json_is_podmans_array_and_the_function_dockers_lines() {
    let all: Vec<Value> = serde_json::from_str(&shown("json", &rows()).expect("JSON")).expect("an array");
    assert_eq!(all, rows());
    assert_eq!(shown("json", &[]).expect("JSON"), "[]\n");
    let lines = shown("{{json .}}", &rows()).expect("JSON");
    let each: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(each, rows());
    let one = |format: &str| {
        let mut out = Vec::new();
        Format::parse(Some(format), &[]).expect(format).print_one(&rows()[1], &mut out).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    };
    assert_eq!(serde_json::from_str::<Value>(&one("json")).expect("an object"), rows()[1]);
    assert_eq!(one("{{.Size}}"), "12B\n");
    let mut out = Vec::new();
    Format::parse(None, &[]).expect("a format").print(&rows(), &mut out).expect("memory");
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&out).expect("JSON"), rows());
}

#[test]
fn a_nil_list_is_none_in_a_template_and_null_in_json() {
    let rows = [json!({
        "Config": { "Entrypoint": null, "Volumes": null, "Labels": null, "StopTimeout": null, "Env": [] },
        "NetworkSettings": { "Ports": { "80/tcp": null, "90/tcp": [{ "HostPort": "1" }] } },
    })];
    for (format, expected) in [
        ("{{.Config.Entrypoint}} {{.Config.Volumes}} {{.Config.StopTimeout}}", "[] map[] <no value>"),
        ("{{len .Config.Entrypoint}}{{range .Config.Entrypoint}}x{{else}}none{{end}}", "0none"),
        (r#"{{json .Config.Entrypoint}} {{json .Config.Env}} {{index .Config.Labels "x"}}"#, "null [] "),
        (
            "{{range $p, $at := .NetworkSettings.Ports}}{{$p}}{{range $at}}={{.HostPort}}{{end}} {{end}}",
            "80/tcp 90/tcp=1 ",
        ),
        ("{{json .NetworkSettings.Ports}}", r#"{"80/tcp":null,"90/tcp":[{"HostPort":"1"}]}"#),
        (r#"{{json .Config}}"#, r#"{"Entrypoint":null,"Env":[],"Labels":null,"StopTimeout":null,"Volumes":null}"#),
    ] {
        assert_eq!(shown(format, &rows).expect(format), format!("{expected}\n"), "{format}");
    }
}

#[test]
fn templates_say_what_go_says() {
    for (format, expected) in [
        ("{{.ID}}", "a1b2c3d4e5f6"),
        ("{{ .Config.Env }} {{len .Labels}}", "[A=1] 2"),
        (r"{{.ID}}\t{{.Size}}\n", "a1b2c3d4e5f6\t4.42MB\n"),
        (r#"{{join .Names "\n"}}"#, "x\ny"),
        (r#"{{"}}\t"}}\t"#, "}}\t\t"),
        ("{{json .Labels}}", r#"{"a.b":"1","c":"2"}"#),
        ("{{.Labels | json}}", r#"{"a.b":"1","c":"2"}"#),
        (r#"{{json "<&>"}}"#, r#""<&>""#),
        (r#"{{index .Labels "a.b"}}|{{index .Labels "no"}}|{{.Labels.no}}"#, "1||<no value>"),
        (r#"{{index .Names 1}}{{index .Config "Env" 0}}"#, "yA=1"),
        ("{{range .Names}}<{{.}}>{{else}}none{{end}}", "<x><y>"),
        ("{{range $i, $name := .Names}}{{$i}}{{$name}}{{$.ID}} {{end}}", "0xa1b2c3d4e5f6 1ya1b2c3d4e5f6 "),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}},{{end}}", "a.b=1,c=2,"),
        ("{{if .Config.User}}u{{else if .Names}}n{{else}}e{{end}}", "n"),
        ("{{with .Config}}{{.Env}}{{end}}", "[A=1]"),
        ("{{$x := .Size}}{{$x}}", "4.42MB"),
        ("{{upper .Repository}} {{lower \"AB\"}} {{title \"two words\"}}", "BUSYBOX ab Two Words"),
        (r#"{{split "a,b" ","}} {{index (split .ID "c") 0}}"#, "[a b] a1b2"),
        (r#"{{pad .Size 1 2}}|{{pad "" 1 2}}|{{truncate .ID 4}}|{{truncate "ä" 4}}"#, " 4.42MB  ||a1b2|ä"),
        (r#"{{printf "%s %d %v %q %05d" .Size .Bytes .Names .Size 7}}"#, r#"4.42MB 4420000 [x y] "4.42MB" 00007"#),
        ("{{println .Size}}", "4.42MB\n"),
        ("{{eq .Bytes 4420000}} {{gt .Bytes 5}} {{le .Size \"5\"}} {{ne .ID .Size}}", "true true true true"),
        ("{{and .Names .Size}} {{or .Config.User \"root\"}} {{not .Names}}", "4.42MB root false"),
        ("a  {{- /* no */ -}}  b", "ab"),
        ("{{.Null}} {{true}} {{1.5}} {{'a'}}", "<no value> true 1.5 97"),
        ("no action", "no action"),
        (r#"{{/* {{end}} "}} */}}x{{if 1}}{{- /* {{else */ -}} y{{end}}"#, "xy"),
    ] {
        assert_eq!(first(format), expected, "{format}");
    }
}

#[test]
fn a_template_may_loop_over_the_rows_itself() {
    assert_eq!(shown("{{range .}}{{.Size}},{{end}}", &rows()).expect("text"), "4.42MB,12B,\n");
    assert_eq!(shown("{{- range . -}}{{.Size}}\\n{{end}}", &rows()).expect("text"), "4.42MB\n12B\n");
    assert_eq!(shown("{{range .Names}}{{.}}{{end}}", &rows()).expect("text"), "xy\n\n");
}

#[test]
fn a_field_that_is_not_there_is_an_error_that_names_those_that_are() {
    let error = refused("{{.Id}}").to_string();
    assert!(error.contains("no field .Id") && error.contains("Config, ID, Labels"), "{error}");
    let error = refused("{{.ID}}{{if .Config.Enf}}x{{end}}").to_string();
    assert!(error.contains("no field .Config.Enf") && error.contains("There are: Env, User"), "{error}");
    assert!(refused("table {{.ID}}\t{{.Nothing}}").to_string().contains("no field .Nothing"));
}

#[test]
fn what_is_no_template_is_refused_before_anything_is_shown() {
    for bad in [
        "{{",
        "{{.ID",
        "{{range .}}",
        "{{nofunc .ID}}",
        "{{if .Nothing}}{{nofunc}}{{end}}",
        "table {{nofunc .ID}}",
        "{{range .}}{{$x}}{{end}}",
        "{{if}}x{{end}}",
        "table {{end}}",
        "{{\"x}}",
        "{{.ID}}{{end}} {{.Size}}",
        "{{else}}x",
        "{{with .ID}}",
        "{{if 1}}{{else}}{{else}}{{end}}",
    ] {
        let text = Format::parse(Some(bad), TABLE).err().unwrap_or_else(|| panic!("{bad}")).to_string();
        assert!(text.contains("--format"), "{bad}: {text}");
    }
    for bad in [r#"{{pad "x" -1 0}}"#, "{{truncate .ID 99999999}}", "{{upper}}", "{{join .ID}}", "{{lower .Names}}"] {
        assert!(refused(bad).to_string().contains("expected"), "{bad}");
    }
}

#[test]
fn depth_turns_and_output_are_bounded() {
    refused(&format!("{{{{{}1{}}}}}", "(".repeat(50_000), ")".repeat(50_000)));
    refused(&format!("{}{}", "{{if 1}}".repeat(50_000), "{{end}}".repeat(50_000)));
    refused("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}");
    refused("{{range 2000000}}{{end}}");
    refused("{{range 1000000}}{{printf \"%60000s\" \"\"}}{{end}}");
}

/// Text that a generator of plain characters would hardly hit upon.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        ".",
        ".ID",
        "$",
        "$x",
        ":=",
        "=",
        "|",
        "(",
        ")",
        "\"",
        "`",
        "'",
        "\\",
        "\\t",
        ",",
        "range",
        "if",
        "else",
        "end",
        "with",
        "define",
        "template",
        "block",
        "break",
        "continue",
        "/*",
        "*/",
        "index",
        "len",
        "printf",
        "\"%[1]*d\"",
        "\"%!\"",
        "eq",
        "slice",
        "call",
        "and",
        "not",
        "html",
        "js",
        "urlquery",
        "1",
        "-1",
        "0x",
        "1e999",
        "nil",
        "true",
        "table ",
        "json",
        "split",
        "join",
        "pad",
        "truncate",
        "title",
        ".Names",
        "ä",
        "\0",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_template_panics(text in pieces(), other in "\\PC{0,40}") {
        for text in [&text, &other, &format!("{{{{{text}}}}}"), &format!("table {{{{{other}}}}}")] {
            let _ = shown(text, &rows());
        }
    }

    #[test]
    fn text_without_actions_or_backslashes_is_itself(text in "[a-z äß%.]{1,20}") {
        prop_assume!(!text.trim().is_empty() && text.trim() != "json" && !text.trim().starts_with("table"));
        prop_assert_eq!(first(&text), text.trim());
    }

    #[test]
    fn the_json_function_gives_what_there_was(text in "\\PC{0,20}", number in any::<i64>(), eighths in any::<i32>()) {
        let row = json!({ "A": text, "B": [number, null, true], "C": { text.clone(): f64::from(eighths) / 8.0 } });
        let shown = shown("{{json .}}", std::slice::from_ref(&row)).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), row);
    }
}
