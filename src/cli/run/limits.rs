//! Numbers with units and names: `--ulimit`, `--umask`, `--shm-size`, `--stop-signal`, `--sysctl`.
//!
//! The surprise: what the kernel would refuse later, a limit above the caller's own or a parameter of the host, is refused here,
//! where the flag can be named.

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use super::wrong;
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::spec::limits::{RESOURCES, resource};
use crate::spec::{Share, Ulimit};

/// All limits; the last of several on one resource counts.
pub(super) fn ulimits(words: &[String]) -> Result<Vec<Ulimit>> {
    let mut limits: Vec<Ulimit> = Vec::new();
    // `host` is podman's word for the caller's own limits, which a container has anyway.
    for word in words.iter().filter(|word| *word != "host") {
        let limit = ulimit(word, highest)?;
        limits.retain(|earlier| earlier.name != limit.name);
        limits.push(limit);
    }
    Ok(limits)
}

/// The caller's hard limit. No process in a user namespace can raise one: setrlimit(2) asks for CAP_SYS_RESOURCE in the
/// initial namespace, so not even root's containers go above it.
fn highest(resource: Resource) -> Result<u64> {
    let limits = getrlimit(resource).context(&command_line::USAGE, || format!("look up your own {resource:?}"))?;
    Ok(limits.1)
}

/// `NAME=SOFT[:HARD]`; one number is both; -1 is the highest that the caller may set, as with podman.
fn ulimit(word: &str, highest: impl Fn(Resource) -> Result<u64>) -> Result<Ulimit> {
    let bad = || wrong("ulimit", word, "NAME=SOFT[:HARD], for example nofile=1024:2048, or host");
    let (name, values) = word.split_once('=').ok_or_else(bad)?;
    let name = name.to_lowercase();
    let Some(resource) = resource(&name) else {
        return Err(wrong("ulimit", word, &format!("one of {}", RESOURCES.map(|(name, _)| name).join(", "))));
    };
    let most = highest(resource)?;
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(most),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| bad()),
        _ => Err(bad()),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err(wrong("ulimit", word, "a soft limit that is not above the hard one"));
    }
    if hard > most {
        return Err(wrong(
            "ulimit",
            word,
            &format!("at most {most}, your own hard limit, which only an administrator raises"),
        ));
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

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `RTMAX-1`; the first real-time signal that libc leaves to programs is 34.
pub(super) fn signal(flag: &str, word: &str) -> Result<i32> {
    let upper = word.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = name
        .strip_prefix("RTMIN")
        .and_then(|rest| if rest.is_empty() { Some(0) } else { rest.strip_prefix('+')?.parse::<i32>().ok() });
    let last = name
        .strip_prefix("RTMAX")
        .and_then(|rest| if rest.is_empty() { Some(0) } else { rest.strip_prefix('-')?.parse::<i32>().ok() });
    let real_time = real_time.map(|offset| 34 + offset).or_else(|| last.map(|offset| 64 - offset));
    let real_time = real_time.filter(|number| *number >= 34);
    let number = name.parse::<i32>().ok().or(real_time);
    let number = number.or_else(|| format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32));
    number.filter(|number| (1..=64).contains(number)).ok_or_else(|| wrong(flag, word, "a signal's name or number"))
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

    fn limit(word: &str) -> Result<Ulimit> {
        ulimit(word, |_| Ok(4096))
    }

    fn made(name: &str, soft: u64, hard: u64) -> Ulimit {
        Ulimit { name: name.into(), soft, hard }
    }

    #[test]
    fn limits_have_a_soft_and_a_hard_value() {
        assert_eq!(limit("nofile=10:20").expect("limit"), made("nofile", 10, 20));
        assert_eq!(limit("NPROC=7").expect("limit"), made("nproc", 7, 7));
        for bad in
            ["nofile", "nofile=", "nofile=20:10", "nofiles=1", "nofile=-2", "nofile=1:2:3", "nofile=+1", "=1", "host=1"]
        {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_above_the_callers_own_hard_limit() {
        assert_eq!(limit("core=-1").expect("limit"), made("core", 4096, 4096));
        assert_eq!(limit("core=0:unlimited").expect("limit"), made("core", 0, 4096));
        let error = limit("core=4097").expect_err("above");
        assert!(error.summary().contains("4096"), "{error}");
    }

    #[test]
    fn the_last_limit_of_a_resource_counts_and_host_is_none() {
        let words = ["core=1", "host", "cpu=2", "core=0"].map(str::to_owned);
        assert_eq!(ulimits(&words).expect("limits"), [made("cpu", 2, 2), made("core", 0, 0)]);
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
        for (word, number) in
            [("TERM", 15), ("sigkill", 9), ("2", 2), ("RTMIN+3", 37), ("SIGRTMAX", 64), ("RTMAX-1", 63)]
        {
            assert_eq!(signal("signal", word).expect(word), number, "{word}");
        }
        for bad in ["", "0", "65", "NOPE", "-1", "RTMIN-1", "RTMIN+31", "RTMAX-40", "SIG"] {
            assert!(signal("signal", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_umask_is_octal() {
        assert_eq!(umask("0077").expect("mask"), 0o077);
        for bad in ["", "8", "1000", "-1", "+7", "0x7"] {
            assert!(umask(bad).is_err(), "{bad:?}");
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
