//! What people have configured: rl's own config.toml, and containers' registries.conf where it exists.
//!
//! Owns finding and reading these files, and what they say of registries. Both have the same tables
//! (containers-registries.conf(5)), so that what works for podman works here. Nothing is read on the way of a run whose image
//! is there. The surprise: an unknown key is an error in our file, where a slip would go unseen, and none in theirs.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::emulation::Emulators;
use crate::error::{Context, Error, Result, catalog::image};

/// The whole of it. Where several files say something, the caller's own comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Read-only stores in which images are looked for, after the caller's own.
    pub additional_stores: Vec<PathBuf>,
    /// `slirp4netns = "/path"`: this program and no other.
    pub slirp4netns: Option<PathBuf>,
    /// The same for pasta.
    pub pasta: Option<PathBuf>,
    /// What an archive may unpack to.
    pub limits: Limits,
    /// Programs that run those of other architectures.
    pub emulators: Emulators,
    aliases: BTreeMap<String, String>,
    registries: Vec<Registry>,
}

/// Bounds of one layer; none means the built-in ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes, uncompressed.
    pub layer_bytes: Option<u64>,
    /// Files, directories, links.
    pub layer_entries: Option<u64>,
}

/// config.toml.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnFile {
    #[serde(default)]
    additional_stores: Vec<PathBuf>,
    slirp4netns: Option<PathBuf>,
    pasta: Option<PathBuf>,
    cgroups: Option<Groups>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    qemu: Emulators,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    registry: Vec<OwnRegistry>,
}

/// `cgroups`: which containers get a control group of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Groups {
    /// Those that need one.
    Auto,
    /// All.
    Always,
}

/// As [`Registry`], and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnRegistry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    certificate_authority: Option<PathBuf>,
    #[serde(default)]
    mirror: Vec<OwnMirror>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnMirror {
    location: String,
    #[serde(default)]
    insecure: bool,
}

/// registries.conf. `unqualified-search-registries` is not used: a bare name is docker.io's, whoever's machine it is.
#[derive(Debug, Default, Deserialize)]
struct TheirFile {
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    registry: Vec<Registry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Registry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(skip)]
    certificate_authority: Option<PathBuf>,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
}

/// Where a repository really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Registry and repository.
    pub repository: String,
    /// Plain http, or any certificate, will do.
    pub insecure: bool,
    /// Certificate authorities beside the system's.
    pub authorities: Vec<PathBuf>,
}

impl Config {
    /// Reads all files that there are.
    ///
    /// # Errors
    /// `RL0326` with the file and what is wrong in it.
    pub fn read() -> Result<Self> {
        let mut config = Self::default();
        for file in own_files() {
            if let Some(read) = parse::<OwnFile>(&file)? {
                config.add(read);
            }
        }
        for file in theirs(config_home().as_deref(), variable("CONTAINERS_REGISTRIES_CONF"))? {
            if let Some(TheirFile { aliases, registry }) = parse(&file)? {
                config.registries.extend(registry);
                config.add_aliases(aliases);
            }
        }
        Ok(config)
    }

    fn add(&mut self, file: OwnFile) {
        self.additional_stores.extend(file.additional_stores);
        self.slirp4netns = self.slirp4netns.take().or(file.slirp4netns);
        self.pasta = self.pasta.take().or(file.pasta);
        self.limits.layer_bytes = self.limits.layer_bytes.or(file.limits.layer_bytes);
        self.limits.layer_entries = self.limits.layer_entries.or(file.limits.layer_entries);
        self.emulators.add(file.qemu);
        self.add_aliases(file.aliases);
        self.registries.extend(file.registry.into_iter().map(|own| {
            Registry {
                prefix: own.prefix,
                location: own.location,
                insecure: own.insecure,
                blocked: own.blocked,
                certificate_authority: own.certificate_authority,
                mirror: own
                    .mirror
                    .into_iter()
                    .map(|mirror| Mirror { location: mirror.location, insecure: mirror.insecure })
                    .collect(),
            }
        }));
    }

