//! Numbers with units and names: `--ulimit`, `--umask`, `--shm-size`, `--stop-signal`, `--sysctl`.

use nix::sys::signal::Signal;

use super::wrong;
use crate::error::{Error, Result, catalog::command_line};
use crate::spec::{Share, Ulimit};

const LIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`; -1 is unlimited; one number is both.
pub(super) fn ulimit(word: &str) -> Result<Ulimit> {
    let bad = || wrong("ulimit", word, "NAME=SOFT[:HARD], for example nofile=1024:2048");
    let (name, values) = word.split_once('=').ok_or_else(bad)?;
    let name = name.to_lowercase();
    if !LIMITS.contains(&name.as_str()) {
        return Err(wrong("ulimit", word, &format!("one of {}", LIMITS.join(", "))));
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        text => text.parse().map_err(|_| bad()),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err(wrong("ulimit", word, "a soft limit that is not above the hard one"));
    }
    Ok(Ulimit { name, soft, hard })
}

/// Octal, at most 0777.
pub(super) fn umask(word: &str) -> Result<u32> {
    let mask = u32::from_str_radix(word, 8).ok().filter(|mask| *mask <= 0o777 && !word.starts_with('+'));
    mask.ok_or_else(|| wrong("umask", word, "an octal number up to 0777"))
}

/// Bytes, with b, k, m, g or t.
pub(super) fn size(flag: &str, word: &str) -> Result<u64> {
    let lower = word.to_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong(flag, word, "a size such as 64m or 1g")),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = plain.then(|| digits.parse::<u64>().ok()?.checked_mul(1 << shift)).flatten();
    bytes.ok_or_else(|| wrong(flag, word, "a size such as 64m or 1g"))
}

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
pub(super) fn signal(word: &str) -> Result<i32> {
    let upper = word.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = name
        .strip_prefix("RTMIN")
        .and_then(|rest| if rest.is_empty() { Some(0) } else { rest.strip_prefix('+')?.parse::<i32>().ok() });
    let number = name.parse::<i32>().ok().or_else(|| real_time.map(|offset| 34 + offset));
    let number = number.or_else(|| format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32));
    number
        .filter(|number| (1..=64).contains(number))
        .ok_or_else(|| wrong("stop-signal", word, "a signal's name or number"))
}

/// Only parameters that belong to a namespace which the container has to itself; any other would be the host's.
pub(super) fn sysctl(word: &str, share: Share) -> Result<(String, String)> {
    let (key, value) = word.split_once('=').ok_or_else(|| wrong("sysctl", word, "KEY=VALUE"))?;
    let key = key.trim().replace('/', ".");
    let shape = key
        .split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
    let ipc = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let (owner, shared) = match key.as_str() {
        key if key.starts_with("net.") => ("network", share.network),
        key if key.starts_with("fs.mqueue.") || ipc.contains(&key) => ("ipc", share.ipc),
        "kernel.domainname" => ("uts", share.uts),
        _ => {
            return Err(wrong(
                "sysctl",
                word,
                "a parameter of a namespace: net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname",
            ));
        }
    };
    if shared {
        return Err(Error::new(
            &command_line::CONFLICT,
            format!("--sysctl {key} would change the host's {owner} namespace, which is shared"),
        ));
    }
    if shape { Ok((key, value.to_owned())) } else { Err(wrong("sysctl", word, "KEY=VALUE")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_soft_and_a_hard_value() {
        assert_eq!(ulimit("nofile=10:20").expect("limit"), Ulimit { name: "nofile".into(), soft: 10, hard: 20 });
        assert_eq!(ulimit("core=-1").expect("limit"), Ulimit { name: "core".into(), soft: u64::MAX, hard: u64::MAX });
        for bad in ["nofile", "nofile=", "nofile=20:10", "nofiles=1", "nofile=-2", "nofile=1:2:3"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units_and_do_not_overflow() {
        assert_eq!(size("shm-size", "64m").expect("size"), 64 << 20);
        assert_eq!(size("shm-size", "1024").expect("size"), 1024);
        for bad in ["", "m", "1x", "-1", "99999999999t", "1.5g", "+1"] {
            assert!(size("shm-size", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (word, number) in [("TERM", 15), ("sigkill", 9), ("2", 2), ("RTMIN+3", 37)] {
            assert_eq!(signal(word).expect(word), number, "{word}");
        }
        for bad in ["", "0", "65", "NOPE", "-1"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sysctl_of_the_host_is_refused() {
        let own = Share::default();
        assert!(sysctl("net.ipv4.ip_forward=1", own).is_ok());
        assert!(sysctl("net.ipv4.ip_forward=1", Share { network: true, ..own }).is_err());
        for bad in ["kernel.panic=1", "vm.swappiness=0", "net.ipv4", "net..x=1", "net.../../x=1"] {
            assert!(sysctl(bad, own).is_err(), "{bad}");
        }
    }
}
