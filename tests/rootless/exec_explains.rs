//! When the command can't be executed, `rl` says why.

mod everywhere {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use crate::support::Rl;

    struct Case {
        rl: Rl,
        root: PathBuf,
    }

    impl Case {
        fn new() -> Self {
            let rl = Rl::new();
            let root = rl.busybox_root();
            Self { rl, root }
        }

        fn file(&self, name: &str, content: &[u8], mode: u32) -> &Self {
            let path = self.root.join(name);
            std::fs::write(&path, content).expect("write");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("chmod");
            self
        }

        fn fails(&self, flags: &[&str], command: &str, status: i32, words: &[&str]) {
            let at = self.root.to_string_lossy();
            let mut line = vec!["run", "--rm"];
            line.extend(flags);
            line.extend(["--rootfs", &at, command]);
            let out = self.rl.run(&line).fails_with(status);
            for word in words {
                assert!(out.stderr.contains(word), "{command}: {word:?} is not in: {}", out.stderr);
            }
        }
    }

    #[test]
    fn a_command_that_is_nowhere_in_path() {
        Case::new().fails(&[], "no-such-command", 127, &["no-such-command", "PATH"]);
    }

    #[test]
    fn a_missing_file() {
        Case::new().fails(&[], "/bin/nothing", 127, &["/bin/nothing"]);
    }

    #[test]
    fn a_script_whose_interpreter_is_missing_with_its_carriage_return() {
        let case = Case::new();
        case.file("script", b"#!/bin/missing\necho\n", 0o755).fails(&[], "/script", 127, &["/bin/missing"]);
        case.file("dos", b"#!/bin/sh\r\necho\r\n", 0o755).fails(&[], "/dos", 127, &["/bin/sh\\r"]);
    }

    #[test]
    fn an_elf_for_a_machine_that_nothing_emulates_is_named() {
        let mut elf = std::fs::read("/bin/busybox").expect("busybox");
        let case = Case::new();
        for (machine, name) in [(22_u16, "s390"), (250, "ELF number 250")] {
            // Of 32 bits, EM_S390 is the predecessor, which qemu has never emulated.
            elf[4] = 1;
            elf[18..20].copy_from_slice(&machine.to_le_bytes());
            case.file("foreign", &elf, 0o755).fails(&[], "/foreign", 126, &["RL0505", name, "this machine is"]);
        }
    }

    #[test]
    fn a_missing_elf_interpreter_is_named() {
        let program = std::fs::read("/bin/ls").expect("a dynamic program");
        Case::new().file("dynamic", &program, 0o755).fails(&[], "/dynamic", 127, &["ld-linux"]);
    }

    #[test]
    fn missing_shared_libraries_are_listed() {
        let rl = Rl::new();
        let root = rl.busybox_root();
        let loader = std::fs::canonicalize("/lib64/ld-linux-x86-64.so.2").expect("a loader");
        std::fs::create_dir(root.join("lib64")).expect("mkdir");
        std::fs::copy(loader, root.join("lib64/ld-linux-x86-64.so.2")).expect("copy");
        std::fs::copy("/bin/ls", root.join("bin/real-ls")).expect("copy");
        let out = rl.run(&["run", "--rm", "--rootfs", &root.to_string_lossy(), "real-ls"]).fails_with(127);
        assert!(out.stderr.contains("RL0507") && out.stderr.contains("libc.so.6"), "{}", out.stderr);
    }

    #[test]
    fn not_executable_a_directory_and_noexec() {
        let case = Case::new();
        case.file("plain", b"#!/bin/sh\n", 0o644).fails(&[], "/plain", 126, &["not executable"]);
        case.fails(&[], "/etc", 126, &["directory"]);
        let dir = case.rl.dir("noexec");
        std::fs::copy("/bin/busybox", dir.join("true")).expect("copy");
        let volume = format!("{}:/n:noexec", dir.display());
        case.fails(&["-v", &volume], "/n/true", 126, &["noexec"]);
    }
}
