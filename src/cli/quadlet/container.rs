//! `.container` files: each key is a word of `rl create`.
//!
//! Pure. podman's keys (podman-systemd.unit(5)). The surprise: a key that is not known here makes no unit at all. A container that starts
//! without the limit or the label that its file asks for would be worse than one that does not start.

use std::path::{Path, PathBuf};

use super::super::units::{Sections, Service, word, words};
use super::file::{File, split, truth};
use super::keys::{KEYS, Key, elsewhere};

/// A unit that was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// Without `.service`.
    pub(super) name: String,
    pub(super) sections: Sections,
}

/// What is known of the other files.
pub(super) trait Others {
    /// The volume of `NAME.volume`, and its unit; None: there is no such file.
    fn volume(&self, file: &str) -> Option<(String, String)>;
    /// The image of `NAME.image`, and its unit; None: there is no such file.
    fn image(&self, file: &str) -> Option<(String, String)>;
    /// The network of `NAME.network`, and its unit; None: there is no such file.
    fn network(&self, file: &str) -> Option<(String, String)>;
}

/// The service of `stem.container`; what is wrong with it, all at once.
pub(super) fn container(
    stem: &str,
    path: &Path,
    file: &File,
    rl: &str,
    others: &dyn Others,
) -> Result<Made, Vec<String>> {
    let mut wrong: Vec<String> = file
        .lines("Container")
        .iter()
        .filter(|(key, _)| !KEYS.iter().any(|(known, _)| known == key))
        .map(|(key, _)| format!("[Container] {key}= {}", elsewhere(key)))
        .collect();
    let mut create =
        Create { file, dir: path.parent().unwrap_or(Path::new("/")), flags: Vec::new(), needs: Vec::new(), others };
    for (key, kind) in &KEYS {
        if let Err(why) = create.key(key, kind) {
            wrong.push(format!("[Container] {key}=: {why}"));
        }
    }
    let (source, command) = create.source().unwrap_or_else(|why| {
        wrong.push(why);
        Default::default()
    });
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let last = |key| file.last("Container", key);
    let name = last("ContainerName").unwrap_or(if stem.contains('@') { "systemd-%p_%i" } else { "systemd-%N" });
    let mut all = vec![format!("--name={name}")];
    all.append(&mut create.flags);
    all.extend(source);
    all.extend(command);
    let globals: Vec<String> =
        file.all("Container", "GlobalArgs").into_iter().flat_map(|text| split(text).unwrap_or_default()).collect();
    let rl = [vec![rl.to_owned()], globals.iter().map(|one| word(one, true)).collect()].concat().join(" ");
    let name = word(name, true);
    let reload =
        last("ReloadSignal").map(|signal| format!("{rl} kill -s {} {name}", word(signal, true))).or_else(|| {
            let command = split(last("ReloadCmd")?).unwrap_or_default();
            Some(format!("{rl} exec {name} {}", words(command.iter().map(String::as_str), true)))
        });
    let service = Service { rl, name, create: Some(words(all.iter().map(String::as_str), true)), stop: None };
    let called = last("ServiceName").unwrap_or(stem).to_owned();
    let mut lines = service.lines();
    lines.extend(reload.map(|line| ("ExecReload".to_owned(), line)));
    Ok(Made { name: called, sections: sections(path, file, "Container", &create.needs, lines) })
}

/// The file's own sections, with what makes it a service; its own one is kept for people, as podman does it.
pub(super) fn sections(
    path: &Path,
    file: &File,
    own: &str,
    needs: &[String],
    lines: Vec<(String, String)>,
) -> Sections {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    let mut unit = file.lines("Unit").to_vec();
    unit.push(pair("SourcePath", path.display().to_string().replace('%', "%%")));
    for need in needs {
        unit.extend([pair("Requires", need.clone()), pair("After", need.clone())]);
    }
    let mut service = vec![pair("Environment", "RL_SYSTEMD_UNIT=%n".to_owned())];
    service.extend(lines);
    // Behind ours, so that the file has the last word.
    service.extend(file.lines("Service").iter().cloned());
    let mut all = vec![
        ("Unit".to_owned(), unit),
        (format!("X-{own}"), file.lines(own).to_vec()),
        ("Service".to_owned(), service),
    ];
    let others = file.0.iter().filter(|(name, _)| !["Unit", "Service", own].contains(&name.as_str())).cloned();
    // What is for podman's generator is not for systemd.
    all.extend(others.map(|(name, lines)| (if name == "Quadlet" { "X-Quadlet".to_owned() } else { name }, lines)));
    all
}

