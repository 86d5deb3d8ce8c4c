//! Volumes: directories that outlive the containers that use them.
//!
//! Owns `DATA/volumes/NAME`: `_data`, which a container sees, and `volume.json`. It mounts nothing; what is copied into a new volume and
//! who owns it is a step of the container's plan. The surprise: whether a volume is used is written nowhere but in the records of
//! the containers, so a container that was removed in whatever way uses none.

pub mod backing;
mod prepare;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use self::backing::Backing;
pub use self::prepare::{foresee, give, prepare, remove_of};
use crate::error::{Context, Error, Result, catalog::volume as codes};
use crate::host::Dirs;
use crate::image::remove_tree;
use crate::spec;
use crate::state::{self, Containers, read_versioned, write_replacing};

const VERSION: u32 = 1;
const FILE: &str = "volume.json";

/// One volume, as `volume.json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    version: u32,
    /// Its name; 64 hexadecimal digits of an anonymous one.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: u64,
    /// `--label`.
    pub labels: Vec<(String, String)>,
    /// The container for which it was made without a name.
    pub container: Option<String>,
    /// `--opt`, as it was typed.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Volume {
    /// What its options come to.
    ///
    /// # Errors
    /// RL0454 for options that are not understood, because the file was changed by hand.
    pub fn backing(&self) -> Result<Backing> {
        let wrong = |why| Error::new(&codes::VOLUME_STATE, format!("use the volume {}", self.name)).because(why);
        backing::parse(&self.options).map_err(wrong)
    }
}

/// All volumes of one user.
#[derive(Debug, Clone)]
pub struct Volumes {
    dirs: Dirs,
}

/// What [`Volumes::create`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    New,
    /// It was there.
    There,
}

impl Volumes {
    /// Of these directories.
    pub fn open(dirs: &Dirs) -> Self {
        Self { dirs: dirs.clone() }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.dirs.data.join("volumes").join(name)
    }

    /// What a container sees.
    pub fn data(&self, name: &str) -> PathBuf {
        self.dir(name).join("_data")
    }

    /// Where its files are: in `_data`, or in the directory that it stands for.
    ///
    /// # Errors
    /// RL0454 where that is not there, and for memory, which is in its container alone.
    pub fn place(&self, volume: &Volume) -> Result<PathBuf> {
        let backing = volume.backing()?;
        if backing.memory.is_some() {
            let what = format!("find the files of {}: it is memory of the container that has it mounted", volume.name);
            return Err(
                Error::new(&codes::VOLUME_STATE, what).fix("While that runs: rl cp CONTAINER:/path -, rl exec.")
            );
        }
        let Some(device) = backing.device else { return Ok(self.data(&volume.name)) };
        fs::canonicalize(&device)
            .context(&codes::VOLUME_STATE, || format!("find {}, which the volume {} is", device.display(), volume.name))
    }

    /// Makes it where it is missing: complete, or not at all.
    ///
    /// # Errors
    /// RL0451 for a name that can't be one.
    pub fn create(&self, name: &str, labels: &[(String, String)], container: Option<&str>) -> Result<Made> {
        self.create_with(name, labels, container, &BTreeMap::new())
    }

