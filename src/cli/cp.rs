//! `rl cp CONTAINER:SRC DST`, `rl cp SRC CONTAINER:DST`, and `-` for a tar stream.
//!
//! Owns docker's rules of what lands where. The surprise: both sides are descriptors before anything is copied, and the copy is a tar
//! stream between two threads, so a container that changes its names meanwhile changes nothing but what it gets (CVE-2018-15664);
//! and nothing of the container's is executed (CVE-2019-14271).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::fstat;

use super::files::{Files, Maps};
use super::refused;
use super::run::args::switch;
use super::{Globals, Verb, in_namespace};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::volume as codes};
use crate::image::compression::uncompressed;
use crate::tree::{Owners, Pack, Unpack, Within, open_in};

/// The verb.
pub const VERB: Verb = Verb { name: "cp", about: "Copy files between a container and here", command, run };

const EXAMPLES: &str = "Examples:
  rl cp web:/etc/nginx ./nginx        a directory out of the container
  rl cp ./site/. web:/srv/site        what is in a directory into another one
  rl cp web:/var/log - | tar -t       a tar stream
  rl cp - web:/srv <site.tar.gz       what is in one

A directory lands in a directory that is there, and becomes one that is not; with /. behind it only what is in it is copied. What comes out
is yours; what goes in belongs to the container's root; -a keeps owners.
A stream that comes in is a tar, plain or compressed with gzip, zstd or xz.";

fn command() -> Command {
    Command::new("rl cp")
        .about(VERB.about)
        .override_usage("rl cp [OPTIONS] CONTAINER:SRC DST|-\n       rl cp [OPTIONS] SRC|- CONTAINER:DST")
        .arg(switch("archive", "Keep owners, by number").short('a'))
        // Any word may be a path here, also one that looks like a flag.
        .arg(switch("overwrite", "Refused").hide(true))
        .arg(
            Arg::new("follow-link")
                .long("follow-link")
                .short('L')
                .action(ArgAction::SetTrue)
                .help("Follow a link in SRC"),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("For scripts of docker: it is"))
        .arg(Arg::new("src").required(true).value_name("SRC").allow_hyphen_values(true))
        .arg(Arg::new("dst").required(true).value_name("DST").allow_hyphen_values(true))
        .after_help(EXAMPLES)
}

/// One of the two words.
enum End<'a> {
    Stream,
    Here(&'a str),
    Inside(&'a str, &'a str),
}

impl<'a> End<'a> {
    /// As docker: what begins like a path is one, whatever colons it has.
    fn of(word: &'a str) -> Self {
        match word.split_once(':') {
            _ if word == "-" => Self::Stream,
            Some((container, path)) if !word.starts_with(['/', '.']) && !container.contains('/') => {
                Self::Inside(container, path)
            }
            _ => Self::Here(word),
        }
    }
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let (src, dst) = (End::of(word("src")), End::of(word("dst")));
    let follow = matches.get_flag("follow-link");
    if let (Some(true), Some(refused)) = (matches.get_one::<bool>("overwrite"), refused::flag("cp", "--overwrite")) {
        return Err(refused);
    }
    let archive = matches.get_one::<bool>("archive").copied().unwrap_or(false);
    let (host, base) = match (&src, &dst) {
        (End::Inside(..), _) | (_, End::Inside(..)) => in_namespace(globals, None)?,
        _ => return Err(Error::new(&command_line::USAGE, "rl cp: one side must be CONTAINER:PATH")),
    };
    let reach = |container: &str| Files::with_volumes(&host, &base, container);
    match (src, dst) {
        (End::Inside(from, path), End::Here(to)) => {
            let from = reach(from)?;
            let source = Source::inside(from.root(), path, follow)?;
            let place = Place::here(to, &source)?;
            from_to(&source, &place, &from.as_seen(), &|uid, gid| archive.then_some((uid, gid)), 0o777)
        }
        (End::Here(path), End::Inside(to, target)) => {
            let source = Source::here(path, follow)?;
            let to = reach(to)?;
            let place = Place::inside(to.root(), target, &source)?;
            from_to(&source, &place, &to.as_here(), &|uid, gid| to.owner(archive, uid, gid), 0o7777)
        }
        (End::Inside(from, path), End::Inside(to, target)) => {
            let (from, to) = (reach(from)?, reach(to)?);
            let source = Source::inside(from.root(), path, follow)?;
            let place = Place::inside(to.root(), target, &source)?;
            from_to(&source, &place, &from.as_inside(), &|uid, gid| to.owner(true, uid, gid), 0o7777)
        }
        (End::Inside(from, path), End::Stream) => {
            let from = reach(from)?;
            let source = Source::inside(from.root(), path, follow)?;
            let maps = from.as_inside();
            source
                .pack(source.name.as_bytes(), maps.owners(), io::stdout().lock())
                .context(&codes::COPY, || path.into())
        }
        (End::Stream, End::Inside(to, target)) => {
            let to = reach(to)?;
            let at = relative(target);
            let directory = open_in(to.root(), &at, OFlag::O_PATH | OFlag::O_DIRECTORY);
            directory.context(&codes::COPY, || format!("use {target} as the directory for a stream"))?;
            let owner = |uid: u64, gid: u64| to.owner(true, number(uid), number(gid));
            let unpack = Unpack { top: to.root(), at, within: Within::Root, owner: &owner, mode: 0o7777 };
            let unpacked = uncompressed(io::stdin(), |stream| unpack.all(stream));
            unpacked.context(&codes::STREAM, || format!("unpack standard input into {target}"))
        }
        _ => Err(Error::new(&command_line::USAGE, "rl cp: one side must be CONTAINER:PATH")),
    }?;
    Ok(0)
}

