//! `rl info`: what this machine offers, and what `rl` makes of it.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;
use serde_json::Value;

use super::format::{Format, Screen};
use super::{Globals, Verb, foreign, in_namespace};
use crate::error::{Context, Result, catalog::state};
use crate::host::{Caller, Host, Kind};
use crate::image::{Platform, Store};
use crate::runtime::{binfmt, fuse, storage};
use crate::spec::ids::Base;

/// The verb.
pub const VERB: Verb = Verb { name: "info", about: "What this machine offers and where things are", command, run };

fn command() -> Command {
    Command::new("rl info").about(VERB.about).arg(
        Arg::new("format")
            .long("format")
            .short('f')
            .value_name("text|json|TEMPLATE")
            .default_value("text")
            .help("How it is shown; a template as in `rl info -f '{{.runRoot}}'`"),
    )
}

/// In the order in which it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    version: &'static str,
    kernel: String,
    platform: String,
    caller: String,
    uids: u64,
    gids: u64,
    root: String,
    run_root: String,
    storage_driver: String,
    /// Why not a better one.
    storage_driver_reason: String,
    fuse_overlayfs: String,
    /// What runs, natively or how emulated, and of the others why not.
    architectures: BTreeMap<&'static str, String>,
    /// Whether containers have handlers of their own for programs of other architectures.
    binfmt_misc: String,
    cgroup_version: &'static str,
    images: usize,
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let caller = Caller::read()?;
    let (host, base) = in_namespace(globals, None)?;
    let info = gather(&caller, &host, &base, globals)?;
    let value = serde_json::to_value(&info).context(&state::INTERNAL, || "write JSON".into())?;
    match matches.get_one::<String>("format").map_or("text", String::as_str) {
        "text" => {
            for (name, value) in value.as_object().into_iter().flatten() {
                match value {
                    Value::Object(parts) => {
                        println!("{name}:");
                        parts.iter().for_each(|(part, value)| println!("  {part}: {}", plain(value)));
                    }
                    value => println!("{name}: {}", plain(value)),
                }
            }
        }
        asked => Format::parse(Some(asked), &[])?.print_one(&value, &mut Screen::stdout())?,
    }
    Ok(0)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn gather(caller: &Caller, host: &Host, base: &Base, globals: &Globals) -> Result<Info> {
    let (driver, reason) = match globals.storage_driver {
        Some(forced) => (forced, "--storage-driver".to_owned()),
        None => {
            let chosen = storage::probe(&host.dirs)?;
            (chosen.driver, chosen.against)
        }
    };
    let unified = nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC);
    let kernel = nix::sys::utsname::uname().context(&state::INTERNAL, || "read the kernel's version".into())?;
    let kind = match caller.kind {
        Kind::Unprivileged => "an unprivileged user",
        Kind::Root => "root of this machine",
        Kind::NamespaceRoot => "root of a user namespace with several ids",
        Kind::SingleId => "root of a user namespace with one id",
    };
    Ok(Info {
        version: env!("CARGO_PKG_VERSION"),
        kernel: kernel.release().to_string_lossy().into_owned(),
        platform: Platform::host().to_string(),
        caller: format!("{kind} (uid {}, gid {})", caller.uid, caller.gid),
        uids: base.uid.total(),
        gids: base.gid.total(),
        root: host.dirs.data.display().to_string(),
        run_root: host.dirs.run.display().to_string(),
        storage_driver: driver.to_string(),
        storage_driver_reason: reason,
        fuse_overlayfs: fuse::program()
            .map_or_else(|error| error.summary(), |program| program.path().display().to_string()),
        architectures: foreign::survey(host)?,
        binfmt_misc: match binfmt::probe() {
            Ok(()) => "each container's own".to_owned(),
            Err(errno) => {
                format!("the machine's alone ({errno:?}: Linux 6.7 and later have one for each user namespace)")
            }
        },
        cgroup_version: if unified { "2" } else { "1 or hybrid" },
        images: Store::open(&host.dirs).list()?.len(),
    })
}
