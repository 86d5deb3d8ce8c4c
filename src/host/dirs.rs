//! Where `rl` keeps what lasts (images, upper directories) and what runs.
//!
//! Both directories are 0700 and the caller's, checked by descriptor before anything in them is believed (CVE-2019-12439: a
//! runtime directory in /tmp that another user had made first). The surprise: a data directory that is shared is open to readers.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result, catalog::state};
use crate::host::Caller;

/// The file in a data directory which says that other users read the images there.
pub const SHARED_MARK: &str = "shared";

/// The two roots.
#[derive(Debug, Clone)]
pub struct Dirs {
    /// Images, layers, upper directories: `~/.local/share/rl`, or `--root`.
    pub data: PathBuf,
    /// Running state: `$XDG_RUNTIME_DIR/rl`, or `--runroot`, or a private fallback.
    pub run: PathBuf,
}

impl Dirs {
    /// Finds both and makes what is missing.
    pub fn find(caller: &Caller, root: Option<&Path>, runroot: Option<&Path>) -> Result<Self> {
        let data = match root {
            Some(path) => absolute(path)?,
            None => data_home(caller)?.join("rl"),
        };
        // A link in one's own home to a larger disk is common and harmless; what it leads to is checked.
        let data = std::fs::canonicalize(&data).unwrap_or(data);
        private(&data, caller, data.join(SHARED_MARK).exists())?;
        let run = match runroot {
            Some(path) => absolute(path)?,
            None => runtime_directory(caller, &data),
        };
        private(&run, caller, false)?;
        Ok(Self { data, run })
    }

    /// `RUN/containers`: one directory a running container.
    pub fn containers(&self) -> PathBuf {
        self.run.join("containers")
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).context(&state::STATE, || format!("make {} absolute", path.display()))
}

fn data_home(caller: &Caller) -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(path) = set("XDG_DATA_HOME") {
        return Ok(path);
    }
    if let Some(home) = set("HOME") {
        return Ok(home.join(".local/share"));
    }
    let user = nix::unistd::User::from_uid(caller.uid.into()).ok().flatten();
    user.map(|user| user.dir.join(".local/share")).ok_or_else(|| {
        Error::new(&state::STATE, "find your home directory")
            .because("HOME is not set and the user database does not know this user")
            .fix("Set HOME, or give --root and --runroot.")
    })
}

/// XDG_RUNTIME_DIR where it is really the caller's own (cron, su and sudo leave none or another user's), else a directory
/// inside the data directory: unlike /tmp, no other user can have been there first. That others may pass through is no reason
/// against it: podman makes it 0711 for containers whose root is a subordinate id, and what runs must be found again after that.
fn runtime_directory(caller: &Caller, data: &Path) -> PathBuf {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let usable = |path: &PathBuf| {
        std::fs::symlink_metadata(path)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == caller.uid && meta.mode() & 0o022 == 0)
    };
    let own = PathBuf::from(format!("/run/user/{}", caller.uid));
    match given.filter(usable).or_else(|| Some(own).filter(usable)) {
        Some(path) => path.join("rl"),
        None => data.join("run"),
    }
}

/// Makes `path` where it is missing and checks that it is a directory, the caller's, and closed to all others; or, if it
/// is shared, to be changed by nobody else.
fn private(path: &Path, caller: &Caller, shared: bool) -> Result<()> {
    let open = || std::fs::OpenOptions::new().read(true).custom_flags_nofollow().open(path);
    let dir = match open() {
        Ok(dir) => dir,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.context(&state::STATE, || format!("make the directory {}", path.display()))?;
            open().context(&state::STATE, || format!("open the directory {}", path.display()))?
        }
        Err(error) => {
            return Err(Error::new(&state::UNSAFE_DIRECTORY, format!("open {}", path.display())).because(error));
        }
    };
    let meta = dir.metadata().context(&state::STATE, || format!("examine {}", path.display()))?;
    let refuse =
        |what: String| Err(Error::new(&state::UNSAFE_DIRECTORY, format!("use {}", path.display())).because(what));
    if meta.uid() != caller.uid {
        return refuse(format!("it belongs to uid {}, you are uid {}", meta.uid(), caller.uid));
    }
    if meta.mode() & 0o022 != 0 {
        return refuse(format!("its mode {:04o} lets others write to it", meta.mode() & 0o7777));
    }
    if meta.mode() & 0o077 != 0 && !shared {
        // Readable by others: an older or hand-made directory. What the store holds may be setuid, so it is closed (CVE-2021-41103).
        nix::sys::stat::fchmod(&dir, nix::sys::stat::Mode::S_IRWXU).context(&state::UNSAFE_DIRECTORY, || {
            format!("make {} private (descriptor {})", path.display(), dir.as_raw_fd())
        })?;
    }
    Ok(())
}

trait NoFollow {
    fn custom_flags_nofollow(&mut self) -> &mut Self;
}

impl NoFollow for std::fs::OpenOptions {
    /// O_DIRECTORY and O_NOFOLLOW: the last component must be a real directory.
    fn custom_flags_nofollow(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(
            (nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_CLOEXEC).bits(),
        )
    }
}
