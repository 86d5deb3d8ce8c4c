//! The same limits by rl, crun and podman, side by side.

mod over_ssh {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use crate::support::{Line, Output, Rl};
    use crate::{inside, report};

    const CPU: &str =
        "use() { sed -n 's/usage_usec //p' /sys/fs/cgroup/cpu.stat; }; now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
        (while :; do :; done) & (while :; do :; done) & sleep 1
        a=$(use); s=$(now); sleep 10; b=$(use); e=$(now); echo $(((b - a) / 100 / (e - s)))";

    const BOMB: &str =
        "(i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i + 1)); done) 2>/dev/null; set -- /proc/[0-9]*; echo $#";

    const PEERS: [&str; 3] = ["rl", "crun", "podman"];

    fn line(rl: &Rl, who: &str, limits: &[&str], script: &str) -> Line {
        let root = rl.busybox_root();
        let root = root.to_str().expect("a path");
        let rest = ["--rootfs", root, "sh", "-c", script];
        match who {
            "rl" => rl.command(&[&["run", "--rm", "--network=none"], limits, &rest].concat()),
            "podman" => {
                let mut command = Command::new("podman");
                command.args(["run", "--rm", "--network=none"]).args(limits).args(rest);
                Line::new(command, format!("podman run {limits:?}"))
            }
            _ => {
                let plan = [&["run", "--network=none", "--plan=oci"], limits, &rest].concat();
                let bundle: PathBuf = rl.dir(&format!("crun{}", limits.concat()));
                let text = rl.run(&plan).success().stdout;
                let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                // The files of /etc are made by a run, and none has been.
                let mounts = document["mounts"].as_array_mut().expect("mounts");
                mounts.retain(|mount| mount["type"] != "bind");
                std::fs::write(bundle.join("config.json"), document.to_string()).expect("write");
                crun(&bundle)
            }
        }
    }

    fn crun(bundle: &Path) -> Line {
        let mut command = Command::new("crun");
        let id = bundle.file_name().expect("a name");
        command.args(["--systemd-cgroup", "run", "--bundle"]).arg(bundle).arg(id);
        Line::new(command, "crun run".to_owned())
    }

    fn each(rl: &Rl, limits: &[&str], script: &str) -> [Output; 3] {
        // At once: three halves of a processor are less than two processors.
        let running = PEERS.map(|who| line(rl, who, limits, script).spawn());
        running.map(crate::support::Running::finish)
    }

    fn row(name: &str, cells: &[String; 3]) {
        report(&format!("   {name:<44}{:<12}{:<12}{:<12}\n", cells[0], cells[1], cells[2]));
    }

    #[test]
    fn limits_hold_as_with_crun_and_podman() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        row("", &PEERS.map(str::to_owned));
        let text =
            |out: &Output| if out.code() == 0 { out.stdout.trim().to_owned() } else { format!("error {}", out.code()) };

        let out = each(&rl, &["-m", "64m"], "cat /sys/fs/cgroup/memory.max");
        let cells = [&out[0], &out[1], &out[2]].map(text);
        row("-m 64m: memory.max", &cells);
        assert_eq!(cells[0], "67108864", "{}", out[0].stderr);

        let out = each(&rl, &["-m", "64m", "--memory-swap", "64m"], "exec tail </dev/zero");
        let said = |out: &Output| if out.stderr.contains("memory") { "said" } else { "silent" };
        let cells = [&out[0], &out[1], &out[2]].map(|out| format!("{} {}", out.code(), said(out)));
        row("a process that takes more: status", &cells);
        assert_eq!(cells[0], "137 said", "{}", out[0].stderr);

        let out = each(&rl, &["--cpus", "0.5"], CPU);
        let cells = [&out[0], &out[1], &out[2]].map(text);
        row("--cpus 0.5: two busy loops, % in 10 s", &cells);
        let percent: u64 = cells[0].parse().expect("a number");
        assert!((45..=55).contains(&percent), "{percent} %");

        let out = each(&rl, &["--pids-limit", "20"], BOMB);
        let cells = [&out[0], &out[1], &out[2]].map(text);
        row("--pids-limit 20: processes of a fork bomb", &cells);
        let count: u64 = cells[0].parse().expect("a number");
        assert!((10..=20).contains(&count), "{count}: {}", out[0].stderr);
    }
}
