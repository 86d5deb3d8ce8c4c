//! Where the linker finds libseccomp: the static archive before the shared library.
//!
//! Owns one search path. The crate libseccomp-sys asks for `-lseccomp`; the linker takes the first directory that has
//! either form. So a directory with nothing but the archive is put in front: the binary then starts without loading
//! libseccomp.so.2, and runs on machines that have none. Where there is no archive the shared library is linked as
//! before. The surprise: LIBSECCOMP_LINK_TYPE=static would do the same, but fails where only the shared library exists.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const ARCHIVE: &str = "libseccomp.a";

fn main() -> io::Result<()> {
    for name in ["LIBSECCOMP_LIB_PATH", "CC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=src/sys/build.rs");
    let Some(archive) = given().or_else(of_the_compiler) else { return Ok(()) };
    println!("cargo::rerun-if-changed={}", archive.display());
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    let directory = out.join("libseccomp");
    fs::create_dir_all(&directory)?;
    fs::copy(archive, directory.join(ARCHIVE))?;
    println!("cargo::rustc-link-search=native={}", directory.display());
    Ok(())
}

/// The directory that LIBSECCOMP_LIB_PATH names, for a user who unpacked libseccomp-dev without root.
fn given() -> Option<PathBuf> {
    let path = Path::new(&env::var_os("LIBSECCOMP_LIB_PATH")?).join(ARCHIVE);
    path.is_file().then_some(path)
}

/// The C compiler knows the distribution's directories; a name that it does not find comes back bare. Not asked when
/// building for another machine, whose libraries are elsewhere.
fn of_the_compiler() -> Option<PathBuf> {
    if env::var_os("TARGET") != env::var_os("HOST") {
        return None;
    }
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(compiler).arg(format!("-print-file-name={ARCHIVE}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path).filter(|path| path.is_file())
}
