//! What every source file must be like.

use super::{code, files, name, none};

const RUST: &[&str] = &["src", "helpers", "tests"];

#[test]
fn unsafe_code_is_only_in_src_sys() {
    let mut complaints = Vec::new();
    for (path, text) in files(RUST, "rs").into_iter().filter(|(path, _)| !path.starts_with("src/sys")) {
        for (number, line) in (1..).zip(code::only(&text).lines()) {
            if line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                complaints.push(format!("{}:{number}", name(&path)));
            }
        }
    }
    none("unsafe code belongs into src/sys, where a wrapper says why it is sound:", &complaints);
}

#[test]
fn every_module_says_first_what_it_owns() {
    let silent = files(RUST, "rs").into_iter().filter(|(_, text)| !text.starts_with("//! "));
    let complaints: Vec<String> = silent.map(|(path, _)| name(&path).to_string()).collect();
    none("these do not open with a //! paragraph:", &complaints);
}

#[test]
fn no_file_holds_two_ideas() {
    let all = files(RUST, "rs").into_iter().chain(files(&["tests", "install.sh"], "sh"));
    let long = all.filter(|(_, text)| text.lines().count() > 550);
    let complaints: Vec<String> =
        long.map(|(path, text)| format!("{}: {}", name(&path), text.lines().count())).collect();
    none("files of more than 550 lines are to be split:", &complaints);
}

#[test]
fn no_line_of_a_script_is_longer_than_120_columns() {
    let mut complaints = Vec::new();
    for (path, text) in files(&["tests", "install.sh"], "sh") {
        for (number, line) in (1..).zip(text.lines()) {
            // As wide as the Rust is indented.
            if line.replace('\t', "    ").chars().count() > 120 {
                complaints.push(format!("{}:{number}", name(&path)));
            }
        }
    }
    none("rustfmt sees to the Rust; these lines of scripts are too long to read:", &complaints);
}

#[test]
fn nothing_is_called_utils() {
    let bad = files(RUST, "rs").into_iter().filter(|(path, _)| {
        let stem = path.file_stem().unwrap_or_default();
        ["util", "utils", "helper", "helpers", "misc"].iter().any(|word| stem == *word)
    });
    let complaints: Vec<String> = bad.map(|(path, _)| name(&path).to_string()).collect();
    none("a file is named for what it owns:", &complaints);
}
