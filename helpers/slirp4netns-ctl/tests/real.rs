//! The real program, in network namespaces of the test's own.
//!
//! Each test runs its body by executing this binary again under `unshare -r`, where a body is root of a user namespace and
//! makes a network namespace for slirp4netns to fill. The bodies are the functions in `body`, ignored when run directly.

use std::process::{Command, Stdio};

use slirp4netns_ctl::Program;

/// Runs `body::NAME` as root of a user namespace. A missing need is a failure where everything has been prepared, as in CI.
fn inside(name: &str) {
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-r", "--"]).args(words).stdin(Stdio::null());
        command
    };
    let program = Program::find(None, &[]).is_ok();
    let device = std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok();
    let namespaces = unshare(&["true"]).output().is_ok_and(|output| output.status.success());
    if !(program && device && namespaces) {
        let what = format!("slirp4netns ({program}), /dev/net/tun ({device}) and unshare -r ({namespaces})");
        assert_ne!(std::env::var("RL_MUST_WORK").as_deref(), Ok("1"), "needs {what}");
        eprintln!("skipped: needs {what}");
        return;
    }
    let test = std::env::current_exe().expect("this test");
    let body = format!("body::{name}");
    let output = unshare(&[&test.to_string_lossy(), "--exact", "--ignored", &body]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

macro_rules! in_namespaces {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            inside(stringify!($name));
        })*
    };
}

in_namespaces! {
    the_interface_is_there_when_it_is_ready
    it_is_sandboxed_and_filtered
    a_namespace_can_be_given_by_its_path_or_open
    forwards_are_added_used_listed_and_removed
    a_port_in_use_is_refused_with_its_holder
    the_death_of_the_program_is_seen
    one_that_is_let_go_ends_without_being_waited_for
    it_ends_with_the_process_that_started_it
    a_network_that_cannot_be_made_gives_the_words_of_the_program
    a_stopped_program_is_ended_all_the_same
}

mod body {
    use std::fs;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddrV4, TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sched::{CloneFlags, setns};
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use slirp4netns_ctl::{Api, Error, Forward, Network, Options, Program, Protocol, Running, Target};
    use tempfile::TempDir;

    /// A network namespace, held by a sleeping process, and a directory.
    struct Place {
        child: Child,
        dir: TempDir,
    }

    impl Place {
        fn new() -> Self {
            let mut command = Command::new("unshare");
            // It ends with its stdin, and so with this process.
            command.args(["-n", "--", "sh", "-c", "echo there && exec cat"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare");
            let mut line = [0; 6];
            child.stdout.as_mut().expect("its stdout").read_exact(&mut line).expect("the namespace");
            // Longer than the address of a socket.
            let dir = tempfile::Builder::new().prefix(&"d".repeat(100)).tempdir().expect("a directory");
            Self { child, dir }
        }

        fn target(&self) -> Target {
            Target::Process(self.child.id())
        }

        fn options(&self) -> Options {
            Options { api_socket: Some(self.dir.path().join("api")), ..Options::default() }
        }

        fn start(&self, options: &Options) -> Running {
            options.start(&program(), self.target(), |_| ()).expect("started").wait().expect("ready")
        }

        fn api(&self) -> Api {
            Api::new(self.dir.path().join("api"))
        }

        /// What `work` gives inside the network namespace; sockets that it makes stay there.
        fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
            let namespace = fs::File::open(format!("/proc/{}/ns/net", self.child.id())).expect("the namespace");
            std::thread::scope(|scope| {
                let thread = scope.spawn(|| {
                    setns(&namespace, CloneFlags::CLONE_NEWNET).expect("setns");
                    work()
                });
                thread.join().expect("join")
            })
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn program() -> Program {
        Program::find(None, &[]).expect("slirp4netns")
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").expect("a listener").local_addr().expect("an address").port()
    }

    fn forward(protocol: Protocol, port: u16, inside: u16) -> Forward {
        let host = SocketAddrV4::new([127, 0, 0, 1].into(), port);
        Forward { protocol, host, guest: SocketAddrV4::new(Network::default().guest(), inside) }
    }

    fn hung_up(running: &impl AsFd) {
        let mut events = [PollFd::new(running.as_fd(), PollFlags::empty())];
        assert_eq!(poll(&mut events, PollTimeout::from(10_000_u16)).expect("poll"), 1, "still alive");
    }

    #[test]
    #[ignore = "a body"]
    fn the_interface_is_there_when_it_is_ready() {
        let place = Place::new();
        let options = Options { interface: "out0".into(), mtu: 9000, ..place.options() };
        let running = place.start(&options);
        let devices = fs::read_to_string(format!("/proc/{}/net/dev", place.child.id())).expect("devices");
        assert!(devices.contains("out0:"), "{devices}");
        let routes = fs::read_to_string(format!("/proc/{}/net/route", place.child.id())).expect("routes");
        // The default route by way of 10.0.2.2.
        assert!(routes.lines().any(|line| line.starts_with("out0\t00000000\t0202000A")), "{routes}");
        running.stop().expect("stopped");
        let devices = fs::read_to_string(format!("/proc/{}/net/dev", place.child.id())).expect("devices");
        assert!(!devices.contains("out0:"), "{devices}");
    }

    #[test]
    #[ignore = "a body"]
    fn it_is_sandboxed_and_filtered() {
        let place = Place::new();
        let running = place.start(&place.options());
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("its status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
            line.trim().to_owned()
        };
        assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()), "{status}");
        // Of all capabilities, CAP_NET_BIND_SERVICE (10) alone.
        assert_eq!(u64::from_str_radix(&field("CapEff:"), 16).expect("a mask"), 1 << 10, "{status}");
        let root = fs::read_link(format!("/proc/{}/root", running.pid()));
        let seen = fs::read_dir(format!("/proc/{}/root", running.pid())).map(|entries| {
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            names
        });
        assert!(seen.is_err() || seen.is_ok_and(|names| names == ["etc", "run"]), "{root:?}");
    }

