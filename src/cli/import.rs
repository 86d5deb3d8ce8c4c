//! `rl import FILE|- [NAME]`: an archive of a root file system becomes an image.

use std::fs::File;
use std::io::{self, Read};

use clap::{Arg, ArgAction, ArgMatches, Command};
use oci_spec::image::Config;

use super::{Globals, Verb, in_namespace};
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::image::{self, Import, Name, Store};

/// The verb.
pub const VERB: Verb = Verb { name: "import", about: "Make an image of a root file system's archive", command, run };

fn command() -> Command {
    Command::new("rl import")
        .about(VERB.about)
        .override_usage("rl import [OPTIONS] FILE|- [NAME[:TAG]]")
        .arg(Arg::new("change").long("change").short('c').value_name("INSTRUCTION").action(ArgAction::Append).help(
            "A Dockerfile instruction for the image's configuration: CMD, ENTRYPOINT, ENV, USER, WORKDIR, LABEL, EXPOSE, VOLUME, STOPSIGNAL",
        ))
        .arg(Arg::new("message").long("message").short('m').value_name("TEXT").help("A comment in the image's history"))
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No remarks on stderr"))
        .arg(Arg::new("userns").long("userns").value_name("MODE").help("single: give everything to root"))
        .arg(Arg::new("file").required(true).value_name("FILE|-"))
        .arg(Arg::new("name").value_name("NAME[:TAG]"))
        .after_help(
            "The archive is a tar as docker export makes it: plain, or compressed with gzip, zstd or xz.\n\nExamples:\n  \
             rl import debian.tar.gz debian\n  docker export web | rl import - web:backup\n  \
             rl import -c 'CMD [\"sh\"]' -c 'ENV A=1' rootfs.tar mine",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let name = word("name").map(Name::parse).transpose()?;
    let mut config = Config::default();
    for change in matches.get_many::<String>("change").into_iter().flatten() {
        config = changed(config, change)?;
    }
    let file = word("file").unwrap_or("-");
    let input: Box<dyn Read + Send> = if file == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).context(&command_line::INPUT_FILE, || format!("read the archive {file:?}"))?)
    };
    let (host, base) = in_namespace(globals, word("userns"))?;
    let options = Import { name, config, message: word("message").map(str::to_owned), squash: base.uid.total() == 1 };
    let (id, summary) = image::import(&Store::open(&host.dirs), input, &options)?;
    if !matches.get_flag("quiet") {
        if summary.devices > 0 {
            eprintln!(
                "rl: {} device nodes were replaced by empty files: nobody can make them in a user namespace",
                summary.devices
            );
        }
        if summary.squashed > 0 {
            eprintln!("rl: {} entries of other users belong to root now: only one id is mapped", summary.squashed);
        }
    }
    println!("sha256:{id}");
    Ok(0)
}

/// One Dockerfile instruction, docker's list for `import --change`.
fn changed(config: Config, change: &str) -> Result<Config> {
    let bad = |why: &str| {
        Error::new(&command_line::USAGE, format!("--change {change:?}: {why}")).fix("See: rl import --help")
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
    let pair = || -> Result<(String, String)> {
        let (name, value) =
            rest.split_once('=').or_else(|| rest.split_once(' ')).ok_or_else(|| bad("expected NAME=VALUE"))?;
        Ok((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
    };
    let mut new = config;
    match instruction.to_uppercase().as_str() {
        "CMD" => new.set_cmd(Some(words()?)),
        "ENTRYPOINT" => new.set_entrypoint(Some(words()?)),
        "ENV" => {
            let (name, value) = pair()?;
            let mut env = new.env().clone().unwrap_or_default();
            env.retain(|have| !have.starts_with(&format!("{name}=")));
            env.push(format!("{name}={value}"));
            new.set_env(Some(env))
        }
        "LABEL" => {
            let (name, value) = pair()?;
            let mut labels = new.labels().clone().unwrap_or_default();
            labels.insert(name, value);
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
        other => return Err(bad(&format!("{other} is no instruction that an import takes"))),
    };
    Ok(new)
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
    fn what_is_no_instruction_is_refused() {
        for bad in ["CMD", "RUN x", "ENV A", "CMD [\"a\"", ""] {
            assert!(changed(Config::default(), bad).is_err(), "{bad:?}");
        }
    }
}
