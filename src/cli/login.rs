//! `rl login` and `rl logout`: logins at registries, kept where podman keeps them.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::registry::{self, Access};
use super::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::image};
use crate::host::credentials::{self, Credentials};
use crate::image::Reference;
use crate::image::registry::Registry;

/// `rl login`.
pub const LOGIN: Verb = Verb { name: "login", about: "Log in at a registry", command: login_command, run: login };

/// `rl logout`.
pub const LOGOUT: Verb =
    Verb { name: "logout", about: "Forget a login at a registry", command: logout_command, run: logout };

const HUB: &str = "docker.io";
/// Nobody's password is longer; whoever pipes something else in is told so.
const LONGEST_PASSWORD: u64 = 64 * 1024;

fn login_command() -> Command {
    registry::flags(Command::new("rl login"))
        .about(LOGIN.about)
        .override_usage("rl login [OPTIONS] [REGISTRY]")
        .mut_arg("creds", |arg| arg.hide(true))
        .arg(Arg::new("username").long("username").short('u').value_name("USER"))
        .arg(
            Arg::new("password")
                .long("password")
                .short('p')
                .value_name("PASSWORD")
                .help("Seen by everybody on this machine; better: --password-stdin"),
        )
        .arg(
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .conflicts_with("password")
                .help("Read the password from standard input"),
        )
        .arg(Arg::new("get-login").long("get-login").action(ArgAction::SetTrue).help("Only say who is logged in"))
        .arg(Arg::new("registry").value_name("REGISTRY").default_value(HUB))
        .after_help("Examples:\n  rl login ghcr.io\n  pass show lab | rl login -u me --password-stdin registry.lab.org")
}

fn logout_command() -> Command {
    Command::new("rl logout")
        .about(LOGOUT.about)
        .override_usage("rl logout [OPTIONS] [REGISTRY]")
        .arg(registry::authfile())
        .arg(Arg::new("all").long("all").short('a').action(ArgAction::SetTrue).help("All of them"))
        .arg(Arg::new("registry").value_name("REGISTRY").default_value(HUB))
}

/// The host, of which people also give addresses.
fn host(matches: &ArgMatches) -> Result<(String, Reference)> {
    let word = matches.get_one::<String>("registry").map_or(HUB, String::as_str);
    let word = word.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let host = match word {
        "index.docker.io/v1" | "index.docker.io" | "registry-1.docker.io" => HUB,
        word => word,
    };
    let reference = Reference::parse(&format!("{host}/login/login"))
        .ok()
        .filter(|reference| reference.registry() == host)
        .ok_or_else(|| {
            Error::new(&command_line::USAGE, format!("{word:?} is no registry")).fix("For example: ghcr.io")
        })?;
    Ok((host.to_owned(), reference))
}

fn login(_: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (host, reference) = host(matches)?;
    let authfile = matches.get_one::<std::path::PathBuf>("authfile").map(std::path::PathBuf::as_path);
    if matches.get_flag("get-login") {
        return match credentials::of(&host, authfile)? {
            Some(known) => {
                println!("{}", known.user);
                Ok(0)
            }
            None => Err(not_logged_in(&host)),
        };
    }
    let asked = asked(matches, &host, authfile)?;
    let access = Access::of(matches)?;
    let (at, options) = access.to(&reference)?;
    let options = crate::image::registry::Options { credentials: Some(asked.clone()), ..options };
    Registry::open(at, &options)?.check_login()?;
    let kept = credentials::keep(&host, &asked, authfile)?;
    println!("Login Succeeded! It is kept in {kept}.");
    Ok(0)
}

fn asked(matches: &ArgMatches, host: &str, authfile: Option<&Path>) -> Result<Credentials> {
    let word = |name: &str| matches.get_one::<String>(name).cloned();
    let (user, password) = (word("username"), word("password"));
    let nothing = user.is_none() && password.is_none() && !matches.get_flag("password-stdin");
    if nothing && let Some(known) = credentials::of(host, authfile)? {
        eprintln!("rl: trying the login of {} that is there already; another: rl login -u USER {host}", known.user);
        return Ok(known);
    }
    let terminal = io::stdin().is_terminal();
    let user = match user {
        Some(user) => user,
        None if terminal && !matches.get_flag("password-stdin") => prompt("Username: ")?,
        None => return Err(missing("the user is missing", "rl login -u USER ...")),
    };
    let password = match password {
        Some(password) => password,
        None if matches.get_flag("password-stdin") => {
            let mut text = String::new();
            let read = io::stdin().take(LONGEST_PASSWORD).read_to_string(&mut text);
            read.context(&command_line::INPUT_FILE, || "read the password from standard input".into())?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None if terminal => rpassword::prompt_password("Password: ")
            .context(&command_line::INPUT_FILE, || "read the password from the terminal".into())?,
        None => return Err(missing("the password is missing", "rl login -u USER --password-stdin ... < FILE")),
    };
    if user.is_empty() || user.contains(':') || password.is_empty() {
        return Err(missing("the user or the password is empty, or the user has a colon", "rl login -u USER ..."));
    }
    Ok(Credentials { user, password })
}

fn prompt(text: &str) -> Result<String> {
    let doing = || "ask for the user".to_owned();
    eprint!("{text}");
    io::stderr().flush().context(&command_line::INPUT_FILE, doing)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context(&command_line::INPUT_FILE, doing)?;
    Ok(line.trim().to_owned())
}

fn missing(what: &str, fix: &str) -> Error {
    Error::new(&command_line::USAGE, format!("rl login: {what}")).fix(fix)
}

fn not_logged_in(host: &str) -> Error {
    Error::new(&image::NO_LOGIN, format!("at {host}"))
}

fn logout(_: &Globals, matches: &ArgMatches) -> Result<u8> {
    let authfile = matches.get_one::<std::path::PathBuf>("authfile").map(std::path::PathBuf::as_path);
    if matches.get_flag("all") {
        let file = credentials::forget_all(authfile)?;
        println!("Removed all logins of {file}");
        return Ok(0);
    }
    let (host, _) = host(matches)?;
    if credentials::forget(&host, authfile)? {
        println!("Removed login credentials for {host}");
        return Ok(0);
    }
    let error = not_logged_in(&host);
    Err(match credentials::of(&host, authfile)? {
        Some(_) => error.because("the login that there is was made by docker").fix(format!("docker logout {host}")),
        None => error,
    })
}