    #[test]
    #[ignore = "a body"]
    fn a_namespace_can_be_given_by_its_path_or_open() {
        let place = Place::new();
        let path = format!("/proc/{}/ns/net", place.child.id());
        let open = fs::File::open(&path).expect("the namespace");
        let devices = || fs::read_to_string(format!("/proc/{}/net/dev", place.child.id())).expect("devices");
        for target in [Target::Path(path.into()), Target::Descriptor(open.into())] {
            let running = place.options().start(&program(), target, |_| ()).expect("started").wait().expect("ready");
            assert!(devices().contains("tap0:"), "{}", devices());
            running.stop().expect("stopped");
            assert!(!devices().contains("tap0:"), "{}", devices());
        }
    }

    #[test]
    #[ignore = "a body"]
    fn forwards_are_added_used_listed_and_removed() {
        let place = Place::new();
        // Or answers over UDP would not come back to 127.0.0.1, from where the client asks.
        let _running = place.start(&Options { allow_host_loopback: true, ..place.options() });
        let api = place.api();
        let (tcp, udp) = (forward(Protocol::Tcp, free_port(), 80), forward(Protocol::Udp, free_port(), 53));
        let ids = [api.add(&tcp).expect("tcp").id, api.add(&udp).expect("udp").id];
        let listed = api.list().expect("a list");
        assert_eq!(
            listed.iter().map(|entry| (entry.id, entry.forward)).collect::<Vec<_>>(),
            [(ids[0], tcp), (ids[1], udp)]
        );

        let server = place.within(|| TcpListener::bind("0.0.0.0:80").expect("a server"));
        let mut client = TcpStream::connect(tcp.host).expect("connect");
        client.write_all(b"hello").expect("write");
        let (mut inside, _) = server.accept().expect("a client");
        let mut heard = [0; 5];
        inside.read_exact(&mut heard).expect("read");
        assert_eq!(&heard, b"hello");

        let server = place.within(|| UdpSocket::bind("0.0.0.0:53").expect("a server"));
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.send_to(b"ping", udp.host).expect("send");
        let (count, from) = server.recv_from(&mut heard).expect("receive");
        assert_eq!(&heard[..count], b"ping");
        server.send_to(b"pong", from).expect("send");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
        assert_eq!(client.recv(&mut heard).expect("receive"), 4);

        api.remove(ids[0]).expect("removed");
        assert!(tcp.check().is_ok(), "the port is free again");
        assert!(matches!(api.remove(ids[0]), Err(Error::Refused { .. })));
        assert_eq!(api.list().expect("a list").len(), 1);
    }

