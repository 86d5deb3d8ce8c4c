//! nft(8), which loads rules and adds addresses to their sets.
//!
//! Owns finding and running it. The surprise: it is an administrator's program, in directories that a user's PATH need not have.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result, catalog::network as codes};

/// Where it is.
///
/// # Errors
/// `RL0708`.
pub(in crate::network) fn find() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let is_program =
        |file: &PathBuf| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let found = dirs.chain(system).map(|dir| dir.join("nft")).find(is_program);
    found.ok_or_else(|| Error::new(&codes::NO_NFT, "find nft"))
}

/// Gives it commands; all of them are carried out, or none.
///
/// # Errors
/// Its own words.
pub(in crate::network) fn load(nft: &Path, commands: &str) -> std::result::Result<(), String> {
    let mut command = Command::new(nft);
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |error: std::io::Error| format!("{}: {error}", nft.display());
    let mut child = command.spawn().map_err(failed)?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(commands.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.lines().map(str::trim).find(|line| !line.is_empty()) {
        _ if output.status.success() => written.map_err(failed),
        Some(line) => Err(format!("{}: {line}", nft.display())),
        None => Err(format!("{}: {}", nft.display(), output.status)),
    }
}
