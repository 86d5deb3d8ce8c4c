//! Units of systemd's: their texts, and that the manager is told when a container runs. That they work is a matter of tests/vm.

mod everywhere {
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;
    use std::process::Command;

    use crate::support::{Rl, missing};
    use crate::{Clean, inspect};

    /// What systemd has to say of units.
    fn verified(units: &[&Path]) {
        let Ok(out) = Command::new("systemd-analyze").args(["--user", "verify"]).args(units).output() else {
            missing("systemd-analyze (systemd)");
            return;
        };
        let said = String::from_utf8_lossy(&out.stderr);
        // Of the machine's own units it may say anything.
        let ours = |line: &&str| {
            units.iter().any(|unit| line.contains(&*unit.file_name().unwrap_or_default().to_string_lossy()))
        };
        let complaints: Vec<_> = said.lines().filter(ours).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    /// The words behind `key=` in a unit, with systemd's doubled signs undone, for a shell.
    fn line(unit: &str, key: &str, number: usize) -> String {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let line = lines
            .skip(number)
            .map(|line| line.trim_start_matches('-'))
            .next()
            .unwrap_or_else(|| panic!("no {key}: {unit}"));
        line.replace("%%", "%").replace("$$", "\\$")
    }

    #[test]
    fn a_generated_unit_makes_the_container_as_it_was_typed_and_tells_the_manager_when_it_runs() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let typed = ["-d", "--name", "web", "--restart", "always", "-e", "A=x 100% $H", "busybox", "sleep", "1000"];
        rl.run(&[&["run"][..], &typed].concat()).success();
        let out = rl.run(&["generate", "systemd", "-t", "0", "web"]).success();
        assert!(out.stderr.contains("--restart=always") && !out.stdout.contains("ExecStartPre"), "{}", out.stderr);
        let unit = rl.run(&["generate", "systemd", "--new", "--name", "-t", "0", "web"]).success().stdout;
        for wanted in [
            "# container-web.service\n",
            "Type=notify\n",
            "Restart=on-failure\n",
            "TimeoutStopSec=60\n",
            "WantedBy=default.target\n",
        ] {
            assert!(unit.contains(wanted), "{wanted}: {unit}");
        }
        let path = rl.dir("units").join("container-web.service");
        std::fs::write(&path, &unit).expect("write");
        verified(&[&path]);
        // As the manager would: away with the old one, a new one, its start.
        rl.plain_shell(&line(&unit, "ExecStartPre", 0)).success();
        assert_eq!(rl.run(&["ps", "-aq"]).success().stdout, "");
        rl.plain_shell(&line(&unit, "ExecStartPre", 1)).success();
        assert_eq!(inspect(&rl, "web", "{{index .Config.Env 1}} {{.HostConfig.RestartPolicy.Name}}"), "A=x 100% $H no");
        let notify = rl.dir("units").join("notify");
        let manager = UnixDatagram::bind(&notify).expect("a socket");
        manager.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a limit");
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {}", line(&unit, "ExecStart", 0))).env("NOTIFY_SOCKET", &notify);
        let mut client = command.spawn().expect("sh");
        let mut said = [0; 64];
        let length = manager.recv(&mut said).expect("a word");
        assert_eq!(&said[..length], b"READY=1");
        assert_eq!(inspect(&rl, "web", "{{.State.Status}}"), "running");
        rl.plain_shell(&line(&unit, "ExecStop", 0)).success();
        // Killed, for it had no time.
        assert_eq!(client.wait().expect("wait").code(), Some(137));
        rl.plain_shell(&line(&unit, "ExecStopPost", 0)).success();
        assert_eq!(rl.run(&["ps", "-aq"]).success().stdout, "");
        rl.run(&["generate", "systemd", "nosuch"]).fails_with(1);
    }

