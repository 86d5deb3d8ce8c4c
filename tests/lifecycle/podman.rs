//! A session with rl and with podman, word for word (matrix.sh).

mod as_user {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::process::Command;

    use crate::Clean;
    use crate::support::{Line, Rl, missing, top};

    /// podman with a store in this home. Its runtime is rl too, because crun wants a cgroup that not every machine has for it.
    fn podman(rl: &Rl) -> PathBuf {
        let dir = rl.dir("podman");
        let runtime = dir.join("rl-oci");
        std::os::unix::fs::symlink(rl.binary(), &runtime).expect("a link");
        let config = format!(
            "[engine]\nruntime = \"{0}\"\nruntime_supports_nocgroup = [\"rl-oci\"]\nruntime_supports_json = [\"rl-oci\"]\n\
             events_logger = \"file\"\ncgroup_manager = \"cgroupfs\"\n[containers]\nlog_driver = \"k8s-file\"\n",
            runtime.display()
        );
        std::fs::write(dir.join("containers.conf"), config).expect("write");
        let at = dir.display();
        program(
            &dir.join("podman"),
            &format!(
                "export CONTAINERS_CONF={at}/containers.conf HOME={at} XDG_RUNTIME_DIR={at}/x\n\
                 exec podman --root {at}/root --runroot {at}/run --tmpdir {at}/tmp --storage-driver vfs \"$@\""
            ),
        );
        rl.dir("podman/x");
        dir.join("podman")
    }

    fn program(path: &std::path::Path, text: &str) {
        std::fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("write");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    /// What podman has left, whatever has become of the test.
    struct Podman<'a>(&'a Rl, PathBuf);

    impl Drop for Podman<'_> {
        fn drop(&mut self) {
            let dir = self.0.dir("podman");
            let root = dir.join("root").to_string_lossy().into_owned();
            // The last one ends the process that holds podman's namespace, which every other verb starts again.
            for words in [&["rm", "-af", "-t", "0"][..], &["unshare", "rm", "-rf", &root], &["system", "migrate"]] {
                let _ = Command::new(&self.1).args(words).output();
            }
        }
    }

    #[test]
    fn a_session_is_the_same_but_for_what_the_page_says() {
        let rl = Rl::empty();
        let _clean = Clean(&rl);
        let podman = Podman(&rl, podman(&rl));
        if !Command::new(&podman.1).args(["images", "-q"]).output().is_ok_and(|out| out.status.success()) {
            missing("a podman that works");
            return;
        }
        let own = rl.dir("bin").join("rl");
        let (binary, root, run) = (rl.binary(), rl.root(), rl.runroot());
        program(
            &own,
            &format!("exec {} --root {} --runroot {} \"$@\"", binary.display(), root.display(), run.display()),
        );
        let mut command = Command::new("bash");
        command.arg(top().join("tests/lifecycle/matrix.sh")).arg(&own).arg(&podman.1).arg(rl.dir("session"));
        let out = Line::new(command, "matrix.sh".into()).output();
        let failed: Vec<_> = out.stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
        assert!(out.code() == 0, "{}\n{}", failed.join("\n"), out.stderr);
        let asked = out.stdout.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(asked > 120, "only {asked} were asked");
    }
}
