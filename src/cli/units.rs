//! systemd's units of containers: what `rl generate systemd` and `rl quadlet` have in common.
//!
//! Owns the service's shape and the quoting of words. The surprise: the service's main process is `rl start -a`, which ends with the
//! container's status and tells the manager when the container runs; the container itself is its supervisor's child, in the same control
//! group.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sections of a unit, each with its lines in order.
pub(super) type Sections = Vec<(String, Vec<(String, String)>)>;

/// A service that is a container.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// This program, and the flags before the verb, quoted.
    pub(super) rl: String,
    /// The container's name, quoted.
    pub(super) name: String,
    /// `rl create`'s words, quoted: the container is made at each start and removed at each stop. None: it is there.
    pub(super) create: Option<String>,
    /// `-t` of `rl stop`; None: the container's own.
    pub(super) stop: Option<u32>,
}

impl Service {
    /// The lines of `[Service]`.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let Self { rl, name, create, stop } = self;
        let stop = stop.map_or_else(String::new, |seconds| format!(" -t {seconds}"));
        let mut lines = vec![
            ("Type", "notify".to_owned()),
            ("NotifyAccess", "main".to_owned()),
            ("Delegate", "yes".to_owned()),
            // The supervisor outlives a client that is killed; what is left then has had its chance.
            ("KillMode", "mixed".to_owned()),
            ("SuccessExitStatus", "143".to_owned()),
        ];
        if let Some(create) = create {
            lines.push(("ExecStartPre", format!("-{rl} rm -f -i -v -t 0 {name}")));
            lines.push(("ExecStartPre", format!("{rl} create {create}")));
        }
        lines.push(("ExecStart", format!("{rl} start -a {name}")));
        lines.push(("ExecStop", format!("{rl} stop -i{stop} {name}")));
        if create.is_some() {
            lines.push(("ExecStopPost", format!("-{rl} rm -f -i -v -t 0 {name}")));
        }
        lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// The text of a unit.
pub(super) fn text(sections: &Sections) -> String {
    let mut text = String::new();
    for (name, lines) in sections {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{name}]\n"));
        lines.iter().for_each(|(key, value)| text.push_str(&format!("{key}={value}\n")));
    }
    text
}

/// One word of an Exec line (systemd.service(5), "COMMAND LINES"); `meant`: `%` and `$` are to be looked at by systemd.
pub(super) fn word(text: &str, meant: bool) -> String {
    let plain =
        |letter: char| letter.is_ascii_alphanumeric() || "_./:=@,+-".contains(letter) || (meant && letter == '%');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '%' | '$' if !meant => quoted.extend([letter, letter]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// All of them.
pub(super) fn words<'a>(all: impl IntoIterator<Item = &'a str>, meant: bool) -> String {
    all.into_iter().map(|one| word(one, meant)).collect::<Vec<_>>().join(" ")
}

/// Tells a service manager, if one waits for it, that the container runs (sd_notify(3)).
pub(super) fn ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let path = path.to_string_lossy().into_owned();
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    // Where nobody listens, the manager will say so.
    let _ = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_systemd_reads_back() {
        for (text, quoted) in [
            ("a-b=c", "a-b=c"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("100%", "\"100%%\""),
            ("$HOME", "\"$$HOME\""),
            ("say \"x\\\"", "\"say \\\"x\\\\\\\"\""),
            (";", "\";\""),
            ("a\nb\u{7}", "\"a\\nb\\x07\""),
        ] {
            assert_eq!(word(text, false), quoted, "{text:?}");
        }
        assert_eq!(word("systemd-%N", true), "systemd-%N");
        assert_eq!(word("$X %i", true), "\"$X %i\"");
    }
}