    fn add_aliases(&mut self, aliases: BTreeMap<String, String>) {
        for (name, full) in aliases {
            self.aliases.entry(name).or_insert(full);
        }
    }

    /// What a short name stands for, without a tag.
    pub fn alias(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(String::as_str)
    }

    /// Where `repository` (`docker.io/library/debian`) is to be had: its mirrors first, itself last. Pushes take the last.
    ///
    /// # Errors
    /// `RL0325` where it is blocked.
    pub fn endpoints(&self, repository: &str) -> Result<Vec<Endpoint>> {
        let fitting = self.registries.iter().filter(|registry| fits(registry.own_prefix(), repository));
        // The longest prefix counts; of two that are the same, the first file's.
        let chosen = fitting.rev().max_by_key(|registry| registry.own_prefix().len());
        let Some(registry) = chosen else {
            return Ok(vec![self.endpoint(repository.to_owned(), false)]);
        };
        if registry.blocked {
            return Err(Error::new(&image::BLOCKED, format!("use {repository}")));
        }
        let rest = rest(registry.own_prefix(), repository);
        let elsewhere = |location: &str| format!("{location}{rest}");
        let mirrors = registry.mirror.iter();
        let mut all: Vec<_> =
            mirrors.map(|mirror| self.endpoint(elsewhere(&mirror.location), mirror.insecure)).collect();
        let own = registry.location.as_deref().map_or_else(|| repository.to_owned(), elsewhere);
        let mut own = self.endpoint(own, registry.insecure);
        own.authorities.extend(registry.certificate_authority.clone());
        all.push(own);
        Ok(all)
    }

    fn endpoint(&self, repository: String, insecure: bool) -> Endpoint {
        let host = repository.split('/').next().unwrap_or_default();
        Endpoint { authorities: authorities(host), repository, insecure }
    }
}

impl Registry {
    /// Without a prefix the location is one.
    fn own_prefix(&self) -> &str {
        self.prefix.as_deref().or(self.location.as_deref()).unwrap_or_default()
    }
}

/// Whole components, or any host below `*.DOMAIN`.
fn fits(prefix: &str, repository: &str) -> bool {
    if let Some(domain) = prefix.strip_prefix("*.") {
        let host = repository.split(['/', ':']).next().unwrap_or_default();
        return host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
    }
    !prefix.is_empty() && repository.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn rest<'a>(prefix: &str, repository: &'a str) -> &'a str {
    match prefix.starts_with("*.") {
        true => repository.find('/').map_or("", |slash| &repository[slash..]),
        false => repository.get(prefix.len()..).unwrap_or_default(),
    }
}

/// What is said of emulators, from rl's own files alone: registries' are of no interest to a run.
///
/// # Errors
/// `RL0326` with the file and what is wrong in it.
pub fn emulators() -> Result<Emulators> {
    let mut all = Emulators::default();
    for file in own_files() {
        all.add(parse::<OwnFile>(&file)?.unwrap_or_default().qemu);
    }
    Ok(all)
}

/// `cgroups = "always"`: every container gets a control group, as with `--cgroups=enabled`.
///
/// # Errors
/// `RL0326` with the file and what is wrong in it.
pub fn always_a_group() -> Result<bool> {
    for file in own_files() {
        if let Some(groups) = parse::<OwnFile>(&file)?.and_then(|file| file.cgroups) {
            return Ok(groups == Groups::Always);
        }
    }
    Ok(false)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn config_home() -> Option<PathBuf> {
    variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))
}

/// The caller's first.
fn own_files() -> impl Iterator<Item = PathBuf> {
    config_home().into_iter().chain(["/etc".into()]).map(|directory| directory.join("rl/config.toml"))
}

fn parse<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::new(&image::CONFIG, format!("read {}", file.display())).because(error)),
    };
    toml::from_str(&text).map(Some).context(&image::CONFIG, || format!("understand {}", file.display()))
}

