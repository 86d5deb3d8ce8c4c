//! `.image` files: each key is a word of `rl pull`.
//!
//! Pure. podman's keys (podman-image.unit(5)). The surprise: the service pulls once a boot, before the containers that name its file; what
//! they are made of is the name of `ImageTag=` where there is one.

use std::path::Path;

use super::super::units::words;
use super::container::{Made, sections};
use super::file::{File, split, truth};
use super::keys::elsewhere;

/// The service of `stem.image`.
pub(super) fn image(stem: &str, path: &Path, file: &File, rl: &str) -> Result<Made, Vec<String>> {
    let mut wrong = Vec::new();
    let (mut flags, mut globals) = (Vec::new(), Vec::new());
    for (key, _) in file.lines("Image") {
        if !KEYS.contains(&key.as_str()) {
            wrong.push(format!("[Image] {key}= {}", elsewhere(key)));
        }
    }
    for key in KEYS {
        for value in file.all("Image", key) {
            if let Err(why) = one(key, value, &mut flags, &mut globals) {
                wrong.push(format!("[Image] {key}={value}: {why}"));
            }
        }
    }
    let Some(name) = file.last("Image", "Image") else {
        wrong.push("[Image] has no Image=".to_owned());
        return Err(wrong);
    };
    flags.extend(platform(file).map(|platform| format!("--platform={platform}")));
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if let Some(tag) = tag(file) {
        flags.push(format!("--tag={tag}"));
    }
    flags.push(name.to_owned());
    let said = |all: &[String]| words(all.iter().map(String::as_str), true);
    let rl = format!("{rl} {}", said(&globals));
    let lines = [
        ("Type", "oneshot".to_owned()),
        ("RemainAfterExit", "yes".to_owned()),
        // A large one takes longer than a service usually may.
        ("TimeoutStartSec", "infinity".to_owned()),
        ("ExecStart", format!("{} pull {}", rl.trim_end(), said(&flags))),
    ];
    let lines = lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(Made { name: unit(stem, file), sections: sections(path, file, "Image", &[], lines) })
}

const KEYS: [&str; 13] = [
    "AllTags",
    "Arch",
    "AuthFile",
    "Creds",
    "GlobalArgs",
    "Image",
    "ImageTag",
    "OS",
    "PodmanArgs",
    "Policy",
    "ServiceName",
    "TLSVerify",
    "Variant",
];

fn one(key: &str, value: &str, flags: &mut Vec<String>, globals: &mut Vec<String>) -> Result<(), String> {
    match key {
        "AuthFile" => flags.push(format!("--authfile={value}")),
        "Creds" => flags.push(format!("--creds={value}")),
        "TLSVerify" => flags.push(format!("--tls-verify={}", truth(value)?)),
        "AllTags" if truth(value)? => return Err("rl pulls one tag at a time: a file for each".into()),
        "OS" if value != "linux" => return Err("there is no other system in rl's containers than linux".into()),
        // It is what a pull does: it asks the registry, and fetches what is new.
        "Policy" if !["always", "newer"].contains(&value) => return Err("expected always or newer".into()),
        "PodmanArgs" => flags.extend(split(value)?),
        "GlobalArgs" => globals.extend(split(value)?),
        _ => {}
    }
    Ok(())
}

fn platform(file: &File) -> Option<String> {
    let (arch, variant) = (file.last("Image", "Arch"), file.last("Image", "Variant"));
    let own = || match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    match (arch, variant) {
        (None, None) => None,
        (arch, variant) => {
            let variant = variant.map_or_else(String::new, |variant| format!("/{variant}"));
            Some(format!("linux/{}{variant}", arch.unwrap_or_else(own)))
        }
    }
}

fn tag(file: &File) -> Option<&str> {
    file.last("Image", "ImageTag")
}

/// What containers are made of.
pub(super) fn image_name(file: &File) -> Option<String> {
    tag(file).or_else(|| file.last("Image", "Image")).map(str::to_owned)
}

/// Its unit, without `.service`.
pub(super) fn unit(stem: &str, file: &File) -> String {
    file.last("Image", "ServiceName").map_or_else(|| format!("{stem}-image"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Made, Vec<String>> {
        let mut file = File::default();
        file.add(text).expect("a unit");
        image("my", Path::new("/q/my.image"), &file, "/usr/bin/rl")
    }

    #[test]
    fn keys_are_words_of_pull() {
        let text = "[Image]\nImage=quay.io/a/b:1\nImageTag=localhost/b\nArch=arm64\nVariant=v8\nOS=linux\nAuthFile=/a\nCreds=me:x\n\
                    TLSVerify=false\nAllTags=no\nPodmanArgs=--quiet\nGlobalArgs=--root /x\nPolicy=newer\nServiceName=pulled\n";
        let made = made(text).expect("a service");
        assert_eq!(made.name, "pulled");
        let (_, lines) = made.sections.iter().find(|(name, _)| name == "Service").expect("a service");
        assert!(lines.contains(&("Type".to_owned(), "oneshot".to_owned())));
        let (_, start) = lines.iter().find(|(key, _)| key == "ExecStart").expect("a command");
        assert_eq!(
            start,
            "/usr/bin/rl --root /x pull --authfile=/a --creds=me:x --quiet --tls-verify=false --platform=linux/arm64/v8 \
             --tag=localhost/b quay.io/a/b:1"
        );
    }

    #[test]
    fn what_is_not_known_is_named_and_makes_no_unit() {
        let wrong = made("[Image]\nImage=a\nCertDir=/x\nAllTags=yes\nOS=windows\nDecryptionKey=k\nRetry=3\n")
            .expect_err("wrong");
        let all = wrong.join("\n");
        for key in ["CertDir", "AllTags", "OS=windows", "DecryptionKey", "Retry"] {
            assert!(all.contains(key), "{all}");
        }
        assert!(made("[Image]\nArch=arm64\n").is_err());
    }
}
