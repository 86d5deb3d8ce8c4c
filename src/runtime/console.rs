//! The console of `-t`: the caller's terminal in raw mode on one side, the master of the container's pty on the other.
//!
//! Owns the relay of bytes and of the window size, and with [`raw`] the modes of the caller's terminal. It does not
//! open the pty (init does, from the container's devpts) and has no loop of its own: `runtime::supervise` polls. The
//! surprise: O_NONBLOCK is a property of the open file, which descriptors 0 to 2 share with the caller's shell; see
//! [`stream`] for how a slow terminal is kept from blocking `rl` without touching it.

mod raw;
mod stream;

use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SpecialCharacterIndices, tcgetattr};

pub(super) use self::raw::RawMode;
use self::stream::{Buffer, Stream};
use super::keys::Keys;
use crate::error::{Context, Result, catalog::process};
use crate::sys::signal::Signals;
use crate::sys::terminal::{known_size, peer, set_window_size};

/// How many descriptors a console polls at most: input, output and master, in this order.
pub const STREAMS: usize = 3;

/// A descriptor and what it is polled for.
pub type Interest<'a> = Option<(BorrowedFd<'a>, PollFlags)>;

/// A terminal between the caller and the container. Dropping it restores the caller's terminal.
#[derive(Debug)]
pub struct Console {
    /// None once the container's terminal was hung up because the caller's side has gone.
    container: Option<Container>,
    output: Stream,
    to_output: Buffer,
    /// None without `-i`, and from the end of input on.
    input: Option<Stream>,
    to_master: Buffer,
    /// Whether the last byte read from the input was in the middle of a line.
    inside_line: bool,
    /// None where stdin is no terminal or is not relayed: then its keys must go on making signals.
    raw: Option<RawMode>,
    /// In the background of the caller's terminal: its modes and its input belong to others.
    background: bool,
    /// The first of stdin, stdout and stderr that is a terminal.
    sized: Option<OwnedFd>,
    /// What is typed to leave; of a container in the foreground nothing, because its `rl` is its parent.
    keys: Keys,
    /// They were typed.
    left: bool,
}

/// The container's side.
#[derive(Debug)]
struct Container {
    master: OwnedFd,
    /// The slave, held open. While any process holds it the master never answers EIO, so that a container which
    /// closes its terminal and opens it again later (systemd does with /dev/console) needs no polling; and the end is
    /// known from the pidfd.
    slave: Option<OwnedFd>,
    /// False when nobody has the slave open and it can't be opened again.
    alive: bool,
}