    /// The same with options, which [`backing::parse`] has understood.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_with(
        &self,
        name: &str,
        labels: &[(String, String)],
        container: Option<&str>,
        options: &BTreeMap<String, String>,
    ) -> Result<Made> {
        check(name)?;
        let place = self.dir(name);
        if place.join(FILE).exists() {
            return Ok(Made::There);
        }
        let doing = || format!("make the volume {name}");
        let random = getrandom::u64().context(&codes::VOLUME_STATE, doing)?;
        let staged = self.dirs.data.join("staging").join(format!("volume-{random:016x}"));
        let make = |path: &Path, mode| {
            fs::DirBuilder::new().recursive(true).mode(mode).create(path).context(&codes::VOLUME_STATE, doing)
        };
        make(&staged, 0o700)?;
        make(&staged.join("_data"), 0o755)?;
        make(&self.dirs.data.join("volumes"), 0o700)?;
        let volume = Volume {
            version: VERSION,
            name: name.to_owned(),
            created: state::now(),
            labels: labels.to_vec(),
            container: container.map(str::to_owned),
            options: options.clone(),
        };
        write_replacing(&staged.join(FILE), &volume, true)?;
        match fs::rename(&staged, &place) {
            Ok(()) => Ok(Made::New),
            // Another rl was faster.
            Err(error) if is_there(&error) => {
                remove_tree(&staged)?;
                Ok(Made::There)
            }
            Err(error) => Err(error).context(&codes::VOLUME_STATE, doing),
        }
    }

    /// None: there is no such volume.
    pub fn find(&self, name: &str) -> Result<Option<Volume>> {
        check(name)?;
        read_versioned(&self.dir(name).join(FILE), VERSION)
    }

    /// All, by name.
    pub fn list(&self) -> Result<Vec<Volume>> {
        let dir = self.dirs.data.join("volumes");
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context(&codes::VOLUME_STATE, || format!("list {}", dir.display()))?,
        };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            all.extend(read_versioned::<Volume>(&entry.path().join(FILE), VERSION)?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The containers that use it.
    pub fn users(&self, name: &str) -> Result<Vec<String>> {
        let mut broken = None;
        let all = Containers::open(&self.dirs).list(|error| broken = Some(error))?;
        // A container whose record can't be read may use it.
        if let Some(error) = broken {
            return Err(error);
        }
        let uses = |run: &spec::RunSpec| run.volumes.iter().any(|volume| named(volume) == Some(name));
        Ok(all
            .into_iter()
            .filter(|container| uses(&container.record.run))
            .map(|container| container.record.name)
            .collect())
    }

    /// That no other container which runs has this volume of memory.
    ///
    /// # Errors
    /// RL0453.
    fn alone(&self, name: &str, container: &str) -> Result<()> {
        let uses = |run: &spec::RunSpec| run.volumes.iter().any(|volume| named(volume) == Some(name));
        let all = Containers::open(&self.dirs).list(|_| ())?;
        let mut others =
            all.iter().filter(|one| one.record.id != container && one.is_active() && uses(&one.record.run));
        let Some(other) = others.next() else { return Ok(()) };
        let what = format!("{name} is memory, which the running container {} has mounted alone", other.record.name);
        let fix = format!(
            "rl stop {}; or share a directory in memory: rl volume create -o type=none -o o=bind -o device=/dev/shm/DIR",
            other.record.name
        );
        Err(Error::new(&codes::VOLUME_IN_USE, what).fix(fix).exit(125))
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// RL0452 where there is none, RL0453 where a container uses it.
    pub fn remove(&self, name: &str) -> Result<()> {
        if self.find(name)?.is_none() {
            return Err(Error::new(&codes::NO_VOLUME, format!("{name:?}")));
        }
        let users = self.users(name)?;
        if !users.is_empty() {
            return Err(Error::new(&codes::VOLUME_IN_USE, format!("{name} is used by {}", users.join(", "))));
        }
        self.take_away(name)
    }

    /// Out of the way first: half a volume must not be found.
    fn take_away(&self, name: &str) -> Result<()> {
        let doing = || format!("remove the volume {name}");
        let random = getrandom::u64().context(&codes::VOLUME_STATE, doing)?;
        let staging = self.dirs.data.join("staging");
        fs::create_dir_all(&staging).context(&codes::VOLUME_STATE, doing)?;
        let gone = staging.join(format!("volume-{random:016x}"));
        match fs::rename(self.dir(name), &gone) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.context(&codes::VOLUME_STATE, doing).and_then(|()| remove_tree(&gone)),
        }
    }
}

fn is_there(error: &std::io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EEXIST | Errno::ENOTEMPTY))
}

fn named(volume: &spec::Volume) -> Option<&str> {
    match volume {
        spec::Volume::Named { name, .. } => Some(name),
        spec::Volume::Bind { .. } | spec::Volume::Image { .. } | spec::Volume::Tmpfs { .. } => None,
    }
}

/// docker's rule for names, which leaves nothing of a path.
fn check(name: &str) -> Result<()> {
    if spec::is_volume_name(name) { Ok(()) } else { Err(Error::new(&codes::VOLUME_NAME, format!("{name:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes() -> (tempfile::TempDir, Volumes) {
        let dir = tempfile::tempdir().expect("a directory");
        let dirs = Dirs { data: dir.path().join("data"), run: dir.path().join("run") };
        (dir, Volumes::open(&dirs))
    }

    #[test]
    fn a_volume_is_made_once_and_found_and_removed() {
        let (_dir, volumes) = volumes();
        let labels = [("a".to_owned(), "b".to_owned())];
        assert_eq!(volumes.create("data", &labels, None).expect("create"), Made::New);
        fs::write(volumes.data("data").join("file"), "kept").expect("write");
        assert_eq!(volumes.create("data", &[], None).expect("again"), Made::There);
        assert_eq!(fs::read_to_string(volumes.data("data").join("file")).expect("read"), "kept");
        assert_eq!(volumes.find("data").expect("find").expect("there").labels, labels);
        assert_eq!(volumes.list().expect("list").len(), 1);
        volumes.remove("data").expect("remove");
        assert!(volumes.find("data").expect("find").is_none() && volumes.list().expect("list").is_empty());
        assert_eq!(volumes.remove("data").expect_err("gone").entry().id, codes::NO_VOLUME.id);
    }

    #[test]
    fn a_name_is_never_a_path() {
        let (_dir, volumes) = volumes();
        for bad in ["", ".", "..", "../x", "a/b", "/a", "-rf", "a\nb", "a b", &"a".repeat(256)] {
            assert_eq!(volumes.create(bad, &[], None).expect_err(bad).entry().id, codes::VOLUME_NAME.id, "{bad:?}");
        }
    }
}
