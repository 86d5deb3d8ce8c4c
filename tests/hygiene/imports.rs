//! Which modules of src may use which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{code, files, name, none};

/// Each module with all that it may use. Everything below it in the table is lower: so there can be no cycle in it.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "cli",
        &["oci", "runtime", "volume", "tree", "state", "network", "cgroup", "image", "plan", "spec", "host", "error"],
    ),
    ("oci", &["runtime", "network", "cgroup", "plan", "spec", "host", "sys", "error"]),
    ("runtime", &["volume", "tree", "state", "network", "cgroup", "image", "plan", "spec", "host", "sys", "error"]),
    ("volume", &["state", "image", "spec", "host", "sys", "error"]),
    ("network", &["state", "plan", "spec", "host", "sys", "error"]),
    ("cgroup", &["plan", "spec", "host", "sys", "error"]),
    ("state", &["image", "spec", "host", "sys", "error"]),
    ("image", &["spec", "host", "sys", "error"]),
    ("plan", &["spec", "host", "error"]),
    ("spec", &["host", "error"]),
    ("host", &["sys", "error"]),
    ("tree", &["sys", "error"]),
    ("sys", &["error"]),
    ("error", &[]),
];

/// `src/spec/ids/tests.rs` is `[spec, ids, tests]`; a `mod.rs` is its directory.
fn module(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix("src").expect("a file of src").with_extension("");
    let mut parts: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.pop_if(|last| last == "mod");
    parts
}

/// The build script is a program of its own, and main.rs and lib.rs are the top.
fn modules() -> Vec<(PathBuf, Vec<String>, String)> {
    let roots = ["src/main.rs", "src/lib.rs", "src/sys/build.rs"];
    let all = files(&["src"], "rs").into_iter().filter(|(path, _)| !roots.iter().any(|root| path.ends_with(root)));
    all.map(|(path, text)| (path.clone(), module(&path), code::only(&text))).collect()
}

/// Absolute paths that a module names, each as its parts: `crate::a::b::C`, `super::x`, and grouped ones.
fn names(module: &[String], text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // Inline modules (`mod tests {`) make one more `super`, which then names this file's own module: no edge.
    for (start, keyword) in text.match_indices("crate::").chain(text.match_indices("super::")) {
        let before = text[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let base = if keyword == "crate::" { &[][..] } else { module.split_last().map_or(&[][..], |(_, up)| up) };
        expand(base, &text[start + keyword.len()..], &mut found);
    }
    found
}

/// `a::{b, c::D}` after `base` is `base::a::b` and `base::a::c::D`.
fn expand(base: &[String], text: &str, found: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    let mut rest = text;
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            return group_members(group).into_iter().for_each(|member| expand(&path, member, found));
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        path.push(rest[..end].to_owned());
        match rest[end..].strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    found.push(path);
}

/// The parts between the commas up to the brace that closes the group.
fn group_members(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(text[start..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

#[test]
fn each_module_uses_only_those_below_it() {
    let mut complaints = Vec::new();
    for (path, module, text) in modules() {
        let from = &module[0];
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| name == from) else {
            complaints.push(format!("{}: {from} has no line in the table of this test", name(&path)));
            continue;
        };
        for to in names(&module, &text).iter().filter_map(|path| path.first()) {
            let known = MAY_USE.iter().any(|(name, _)| name == to);
            if known && to != from && !allowed.contains(&to.as_str()) {
                complaints.push(format!("{}: {from} uses {to}", name(&path)));
            }
        }
    }
    none("cli -> spec -> plan -> runtime -> sys is one way; these are not:", &complaints);
}

#[test]
fn the_table_itself_has_no_cycle() {
    for (at, (from, allowed)) in MAY_USE.iter().enumerate() {
        for to in *allowed {
            let place = MAY_USE.iter().position(|(name, _)| name == to);
            assert!(place.is_some_and(|place| place > at), "{from} -> {to} points up");
        }
    }
}

#[test]
fn there_is_no_import_cycle_between_the_parts_of_one_module() {
    let all = modules();
    let parts: BTreeSet<(String, String)> =
        all.iter().filter(|(_, module, _)| module.len() > 1).map(|(_, m, _)| (m[0].clone(), m[1].clone())).collect();
    let mut edges: BTreeMap<(String, String), BTreeSet<(String, String)>> = BTreeMap::new();
    for (_, module, text) in all.iter().filter(|(_, module, _)| module.len() > 1) {
        let from = (module[0].clone(), module[1].clone());
        for path in names(module, text).into_iter().filter(|path| path.len() > 1) {
            let to = (path[0].clone(), path[1].clone());
            if to.0 == from.0 && to != from && parts.contains(&to) {
                edges.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    let mut complaints = Vec::new();
    for start in &parts {
        if let Some(way) = way_back(start, &edges) {
            complaints.push(way.iter().map(|(a, b)| format!("{a}::{b}")).collect::<Vec<_>>().join(" -> "));
        }
    }
    none("import cycles:", &complaints);
}

type Part = (String, String);

/// A way from `start` to itself.
fn way_back(start: &Part, edges: &BTreeMap<Part, BTreeSet<Part>>) -> Option<Vec<Part>> {
    let mut seen = BTreeSet::new();
    let mut todo = vec![vec![start.clone()]];
    while let Some(way) = todo.pop() {
        for next in way.last().and_then(|last| edges.get(last)).into_iter().flatten() {
            let longer: Vec<Part> = way.iter().cloned().chain([next.clone()]).collect();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                todo.push(longer);
            }
        }
    }
    None
}

#[test]
fn a_path_is_read_whatever_way_it_is_written() {
    let module = ["plan".to_owned(), "compile".to_owned()];
    let text = "use crate::{host::Caller, spec::{ids::Map, Spec}}; use super::options; fn f() { crate::sys::x() }";
    let mut found: Vec<String> = names(&module, text).into_iter().map(|path| path.join("::")).collect();
    found.sort();
    assert_eq!(found, ["host::Caller", "plan::options", "spec::Spec", "spec::ids::Map", "sys::x"]);
}

#[test]
fn a_cycle_is_found() {
    let part = |name: &str| ("a".to_owned(), name.to_owned());
    let edges =
        BTreeMap::from([(part("x"), BTreeSet::from([part("y")])), (part("y"), BTreeSet::from([part("z"), part("x")]))]);
    assert_eq!(way_back(&part("x"), &edges).map(|way| way.len()), Some(3));
    assert_eq!(way_back(&part("z"), &edges), None);
}
