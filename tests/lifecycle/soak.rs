//! Many clients, and a killer of `rl` processes: nothing is left behind, and every answer is true.
//!
//! RL_SOAK_CYCLES says how often each of eight clients goes round; CI's few rounds take under two minutes, a thousand cycles are
//! RL_SOAK_CYCLES=125.

mod everywhere {
    use std::path::PathBuf;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::support::{Output, Rl};
    use crate::{entries, eventually};

    const CLIENTS: usize = 8;

    /// `rl` processes of this test: clients and supervisors have its run directory in their words.
    fn processes(rl: &Rl) -> Vec<Pid> {
        with(&rl.runroot().to_string_lossy())
    }

    /// What is in the words of the containers' processes, and of no other.
    fn mark() -> String {
        format!(": soak of {};", std::process::id())
    }

    fn with(mark: &str) -> Vec<Pid> {
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("list /proc").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&words).contains(mark) {
                found.extend(name.parse().map(Pid::from_raw));
            }
        }
        found
    }

    /// The first process of every container that runs, by what its record says, must be alive; what was told to have ended must not.
    fn alive(pid: &str) -> bool {
        pid.parse().is_ok_and(|pid| pid > 0 && kill(Pid::from_raw(pid), None).is_ok())
    }

    /// Its name must be no beginning of an id.
    struct Client<'a> {
        rl: &'a Rl,
        name: String,
        killed: &'a AtomicUsize,
        /// Of all containers that were made.
        ids: &'a Mutex<Vec<String>>,
    }

    /// Directories of control groups that are called for one of these containers.
    fn groups(ids: &[String]) -> Vec<PathBuf> {
        let (mut todo, mut found) = (vec![PathBuf::from("/sys/fs/cgroup")], Vec::new());
        while let Some(dir) = todo.pop() {
            // They come and go while this looks.
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    found.extend(ids.iter().any(|id| name.contains(&id[..12])).then(|| entry.path()));
                    todo.push(entry.path());
                }
            }
        }
        found
    }

    impl Client<'_> {
        /// None: it was killed.
        fn run(&self, words: &[&str]) -> Option<Output> {
            let out = self.rl.run(words);
            if out.status.code().is_none() {
                self.killed.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            Some(out)
        }

        /// Until it was not killed.
        fn surely(&self, words: &[&str]) -> Output {
            loop {
                if let Some(out) = self.run(words) {
                    return out;
                }
            }
        }

        fn cycle(&self) {
            let name = self.name.as_str();
            let script = mark() + " echo up; trap 'exit 3' TERM; while :; do sleep 0.05; done";
            let made = self.run(&["create", "--name", name, "busybox", "sh", "-c", &script]);
            if let Some(made) = made.filter(|out| out.code() == 0) {
                self.ids.lock().expect("no client has ended so").push(made.stdout.trim().to_owned());
                let out = self.surely(&["inspect", "-f", "{{.State.Status}}", name]);
                assert_eq!(out.stdout, "created\n", "{name}: {}", out.stderr);
                let started = self.run(&["start", name]);
                if let Some(out) = &started {
                    // Refused only where a process of its own was killed meanwhile.
                    assert!(matches!(out.code(), 0 | 1 | 125), "{name}: {}", out.stderr);
                }
                if let Some(out) = self.run(&["exec", name, "echo", "inside"])
                    && out.code() == 0
                {
                    assert_eq!(out.stdout, "inside\n");
                }
                let pid = self.surely(&["inspect", "-f", "{{.State.Pid}}", name]).stdout.trim().to_owned();
                let _ = self.run(&["stop", "-t", "5", name]);
                let status = self.surely(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name]).stdout;
                if let Some(exit) = status.strip_prefix("exited ") {
                    // 125: who started it was killed before its command ran.
                    eventually("what has ended has no process", || !alive(&pid));
                    assert!(matches!(exit.trim(), "3" | "125" | "137" | "143"), "{name}: {status}");
                }
            }
            // A kill may come at any point of it, so it is said again.
            eventually("it can be removed", || self.surely(&["rm", "-f", name]).code() == 0);
            let out = self.surely(&["inspect", "-f", "{{json .State}}", name]);
            assert_eq!(out.code(), 1, "{name} was removed: {} {}", out.stdout, out.stderr);
        }
    }

    #[test]
    fn clients_and_kills_leave_nothing_behind() {
        let rounds = std::env::var("RL_SOAK_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
        let rl = Rl::new();
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        let (over, killed, kills) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let ids = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut turn = 0;
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(150));
                    let all = processes(&rl);
                    turn += 7;
                    if let Some(pid) = all.get(turn % all.len().max(1)) {
                        kills.fetch_add(usize::from(kill(*pid, Signal::SIGKILL).is_ok()), Ordering::Relaxed);
                    }
                }
            });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let client = Client { rl: &rl, name: format!("soak-{number}"), killed: &killed, ids: &ids };
                    scope.spawn(move || (0..rounds).for_each(|_| client.cycle()))
                })
                .collect();
            let ended: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            over.store(true, Ordering::Relaxed);
            assert!(ended.iter().all(Result::is_ok), "a client has seen something untrue");
        });
        eprintln!("{} kills, of them {} of clients", kills.into_inner(), killed.into_inner());
        rl.run(&["rm", "-af"]).success();
        // What was killed just now is cleared by the next start.
        eventually("no directory is left", || {
            rl.run(&["run", "--rm", "busybox", "true"]).success();
            entries(&rl.runroot().join("containers")) == 0 && entries(&rl.root().join("containers")) == 0
        });
        assert_eq!(entries(&rl.root().join("names")), 0);
        eventually("no process is left", || processes(&rl).is_empty() && with(&mark()).is_empty());
        let ids = ids.into_inner().expect("all have ended");
        eprintln!("{} containers", ids.len());
        eventually("no control group is left", || groups(&ids).is_empty());
        // A network without published ports ends behind its run.
        eventually("no socket is left", || {
            let sockets = std::fs::read_to_string("/proc/net/unix").expect("sockets");
            !sockets.contains(&*rl.runroot().to_string_lossy())
        });
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        assert!(!mounts.contains(&*rl.root().to_string_lossy()), "{mounts}");
    }
}