/// What is copied, open.
struct Source {
    kind: Kind,
    /// Its last name; of a root directory none.
    name: std::ffi::OsString,
    /// `/.` behind it.
    content_only: bool,
}

enum Kind {
    Directory(OwnedFd),
    File(File),
    /// What is neither, by its name in a directory.
    Other(OwnedFd),
}

impl Source {
    fn inside(root: BorrowedFd<'_>, path: &str, follow: bool) -> Result<Self> {
        let relative = relative(path);
        Self::open(path, &relative, follow, |path, flags| open_in(root, path, flags))
    }

    fn here(path: &str, follow: bool) -> Result<Self> {
        let open =
            |path: &Path, flags: OFlag| nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty());
        Self::open(path, Path::new(path), follow, open)
    }

    fn open(
        word: &str,
        path: &Path,
        follow: bool,
        open: impl Fn(&Path, OFlag) -> nix::Result<OwnedFd>,
    ) -> Result<Self> {
        let doing = || format!("read {word}");
        let as_directory = word.ends_with('/') || word.ends_with("/.") || word == "." || word.is_empty();
        let mut flags = OFlag::O_PATH;
        flags.set(OFlag::O_NOFOLLOW, !follow && !as_directory);
        let found = open(path, flags).context(&codes::COPY, doing)?;
        let kind = match fstat(&found).context(&codes::COPY, doing)?.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                Kind::Directory(open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY).context(&codes::COPY, doing)?)
            }
            _ if as_directory => return Err(Error::new(&codes::COPY, doing()).because("it is no directory")),
            libc::S_IFREG => {
                // Whatever has taken its place meanwhile is not waited for, and no terminal becomes ours.
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                let flags = if follow { flags } else { flags | OFlag::O_NOFOLLOW };
                Kind::File(File::from(open(path, flags).context(&codes::COPY, doing)?))
            }
            _ => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Kind::Other(open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY).context(&codes::COPY, doing)?)
            }
        };
        let name = path.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
        let content_only = word.ends_with("/.") || word == "." || name.is_empty();
        Ok(Self { kind, name, content_only })
    }

    fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// As a stream whose one tree is called `shown`, or has no directory of its own.
    fn pack(&self, shown: &[u8], owners: Owners<'_>, out: impl Write) -> io::Result<()> {
        let mut pack = Pack::new(out, owners);
        match &self.kind {
            Kind::Directory(directory) => pack.directory(directory.as_fd(), shown)?,
            Kind::File(file) => pack.file(file.try_clone()?, shown)?,
            Kind::Other(parent) => pack.entry(parent.as_fd(), &self.name, shown)?,
        }
        pack.finish()?.flush()
    }
}

/// Where it goes: a directory that is there, and the name in it.
struct Place {
    top: OwnedFd,
    at: PathBuf,
    within: Within,
    shown: Vec<u8>,
}

