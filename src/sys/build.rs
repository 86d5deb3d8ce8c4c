//! What is linked from a static archive rather than loaded by every start: libseccomp, and the compiler's unwinder.
//!
//! Owns two search paths. The crate libseccomp-sys asks for `-lseccomp`; the linker takes the first directory that has
//! either form. So a directory with nothing but the archive is put in front: the binary then starts without loading
//! libseccomp.so.2, and runs on machines that have none. Where there is no archive the shared library is linked as
//! before. The surprise: LIBSECCOMP_LINK_TYPE=static would do the same, but fails where only the shared library exists.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const SECCOMP: &str = "libseccomp.a";
/// What a backtrace needs of libgcc_s.so.1, which costs a start 80 microseconds (docs/architecture.md).
const UNWINDER: &str = "libgcc_eh.a";

fn main() -> io::Result<()> {
    for name in ["LIBSECCOMP_LIB_PATH", "CC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=src/sys/build.rs");
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    if let Some(archive) = given().or_else(|| of_the_compiler(SECCOMP)) {
        search(&archive, &out.join("libseccomp"))?;
    }
    // A program that unwinds must do so with one unwinder, and std brings the shared one; what is released aborts (profile.release).
    if env::var("PROFILE").as_deref() == Ok("release")
        && let Some(archive) = of_the_compiler(UNWINDER)
    {
        search(&archive, &out.join("unwinder"))?;
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
    Ok(())
}

/// Puts a directory with nothing but this archive in front.
fn search(archive: &Path, directory: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", archive.display());
    fs::create_dir_all(directory)?;
    fs::copy(archive, directory.join(archive.file_name().unwrap_or_default()))?;
    println!("cargo::rustc-link-search=native={}", directory.display());
    Ok(())
}

/// The directory that LIBSECCOMP_LIB_PATH names, for a user who unpacked libseccomp-dev without root.
fn given() -> Option<PathBuf> {
    let path = Path::new(&env::var_os("LIBSECCOMP_LIB_PATH")?).join(SECCOMP);
    path.is_file().then_some(path)
}

/// The C compiler knows the distribution's directories; a name that it does not find comes back bare. Not asked when
/// building for another machine, whose libraries are elsewhere.
fn of_the_compiler(archive: &str) -> Option<PathBuf> {
    if env::var_os("TARGET") != env::var_os("HOST") {
        return None;
    }
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(compiler).arg(format!("-print-file-name={archive}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path).filter(|path| path.is_file())
}
