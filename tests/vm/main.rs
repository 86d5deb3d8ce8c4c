//! Tests that need a real systemd, a login or an older kernel: inside the virtual machine of `tests/vm/run`.
//!
//! Modules say how a test comes to its shell: `over_ssh` (a login session of logind's), `by_su` (`su -l`), `from_cron` (no session
//! and no environment), `as_root`. Outside of the machine every test says that it is skipped; `tests/vm/run` is what fails
//! where the machine is missing.

#[path = "../support/mod.rs"]
mod support;

#[path = "../oci/bundle.rs"]
#[allow(dead_code, reason = "the tests of bundles use all of it")]
mod bundle;

mod background;
mod foreign;
mod limits;
mod logins;
mod logout;
mod many;
mod oci;
mod peers;
mod pid_one;
mod services;

/// A line of shell for this machine's root.
fn sh(script: &str) -> support::Output {
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(script);
    support::Line::new(command, script.to_owned()).output()
}

/// A line of shell for the user, in a login of their own: root's tests do it.
fn login(script: &str) -> support::Output {
    let mut command = std::process::Command::new("ssh");
    command.args(["user@localhost", script]);
    support::Line::new(command, script.to_owned()).output()
}

/// Shown when all tests have ended, whether they passed or not.
fn report(text: &str) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().append(true).open("/tmp/report");
    file.expect("the report").write_all(text.as_bytes()).expect("write to the report");
}

/// Whether this is the virtual machine.
fn inside() -> bool {
    let inside = std::env::var_os("RL_VM").is_some();
    if !inside {
        eprintln!("SKIPPED: this is not the virtual machine; use tests/vm/run");
    }
    inside
}
