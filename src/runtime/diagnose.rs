//! tmp
use crate::error::*;
use nix::errno::Errno;
use std::os::fd::BorrowedFd;
pub struct P(String, Errno);
impl P {
    pub fn error(self) -> Error {
        Error::new(&catalog::process::COMMAND_NOT_FOUND, self.0).because(self.1)
    }
}
pub fn explain(_: BorrowedFd<'_>, c: &str, _: &str, _: &str, e: Errno) -> P {
    P(c.into(), e)
}
