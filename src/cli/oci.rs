//! `rl oci VERB`, or `rl-oci VERB`: the command line that engines call.
//!
//! Owns the global flags of both crun and runc, the log line, and the words and exit statuses that callers match. The surprise: an
//! error is told twice, as one line of stderr and one of `--log`, because conmon passes the first on and podman and containerd
//! read the second; and it is one line without rl's usual advice, which an engine would only garble.

mod log;
mod update;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use self::log::{Format, Log};
use crate::error::{Error, Result, catalog::command_line, catalog::oci};
use crate::oci::{Manager, Runtime};

/// What the link is called that makes `rl` this program.
pub const NAME: &str = "rl-oci";

/// For `rl --help`.
pub const ABOUT: &str = "An OCI runtime for podman, buildah, containerd, Slurm";

/// What `--version` claims to carry out.
const SPECIFICATION: &str = "1.3.0";

/// Flags that stand before the verb.
#[derive(Debug, Default)]
struct Globals {
    root: Option<PathBuf>,
    manager: Manager,
    log: Log,
}

/// One verb.
struct Verb {
    name: &'static str,
    about: &'static str,
    command: fn(clap::Command) -> clap::Command,
    run: fn(&Runtime, &clap::ArgMatches) -> Result<u8>,
}

/// The verbs' names, for help.
pub fn names() -> Vec<&'static str> {
    all().map(|verb| verb.name).collect()
}

fn all() -> impl Iterator<Item = &'static Verb> {
    verbs::ALL.iter().chain(update::ALL)
}

/// Parses and carries out what follows `rl oci`; tells errors itself and gives the exit status.
pub fn main(words: &[OsString]) -> u8 {
    let (globals, rest) = match globals(words) {
        Ok(parsed) => parsed,
        Err(error) => return Log::default().failed(&error),
    };
    match verb(&globals, rest) {
        Ok(status) => status,
        Err(error) => globals.log.failed(&error),
    }
}

fn verb(globals: &Globals, words: &[OsString]) -> Result<u8> {
    let Some(word) = words.first() else {
        print!("{}", help());
        return Ok(1);
    };
    match word.to_str() {
        Some("--help" | "-h" | "help") => {
            print!("{}", help());
            return Ok(0);
        }
        Some("--version" | "-v" | "-V" | "version") => {
            println!("{NAME} version {}\nspec: {SPECIFICATION}", env!("CARGO_PKG_VERSION"));
            return Ok(0);
        }
        Some("checkpoint" | "restore") => {
            let what = format!("{} is not supported: this runtime has no CRIU", word.to_string_lossy());
            return Err(Error::new(&oci::UNSUPPORTED, what));
        }
        _ => {}
    }
    let Some(verb) = all().find(|verb| word == verb.name) else {
        let what = format!("{NAME} has no verb {:?}", word.to_string_lossy());
        return Err(Error::new(&command_line::USAGE, what));
    };
    let command =
        (verb.command)(clap::Command::new(verb.name).bin_name(format!("{NAME} {}", verb.name)).about(verb.about));
    let matches = match command.no_binary_name(true).try_get_matches_from(&words[1..]) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return Ok(0);
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
            let words: Vec<_> = first.split_whitespace().collect();
            return Err(Error::new(&command_line::USAGE, format!("{}: {}", verb.name, words.join(" "))));
        }
    };
    let runtime = Runtime::find(globals.root.as_deref(), globals.manager)?;
    (verb.run)(&runtime, &matches)
}

