//! Many connections at once: as many as there may be files, and what becomes of those that find none.
//!
//! `rl` is started by prlimit(1) with a small limit, as a terminal of most systems has one (1024), so that few connections are many.

mod as_user {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};

    use crate::support::{Line, Rl, Running, binary, eventually};

    /// A container that says everything back to everybody, behind a port of IPv6, where `rl: ports` stands between.
    fn echo(rl: &Rl, limit: &str, port: u16) -> Running {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}")).arg(binary()).arg("--root").arg(rl.root());
        command.arg("--runroot").arg(rl.runroot()).args(["run", "--rm", "-p", &format!("[::1]:{port}:80"), "busybox"]);
        command.args(["sh", "-c", &format!("{} & exec nc -ll -p 80 -e cat", crate::LISTENS)]);
        let mut running = Line::new(command, format!("prlimit --nofile={limit} rl run")).spawn();
        running.wait_for_line("up");
        running
    }

    fn free_port() -> u16 {
        TcpListener::bind("[::1]:0").expect("a listener").local_addr().expect("an address").port()
    }

    fn connected(port: u16) -> TcpStream {
        let stream = TcpStream::connect(("::1", port)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        stream
    }

    fn is_served(mut stream: &TcpStream) -> bool {
        let mut back = [0];
        stream.write_all(b"x").is_ok() && stream.read_exact(&mut back).is_ok() && back == *b"x"
    }

    #[test]
    fn the_customary_limit_of_open_files_is_none_of_published_ports() {
        let (rl, port) = (Rl::new(), free_port());
        let running = echo(&rl, "64:1024", port);
        let held: Vec<_> = (0..100).map(|_| connected(port)).collect();
        for (index, stream) in held.iter().enumerate() {
            assert!(is_served(stream), "{index}");
        }
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.child_called("slirp4netns")));
        let limits = limits.expect("its limits");
        let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
        assert_eq!(files.split_ascii_whitespace().nth(3), Some("1024"), "connections that go out need files, too");
        rl.run(&["stop", "--latest", "--time=0"]).success();
        running.finish();
    }

    /// Says everything back to everybody, over TCP, and lets many wait: busybox's nc has three places.
    const PATIENT: &str = "use Socket; $|=1; $SIG{CHLD}=q(IGNORE); socket(S,PF_INET,SOCK_STREAM,0); \
                           bind(S,pack_sockaddr_in(80,INADDR_ANY)) or die; listen(S,99); print qq(up\n); \
                           while (accept(C,S)) { next if fork; while (sysread(C,$x,99)) { syswrite(C,$x) } exit }";

    /// libslirp listens with a queue of one: clients who came together waited a second, or were reset.
    #[test]
    fn clients_wait_in_line_while_slirp4netns_is_at_something_else() {
        let (rl, port, added) = (Rl::new(), free_port(), free_port());
        let publish = format!("127.0.0.1:{port}:80");
        let mut running =
            rl.command(&["run", "--rm", "--name", "c", "-p", &publish, "debian", "perl", "-e", PATIENT]).spawn();
        running.wait_for_line("up");
        rl.run(&["port", "add", "c", &format!("127.0.0.1:{added}:80")]).success();
        let carrier = running.child_called("slirp4netns");
        kill(carrier, Signal::SIGSTOP).expect("stop");
        let connect = |port| TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(20));
        // With the queue full no connection would come about before slirp4netns goes on.
        let clients = [port, port, port, port, port, added, added, added, added, added];
        let held: std::io::Result<Vec<_>> = clients.into_iter().map(connect).collect();
        kill(carrier, Signal::SIGCONT).expect("go on");
        for (index, stream) in held.expect("a place in line").into_iter().enumerate() {
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
            assert!(is_served(&stream), "{index}");
        }
        rl.run(&["stop", "c", "--time=0"]).success();
        running.finish();
    }

    #[test]
    fn clients_that_find_no_file_left_wait_and_nobody_works_meanwhile() {
        let (rl, port) = (Rl::new(), free_port());
        let running = echo(&rl, "64:64", port);
        // Who has been served knows that `rl: ports` has its name, which it gives itself beside the container's start.
        assert!(is_served(&connected(port)));
        let ports = running.child_called("rl: ports");
        let held: Vec<_> = (0..100).map(|_| connected(port)).collect();
        let files = || std::fs::read_dir(format!("/proc/{ports}/fd")).expect("its files").count();
        eventually("all its files are in use", || files() >= 62);
        eventually("it sleeps", || {
            let stat = std::fs::read_to_string(format!("/proc/{ports}/stat")).expect("its state");
            stat.rsplit_once(") ").expect("a name").1.starts_with('S')
        });
        drop(held);
        eventually("others are served when there are files again", || is_served(&connected(port)));
        rl.run(&["stop", "--latest", "--time=0"]).success();
        running.finish();
    }
}
