//! The stable part of every error: id, title, why it usually happens, what to do.
//!
//! Owns the tables, one file an area. `rl explain RL0201` prints an entry and docs/troubleshooting.md is made from them; a test
//! compares the two. The surprise: an id is never used again for another meaning once it was released.

pub mod cgroup;
pub mod command_line;
pub mod emulation;
pub mod ids;
pub mod image;
pub mod network;
pub mod oci;
pub mod process;
pub mod rootfs;
pub mod security;
pub mod state;
pub mod volume;

/// One kind of failure.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stable number; shown as `RL` and four digits.
    pub id: u16,
    /// The exit status of `rl`.
    pub exit: u8,
    /// A few words that name the failure; the first words of the message.
    pub title: &'static str,
    /// Why this usually happens, for `rl explain`.
    pub why: &'static str,
    /// What to do next.
    pub fix: &'static str,
}

impl Entry {
    /// `RL0201`.
    pub fn code(&self) -> String {
        format!("RL{:04}", self.id)
    }
}

/// Every entry, in the order of the ids.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    [
        command_line::ALL,
        ids::ALL,
        image::ALL,
        rootfs::ALL,
        volume::ALL,
        process::ALL,
        emulation::ALL,
        security::ALL,
        network::ALL,
        state::ALL,
        oci::ALL,
        cgroup::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Finds an entry by `RL0201`, `rl0201`, `0201` or `201`.
pub fn find(code: &str) -> Option<&'static Entry> {
    let digits = code.trim_start_matches(['R', 'L', 'r', 'l']);
    let id: u16 = digits.parse().ok()?;
    all().find(|entry| entry.id == id)
}

/// docs/troubleshooting.md.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Troubleshooting by error id\n\nEvery error of `rl` ends with its id; `rl explain ID` prints what stands here. Made from the \
         program's own catalog.\n",
    );
    for entry in all() {
        let parts = ["\n## ", &entry.code(), ": ", entry.title, "\n\n", entry.why, "\n\n", entry.fix, "\n"];
        parts.iter().for_each(|part| text.push_str(part));
    }
    text
}

/// Declares the entries of an area and the area's `ALL`.
macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident = $id:literal, exit $exit:literal, $title:literal, why $why:literal, fix $fix:literal;)*) => {
        $($(#[$doc])* pub static $name: super::Entry =
            super::Entry { id: $id, exit: $exit, title: $title, why: $why, fix: $fix };)*
        /// Every entry of this area.
        pub const ALL: &[&super::Entry] = &[$(&$name),*];
    };
}
pub(crate) use entries;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = all().map(|entry| entry.id).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    }

    #[test]
    fn every_entry_says_why_and_what_to_do() {
        for entry in all() {
            assert!(!entry.title.is_empty() && !entry.why.is_empty() && !entry.fix.is_empty(), "{}", entry.code());
        }
    }

    /// RL_UPDATE_DOCS=1 writes the page anew.
    #[test]
    fn the_troubleshooting_page_is_the_catalog() {
        // Where cargo or nextest say that the tree is now: the place of the build may be closed to this user.
        let top = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest set it");
        let page = std::path::Path::new(&top).join("docs/troubleshooting.md");
        if std::env::var_os("RL_UPDATE_DOCS").is_some() {
            std::fs::write(&page, markdown()).expect("write");
        }
        assert_eq!(std::fs::read_to_string(&page).expect("read"), markdown());
    }
}