struct Create<'a> {
    file: &'a File,
    dir: &'a Path,
    flags: Vec<String>,
    /// Units that must be there before.
    needs: Vec<String>,
    others: &'a dyn Others,
}

impl Create<'_> {
    fn all(&self, key: &str) -> Vec<String> {
        self.file.all("Container", key).into_iter().map(str::to_owned).collect()
    }

    fn flag(&mut self, name: &str, value: &str) {
        self.flags.push(format!("--{name}={value}"));
    }

    fn key(&mut self, key: &str, kind: &Key) -> Result<(), String> {
        let all = self.all(key);
        match kind {
            Key::One(name) => all.last().into_iter().for_each(|value| self.flag(name, value)),
            Key::Each(name) => all.iter().for_each(|value| self.flag(name, value)),
            Key::Path(name) => {
                for value in &all {
                    let path = self.path(value);
                    self.flag(name, &path);
                }
            }
            Key::Words(name) => {
                for value in &all {
                    split(value)?.iter().for_each(|word| self.flag(name, word));
                }
            }
            Key::Truth(name) => {
                if let Some(value) = all.last() {
                    let value = truth(value)?;
                    self.flag(name, if value { "true" } else { "false" });
                }
            }
            Key::Special => all.iter().try_for_each(|value| self.special(key, value))?,
        }
        Ok(())
    }

    /// Keys with a meaning of their own, one value at a time.
    fn special(&mut self, key: &str, value: &str) -> Result<(), String> {
        let not_here = |what: &str| Err(format!("{value}: {what}"));
        match key {
            "User" => {
                let group = self.file.last("Container", "Group").map_or_else(String::new, |group| format!(":{group}"));
                self.flag("user", &format!("{value}{group}"));
            }
            "Group" if self.file.last("Container", "User").is_none() => return not_here("a group needs User="),
            "NoNewPrivileges" if truth(value)? => self.flag("security-opt", "no-new-privileges"),
            "SeccompProfile" => self.flag("security-opt", &format!("seccomp={value}")),
            "Mask" => self.flag("security-opt", &format!("mask={value}")),
            "Unmask" => self.flag("security-opt", &format!("unmask={value}")),
            // Its output is the unit's, in the journal; what else there is would be a second copy.
            "LogDriver" if matches!(value, "journald" | "passthrough" | "none") => self.flag("log-driver", "none"),
            // podman's file; rl logs shows the same.
            "LogDriver" if value == "k8s-file" => self.flag("log-driver", "json-file"),
            "LogDriver" => self.flag("log-driver", value),
            // All that podman makes of it, too: `podman auto-update` looks for the label.
            "AutoUpdate" if matches!(value, "registry" | "local") => {
                self.flag("label", &format!("io.containers.autoupdate={value}"));
            }
            "AutoUpdate" => return not_here("expected registry or local"),
            "SecurityLabelDisable" if truth(value)? => self.flag("security-opt", "label=disable"),
            // Where SELinux is on, rl create says that it can't.
            "SecurityLabelFileType" => self.flag("security-opt", &format!("label=filetype:{value}")),
            "SecurityLabelLevel" => self.flag("security-opt", &format!("label=level:{value}")),
            "SecurityLabelType" => self.flag("security-opt", &format!("label=type:{value}")),
            "VolatileTmp" if truth(value)? && self.file.last("Container", "ReadOnly").is_none() => {
                self.flag("tmpfs", "/tmp:rw,size=512m,mode=1777");
            }
            "ReloadCmd" if self.file.last("Container", "ReloadSignal").is_some() => {
                return not_here("ReloadCmd= or ReloadSignal=, not both");
            }
            "ReloadCmd" => drop(split(value)?),
            "PodmanArgs" => self.flags.extend(split(value)?),
            "GlobalArgs" | "Exec" => drop(split(value)?),
            "Notify" if value != "healthy" && !truth(value)? => {}
            "Notify" => return not_here("rl tells systemd that the container runs; the container can't"),
            "Network" => self.network(value)?,
            "Volume" => self.volume(value)?,
            "Mount" => self.mount(value)?,
            _ => {}
        }
        Ok(())
    }

    /// `NAME.network[:ip=...]`, or as it stands.
    fn network(&mut self, value: &str) -> Result<(), String> {
        let (network, options) =
            value.split_once(':').map_or((value, ""), |(network, _)| (network, &value[network.len()..]));
        if network.ends_with(".container") {
            return Err(format!("{value}: Network=container:NAME is what rl knows"));
        }
        if !network.ends_with(".network") {
            self.flag("network", value);
            return Ok(());
        }
        let (name, unit) = self.others.network(network).ok_or_else(|| format!("there is no file {network}"))?;
        self.needs.push(format!("{unit}.service"));
        self.flag("network", &format!("{name}{options}"));
        Ok(())
    }

    /// `NAME.volume:/path`, `./dir:/path`, or as it stands.
    fn volume(&mut self, value: &str) -> Result<(), String> {
        let (source, rest) = value.split_once(':').map_or((value, None), |(source, rest)| (source, Some(rest)));
        let joined = |source: &str| rest.map_or_else(|| source.to_owned(), |rest| format!("{source}:{rest}"));
        if source.ends_with(".volume") && rest.is_some() {
            let name = self.of_file(source)?;
            self.flag("volume", &joined(&name));
        } else {
            let source = if rest.is_some() { self.path(source) } else { source.to_owned() };
            self.flag("volume", &joined(&source));
        }
        Ok(())
    }

    /// The volume or image of a file, whose unit comes before this one.
    fn of_file(&mut self, file: &str) -> Result<String, String> {
        let found = if file.ends_with(".image") { self.others.image(file) } else { self.others.volume(file) };
        let (name, unit) = found.ok_or_else(|| format!("there is no file {file}"))?;
        self.needs.push(format!("{unit}.service"));
        Ok(name)
    }

    /// `type=volume,source=NAME.volume,...`, `type=image,source=NAME.image,...`, a directory below the file's own, or as it stands.
    fn mount(&mut self, value: &str) -> Result<(), String> {
        let mut fields = Vec::new();
        for field in value.split(',') {
            fields.push(match field.split_once('=') {
                Some((key @ ("src" | "source"), name))
                    if [".volume", ".image"].iter().any(|kind| name.ends_with(kind)) =>
                {
                    format!("{key}={}", self.of_file(name)?)
                }
                Some((key @ ("src" | "source"), path)) => format!("{key}={}", self.path(path)),
                _ => field.to_owned(),
            });
        }
        self.flag("mount", &fields.join(","));
        Ok(())
    }

    fn path(&self, value: &str) -> String {
        if value.starts_with('.') {
            let mut path = PathBuf::from(self.dir);
            path.extend(Path::new(value).components().filter(|part| *part != std::path::Component::CurDir));
            return path.display().to_string();
        }
        value.to_owned()
    }

    /// The image or the root directory, and the command.
    fn source(&mut self) -> Result<(Vec<String>, Vec<String>), String> {
        let last = |key: &str| self.file.last("Container", key).map(str::to_owned);
        let command = last("Exec").map_or(Ok(Vec::new()), |text| split(&text))?;
        match (last("Image"), last("Rootfs")) {
            (Some(image), None) if image.ends_with(".image") => self
                .of_file(&image)
                .map(|name| (vec![name], command))
                .map_err(|why| format!("[Container] Image={image}: {why}")),
            (Some(image), None) if image.ends_with(".build") => {
                Err(format!("[Container] Image={image}: rl builds no images of Dockerfiles"))
            }
            (Some(image), None) => Ok((vec![image], command)),
            (None, Some(root)) => Ok((vec!["--rootfs".to_owned(), root], command)),
            (Some(_), Some(_)) => Err("[Container] has both Image= and Rootfs=".into()),
            (None, None) => Err("[Container] has neither Image= nor Rootfs=".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct None_;
    impl Others for None_ {
        fn volume(&self, file: &str) -> Option<(String, String)> {
            (file == "data.volume").then(|| ("systemd-data".to_owned(), "data-volume".to_owned()))
        }
        fn image(&self, file: &str) -> Option<(String, String)> {
            (file == "my.image").then(|| ("quay.io/a/b:1".to_owned(), "my-image".to_owned()))
        }
        fn network(&self, file: &str) -> Option<(String, String)> {
            (file == "my.network").then(|| ("systemd-my".to_owned(), "my-network".to_owned()))
        }
    }

    fn made(text: &str) -> Result<Made, Vec<String>> {
        let mut file = File::default();
        file.add(text).expect("a unit");
        container("web", Path::new("/q/web.container"), &file, "/usr/bin/rl", &None_)
    }

    fn create(text: &str) -> String {
        let made = made(text).expect("a service");
        let (_, lines) = made.sections.into_iter().find(|(name, _)| name == "Service").expect("a service");
        let start = "/usr/bin/rl create ";
        lines.into_iter().find_map(|(_, value)| value.strip_prefix(start).map(str::to_owned)).expect("create")
    }

    #[test]
    fn keys_are_sorted() {
        assert!(KEYS.iter().enumerate().all(|(at, (key, _))| KEYS[..at].iter().all(|(other, _)| other != key)));
    }

    #[test]
    fn keys_are_words_of_create() {
        let text = "[Container]\nImage=debian\nExec=sh -c \"echo $X; sleep 9\"\nEnvironment=A=1 \"B=2 3\"\nPublishPort=80:80\nPublishPort=81:81\n\
                    Volume=data.volume:/data\nVolume=./conf:/etc/conf:ro\nUser=5\nGroup=6\nReadOnly=yes\nNoNewPrivileges=true\n";
        assert_eq!(
            create(text),
            "--name=systemd-%N --env=A=1 \"--env=B=2 3\" --security-opt=no-new-privileges --publish=80:80 --publish=81:81 \
             --read-only=true --user=5:6 --volume=systemd-data:/data --volume=/q/conf:/etc/conf:ro debian sh -c \"echo $X; sleep 9\""
        );
        let made = made(text).expect("a service");
        assert!(made.sections[0].1.contains(&("Requires".to_owned(), "data-volume.service".to_owned())));
    }

    #[test]
    fn what_podman_makes_of_a_key_is_made_here_too() {
        let text = "[Container]\nImage=a\nAutoUpdate=registry\nSecurityLabelDisable=true\nSecurityLabelType=spc_t\nVolatileTmp=yes\n\
                    NetworkAlias=db\nIP=10.7.0.5\nEnvironmentHost=no\nReloadCmd=nginx -s \"re load\"\n";
        assert_eq!(
            create(text),
            "--name=systemd-%N --label=io.containers.autoupdate=registry --env-host=false --ip=10.7.0.5 --network-alias=db \
             --security-opt=label=disable --security-opt=label=type:spc_t --tmpfs=/tmp:rw,size=512m,mode=1777 a"
        );
        let reload = |text: &str| {
            let service = made(text).expect("a service").sections.into_iter().find(|(name, _)| name == "Service");
            service.expect("its section").1.into_iter().find(|(key, _)| key == "ExecReload").expect("a line").1
        };
        assert_eq!(reload(text), "/usr/bin/rl exec systemd-%N nginx -s \"re load\"");
        let signal = "[Container]\nImage=a\nContainerName=web\nReloadSignal=SIGHUP\n";
        assert_eq!(reload(signal), "/usr/bin/rl kill -s SIGHUP web");
    }

    #[test]
    fn a_network_of_a_file_is_there_before() {
        let text = "[Container]\nImage=debian\nNetwork=my.network:ip=10.7.0.5\nNetwork=other\n";
        assert_eq!(create(text), "--name=systemd-%N --network=systemd-my:ip=10.7.0.5 --network=other debian");
        let made = made(text).expect("a service");
        assert!(made.sections[0].1.contains(&("After".to_owned(), "my-network.service".to_owned())));
    }

    #[test]
    fn files_of_images_and_volumes_are_there_before() {
        let text = "[Container]\nImage=my.image\nMount=type=volume,source=data.volume,dst=/d\nMount=type=image,src=my.image,dst=/i\n\
                    Mount=type=bind,src=./x,dst=/x\nTimezone=local\nAnnotation=a=b \"c=d e\"\nReadOnlyTmpfs=no\nEnvironmentHost=yes\n\
                    LogDriver=k8s-file\n";
        assert_eq!(
            create(text),
            "--name=systemd-%N --annotation=a=b \"--annotation=c=d e\" --env-host=true --log-driver=json-file \
             --mount=type=volume,source=systemd-data,dst=/d --mount=type=image,src=quay.io/a/b:1,dst=/i \
             --mount=type=bind,src=/q/x,dst=/x --read-only-tmpfs=false --tz=local quay.io/a/b:1"
        );
        let made = made(text).expect("a service");
        for unit in ["my-image.service", "data-volume.service"] {
            assert!(made.sections[0].1.contains(&("Requires".to_owned(), unit.to_owned())), "{unit}");
        }
    }

    #[test]
    fn what_is_not_known_is_named_and_makes_no_unit() {
        let wrong =
            made("[Container]\nImage=no.image\nSecret=x\nNetwork=no.network\nPod=a.pod\nHealthStartupCmd=x\nReloadCmd=a\nReloadSignal=HUP\n")
                .expect_err("wrong");
        let all = wrong.join("\n");
        for key in ["Secret", "no.network", "no.image", "rl has no pods", "HealthStartPeriod=", "not both"] {
            assert!(all.contains(key), "{all}");
        }
        assert!(made("[Container]\nExec=a\n").is_err() && made("[Container]\nImage=a\nRootfs=/b\n").is_err());
    }
}