/// containers-registries.conf(5), FILES: the caller's file replaces the machine's; the directories' files come on top.
fn theirs(own: Option<&Path>, explicit: Option<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut roots: Vec<PathBuf> = own.map(|own| own.join("containers")).into_iter().collect();
    roots.push("/etc/containers".into());
    let mut all = Vec::new();
    for root in &roots {
        all.extend(sorted(&root.join("registries.conf.d"), "conf")?);
    }
    let main = explicit.or_else(|| roots.iter().map(|root| root.join("registries.conf")).find(|file| file.exists()));
    all.extend(main);
    Ok(all)
}

/// containers-certs.d(5): whoever installs a certificate for podman or docker expects it to count.
fn authorities(host: &str) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config/containers/certs.d"));
    let roots = home.into_iter().chain(["/etc/containers/certs.d".into(), "/etc/docker/certs.d".into()]);
    // A directory that can't be read has nothing for this caller.
    roots.flat_map(|root| sorted(&root.join(host), "crt").unwrap_or_default()).collect()
}

/// The files of a directory that end so, by name; none where there is no such directory.
fn sorted(dir: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::new(&image::CONFIG, format!("list {}", dir.display())).because(error)),
    };
    let mut all: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    all.retain(|path| path.extension() == Some(OsStr::new(ending)));
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let mut config = Config::default();
        config.add(toml::from_str(text).expect(text));
        config
    }

    fn places(config: &Config, repository: &str) -> Vec<String> {
        config.endpoints(repository).expect(repository).into_iter().map(|place| place.repository).collect()
    }

    #[test]
    fn mirrors_come_first_and_prefixes_are_whole_components() {
        let config = config(
            "[[registry]]\nprefix = 'docker.io'\n[[registry.mirror]]\nlocation = 'localhost:5000/hub'\ninsecure = true\n\
             [[registry]]\nprefix = 'docker.io/mine'\nlocation = 'reg.lab/mine'\n\
             [[registry]]\nprefix = '*.lab.org'\nlocation = 'cache.lab.org/all'\n",
        );
        assert_eq!(
            places(&config, "docker.io/library/debian"),
            ["localhost:5000/hub/library/debian", "docker.io/library/debian"]
        );
        assert_eq!(places(&config, "docker.io/mine/app"), ["reg.lab/mine/app"]);
        assert_eq!(
            places(&config, "docker.io/mineral/app"),
            ["localhost:5000/hub/mineral/app", "docker.io/mineral/app"]
        );
        assert_eq!(places(&config, "x.lab.org/a/b"), ["cache.lab.org/all/a/b"]);
        assert_eq!(places(&config, "ghcr.io/a/b"), ["ghcr.io/a/b"]);
        assert!(config.endpoints("docker.io/library/debian").expect("two")[0].insecure);
    }

    #[test]
    fn what_is_blocked_is_an_error_and_so_is_a_slip_in_our_own_file() {
        let config = config("[[registry]]\nlocation = 'evil.org'\nblocked = true\n");
        assert!(config.endpoints("evil.org/x").is_err());
        assert!(toml::from_str::<OwnFile>("aditional_stores = []").is_err());
        assert!(toml::from_str::<TheirFile>("unqualified-search-registries = ['quay.io']\n[engine]\n").is_ok());
    }

    #[test]
    fn the_first_file_that_says_something_counts() {
        let mut config = config("aliases = { a = 'x/a' }\nlimits = { layer_bytes = 5 }");
        config.add(
            toml::from_str("aliases = { a = 'y/a', b = 'y/b' }\nlimits = { layer_bytes = 6, layer_entries = 7 }")
                .expect("TOML"),
        );
        assert_eq!((config.alias("a"), config.alias("b")), (Some("x/a"), Some("y/b")));
        assert_eq!(config.limits, Limits { layer_bytes: Some(5), layer_entries: Some(7) });
    }
}