impl Console {
    /// Takes over the master of the container's pty. With `interactive` stdin is relayed, and where it is a terminal
    /// it is put into raw mode. To be called in a process with one thread, which has blocked its signals and has
    /// cloned the container.
    pub fn start(master: OwnedFd, interactive: bool) -> Result<Self> {
        let nonblocking = fcntl(&master, FcntlArg::F_GETFL)
            .and_then(|flags| fcntl(&master, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK)));
        nonblocking.context(&process::TERMINAL, || "make the container's terminal non-blocking".into())?;
        let output = Stream::open(std::io::stdout().as_fd(), OFlag::O_WRONLY);
        let slave = peer(master.as_fd()).ok();
        let mut console = Self {
            container: Some(Container { master, slave, alive: true }),
            output: output.context(&process::TERMINAL, || "relay standard output".into())?,
            to_output: Buffer::default(),
            input: None,
            to_master: Buffer::default(),
            inside_line: false,
            raw: None,
            background: false,
            sized: callers_terminal(),
            keys: Keys::new(Vec::new()),
            left: false,
        };
        if interactive {
            console.relay_input()?;
        }
        console.resume()?;
        Ok(console)
    }

    /// These keys leave.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// Whether the keys have been typed.
    pub fn is_left(&self) -> bool {
        self.left
    }

    /// Gives the caller's terminal back, and the container's to whoever keeps it; None: it has been hung up.
    pub fn into_master(self) -> Option<OwnedFd> {
        self.container.map(|container| container.master)
    }

    fn relay_input(&mut self) -> Result<()> {
        let stdin = std::io::stdin();
        let input = Stream::open(stdin.as_fd(), OFlag::O_RDONLY);
        self.input = Some(input.context(&process::TERMINAL, || "relay standard input".into())?);
        if stdin.is_terminal() {
            let raw = RawMode::start(stdin.as_fd());
            let raw = raw.context(&process::TERMINAL, || "save the modes of the terminal on standard input".into())?;
            self.raw = Some(raw);
        }
        Ok(())
    }

    /// What to poll for now. A stream that has nothing to wait for is left out: poll would report its hang-up over
    /// and over.
    pub fn interest(&self) -> [Interest<'_>; STREAMS] {
        let Some(container) = &self.container else { return [None; STREAMS] };
        let input = self.input.as_ref().filter(|_| self.to_master.is_empty() && !self.background);
        let output = Some(&self.output).filter(|_| !self.to_output.is_empty());
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, self.to_output.is_empty());
        events.set(PollFlags::POLLOUT, !self.to_master.is_empty());
        let master = Some(container).filter(|container| container.alive && !events.is_empty());
        [
            input.map(|stream| (stream.as_fd(), PollFlags::POLLIN)),
            output.map(|stream| (stream.as_fd(), PollFlags::POLLOUT)),
            master.map(|container| (container.master.as_fd(), events)),
        ]
    }

    /// Moves bytes on the streams that poll has found ready.
    pub fn turn(&mut self, [input, output, master]: [bool; STREAMS]) -> Result<()> {
        if output {
            self.write_output()?;
        }
        if master {
            self.write_master()?;
            if self.to_output.is_empty() {
                self.read_master()?;
            }
        }
        if input {
            self.read_input()?;
        }
        Ok(())
    }

    /// Passes on what is left after the container's end, however slow the reader is. A signal that asks `rl` to end
    /// is obeyed, for there is nobody else left to obey it.
    ///
    /// `gives_up` says which signals these are.
    pub fn drain(&mut self, signals: &Signals, gives_up: impl Fn(i32) -> bool) -> Result<()> {
        loop {
            // The kernel moves everything that was written before into the master's reach before it says EAGAIN, so
            // nothing has to be waited for.
            while self.to_output.is_empty() {
                if !self.read_master()? {
                    return Ok(());
                }
            }
            let mut polls =
                [PollFd::new(self.output.as_fd(), PollFlags::POLLOUT), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polls, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context(&process::TERMINAL, || "wait for standard output".into()),
            }
            let writable = polls[0].any().unwrap_or(true);
            while let Some(number) = signals.next().context(&process::SUPERVISE, || "read a signal".into())? {
                if gives_up(number) {
                    return Ok(());
                }
            }
            if writable {
                self.write_output()?;
            }
        }
    }

    /// Gives the container's terminal the size of the caller's.
    pub fn resize(&self) {
        if let (Some(container), Some(sized)) = (&self.container, &self.sized)
            && let Some(size) = known_size(sized.as_fd())
        {
            // Refused only where the terminal is gone, which shows elsewhere.
            let _ = set_window_size(container.master.as_fd(), &size);
        }
    }

    /// Whether the caller's terminal is needed but belongs to others now. The process should then stop by SIGTTIN,
    /// once, and call [`Console::resume`] when it is continued.
    pub fn in_background(&self) -> bool {
        self.background
    }

    /// Whether the caller's side has gone, and with it the container's terminal.
    pub fn hung_up(&self) -> bool {
        self.container.is_none()
    }

    /// The caller's terminal as it was, while `rl` is stopped.
    pub fn suspend(&self) {
        if let Some(raw) = &self.raw {
            raw.leave();
        }
    }

    /// Raw mode and size again, after `rl` was continued; in the background the modes are left alone.
    pub fn resume(&mut self) -> Result<()> {
        if let Some(raw) = &self.raw {
            self.background = !raw.in_foreground();
            let entered = if self.background { Ok(()) } else { raw.enter() };
            match entered {
                // EIO: the terminal has been closed; reading it says so next.
                Ok(()) | Err(Errno::EIO) => {}
                Err(errno) => {
                    let doing = || "put the terminal on standard input into raw mode".into();
                    return Err(errno).context(&process::TERMINAL, doing);
                }
            }
        }
        self.resize();
        Ok(())
    }

    /// Reads from the container; says whether there may be more.
    fn read_master(&mut self) -> Result<bool> {
        let Some(container) = &mut self.container else { return Ok(false) };
        match self.to_output.fill(container.master.as_fd()) {
            Ok(0) | Err(Errno::EIO) => Ok(container.reopen()),
            Ok(_) => {
                if self.output.nonblocking() {
                    self.write_output()?;
                }
                Ok(true)
            }
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno).context(&process::TERMINAL, || "read from the container's terminal".into()),
        }
    }

    fn write_output(&mut self) -> Result<()> {
        match self.to_output.flush(&self.output) {
            Ok(()) | Err(Errno::EAGAIN) => Ok(()),
            // Nobody reads any more. The container learns it as a program does whose terminal window was closed.
            Err(Errno::EPIPE | Errno::EIO) => {
                self.hang_up();
                Ok(())
            }
            Err(errno) => Err(errno).context(&process::TERMINAL, || {
                format!("write the container's output to descriptor {}", std::io::stdout().as_raw_fd())
            }),
        }
    }

    fn read_input(&mut self) -> Result<()> {
        let Some(input) = &self.input else { return Ok(()) };
        match self.to_master.fill(input.as_fd()) {
            Ok(0) | Err(Errno::EIO) => match &self.raw {
                None => self.end_input(),
                // With SIGTTIN blocked, EIO is how the background is refused.
                Some(raw) if !raw.in_foreground() => self.background = true,
                // In raw mode no key ends the input: the terminal itself has gone.
                Some(_) => self.hang_up(),
            },
            Ok(_) => {
                // Only somebody at a keyboard types keys; a file may hold any bytes.
                if self.raw.is_some() {
                    let (typed, left) = self.keys.filter(&self.to_master.take());
                    self.to_master.push(&typed);
                    self.left = left;
                }
                self.inside_line = self.to_master.last() != Some(b'\n');
            }
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno).context(&process::TERMINAL, || "read standard input".into()),
        }
        self.write_master()
    }

    fn write_master(&mut self) -> Result<()> {
        let Some(container) = &mut self.container else { return Ok(()) };
        match self.to_master.flush_to(container.master.as_fd()) {
            Ok(()) | Err(Errno::EAGAIN) => Ok(()),
            Err(Errno::EIO) => {
                container.reopen();
                Ok(())
            }
            Err(errno) => Err(errno).context(&process::TERMINAL, || "write to the container's terminal".into()),
        }
    }

    /// A file or pipe on stdin has ended: types the end-of-file character. In the middle of a line the first one only
    /// hands over what was typed, and a second one is needed.
    fn end_input(&mut self) {
        self.input = None;
        let Some(container) = &self.container else { return };
        let modes = tcgetattr(&container.master);
        let key = modes.map_or(0x04, |modes| modes.control_chars[SpecialCharacterIndices::VEOF as usize]);
        self.to_master.push(&[key, key][..if self.inside_line { 2 } else { 1 }]);
    }

    /// Closes the container's terminal for good, and gives the caller's back.
    fn hang_up(&mut self) {
        self.container = None;
        self.input = None;
        self.raw = None;
        self.to_output = Buffer::default();
        self.to_master = Buffer::default();
    }
}

impl Container {
    /// After an answer that nobody has the slave open. That happens although we hold it: a hang-up (vhangup(2), the
    /// end of the session's leader) cuts off everybody who has it open, us too.
    fn reopen(&mut self) -> bool {
        self.slave = None;
        self.slave = peer(self.master.as_fd()).ok();
        self.alive = self.slave.is_some();
        self.alive
    }
}

/// The first of stdin, stdout and stderr that is one.
pub(super) fn callers_terminal() -> Option<OwnedFd> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter();
    streams.find(IsTerminal::is_terminal).and_then(|fd| fd.try_clone_to_owned().ok())
}
