//! Images and programs for other architectures: what is to run them, and what is said about it.
//!
//! Owns the choice for one run: nothing for an image of this machine's own architecture, else qemu where there is one, else the
//! machine's own handler. The surprise: an image may be wrong about itself, which only shows when its program can't be executed;
//! then the run is tried once more with what the program needs.

use std::collections::BTreeMap;

use crate::error::{Error, Result, catalog::process};
use crate::host::emulation::{ALL, Architecture, Emulator, Emulators, find, own_name, registered};
use crate::host::{Host, config};
use crate::image::Platform;

/// What runs the programs of one container.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// Registered for this container.
    pub(super) emulators: Vec<Emulator>,
    /// Architectures whose handlers the machine has.
    by_machine: Vec<&'static str>,
}

impl Foreign {
    /// For an image's platform; `None` is a directory, which says nothing about itself.
    ///
    /// # Errors
    /// `RL0530` and `RL0531`: nothing here runs such programs.
    pub(super) fn of(platform: Option<&Platform>, host: &Host) -> Result<Self> {
        let mut foreign = Self::default();
        if let Some(platform) = platform.filter(|platform| is_foreign(platform)) {
            foreign.add(&platform.architecture, host)?;
        }
        Ok(foreign)
    }

    /// False: there was nothing to add.
    fn add(&mut self, name: &str, host: &Host) -> Result<bool> {
        let Some(architecture) = Architecture::of(name) else { return Ok(false) };
        let has = |one: &Emulator| one.architecture == architecture.name;
        if self.by_machine.contains(&architecture.name) || self.emulators.iter().any(has) {
            return Ok(false);
        }
        let chosen = config::emulators()?;
        match find(architecture, &chosen, &host.dirs) {
            Ok(emulator) => self.emulators.push(emulator),
            // docker's images with qemu register one that lies in no directory of the machine.
            Err(_) if by_machine(architecture, &chosen) => self.by_machine.push(architecture.name),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// After a program could not be executed: true says that another attempt, with its emulator, is worth it.
    ///
    /// # Errors
    /// As [`Foreign::of`].
    pub(super) fn learn(&mut self, error: &Error, said: Option<&Platform>, host: &Host) -> Result<bool> {
        let program = error.about().filter(|_| *error.entry() == process::WRONG_ARCHITECTURE);
        let Some(program) = program else { return Ok(false) };
        let added = self.add(program, host).map_err(|missing| missing.within(&error.summary()))?;
        if added {
            let said = said.map_or_else(String::new, |platform| format!("; the image says that it is for {platform}"));
            eprintln!("rl: warning: {}{said}. qemu runs it.", error.summary());
        }
        Ok(added)
    }
}

/// What somebody chose and that does not work is not replaced in silence.
fn by_machine(architecture: &Architecture, chosen: &Emulators) -> bool {
    chosen.get(architecture.name).is_none() && registered(architecture).is_some_and(|handler| handler.fixed)
}

/// Whether this machine's processor does not run it.
pub(super) fn is_foreign(platform: &Platform) -> bool {
    // Older variants of arm run on newer processors; which one this is need not be known.
    platform.architecture != own_name() && Architecture::of(&platform.architecture).is_none_or(|one| !one.is_native())
}

/// Looks at the emulator when an image comes, so that the image's first run need not. What is wrong with it is said then.
pub(super) fn look_ahead(platform: &Platform, host: &Host) {
    if is_foreign(platform)
        && let Some(architecture) = Architecture::of(&platform.architecture)
        && let Ok(chosen) = config::emulators()
    {
        let _ = find(architecture, &chosen, &host.dirs);
    }
}

/// The platforms that would do in place of this machine's own, best first.
pub(super) fn runnable(host: &Host) -> Vec<Platform> {
    let Ok(chosen) = config::emulators() else { return Vec::new() };
    let foreign = ALL.iter().filter(|one| one.name != own_name());
    let runs =
        |one: &&Architecture| one.is_native() || find(one, &chosen, &host.dirs).is_ok() || by_machine(one, &chosen);
    foreign.filter(runs).map(|one| Platform::linux(one.name, None)).collect()
}

/// Of every architecture: how its programs run here, or why they do not. The same search as a run's.
///
/// # Errors
/// `RL0326` for a configuration that can't be understood.
pub(super) fn survey(host: &Host) -> Result<BTreeMap<&'static str, String>> {
    let chosen = config::emulators()?;
    let how = |one: &'static Architecture| {
        if one.is_native() {
            return (one.name, "native".to_owned());
        }
        let text = match find(one, &chosen, &host.dirs) {
            Ok(emulator) => format!("{} (qemu {})", emulator.interpreter.display(), emulator.version),
            Err(_) if by_machine(one, &chosen) => "the machine's own handler".to_owned(),
            Err(error) => format!("no: {} ({})", error.summary(), error.entry().code()),
        };
        (one.name, text)
    };
    Ok(ALL.iter().map(how).collect())
}

/// Where an image for this machine was expected: docker warns of the same.
pub(super) fn warn(name: &str, platform: &Platform) {
    eprintln!(
        "rl: warning: {name} is here for {platform} alone, and this machine is {}: its programs are emulated, and slower for it",
        Platform::host()
    );
}
