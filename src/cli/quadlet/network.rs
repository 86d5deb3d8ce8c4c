//! `.network` files: each key is a word of `rl network create`.
//!
//! Pure. podman's keys (podman-systemd.unit(5)). The surprise: a network that is there already is left as it is, as podman has it; so a
//! changed file changes nothing until somebody has removed the network.

use std::path::Path;

use super::super::units::words;
use super::container::{Made, sections};
use super::file::{File, split, truth};
use super::keys::elsewhere;

/// The service of `stem.network`.
pub(super) fn network(stem: &str, path: &Path, file: &File, rl: &str) -> Result<Made, Vec<String>> {
    let mut wrong = Vec::new();
    let mut all = vec!["--ignore".to_owned()];
    for (key, _) in file.lines("Network") {
        if !KEYS.iter().any(|(known, _)| known == key) {
            wrong.push(format!("[Network] {key}= {}", elsewhere(key)));
        }
    }
    let mut globals = Vec::new();
    for (key, kind) in KEYS {
        for value in last_or_all(file, key, &kind) {
            if let Err(why) = one(&kind, value, &mut all, &mut globals) {
                wrong.push(format!("[Network] {key}={value}: {why}"));
            }
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let name = network_name(stem, file);
    all.push(name.clone());
    let create = |rest: &[String]| words(rest.iter().map(String::as_str), true);
    let rl = [vec![rl.to_owned()], vec![create(&globals)]].concat().join(" ");
    let rl = rl.trim_end();
    let mut lines = vec![
        ("Type", "oneshot".to_owned()),
        ("RemainAfterExit", "yes".to_owned()),
        ("ExecStart", format!("{rl} network create {}", create(&all))),
    ];
    if file.last("Network", "NetworkDeleteOnStop").is_some_and(|value| truth(value) == Ok(true)) {
        lines.push(("ExecStopPost", format!("{rl} network rm {}", create(&[name]))));
    }
    let lines = lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(Made { name: unit(stem, file), sections: sections(path, file, "Network", &[], lines) })
}

/// podman's name for it.
pub(super) fn network_name(stem: &str, file: &File) -> String {
    file.last("Network", "NetworkName").map_or_else(|| format!("systemd-{stem}"), str::to_owned)
}

/// Its unit, without `.service`.
pub(super) fn unit(stem: &str, file: &File) -> String {
    file.last("Network", "ServiceName").map_or_else(|| format!("{stem}-network"), str::to_owned)
}

enum Key {
    /// Each is one.
    Each(&'static str),
    /// Each has several, with quotes.
    Words(&'static str),
    /// Where it is true.
    Truth(&'static str),
    /// It must be this or nothing: there is no other.
    Only(&'static str),
    /// Words of the command line, as they stand.
    Arguments,
    /// Words in front of the verb.
    Globals,
    /// See above.
    Known,
}

const KEYS: [(&str, Key); 16] = [
    ("DisableDNS", Key::Truth("disable-dns")),
    ("DNS", Key::Each("dns")),
    ("Driver", Key::Only("bridge")),
    ("Gateway", Key::Each("gateway")),
    ("GlobalArgs", Key::Globals),
    ("Internal", Key::Truth("internal")),
    ("IPAMDriver", Key::Only("host-local")),
    ("IPRange", Key::Each("ip-range")),
    ("IPv6", Key::Truth("ipv6")),
    ("Label", Key::Words("label")),
    ("NetworkDeleteOnStop", Key::Known),
    ("NetworkName", Key::Known),
    ("PodmanArgs", Key::Arguments),
    ("ServiceName", Key::Known),
    ("Subnet", Key::Each("subnet")),
    ("DefaultDependencies", Key::Known),
];

/// Of what is one thing or the other the last word counts.
fn last_or_all<'a>(file: &'a File, key: &str, kind: &Key) -> Vec<&'a str> {
    let mut all = file.all("Network", key);
    if matches!(kind, Key::Truth(_) | Key::Only(_) | Key::Known) {
        all.drain(..all.len().saturating_sub(1));
    }
    all
}

fn one(kind: &Key, value: &str, all: &mut Vec<String>, globals: &mut Vec<String>) -> Result<(), String> {
    match kind {
        Key::Each(name) => all.push(format!("--{name}={value}")),
        Key::Words(name) => all.extend(split(value)?.into_iter().map(|word| format!("--{name}={word}"))),
        Key::Truth(name) if truth(value)? => all.push(format!("--{name}")),
        Key::Only(only) if value != *only => return Err(format!("rl knows only {only}")),
        Key::Arguments => all.extend(split(value)?),
        Key::Globals => globals.extend(split(value)?),
        Key::Truth(_) | Key::Only(_) | Key::Known => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Made, Vec<String>> {
        let mut file = File::default();
        file.add(text).expect("a unit");
        network("my", Path::new("/q/my.network"), &file, "/usr/bin/rl")
    }

    fn service(made: &Made, key: &str) -> Option<String> {
        let (_, lines) = made.sections.iter().find(|(name, _)| name == "Service").expect("a service");
        lines.iter().find(|(have, _)| have == key).map(|(_, value)| value.clone())
    }

    #[test]
    fn keys_are_words_of_network_create() {
        let text = "[Network]\nSubnet=10.7.0.0/24\nGateway=10.7.0.9\nIPRange=10.7.0.128/25\nIPv6=yes\nInternal=true\nDisableDNS=no\n\
                    DNS=192.0.2.53\nDriver=bridge\nLabel=a=b \"c=d e\"\nPodmanArgs=--dns=192.0.2.54\nGlobalArgs=--root /x\n";
        let made = made(text).expect("a service");
        assert_eq!(made.name, "my-network");
        assert_eq!(
            service(&made, "ExecStart").expect("a command"),
            "/usr/bin/rl --root /x network create --ignore --dns=192.0.2.53 --gateway=10.7.0.9 --internal --ip-range=10.7.0.128/25 \
             --ipv6 --label=a=b \"--label=c=d e\" --dns=192.0.2.54 --subnet=10.7.0.0/24 systemd-my"
        );
        assert_eq!(service(&made, "ExecStopPost"), None);
    }

    #[test]
    fn a_network_may_have_its_own_name_and_go_with_its_unit() {
        let made = made("[Network]\nNetworkName=web\nServiceName=nets\nNetworkDeleteOnStop=true\n").expect("a service");
        assert_eq!(made.name, "nets");
        assert_eq!(service(&made, "ExecStart").as_deref(), Some("/usr/bin/rl network create --ignore web"));
        assert_eq!(service(&made, "ExecStopPost").as_deref(), Some("/usr/bin/rl network rm web"));
    }

    #[test]
    fn what_is_not_known_is_named_and_makes_no_unit() {
        let wrong = made("[Network]\nDriver=macvlan\nOptions=isolate=true\nInternal=perhaps\nInterfaceName=x\n")
            .expect_err("wrong");
        let all = wrong.join("\n");
        for key in ["Driver=macvlan", "Options=", "Internal=perhaps", "InterfaceName="] {
            assert!(all.contains(key), "{all}");
        }
    }
}
