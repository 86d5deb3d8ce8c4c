//! pasta, of the package passt.
//!
//! Owns its command line and its process. Closed in the same way as slirp4netns: the gateway's address does not lead to the host's
//! loopback, no port is forwarded unless asked for, and pasta itself brings its sandbox and its filter. The surprise: its file for
//! the pid is a FIFO here, because pasta writes it when the network is ready, and says so in no other way.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::last_words::LastWords;
use super::ports::Leg;
use super::program::{find, remembered};
use crate::error::{Context, Error, Result, catalog::network as codes};
use crate::spec::network::{PASTA_DNS, PASTA_DNS6};
use crate::sys::process::end_with_parent;

const START: Duration = Duration::from_secs(30);
/// Room for how it is to be used, which it says behind what was wrong.
const WORDS: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Pasta {
    program: PathBuf,
    words: Vec<String>,
}

/// Started, and maybe not ready. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Starting {
    running: Running,
    ready: File,
}

/// At work. It ends when this is dropped, and with `rl` (PR_SET_PDEATHSIG), however that ends.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    last_words: LastWords,
    let_go: bool,
}

impl Pasta {
    pub(super) fn prepare(words: &[String], run: &Path) -> Result<Self> {
        let program = remembered(
            run,
            "pasta",
            |config| config.pasta,
            |given| {
                let path = find("pasta", given, &["/usr/local/bin", "/usr/bin", "/bin"]);
                let path = path.ok_or_else(|| Error::new(&codes::NO_PROGRAM, "find pasta"))?;
                Ok((path.clone(), path))
            },
        )?;
        Ok(Self { program, words: words.to_vec() })
    }

    pub(super) fn start(self, namespace: OwnedFd, dir: &Path, legs: &[Leg]) -> Result<Starting> {
        let doing = || "start pasta".to_owned();
        let fifo = dir.join("pasta");
        // Of an earlier start of the same container.
        let _ = nix::unistd::unlink(&fifo);
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).context(&codes::NETWORK, doing)?;
        // Open before pasta is, which would wait for a reader.
        let ready = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&fifo);
        let ready = ready.context(&codes::NETWORK, doing)?;
        let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let (stderr, theirs) = nix::unistd::pipe2(flags).context(&codes::NETWORK, doing)?;
        let mut command = Command::new(&self.program);
        command.args(["--foreground", "--quiet", "--config-net", "--netns-only", "--dns-forward"]);
        command.arg(PASTA_DNS.to_string()).args(["--netns", "/proc/self/fd/0"]);
        if !self.words.iter().any(|word| word.starts_with("--dns-forward")) {
            command.arg("--dns-forward").arg(PASTA_DNS6.to_string());
        }
        command.arg("--pid").arg(&fifo).args(arguments(&self.words, legs));
        command.stdin(Stdio::from(namespace)).stdout(Stdio::null()).stderr(theirs).process_group(0);
        end_with_parent(&mut command);
        let child = command.spawn().context(&codes::NETWORK, || format!("run {}", self.program.display()))?;
        // The command holds the other end of the pipe too; without it the process's death would go unseen.
        drop(command);
        Ok(Starting { running: Running { child, last_words: LastWords::new(stderr, WORDS), let_go: false }, ready })
    }
}

/// What is forwarded, and what is closed unless the user's own words open it.
fn arguments(words: &[String], legs: &[Leg]) -> Vec<String> {
    let given = |names: [&str; 2]| words.iter().any(|word| names.contains(&word.split('=').next().unwrap_or_default()));
    let mut all = Vec::new();
    for (names, protocol) in [
        (["-t", "--tcp-ports"], slirp4netns_ctl::Protocol::Tcp),
        (["-u", "--udp-ports"], slirp4netns_ctl::Protocol::Udp),
    ] {
        let wanted: Vec<_> = legs.iter().filter(|leg| leg.protocol == protocol).collect();
        if wanted.is_empty() && !given(names) {
            all.extend([names[0].to_owned(), "none".to_owned()]);
        }
        for leg in &wanted {
            let ports = format!("{}:{}", leg.host.port(), leg.container);
            // Without an address it listens in both families; said twice, it is refused.
            let other = |other: &&&Leg| other.host.ip().is_unspecified() && other.host.port() == leg.host.port();
            let word = match leg.host.ip().is_unspecified() && wanted.iter().filter(other).count() > 1 {
                true if leg.host.is_ipv6() => continue,
                true => ports,
                false => format!("{}/{ports}", leg.host.ip()),
            };
            all.extend([names[0].to_owned(), word]);
        }
    }
    for names in [["-T", "--tcp-ns"], ["-U", "--udp-ns"]] {
        if !given(names) {
            all.extend([names[0].to_owned(), "none".to_owned()]);
        }
    }
    if !given(["--map-gw", "--no-map-gw"]) {
        all.push("--no-map-gw".to_owned());
    }
    // It is no word of pasta's, but podman's for leaving --no-map-gw out.
    all.extend(words.iter().filter(|word| *word != "--map-gw").cloned());
    all
}

