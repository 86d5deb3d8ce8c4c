//! Tests that need a real systemd, a login or an older kernel: inside the virtual machine of `tests/vm/run`.
//!
//! Modules say how a test comes to its shell: `over_ssh` (a login session of logind's), `by_su` (`su -l`), `from_cron` (no session
//! and no environment), `as_root`. Outside of the machine every test says that it is skipped; `tests/vm/run` is what fails
//! where the machine is missing.

#[path = "../support/mod.rs"]
mod support;

mod foreign;
mod limits;
mod logins;
mod services;

/// Whether this is the virtual machine.
fn inside() -> bool {
    let inside = std::env::var_os("RL_VM").is_some();
    if !inside {
        eprintln!("SKIPPED: this is not the virtual machine; use tests/vm/run");
    }
    inside
}