impl Place {
    fn inside(root: BorrowedFd<'_>, word: &str, source: &Source) -> Result<Self> {
        let path = relative(word);
        let there = |path: &Path| kind_of(open_in(root, path, OFlag::O_PATH));
        let (at, shown) = land(word, &path, source, there)?;
        let top = root.try_clone_to_owned().context(&codes::COPY, || format!("write {word}"))?;
        Ok(Self { top, at, within: Within::Root, shown })
    }

    fn here(word: &str, source: &Source) -> Result<Self> {
        let open =
            |path: &Path, flags: OFlag| nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty());
        let there =
            |path: &Path| kind_of(open(if path.as_os_str().is_empty() { Path::new(".") } else { path }, OFlag::O_PATH));
        let (at, shown) = land(word, Path::new(word), source, there)?;
        let at = if at.as_os_str().is_empty() { PathBuf::from(".") } else { at };
        let top = open(&at, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        let top = top.context(&codes::COPY, || format!("open the directory {}", at.display()))?;
        Ok(Self { top, at: PathBuf::new(), within: Within::Directory, shown })
    }
}

/// None: nothing is there. Whether it is a directory.
fn kind_of(opened: nix::Result<OwnedFd>) -> Result<Option<bool>> {
    let doing = || "look at the target".to_owned();
    match opened {
        Err(nix::errno::Errno::ENOENT) => Ok(None),
        opened => {
            let stat = opened.and_then(fstat).context(&codes::COPY, doing)?;
            Ok(Some(stat.st_mode & libc::S_IFMT == libc::S_IFDIR))
        }
    }
}

/// docker's table: the directory in which it lands, and its name there.
fn land(
    word: &str,
    path: &Path,
    source: &Source,
    there: impl Fn(&Path) -> Result<Option<bool>>,
) -> Result<(PathBuf, Vec<u8>)> {
    let refuse = |why: &str| Err(Error::new(&codes::COPY, format!("copy to {word}")).because(why));
    let parent = || {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).to_owned()
    };
    let own = || path.file_name().map(|name| name.as_bytes().to_owned()).unwrap_or_default();
    match (there(path)?, source.is_directory()) {
        (Some(true), true) if source.content_only => Ok((path.to_owned(), Vec::new())),
        (Some(true), _) => Ok((path.to_owned(), source.name.as_bytes().to_owned())),
        (Some(false), true) => refuse("it is no directory, and a directory is to be copied"),
        (Some(false), false) if word.ends_with('/') => refuse("it is no directory"),
        (Some(false), false) => Ok((parent(), own())),
        (None, false) if word.ends_with('/') => refuse("there is no such directory"),
        (None, _) => match there(&parent())? {
            Some(true) => Ok((parent(), own())),
            _ => refuse("there is no directory in which it could be made"),
        },
    }
}

/// A path of the container, without what would make it absolute.
fn relative(path: &str) -> PathBuf {
    let path: PathBuf =
        Path::new(path).components().filter(|part| !matches!(part, std::path::Component::RootDir)).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

/// Two threads and a pipe between them.
fn from_to(
    source: &Source,
    place: &Place,
    maps: &Maps,
    owner: &dyn Fn(u32, u32) -> Option<(u32, u32)>,
    mode: u32,
) -> Result<()> {
    let doing = || "copy".to_owned();
    let (reader, writer) = io::pipe().context(&codes::COPY, doing)?;
    let owner = |uid: u64, gid: u64| owner(number(uid), number(gid));
    let (packed, unpacked) = std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            // That nobody reads on is an error of this thread and not the end of all: the other one says why.
            SigSet::from(Signal::SIGPIPE).thread_block()?;
            source.pack(&place.shown, maps.owners(), io::BufWriter::with_capacity(1 << 18, writer))
        });
        let unpack = Unpack { top: place.top.as_fd(), at: place.at.clone(), within: place.within, owner: &owner, mode };
        // Dropped at the end, so that a writer who still writes hears that nobody reads.
        let unpacked = unpack.all(io::BufReader::with_capacity(1 << 18, reader));
        (packing.join(), unpacked)
    });
    let packed = packed.map_err(|_| Error::new(&codes::COPY, doing()))?;
    match packed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context(&codes::COPY, doing),
        packed => unpacked.and(packed).context(&codes::COPY, doing),
    }
}

fn number(id: u64) -> u32 {
    u32::try_from(id).unwrap_or(0)
}