impl Starting {
    pub(super) fn wait(mut self) -> Result<Running> {
        let deadline = Instant::now() + START;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let stderr = self.running.last_words.as_fd();
            let mut events =
                [PollFd::new(self.ready.as_fd(), PollFlags::POLLIN), PollFd::new(stderr, PollFlags::POLLIN)];
            match poll(&mut events, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Err(nix::errno::Errno::EINTR) => continue,
                answer => answer.context(&codes::NETWORK, || "wait for pasta".into())?,
            };
            if events[0].revents().is_some_and(|flags| flags.contains(PollFlags::POLLIN)) {
                return Ok(self.running);
            }
            if let Some(said) = self.running.ended() {
                // Looked at only now: closing the device waits for whoever is changing a network of this machine.
                let device = File::options().read(true).write(true).open("/dev/net/tun");
                device.context(&codes::NO_TUN, || "open /dev/net/tun".into())?;
                return Err(Error::new(&codes::NETWORK, "start pasta").because(said));
            }
            if left.is_zero() {
                let said = format!("pasta was not ready within {} seconds", START.as_secs());
                return Err(Error::new(&codes::NETWORK, "start pasta").because(said));
            }
        }
    }
}

impl Running {
    /// Ends it without waiting: for a caller who ends soon himself, and has no ports.
    pub(super) fn let_go(mut self) {
        self.let_go = true;
    }

    /// Its last words and status, when it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        if !self.last_words.listen().unwrap_or(false) {
            return None;
        }
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = said(&self.last_words.lines());
        Some(if said.is_empty() {
            format!("pasta ended ({status})")
        } else {
            format!("pasta ended ({said}; {status})")
        })
    }
}

/// Without a syslog it complains of that at every line; and how it is to be used is a page of its manual.
fn said(lines: &[String]) -> String {
    let lines = lines.iter().map(String::as_str).take_while(|line| !line.starts_with("Usage: "));
    let lines = lines.filter(|line| !line.ends_with("bytes to syslog"));
    lines.collect::<Vec<_>>().join("; ")
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.last_words.as_fd()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if !self.let_go {
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str], legs: &[Leg]) -> String {
        arguments(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), legs).join(" ")
    }

    #[test]
    fn everything_is_closed_unless_it_is_asked_for() {
        assert_eq!(line(&[], &[]), "-t none -u none -T none -U none --no-map-gw");
        let opened = line(&["--map-gw", "-T", "8080"], &[]);
        assert_eq!(opened, "-t none -u none -U none -T 8080");
        let leg = Leg { protocol: slirp4netns_ctl::Protocol::Udp, host: ([127, 0, 0, 1], 53).into(), container: 5353 };
        assert!(line(&[], &[leg]).starts_with("-t none -u 127.0.0.1/53:5353 -T none"));
        let any = |host: &str| Leg {
            protocol: slirp4netns_ctl::Protocol::Tcp,
            host: host.parse().expect("an address"),
            container: 80,
        };
        assert!(line(&[], &[any("0.0.0.0:8080"), any("[::]:8080")]).starts_with("-t 8080:80 -u none"));
        assert!(line(&[], &[any("0.0.0.0:8080")]).starts_with("-t 0.0.0.0/8080:80 -u none"));
    }

    #[test]
    fn what_was_wrong_is_said_without_the_manual() {
        let lines =
            ["pasta: unrecognized option '--foo'", "Failed to send 51 bytes to syslog", "Usage: pasta", "Options:"];
        assert_eq!(said(&lines.map(str::to_owned)), "pasta: unrecognized option '--foo'");
    }
}
