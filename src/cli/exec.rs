//! `rl exec [OPTIONS] CONTAINER COMMAND [ARG...]`: one more process in a container that runs.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::container::{attach::Keys, last, latest};
use super::run::args::{list, switch, value};
use super::run::{env, given_fds};
use super::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::host::Host;
use crate::plan::exec::Wish;
use crate::runtime::exec::{self, Target};
use crate::runtime::supervise::Exit;
use crate::state::Containers;

/// The verb.
pub const VERB: Verb = Verb { name: "exec", about: "Run a command in a container that runs", command, run };

const EXAMPLES: &str = "Examples:
  rl exec -it web sh                     a shell in the container web
  rl exec -u www-data -w /srv web ls -l

The command has what the container's own has: its namespaces, capabilities, seccomp filter, limits and variables. Without -d it
gets the signals that rl exec gets; if rl exec itself is killed it goes on, as with podman.

Exit status: the command's own; 125 rl failed, 126 the command can't be executed, 127 it was not found, 128+N it died of signal N.";

fn command() -> Command {
    Command::new("rl exec")
        .about(VERB.about)
        .override_usage("rl exec [OPTIONS] CONTAINER COMMAND [ARG...]")
        .args_override_self(true)
        .arg(switch("interactive", "Keep stdin open").short('i'))
        .arg(switch("tty", "Give it a terminal").short('t'))
        .arg(switch("detach", "Leave it to the container and return").short('d'))
        .arg(value(
            "detach-keys",
            "KEYS",
            "What is typed to leave it with -it: ctrl-p,ctrl-q by default; nothing where empty",
        ))
        .arg(list("env", "NAME[=VALUE]", "Environment variable; without a value, the caller's").short('e'))
        .arg(list("env-file", "FILE", "Environment variables, one a line"))
        .arg(value("workdir", "DIR", "Working directory, the container's own by default").short('w'))
        .arg(value("user", "USER[:GROUP]", "User, by the container's own names or by number").short('u'))
        .arg(value("preserve-fds", "N", "Descriptors 3 to 2+N of yours are its own, too"))
        .arg(list("cidfile", "FILE", "The container whose id is in that file, in place of its name"))
        .arg(switch("privileged", "All capabilities and no seccomp filter"))
        .arg(latest())
        .arg(
            Arg::new("words")
                .value_name("CONTAINER")
                .num_args(0..)
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString))
                .action(ArgAction::Set)
                .help("The container's name or the first digits of its id, then the command"),
        )
        .after_help(EXAMPLES)
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (container, wish, detach) = resolve(matches)?;
    let keys = Keys::parse(matches.get_one::<String>("detach-keys").map(String::as_str))?.into_keys();
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    // As in run: 1 would be the command's own.
    let containers = Containers::open(&host.dirs);
    let name = container.map_or_else(|| last(&containers), Ok);
    let found = name.and_then(|name| containers.find_running(&name));
    let (container, running) = found.map_err(|error| error.exit(125))?;
    let record = exec::Record::read(&container.run)?;
    let target = Target { pid: running.pid.as_raw(), pidfd: running.pidfd, record };
    let plan = exec::plan(&target, &wish);
    if detach {
        exec::detach(&target, &plan)?;
        return Ok(0);
    }
    // Left by its keys it goes on, and that is no failure.
    Ok(exec::run(&target, &plan, keys)?.map_or(0, Exit::status))
}

/// No container: the one that was made last.
fn resolve(matches: &ArgMatches) -> Result<(Option<String>, Wish, bool)> {
    let text = |word: &OsString| {
        let bad = || Error::new(&command_line::USAGE, format!("{word:?} is not UTF-8"));
        word.to_str().map(str::to_owned).ok_or_else(bad)
    };
    let mut words = matches.get_many::<OsString>("words").into_iter().flatten();
    let needs = |what: &str| {
        Error::new(&command_line::USAGE, format!("rl exec needs {what}"))
            .fix("Type: rl exec [-it] CONTAINER COMMAND. See: rl exec --help")
    };
    let container = match (matches.get_one::<String>("cidfile"), matches.get_flag("latest")) {
        (Some(path), _) => {
            let read = std::fs::read_to_string(path);
            let read = read.context(&command_line::INPUT_FILE, || format!("read --cidfile {path}"))?;
            Some(read.trim().to_owned())
        }
        (None, true) => None,
        (None, false) => Some(text(words.next().ok_or_else(|| needs("a container"))?)?),
    };
    let args = words.map(text).collect::<Result<Vec<_>>>()?;
    if args.is_empty() {
        return Err(needs("a command"));
    }
    let all = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    let one = |name: &str| matches.get_one::<String>(name).cloned();
    let flag = |name: &str| matches.get_one::<bool>(name).copied().unwrap_or(false);
    let detach = flag("detach");
    let workdir = one("workdir");
    if let Some(path) = workdir.as_deref().filter(|path| !is_plain(path)) {
        let what = format!("--workdir {path:?}: expected an absolute path in the container, without ..");
        return Err(Error::new(&command_line::USAGE, what));
    }
    let wish = Wish {
        args,
        env: env::environment(&all("env-file"), &all("env"))?,
        workdir,
        user: one("user"),
        privileged: flag("privileged"),
        tty: flag("tty"),
        interactive: flag("interactive") && !detach,
        preserve_fds: one("preserve-fds").map_or(Ok(0), |word| given_fds(&word))?,
    };
    if detach && wish.preserve_fds > 0 {
        let what = "--preserve-fds and -d: what goes on in the background has nothing of its caller's";
        return Err(Error::new(&command_line::CONFLICT, what));
    }
    Ok((container, wish, detach))
}

fn is_plain(path: &str) -> bool {
    use std::path::{Component, Path};
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    Path::new(path).is_absolute() && Path::new(path).components().all(plain)
}
