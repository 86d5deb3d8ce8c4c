//! Programs of other architectures, on a machine where nothing is registered for them.
//!
//! The older kernels are played by a library that refuses the one system call that they refuse, and the machine's own table by
//! one in a user namespace around `rl`: the real one is never touched. The surprise: the last test of each kind looks whether it was.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Line, Output, Rl, binary, top};

/// Static busyboxes, and what `uname -m` says on their machines.
const MACHINES: [(&str, &str); 4] =
    [("arm64", "aarch64"), ("armhf", "armv7l"), ("riscv64", "riscv64"), ("s390x", "s390x")];

fn busyboxes() -> Rl {
    Rl::with_images(&[
        "busybox.tar",
        "busybox-arm64.tar",
        "busybox-armhf.tar",
        "busybox-riscv64.tar",
        "busybox-s390x.tar",
    ])
}

/// A home with a configuration that names an emulator for arm64.
fn configured(rl: &Rl, emulator: &Path) {
    let directory = rl.dir("home/.config/rl");
    std::fs::write(directory.join("config.toml"), format!("qemu = {{ arm64 = {emulator:?} }}\n")).expect("write");
}

fn run(rl: &Rl, words: &[&str]) -> Output {
    let mut all = vec!["run", "--rm"];
    all.extend(words);
    // The configuration is looked for in HOME.
    rl.command(&all).env_remove("XDG_CONFIG_HOME").output()
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("chmod");
}

