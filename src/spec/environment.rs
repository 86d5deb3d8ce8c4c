//! The variables of a container's first process.
//!
//! Pure. Owns their order: `rl`'s own, the image's, what `--env-merge` and `--unsetenv` make of these, then whatever was typed. The
//! surprise: what is taken away is taken from what nobody has typed; `-e NAME=VALUE` comes after `--unsetenv NAME`, as in podman.

use serde::{Deserialize, Serialize};

use super::RunSpec;

/// Where a command is looked for, unless the image or the caller says otherwise.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What becomes of the variables that nobody has typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// `--env-merge NAME=TEXT`, in whose text `$NAME` is the value that there is.
    pub merge: Vec<(String, String)>,
    /// `--unsetenv`.
    pub unset: Vec<String>,
    /// `--unsetenv-all`.
    pub unset_all: bool,
}

type Pairs = Vec<(String, String)>;

fn set(list: &mut Pairs, name: &str, value: &str) {
    match list.iter_mut().find(|(have, _)| have == name) {
        Some((_, have)) => value.clone_into(have),
        None => list.push((name.to_owned(), value.to_owned())),
    }
}

/// All of them; a later value replaces an earlier one in its place. `hostname`: where it is known.
pub fn variables(run: &RunSpec, image: &[String], hostname: Option<&str>) -> Pairs {
    let Inherited { merge, unset, unset_all } = &run.inherited;
    let mut list = Pairs::new();
    set(&mut list, "PATH", PATH);
    set(&mut list, "container", "rl");
    if run.tty {
        set(&mut list, "TERM", "xterm");
    }
    if let Some(name) = hostname {
        set(&mut list, "HOSTNAME", name);
    }
    for (name, value) in image.iter().filter_map(|pair| pair.split_once('=')).filter(|(name, _)| !name.is_empty()) {
        set(&mut list, name, value);
    }
    for (name, text) in merge {
        // podman passes over names that there are none of.
        if list.iter().any(|(have, _)| have == name) {
            let value = expanded(text, &list);
            set(&mut list, name, &value);
        }
    }
    // What describes the container itself stays, as with podman.
    let described = |name: &str| name == "HOSTNAME" || (name == "TERM" && run.tty);
    list.retain(|(name, _)| !unset.contains(name) && (!unset_all || described(name)));
    for (name, value) in &run.env {
        set(&mut list, name, value);
    }
    list
}

/// `$NAME` and `${NAME}` in a text; of what there is not, nothing. A backslash takes the meaning away.
fn expanded(text: &str, list: &Pairs) -> String {
    let value = |name: &str| list.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str());
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        made.push_str(&rest[..at]);
        let (sign, behind) = rest[at..].split_at(1);
        if sign == "\\" {
            let next = behind.chars().next();
            made.extend(next);
            rest = &behind[next.map_or(0, char::len_utf8)..];
            continue;
        }
        if let Some((name, after)) = behind.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            made.push_str(value(name));
            rest = after;
            continue;
        }
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = behind.find(|c: char| !of_a_name(c)).unwrap_or(behind.len());
        made.push_str(if end == 0 { "$" } else { value(&behind[..end]) });
        rest = &behind[end..];
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(run: &RunSpec) -> Vec<String> {
        let image = ["PATH=/bin".to_owned(), "A=1".to_owned(), "B=2".to_owned()];
        variables(run, &image, Some("box")).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn with(inherited: Inherited) -> RunSpec {
        RunSpec { inherited, env: vec![("B".into(), "typed".into())], ..RunSpec::default() }
    }

    #[test]
    fn what_was_typed_comes_last() {
        let run = with(Inherited::default());
        assert_eq!(made(&run), ["PATH=/bin", "container=rl", "HOSTNAME=box", "A=1", "B=typed"]);
    }

    #[test]
    fn what_is_unset_is_gone_unless_it_was_typed() {
        let run = with(Inherited { unset: vec!["A".into(), "B".into(), "nothing".into()], ..Inherited::default() });
        assert_eq!(made(&run), ["PATH=/bin", "container=rl", "HOSTNAME=box", "B=typed"]);
        let run = with(Inherited { unset_all: true, ..Inherited::default() });
        assert_eq!(made(&run), ["HOSTNAME=box", "B=typed"]);
    }

    #[test]
    fn a_value_is_made_of_those_that_there_are() {
        let merge = [("A", "${A}-$B-${NONE}x\\$A$"), ("NEW", "x")];
        let merge = merge.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let run = RunSpec { inherited: Inherited { merge, ..Inherited::default() }, ..RunSpec::default() };
        assert_eq!(made(&run), ["PATH=/bin", "container=rl", "HOSTNAME=box", "A=1-2-x$A$", "B=2"]);
    }
}
