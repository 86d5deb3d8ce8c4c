//! `.volume` files: each key is a word of `rl volume create`.
//!
//! Pure. podman's keys (podman-volume.unit(5)). The surprise: a volume that is there is left as it is, so a changed file changes nothing
//! until somebody has removed the volume.

use std::path::Path;

use super::super::units::words;
use super::container::{Made, sections};
use super::file::{File, split, truth};
use super::keys::elsewhere;

/// The service of `stem.volume`, and the volume's name.
pub(super) fn volume(stem: &str, path: &Path, file: &File, rl: &str) -> Result<Made, Vec<String>> {
    let mut wrong = Vec::new();
    let (mut all, mut globals, mut options): (Vec<String>, Vec<String>, Vec<String>) = Default::default();
    for (key, value) in file.lines("Volume") {
        let said = match (key.as_str(), value.as_str()) {
            (_, "") | ("VolumeName" | "ServiceName", _) | ("Driver", "local") => Ok(()),
            ("Label", text) => {
                split(text).map(|labels| all.extend(labels.into_iter().map(|one| format!("--label={one}"))))
            }
            // What is in the image's place is copied into a new one.
            ("Copy", text) => truth(text).map(|copy| options.extend((!copy).then(|| "nocopy".to_owned()))),
            ("Device", text) => keep(&mut all, format!("--opt=device={text}")),
            ("Type", text) => keep(&mut all, format!("--opt=type={text}")),
            ("Options", text) => keep(&mut options, text.to_owned()),
            ("User", text) => keep(&mut options, format!("uid={text}")),
            ("Group", text) => keep(&mut options, format!("gid={text}")),
            ("PodmanArgs", text) => split(text).map(|words| all.extend(words)),
            ("GlobalArgs", text) => split(text).map(|words| globals.extend(words)),
            ("Driver", _) => Err("local is the only driver".to_owned()),
            _ => Err(elsewhere(key)),
        };
        if let Err(why) = said {
            wrong.push(format!("[Volume] {key}={value}: {why}"));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if !options.is_empty() {
        all.push(format!("--opt=o={}", options.join(",")));
    }
    all.push(volume_name(stem, file));
    let said = |all: &[String]| words(all.iter().map(String::as_str), true);
    let rl = format!("{rl} {}", said(&globals));
    let lines = [
        ("Type", "oneshot".to_owned()),
        ("RemainAfterExit", "yes".to_owned()),
        // One that is there is left as it is.
        ("ExecStart", format!("{} volume create {}", rl.trim_end(), said(&all))),
    ];
    let lines = lines.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(Made { name: unit(stem, file), sections: sections(path, file, "Volume", &[], lines) })
}

fn keep(list: &mut Vec<String>, word: String) -> Result<(), String> {
    list.push(word);
    Ok(())
}

/// podman's.
pub(super) fn volume_name(stem: &str, file: &File) -> String {
    file.last("Volume", "VolumeName").map_or_else(|| format!("systemd-{stem}"), str::to_owned)
}

/// Its unit, without `.service`.
pub(super) fn unit(stem: &str, file: &File) -> String {
    file.last("Volume", "ServiceName").map_or_else(|| format!("{stem}-volume"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> Result<String, Vec<String>> {
        let mut file = File::default();
        file.add(text).expect("a unit");
        let made = volume("my", Path::new("/q/my.volume"), &file, "/usr/bin/rl")?;
        let (_, lines) = made.sections.into_iter().find(|(name, _)| name == "Service").expect("a service");
        Ok(lines.into_iter().find(|(key, _)| key == "ExecStart").expect("a command").1)
    }

    #[test]
    fn keys_are_words_of_volume_create() {
        let text = "[Volume]\nDriver=local\nLabel=a=b \"c=d e\"\nDevice=tmpfs\nType=tmpfs\nOptions=size=1m\nUser=5\nGroup=6\nCopy=false\n\
                    PodmanArgs=--label=x=y\nGlobalArgs=--root /x\n";
        assert_eq!(
            start(text).expect("a service"),
            "/usr/bin/rl --root /x volume create --label=a=b \"--label=c=d e\" --opt=device=tmpfs --opt=type=tmpfs --label=x=y \
             --opt=o=size=1m,uid=5,gid=6,nocopy systemd-my"
        );
        assert_eq!(start("[Volume]\nCopy=yes\nVolumeName=v\n").expect("a service"), "/usr/bin/rl volume create v");
    }

    #[test]
    fn what_is_not_known_is_named_and_makes_no_unit() {
        let wrong = start("[Volume]\nDriver=image\nImage=a\nCopy=perhaps\nBogus=1\n").expect_err("wrong").join("\n");
        for key in ["Driver=image", "Image=a", "Copy=perhaps", "Bogus"] {
            assert!(wrong.contains(key), "{wrong}");
        }
    }
}