    #[test]
    #[ignore = "a body"]
    fn a_port_in_use_is_refused_with_its_holder() {
        let place = Place::new();
        let _running = place.start(&place.options());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let message = place.api().add(&forward(Protocol::Tcp, port, 80)).expect_err("in use").to_string();
        let expected = format!("(process {})", std::process::id());
        assert!(message.contains(&format!("127.0.0.1:{port}/tcp")) && message.contains(&expected), "{message}");
        assert!(place.api().list().expect("a list").is_empty());
    }

    #[test]
    #[ignore = "a body"]
    fn the_death_of_the_program_is_seen() {
        let place = Place::new();
        let mut running = place.start(&place.options());
        running.check().expect("alive");
        kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGKILL).expect("kill");
        hung_up(&running);
        let message = running.check().expect_err("dead").to_string();
        assert!(message.contains("signal: 9"), "{message}");
    }

    #[test]
    #[ignore = "a body"]
    fn one_that_is_let_go_ends_without_being_waited_for() {
        let place = Place::new();
        let (mut end, theirs) = std::io::pipe().expect("a pipe");
        let give = |command: &mut Command| {
            command.stdout(theirs);
        };
        let running = place.options().start(&program(), place.target(), give).expect("started").wait().expect("ready");
        let pid = Pid::from_raw(running.pid().cast_signed());
        running.let_go();
        // It is this process's still, and nobody has asked for its status.
        end.read_to_end(&mut Vec::new()).expect("its end");
        nix::sys::wait::waitpid(pid, None).expect("a child that can be waited for");
    }

    /// A pipe that slirp4netns has as its stdout ends when the last process that holds it is gone.
    #[test]
    #[ignore = "a body"]
    fn it_ends_with_the_process_that_started_it() {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "--ignored", "--nocapture", "body::a_process_that_starts_it"]);
        command.env("PORT", port.to_string()).stdout(Stdio::piped());
        let mut starter = command.spawn().expect("this test again");
        let mut output = BufReader::new(starter.stdout.take().expect("its stdout"));
        let mut line = String::new();
        while !line.contains("started") {
            line.clear();
            assert_ne!(output.read_line(&mut line).expect("read"), 0, "it ended");
        }
        let taken = forward(Protocol::Tcp, port, 80);
        assert!(taken.check().is_err(), "slirp4netns listens");
        starter.kill().expect("kill -9");
        starter.wait().expect("wait");
        output.read_to_end(&mut Vec::new()).expect("its end");
        assert!(taken.check().is_ok(), "its ports are free");
    }

    #[test]
    #[ignore = "a part of the body above"]
    fn a_process_that_starts_it() {
        let port = std::env::var("PORT").expect("PORT").parse().expect("a number");
        let place = Place::new();
        let inherit = |command: &mut Command| {
            command.stdout(Stdio::inherit());
        };
        let starting = place.options().start(&program(), place.target(), inherit).expect("started");
        let _running = starting.wait().expect("ready");
        place.api().add(&forward(Protocol::Tcp, port, 80)).expect("a forward");
        println!("started");
        std::thread::sleep(Duration::from_secs(1000));
    }

    #[test]
    #[ignore = "a body"]
    fn a_network_that_cannot_be_made_gives_the_words_of_the_program() {
        let place = Place::new();
        let options = Options { interface: "lo".into(), ..place.options() };
        let starting = options.start(&program(), place.target(), |_| ()).expect("started");
        let message = starting.wait().expect_err("lo is taken").to_string();
        assert!(message.contains("TUNSETIFF"), "{message}");
    }

    #[test]
    #[ignore = "a body"]
    fn a_stopped_program_is_ended_all_the_same() {
        let place = Place::new();
        let running = place.start(&place.options());
        let pid = Pid::from_raw(running.pid().cast_signed());
        kill(pid, Signal::SIGSTOP).expect("stop");
        running.stop().expect("stopped");
        assert!(kill(pid, None).is_err());
    }
}
