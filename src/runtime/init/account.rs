//! Who the command runs as: looked up, then become.
//!
//! The surprise: the two are apart, because a seccomp filter that is loaded before may forbid what looking up takes.

use nix::unistd::{Gid, Uid};

use super::{Init, State};
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::Step;
use crate::runtime::rights;
use crate::runtime::user::{self, Account};

impl State {
    /// Who the command runs as: by the container's own files, or by the numbers of somebody else's document, whatever these say.
    pub(super) fn look_up(&mut self, step: &Step, init: &Init<'_>) -> Result<Account> {
        if let Some(known) = self.known.take() {
            return Ok(known);
        }
        let root = self.root()?.fd();
        let (account, asked, setgroups) = match step {
            Step::User { user, groups, setgroups } => {
                (user::account(root, user, groups)?, !groups.is_empty(), *setgroups)
            }
            Step::Ids { uid, gid, groups, setgroups } => {
                let home = if init.plan.process.set_home { user::home(root, *uid)? } else { String::new() };
                (Account { uid: *uid, gid: *gid, groups: groups.clone(), home }, true, *setgroups)
            }
            _ => return Err(Error::new(&codes::UNKNOWN_USER, "look up a user where none is named")),
        };
        if asked && !setgroups && account.groups.iter().any(|gid| *gid != account.gid) {
            return Err(rights::no_groups(&account));
        }
        Ok(account)
    }

    /// Groups, gid, uid; what follows are the capabilities.
    pub(super) fn become_account(&mut self, account: Account, setgroups: bool) -> Result<()> {
        // Permitted capabilities survive until the Capabilities step has set all the sets.
        nix::sys::prctl::set_keepcaps(true).context(&codes::SETUP, || rights::becoming(&account))?;
        if setgroups {
            let groups: Vec<_> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
            nix::unistd::setgroups(&groups).map_err(|errno| rights::unmapped(errno, &account))?;
        }
        rights::own_stdio(&account, self.slave.as_ref());
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        nix::unistd::setresgid(gid, gid, gid).map_err(|errno| rights::unmapped(errno, &account))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(|errno| rights::unmapped(errno, &account))?;
        // A change of ids sets this to what fs.suid_dumpable says.
        nix::sys::prctl::set_dumpable(false).context(&codes::SETUP, || "stay hidden until exec".into())?;
        self.account = Some(account);
        Ok(())
    }
}