/// A program of the tree's, compiled by the compiler that links Rust programs.
fn refusing(directory: &Path) -> PathBuf {
    let library = directory.join("old_kernel.so");
    let source = top().join("tests/rootless/old_kernel.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.expect("a C compiler").success(), "the library does not compile");
    library
}

/// `rl` on an older kernel whose machine has these lines registered.
fn on_an_old_kernel(rl: &Rl, registered: &str, words: &str) -> Output {
    let library = refusing(&rl.dir("library"));
    let root = foreign_root(rl);
    let script = format!(
        "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc && {registered}\n\
         LD_PRELOAD={} exec {} --root {} --runroot {} run --rm --rootfs {} {words}",
        library.display(),
        binary().display(),
        rl.root().display(),
        rl.runroot().display(),
        root.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-euc", &script]).env("HOME", rl.dir("home"));
    Line::new(command, script).output()
}

fn register(flags: &str) -> String {
    let magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
    let mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
    format!(
        "printf %s ':qemu-aarch64:M::{magic}:{mask}:/usr/bin/qemu-aarch64-static:{flags}' >/proc/sys/fs/binfmt_misc/register"
    )
}

/// A directory with the arm64 busybox, of which nobody says for which machine it is.
fn foreign_root(rl: &Rl) -> PathBuf {
    rl.unpacked("busybox-arm64.tar")
}

/// What is registered on the machine, or in whatever namespace the tests run in.
fn table() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

mod everywhere {
    use super::*;

    #[test]
    fn a_busybox_of_each_of_four_runs_and_says_its_own_machine() {
        let rl = busyboxes();
        for (architecture, machine) in MACHINES {
            let image = format!("busybox-{architecture}");
            let out = run(&rl, &[&image, "sh", "-c", "uname -m; echo #! | cat"]).success();
            assert_eq!(out.stdout.lines().next(), Some(machine), "{architecture}");
            assert_eq!(out.stderr, "", "{architecture}: nobody is warned of what was asked for");
        }
    }

    #[test]
    fn twenty_foreign_starts_at_a_time_do_not_meet() {
        let rl = busyboxes();
        let started: Vec<_> = (0..20)
            .map(|index| {
                let (architecture, machine) = MACHINES[index % MACHINES.len()];
                let image = format!("busybox-{architecture}");
                (machine, rl.command(&["run", "--rm", &image, "uname", "-m"]).spawn())
            })
            .collect();
        for (machine, running) in started {
            assert_eq!(running.finish().success().stdout.trim_end(), machine);
        }
    }

    #[test]
    fn neither_the_machine_nor_a_container_beside_it_is_concerned() {
        let rl = busyboxes();
        let before = table();
        let mut foreign =
            rl.command(&["run", "--rm", "-i", "busybox-arm64", "sh", "-c", "echo up; cat"]).piped_stdin().spawn();
        foreign.wait_for_line("up");
        assert_eq!(table(), before);
        // Its own program is refused outside, as ever.
        let program = foreign_root(&rl).join("bin/busybox");
        let refused = Command::new(program).arg("true").status().expect_err("it must not run here");
        assert_eq!(refused.raw_os_error(), Some(nix::errno::Errno::ENOEXEC as i32));
        let native = run(&rl, &["busybox", "sh", "-c", "uname -m; ls /proc/sys/fs/binfmt_misc | wc -l"]).success();
        let lines: Vec<_> = native.stdout.lines().map(str::trim).collect();
        assert_eq!(lines, [std::env::consts::ARCH, "0"]);
        foreign.close_stdin();
        foreign.finish().success();
        assert_eq!(table(), before);
    }

    #[test]
    fn a_signal_ends_it_and_a_crash_does_not_hang() {
        let rl = busyboxes();
        let crash = run(&rl, &["busybox-arm64", "sh", "-c", "kill -SEGV $$"]);
        assert_eq!(crash.code(), 139, "{}", crash.stderr);
        let mut running = rl.command(&["run", "--rm", "busybox-arm64", "sh", "-c", "echo up; exec sleep 600"]).spawn();
        running.wait_for_line("up");
        nix::sys::signal::kill(running.pid(), nix::sys::signal::Signal::SIGTERM).expect("kill");
        assert_eq!(running.finish().code(), 143);
    }

    #[test]
    fn commands_of_rl_exec_are_emulated_too() {
        let rl = busyboxes();
        let words = ["run", "--rm", "-i", "--name", "foreign", "busybox-s390x", "sh", "-c", "echo up; cat"];
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("up");
        assert_eq!(rl.run(&["exec", "foreign", "uname", "-m"]).success().stdout, "s390x\n");
        running.close_stdin();
        running.finish().success();
    }

    #[test]
    fn its_table_is_its_own_and_read_only() {
        let rl = busyboxes();
        let script = "cd /proc/sys/fs/binfmt_misc; ls; grep flags qemu-s390x; echo -1 >status; echo $?; \
                      echo :x:E::x::/x: >register; echo $?; grep binfmt /proc/mounts | grep -c ' ro,'";
        let out = run(&rl, &["busybox-s390x", "sh", "-c", script]).success();
        assert_eq!(out.stdout.lines().take(4).collect::<Vec<_>>(), ["qemu-s390x", "register", "status", "flags: POCF"]);
        assert_eq!(out.stdout.lines().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"]);
        assert!(out.stderr.contains("Read-only file system"), "{}", out.stderr);
    }

    #[test]
    fn a_directory_runs_whatever_it_holds() {
        let rl = busyboxes();
        let root = foreign_root(&rl);
        let root = root.to_string_lossy();
        let silent = run(&rl, &["--platform", "linux/arm64", "--rootfs", &root, "uname", "-m"]).success();
        assert_eq!((silent.stdout.as_str(), silent.stderr.as_str()), ("aarch64\n", ""));
        let seen = run(&rl, &["--rootfs", &root, "uname", "-m"]).success();
        assert_eq!(seen.stdout, "aarch64\n");
        assert!(seen.stderr.contains("/bin/uname is a program for arm64"), "{}", seen.stderr);
        // What is tried twice must not start with all signals blocked.
        let mask = run(&rl, &["--rootfs", &root, "grep", "SigBlk", "/proc/self/status"]).success();
        assert!(mask.stdout.ends_with("0000000000000000\n"), "{}", mask.stdout);
    }

    #[test]
    fn an_image_that_is_wrong_about_itself_runs_and_is_told_of() {
        let rl = Rl::empty();
        let import = |platform: &str, archive: &str, name: &str| {
            let file = crate::support::archive(archive);
            rl.run(&["import", "-q", "--platform", platform, &file.to_string_lossy(), name]).success();
        };
        import(std::env::consts::ARCH, "busybox-arm64.tar", "says-native");
        import("linux/riscv64", "busybox-arm64.tar", "says-riscv64");
        import("linux/arm64", "busybox.tar", "says-arm64");
        for (image, machine, words) in [
            ("says-native", "aarch64", "the image says that it is for linux/amd64"),
            ("says-riscv64", "aarch64", "the image says that it is for linux/riscv64"),
            ("says-arm64", std::env::consts::ARCH, "this machine's own, although the image is for arm64"),
        ] {
            let out = run(&rl, &[image, "uname", "-m"]).success();
            assert_eq!(out.stdout.trim_end(), machine, "{image}");
            assert!(out.stderr.contains(words), "{image}: {}", out.stderr);
        }
    }

    #[test]
    fn an_emulator_that_is_no_good_is_told_from_a_missing_one() {
        let rl = busyboxes();
        let directory = rl.dir("emulators");
        let closed = directory.join("closed");
        std::fs::copy("/usr/bin/qemu-aarch64-static", &closed).expect("copy");
        mode(&closed, 0o644);
        let script = directory.join("script");
        std::fs::write(&script, "#!/bin/sh\nexec qemu \"$@\"\n").expect("write");
        mode(&script, 0o755);
        let foreign = foreign_root(&rl).join("bin/busybox");
        for (emulator, words) in [
            (Path::new("/no/where"), "No such file or directory"),
            (&closed, "it is not executable (mode 0644)"),
            (Path::new("/usr/bin"), "no regular file"),
            (&script, "no ELF program"),
            (Path::new("/bin/ls"), "dynamic program"),
            (&foreign, "itself a program for arm64"),
            (Path::new("/bin/busybox"), "does not answer as qemu's user mode"),
            (Path::new("/usr/bin/qemu-s390x-static"), "the emulator for s390x"),
        ] {
            configured(&rl, emulator);
            let out = run(&rl, &["busybox-arm64", "true"]).fails_with(126);
            assert!(out.stderr.contains("RL0531") && out.stderr.contains(words), "{emulator:?}: {}", out.stderr);
        }
        // The others are not concerned.
        assert_eq!(run(&rl, &["busybox-s390x", "uname", "-m"]).success().stdout, "s390x\n");
    }

    #[test]
    fn a_missing_emulator_is_named_with_the_command_that_gets_it() {
        let rl = busyboxes();
        let root = foreign_root(&rl);
        // A machine without any: nothing is in the places that are searched.
        let script = format!(
            "mount -t tmpfs none /usr/bin; exec {} --root {} --runroot {} run --rm --platform linux/arm64 --rootfs {} true",
            binary().display(),
            rl.root().display(),
            rl.runroot().display(),
            root.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-euc", &script]);
        command.env("HOME", rl.dir("home")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let out = Line::new(command, script).output().fails_with(126);
        for words in ["RL0530", "arm64 need qemu-aarch64-static", "qemu-user-static", "qemu = { arm64 ="] {
            assert!(out.stderr.contains(words), "{words:?} is not in: {}", out.stderr);
        }
    }

    #[test]
    fn a_changed_emulator_counts_from_the_next_start_on() {
        let rl = busyboxes();
        let emulator = rl.dir("emulators").join("qemu");
        let take = |from: &str| {
            let new = emulator.with_extension("new");
            std::fs::copy(from, &new).expect("copy");
            std::fs::rename(&new, &emulator).expect("rename");
        };
        take("/usr/bin/qemu-aarch64-static");
        configured(&rl, &emulator);
        let words = ["run", "--rm", "-i", "busybox-arm64", "sh", "-c", "echo up; read line; uname -m; /bin/uname -m"];
        let mut running = rl.command(&words).env_remove("XDG_CONFIG_HOME").piped_stdin().spawn();
        running.wait_for_line("up");
        take("/usr/bin/qemu-s390x-static");
        let refused = run(&rl, &["busybox-arm64", "true"]).fails_with(126);
        assert!(refused.stderr.contains("the emulator for s390x"), "{}", refused.stderr);
        // What runs keeps the one that it was started with, for programs that it starts now, too.
        running.close_stdin();
        let out = running.finish();
        assert_eq!(out.stdout, "up\naarch64\naarch64\n", "{}", out.stderr);
        take("/usr/bin/qemu-aarch64-static");
        run(&rl, &["busybox-arm64", "true"]).success();
    }

    #[test]
    fn an_older_kernel_uses_the_machines_handler() {
        let rl = busyboxes();
        let fixed = on_an_old_kernel(&rl, &register("F"), "uname -m").success();
        assert_eq!(fixed.stdout, "aarch64\n");
        // Without F the interpreter must be in the container, where it is bound.
        let bound = on_an_old_kernel(&rl, &register(""), "sh -c 'uname -m; ls /usr/bin'").success();
        assert_eq!(bound.stdout, "aarch64\nqemu-aarch64-static\n");
    }

    #[test]
    fn an_older_kernel_without_a_handler_is_an_error_that_says_what_an_administrator_types() {
        let rl = busyboxes();
        let out = on_an_old_kernel(&rl, "true", "uname -m").fails_with(126);
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
        let own = if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH };
        for words in
            ["RL0532", "for arm64", own, release.trim_end(), "apt-get install", ">/proc/sys/fs/binfmt_misc/register"]
        {
            assert!(out.stderr.contains(words), "{words:?} is not in: {}", out.stderr);
        }
    }

    #[test]
    fn info_says_what_runs_and_why_the_rest_does_not() {
        let rl = busyboxes();
        configured(&rl, Path::new("/no/where"));
        let out = rl.command(&["info", "--format", "json"]).env_remove("XDG_CONFIG_HOME").output().success();
        let info: serde_json::Value = serde_json::from_str(&out.stdout).expect("JSON");
        let of = |name: &str| info["architectures"][name].as_str().unwrap_or_default().to_owned();
        assert!(of("s390x").starts_with("/usr/bin/qemu-s390x-static (qemu "), "{}", of("s390x"));
        assert!(of("arm64").starts_with("no: ") && of("arm64").contains("RL0531"), "{}", of("arm64"));
        assert!(info["architectures"].as_object().is_some_and(|all| all.values().any(|how| how == "native")));
        assert_eq!(info["binfmtMisc"], "each container's own");
    }

    #[test]
    fn the_shell_script_registers_it_as_rl_does() {
        let rl = busyboxes();
        let script = rl.run(&["run", "--rm", "--plan=shell", "busybox-s390x", "uname", "-m"]).success().stdout;
        let file = rl.dir("script").join("script.sh");
        std::fs::write(&file, &script).expect("write");
        let out = rl.plain_shell(&format!("PATH=$PATH:/usr/sbin:/sbin sh {}", file.display())).success();
        assert_eq!(out.stdout, "s390x\n", "{}", out.stderr);
        let native = rl.run(&["run", "--rm", "--plan=shell", "busybox", "true"]).success().stdout;
        assert!(script.contains("binfmt_misc") && !native.contains("binfmt_misc"));
    }
}

mod full_map {
    use super::*;

    #[test]
    fn an_emulator_in_a_closed_directory_is_registered_by_descriptor() {
        let rl = busyboxes();
        let closed = rl.dir("closed");
        let emulator = closed.join("qemu");
        std::fs::copy("/usr/bin/qemu-aarch64-static", &emulator).expect("copy");
        mode(&closed, 0o700);
        configured(&rl, &emulator);
        // Container root is somebody else then, who may not pass.
        let words =
            ["--userns=nomap", "busybox-arm64", "sh", "-c", "uname -m; grep interp /proc/sys/fs/binfmt_misc/q*"];
        let out = run(&rl, &words).success();
        let lines: Vec<_> = out.stdout.lines().collect();
        assert_eq!(lines[0], "aarch64", "{}", out.stderr);
        assert!(lines[1].starts_with("interpreter /proc/self/fd/"), "{}", out.stdout);
    }

    fn debian_foreign(architecture: &str) -> Rl {
        Rl::with_images(&[&format!("debian-{architecture}.tar.gz")])
    }

    #[test]
    fn a_foreign_debian_says_what_it_is() {
        for (architecture, machine) in [("arm64", "aarch64"), ("riscv64", "riscv64")] {
            let rl = debian_foreign(architecture);
            let image = format!("debian-{architecture}");
            let out = run(&rl, &[&image, "sh", "-c", "uname -m; dpkg --print-architecture; ls /"]).success();
            let lines: Vec<_> = out.stdout.lines().collect();
            assert_eq!(&lines[..2], [machine, architecture], "{}", out.stderr);
            for name in ["bin", "etc", "proc", "usr", "var"] {
                assert!(lines.contains(&name), "{name} is not in {lines:?}");
            }
            assert_eq!(out.stderr, "");
        }
    }

    #[test]
    fn threads_forks_scripts_signals_and_ps_work_in_a_foreign_debian() {
        let python = "import os, signal, subprocess, threading\n\
            done = []\n\
            threads = [threading.Thread(target=lambda n=n: done.append(sum(range(n)))) for n in range(1000, 1020)]\n\
            [t.start() for t in threads]\n[t.join() for t in threads]\nprint(len(done))\n\
            child = os.fork()\n\
            if child == 0: os._exit(7)\n\
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n\
            print(subprocess.run(['sh', '-c', 'kill -TERM $$']).returncode)\n\
            signal.signal(signal.SIGUSR1, lambda *_: print('heard'))\n\
            os.kill(os.getpid(), signal.SIGUSR1)\n";
        let script = "printf '#!/bin/sh\\necho script $0 $1\\n' >/tmp/script; chmod +x /tmp/script; /tmp/script word\n\
            bash -c 'exec -a other sh -c \"echo \\$0\"'\n\
            sleep 60 & ps -o stat= -o comm= -p $!; kill $!; wait $! ; echo $?\n\
            python3 -c \"$PROGRAM\"";
        for architecture in ["arm64", "riscv64"] {
            let rl = debian_foreign(architecture);
            let program = format!("PROGRAM={python}");
            let out = run(&rl, &["-e", &program, &format!("debian-{architecture}"), "bash", "-c", script]).success();
            let mut lines = out.stdout.lines();
            assert_eq!(lines.next(), Some("script /tmp/script word"), "{}", out.stderr);
            assert_eq!(lines.next(), Some("other"), "argv[0] of a command that was given another name");
            assert!(lines.next().is_some_and(|line| line.ends_with("sleep")), "{}", out.stdout);
            assert_eq!(lines.collect::<Vec<_>>(), ["143", "20", "7", "-15", "heard"], "{}", out.stderr);
        }
    }

    #[test]
    fn packages_are_installed_in_a_foreign_debian() {
        let script = "set -e; mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin; cd /tmp\n\
            printf 'Package: own\\nVersion: 1\\nArchitecture: all\\nMaintainer: me <m@e>\\nDescription: own\\n' >p/DEBIAN/control\n\
            printf '#!/bin/sh\\nset -e\\nuname -m >/installed\\n' >p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst\n\
            printf '#!/bin/sh\\necho runs\\n' >p/usr/bin/own; chmod 755 p/usr/bin/own\n\
            dpkg-deb -b p own.deb >/dev/null\n\
            DEBIAN_FRONTEND=noninteractive apt-get install -qq -y ./own.deb >/dev/null 2>&1; own; cat /installed";
        let rl = debian_foreign("arm64");
        let out = run(&rl, &["debian-arm64", "sh", "-c", script]).success();
        assert_eq!(out.stdout, "runs\naarch64\n", "{}", out.stderr);
    }

    #[test]
    fn setuid_programs_work_in_a_foreign_debian_and_no_new_privileges_stops_them() {
        let script = "cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && setpriv --reuid 1000 --clear-groups /tmp/id -u; \
                      su nobody -s /bin/sh -c 'id -un'";
        let rl = debian_foreign("arm64");
        let with = |flags: &[&str]| {
            let mut words = flags.to_vec();
            words.extend(["debian-arm64", "sh", "-c", script]);
            run(&rl, &words).success().stdout
        };
        assert_eq!(with(&[]), "0\nnobody\n");
        assert_eq!(with(&["--security-opt", "no-new-privileges"]), "1000\nnobody\n");
    }
}