    #[test]
    fn quadlets_become_units_and_what_is_not_known_is_named() {
        let rl = Rl::new();
        let (files, units) = (rl.dir("files"), rl.dir("units"));
        let file = |name: &str, text: &str| std::fs::write(files.join(name), text).expect("write");
        file(
            "web.container",
            "[Unit]\nDescription=a web\n[Container]\nImage=busybox\nExec=sh -c \"sleep 1000\"\nVolume=data.volume:/data\nNetwork=my.network:alias=w\n\
             [Service]\nRestart=always\n[Install]\nWantedBy=default.target\n",
        );
        file("data.volume", "[Volume]\nLabel=a=b\n");
        file("bad.container", "[Container]\nImage=busybox\nSecret=s\nPod=a.pod\n");
        file("my.network", "[Network]\nSubnet=10.78.0.0/24\nInternal=yes\n");
        for other in ["pod", "build", "kube"] {
            file(&format!("my.{other}"), "[Other]\n");
        }
        // An archive that is here stands for a registry's.
        let layout = rl.dir("layout").display().to_string();
        let store = Rl::empty();
        store.run(&["import", "-q", &crate::support::archive("busybox.tar").to_string_lossy(), "busybox"]).success();
        store.run(&["save", "-q", "--format", "oci-dir", "-o", &layout, "busybox"]).success();
        file("base.image", &format!("[Image]\nImage=oci:{layout}\nImageTag=localhost/base\n"));
        file("of.container", "[Container]\nImage=base.image\nTimezone=local\n[Quadlet]\nDefaultDependencies=false\n");
        std::fs::create_dir(files.join("web.container.d")).expect("mkdir");
        file("web.container.d/10.conf", "[Container]\nEnvironment=A=1\n");
        let dirs = files.to_string_lossy().into_owned();
        let out =
            rl.command(&["quadlet", &units.to_string_lossy()]).env("QUADLET_UNIT_DIRS", &dirs).output().fails_with(1);
        for named in ["Secret=", "Pod=", ".pod files", ".build files", ".kube files"] {
            assert!(out.stderr.contains(named), "{}", out.stderr);
        }
        let unit = std::fs::read_to_string(units.join("web.service")).expect("a unit");
        for wanted in [
            "Requires=data-volume.service\n",
            "Requires=my-network.service\n",
            "--network=systemd-my:alias=w",
            "--volume=systemd-data:/data",
            "--env=A=1",
            "Restart=always\n",
            "start -a systemd-%N\n",
        ] {
            assert!(unit.contains(wanted), "{wanted}: {unit}");
        }
        let link = std::fs::read_link(units.join("default.target.wants/web.service")).expect("a link");
        assert_eq!(link, Path::new("../web.service"));
        assert!(!units.join("bad.service").exists());
        let made =
            ["web", "data-volume", "my-network", "base-image", "of"].map(|name| units.join(format!("{name}.service")));
        verified(&made.iter().map(std::path::PathBuf::as_path).collect::<Vec<_>>());
        let of = std::fs::read_to_string(units.join("of.service")).expect("a unit");
        assert!(of.contains("After=base-image.service\n") && of.contains(" --tz=local localhost/base\n"), "{of}");
        let image = std::fs::read_to_string(units.join("base-image.service")).expect("a unit");
        rl.plain_shell(&line(&image, "ExecStart", 0)).success();
        assert_eq!(
            rl.run(&["run", "--rm", "--network", "none", "localhost/base", "echo", "pulled"]).success().stdout,
            "pulled\n"
        );
        // Twice, as a unit that is started again does it.
        let network = std::fs::read_to_string(units.join("my-network.service")).expect("a unit");
        for _ in 0..2 {
            rl.plain_shell(&line(&network, "ExecStart", 0)).success();
        }
        let subnet =
            rl.run(&["network", "inspect", "-f", "{{json .IPAM.Config}} {{.Internal}}", "systemd-my"]).success().stdout;
        assert!(subnet.contains("10.78.0.0/24") && subnet.ends_with("true\n"), "{subnet}");
        let shown = rl.command(&["quadlet"]).env("QUADLET_UNIT_DIRS", &dirs).output().fails_with(1);
        assert!(shown.stdout.contains("# web.service\n"), "{}", shown.stdout);
        // As systemd calls a generator: by its name, with three directories.
        let generator = rl.dir("generators").join("rl-user-generator");
        std::os::unix::fs::symlink(rl.binary(), &generator).expect("a link");
        let early = rl.dir("generated");
        let out = Command::new(&generator)
            .args([&early, &early, &early])
            .env("QUADLET_UNIT_DIRS", &dirs)
            .output()
            .expect("run");
        assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(early.join("web.service").exists() && early.join("data-volume.service").exists());
    }
}
