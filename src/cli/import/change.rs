//! `--change` of import and commit: Dockerfile instructions that change an image's configuration.
//!
//! Pure. Owns docker's list, but for ONBUILD, which the OCI image configuration has no place for.
//! The surprise: nothing is expanded; `ENV PATH=$PATH:/x` keeps its dollar sign, because there is no build in which to
//! look PATH up.

use clap::{Arg, ArgAction, ArgMatches};
use oci_spec::image::Config;

use super::super::quoted;
use crate::error::{Error, Result, catalog::command_line};

pub(in crate::cli) fn argument() -> Arg {
    Arg::new("change").long("change").short('c').value_name("INSTRUCTION").action(ArgAction::Append).help(
        "A Dockerfile instruction for the image's configuration: CMD, ENTRYPOINT, ENV, USER, WORKDIR, LABEL, EXPOSE, VOLUME, STOPSIGNAL",
    )
}

/// All of one command line.
pub(in crate::cli) fn all_changed(config: Config, matches: &ArgMatches) -> Result<Config> {
    matches
        .get_many::<String>("change")
        .into_iter()
        .flatten()
        .try_fold(config, |config, change| changed(config, change))
}

/// One Dockerfile instruction.
fn changed(config: Config, change: &str) -> Result<Config> {
    let bad = |why: &str| {
        Error::new(&command_line::USAGE, format!("--change {change:?}: {why}"))
            .fix("See what is taken: rl import --help")
    };
    let (instruction, rest) =
        change.trim().split_once(char::is_whitespace).ok_or_else(|| bad("expected an instruction and its value"))?;
    let rest = rest.trim();
    // The exec form is a JSON array; the shell form runs through /bin/sh.
    let words = || -> Result<Vec<String>> {
        if rest.starts_with('[') {
            return serde_json::from_str(rest).map_err(|_| bad("expected a JSON array of strings"));
        }
        Ok(vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.to_owned()])
    };
    let pairs = || pairs(rest).map_err(|why| bad(&why));
    let mut new = config;
    match instruction.to_uppercase().as_str() {
        "CMD" => new.set_cmd(Some(words()?)),
        "ENTRYPOINT" => new.set_entrypoint(Some(words()?)),
        "ENV" => {
            let mut env = new.env().clone().unwrap_or_default();
            for (name, value) in pairs()? {
                env.retain(|have| have.split('=').next() != Some(&name));
                env.push(format!("{name}={value}"));
            }
            new.set_env(Some(env))
        }
        "LABEL" => {
            let mut labels = new.labels().clone().unwrap_or_default();
            labels.extend(pairs()?);
            new.set_labels(Some(labels))
        }
        "USER" => new.set_user(Some(rest.to_owned())),
        "WORKDIR" => new.set_working_dir(Some(rest.to_owned())),
        "STOPSIGNAL" => new.set_stop_signal(Some(rest.to_owned())),
        "EXPOSE" => {
            let mut ports = new.exposed_ports().clone().unwrap_or_default();
            ports.extend(
                rest.split_whitespace()
                    .map(|port| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }),
            );
            new.set_exposed_ports(Some(ports))
        }
        "VOLUME" => {
            let mut volumes = new.volumes().clone().unwrap_or_default();
            volumes.extend(if rest.starts_with('[') {
                words()?
            } else {
                rest.split_whitespace().map(str::to_owned).collect()
            });
            new.set_volumes(Some(volumes))
        }
        other => return Err(bad(&format!("{other} is no instruction that is taken here"))),
    };
    Ok(new)
}

/// `NAME=VALUE NAME="TWO WORDS"`, or the old form `NAME VALUE TO THE END`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    if let Some((name, value)) = text.split_once(char::is_whitespace)
        && !name.contains('=')
    {
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected NAME=VALUE, found {word:?}")),
    };
    split(text)?.into_iter().map(pair).collect()
}

/// Words as in a Dockerfile: quotes of both kinds, and a backslash before a character that is meant as it is.
fn split(text: &str) -> Result<Vec<String>, String> {
    quoted::split(text, |word, quote, letters| {
        if quote == Some('\'') {
            word.push('\\');
            return Ok(());
        }
        let next = quoted::escaped(letters)?;
        if quote.is_some() && !"\"\\$".contains(next) {
            word.push('\\');
        }
        word.push(next);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration() {
        let mut config = Config::default();
        for change in [
            "CMD [\"a\", \"b c\"]",
            "ENV A=1",
            "ENV A=2",
            "USER www",
            "EXPOSE 80",
            "LABEL k=\"v w\"",
            "entrypoint run me",
        ] {
            config = changed(config, change).expect(change);
        }
        assert_eq!(config.cmd().as_deref(), Some(&["a".to_owned(), "b c".to_owned()][..]));
        assert_eq!(config.env().as_deref(), Some(&["A=2".to_owned()][..]));
        assert_eq!(config.entrypoint().as_ref().map(Vec::len), Some(3));
        assert_eq!(config.labels().as_ref().and_then(|labels| labels.get("k")).map(String::as_str), Some("v w"));
    }

    #[test]
    fn one_env_or_label_sets_several_names() {
        let config = changed(Config::default(), r#"ENV A=1 B="two words" C='x"y' D=a\ b E="\n\"""#).expect("ENV");
        assert_eq!(
            config.env().as_deref(),
            Some(&["A=1", "B=two words", "C=x\"y", "D=a b", "E=\\n\""].map(str::to_owned)[..])
        );
        let config = changed(config, "ENV A the rest = of the line").expect("ENV");
        assert_eq!(
            config.env().as_ref().and_then(|env| env.last()).map(String::as_str),
            Some("A=the rest = of the line")
        );
        let config = changed(Config::default(), "LABEL a=1 b=2").expect("LABEL");
        assert_eq!(config.labels().as_ref().map(|labels| labels.len()), Some(2));
    }

    #[test]
    fn what_is_no_instruction_is_refused() {
        for bad in ["CMD", "RUN x", "ENV A", "ENV =1", "ENV A=1 B", "ENV A=\"1", "CMD [\"a\"", ""] {
            assert!(changed(Config::default(), bad).is_err(), "{bad:?}");
        }
    }
}
