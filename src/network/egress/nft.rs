//! nft(8), which loads rules and adds addresses to their sets.
//!
//! Owns finding and calling it. The surprise: all commands of one call are carried out, or none.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, catalog::network as codes};
use crate::network::program::{feed, find as find_program};

/// Where it is.
///
/// # Errors
/// `RL0708`.
pub(in crate::network) fn find() -> Result<PathBuf> {
    let found = find_program("nft", None, &["/usr/local/sbin", "/usr/sbin", "/sbin"]);
    found.ok_or_else(|| Error::new(&codes::NO_NFT, "find nft"))
}

/// A call that reads its commands from stdin.
pub(in crate::network) fn command(nft: &Path) -> Command {
    let mut command = Command::new(nft);
    command.args(["-f", "-"]);
    command
}

/// Gives it commands.
///
/// # Errors
/// Its own words.
pub(in crate::network) fn load(nft: &Path, commands: &str) -> std::result::Result<(), String> {
    feed(command(nft), commands)
}
