//! The dependencies: where they come from, under which licences, and that the helper crates stand alone.
//!
//! Owns reading `cargo metadata`. The set-up writes it to a file and names it in RL_CARGO_METADATA, because the users
//! whom the tests run as have no cargo; without the file cargo is asked.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::{none, top};

/// Licences that ask for no more than their notice. MPL-2.0 is libpathrs': its copyleft ends at its own files.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn packages() -> Vec<Value> {
    let text = match std::env::var_os("RL_CARGO_METADATA") {
        Some(path) => std::fs::read(path).expect("the metadata that the set-up wrote"),
        None => {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            // Of this platform alone: what is only for others is neither downloaded nor built.
            let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
            cargo.args(["metadata", "--locked", "--format-version=1", "--filter-platform", &platform]);
            let output = cargo.current_dir(top()).output().expect("cargo");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        }
    };
    let metadata: Value = serde_json::from_slice(&text).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn label(package: &Value) -> String {
    format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"))
}

/// Whether an SPDX expression can be satisfied with the licences of the table.
fn is_allowed(expression: &str) -> bool {
    // `/` is the older way to write OR. No crate mixes the operators but with parentheses, which are taken from inside out.
    let expression = expression.replace('/', " OR ");
    if let Some(open) = expression.rfind('(') {
        let Some(length) = expression[open..].find(')') else { return false };
        let verdict = if is_allowed(&expression[open + 1..open + length]) { "MIT" } else { "NONE" };
        return is_allowed(&format!("{}{verdict}{}", &expression[..open], &expression[open + length + 1..]));
    }
    let one = |licence: &str| LICENCES.contains(&licence.split(" WITH ").next().unwrap_or_default().trim());
    expression.split(" OR ").any(|alternative| alternative.split(" AND ").all(one))
}

#[test]
fn every_licence_is_one_that_we_can_keep() {
    let packages = packages();
    let bad = packages.iter().filter(|package| !package["license"].as_str().is_some_and(is_allowed));
    let complaints: Vec<String> = bad.map(|package| format!("{}: {}", label(package), package["license"])).collect();
    none("licences that are not in the table of this test:", &complaints);
    assert!(packages.len() > 20, "the metadata has {} packages only", packages.len());
}

#[test]
fn every_crate_comes_from_crates_io() {
    let packages = packages();
    let elsewhere = packages.iter().filter(|package| !package["source"].is_null() && package["source"] != CRATES_IO);
    let complaints: Vec<String> =
        elsewhere.map(|package| format!("{}: {}", label(package), package["source"])).collect();
    none("sources other than crates.io:", &complaints);
}

#[test]
fn helper_crates_use_nothing_of_ours() {
    let packages = packages();
    let ours: BTreeSet<&str> =
        packages.iter().filter(|package| package["source"].is_null()).filter_map(|p| p["name"].as_str()).collect();
    assert!(ours.contains("rl") && ours.contains("subid"), "{ours:?}");
    let mut complaints = Vec::new();
    for package in packages.iter().filter(|package| package["source"].is_null() && package["name"] != "rl") {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        for used in dependencies.filter_map(|dependency| dependency["name"].as_str()) {
            if ours.contains(used) {
                complaints.push(format!("{} uses {used}", label(package)));
            }
        }
    }
    none("a helper crate is useful to other projects as it is:", &complaints);
}

#[test]
fn a_licence_expression_is_read_as_it_binds() {
    for good in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "BSD-3-Clause AND ISC"]
    {
        assert!(is_allowed(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-2.0 OR AGPL-3.0) AND MIT", "(MIT", ""] {
        assert!(!is_allowed(bad), "{bad}");
    }
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception"));
}