/// Both runtimes' flags, each as `--flag VALUE` and `--flag=VALUE`. What only says how much is logged is passed over.
fn globals(words: &[OsString]) -> Result<(Globals, &[OsString])> {
    let mut globals = Globals::default();
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        let text = word.to_string_lossy().into_owned();
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
            None => (text, None),
        };
        let known = ["--root", "--log", "--log-format", "--log-level", "--cgroup-manager"];
        if known.contains(&name.as_str()) {
            let (value, tail) = match inline {
                Some(value) => (value, tail),
                None => {
                    let Some((value, tail)) = tail.split_first() else {
                        return Err(Error::new(&command_line::USAGE, format!("{name} needs a value")));
                    };
                    (value.clone(), tail)
                }
            };
            globals.set(&name, value)?;
            rest = tail;
            continue;
        }
        match name.as_str() {
            "--systemd-cgroup" => globals.manager = Manager::Systemd,
            "--debug" => {}
            // Who the caller is, is known from the kernel; runc's value may be a word of its own.
            "--rootless" => {
                let next = tail.first().and_then(|word| word.to_str());
                if inline.is_none() && next.is_some_and(|word| ["true", "false", "auto"].contains(&word)) {
                    rest = &tail[1..];
                    continue;
                }
            }
            _ => break,
        }
        rest = tail;
    }
    Ok((globals, rest))
}

impl Globals {
    fn set(&mut self, name: &str, value: OsString) -> Result<()> {
        match name {
            "--root" => self.root = Some(value.into()),
            // crun's way to name where a log goes.
            "--log" => {
                let text = value.to_string_lossy();
                self.log.path = Some(text.strip_prefix("file:").map_or_else(|| value.clone().into(), PathBuf::from));
            }
            "--log-format" => self.log.format = if value == "json" { Format::Json } else { Format::Text },
            "--cgroup-manager" => {
                self.manager = match value.to_str() {
                    Some("cgroupfs") => Manager::Cgroupfs,
                    Some("systemd") => Manager::Systemd,
                    Some("disabled") => Manager::Disabled,
                    _ => {
                        let what = format!("--cgroup-manager {value:?} is none of cgroupfs, systemd, disabled");
                        return Err(Error::new(&command_line::USAGE, what));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn help() -> String {
    let mut text = format!("{ABOUT}\n\nUsage: rl oci [FLAGS] VERB ...   or: {NAME} [FLAGS] VERB ...\n\n");
    for verb in all() {
        text.push_str(&format!("  {:<10} {}\n", verb.name, verb.about));
    }
    text.push_str(
        "\nFlags before the verb, those of crun and of runc:
  --root DIR              where the containers' state is (default: $XDG_RUNTIME_DIR/rl-oci, /run/rl-oci)
  --log FILE              errors are written there, too
  --log-format text|json  how
  --cgroup-manager NAME   cgroupfs, systemd or disabled
  --systemd-cgroup        the same as --cgroup-manager systemd
  --rootless, --debug     accepted\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<(Globals, Vec<String>)> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let (globals, rest) = globals(&words)?;
        Ok((globals, rest.iter().map(|word| word.to_string_lossy().into_owned()).collect()))
    }

    #[test]
    fn flags_of_both_runtimes_are_read_in_both_forms() {
        let words = [
            "--root",
            "/r",
            "--log=/l",
            "--log-format=json",
            "--systemd-cgroup",
            "--debug",
            "--rootless=true",
            "state",
            "x",
        ];
        let (globals, rest) = parsed(&words).expect("flags");
        assert_eq!((globals.root, globals.log.path), (Some("/r".into()), Some("/l".into())));
        assert_eq!((globals.manager, rest), (Manager::Systemd, vec!["state".to_owned(), "x".to_owned()]));
        let (globals, rest) = parsed(&["--cgroup-manager", "disabled", "--rootless", "auto", "list"]).expect("flags");
        assert_eq!((globals.manager, rest), (Manager::Disabled, vec!["list".to_owned()]));
        assert!(parsed(&["--root"]).is_err() && parsed(&["--cgroup-manager=x"]).is_err());
    }

    #[test]
    fn every_verb_is_a_command_of_claps() {
        for verb in verbs::ALL {
            (verb.command)(clap::Command::new(verb.name)).debug_assert();
        }
    }
}
