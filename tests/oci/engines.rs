//! Engines that no one here wrote, with `rl-oci` as their runtime.

use crate::support::missing;

fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons are where an unprivileged PATH does not look.
    let dirs: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let lacking: Vec<_> =
        programs.iter().filter(|name| !dirs.iter().any(|dir| dir.join(name).exists())).copied().collect();
    lacking.is_empty() || missing(&lacking.join(", "))
}

mod as_user {
    use super::have;
    use crate::bundle::Oci;
    use crate::support::top;

    #[test]
    fn every_command_of_podman_and_buildah_works() {
        if !have(&["podman", "buildah", "conmon", "slirp4netns", "catatonit"]) {
            return;
        }
        let oci = Oci::new(&["true"]);
        let dir = oci.dir("podman");
        let mut command = std::process::Command::new("bash");
        command.arg(top().join("tests/oci/matrix.sh")).arg(oci.dir("bin").join("rl-oci")).arg(&dir);
        let output = crate::support::Line::new(command, "matrix.sh".into()).output();
        let failures: Vec<_> = output.stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
        assert!(output.status.success(), "{}\n{}", failures.join("\n"), output.stderr);
    }
}

mod as_root {
    use super::have;
    use crate::support::{Line, archive, binary, missing, top};

    #[test]
    fn podman_freezes_counts_and_removes_by_control_group() {
        if !have(&["podman", "conmon"]) {
            return;
        }
        let dir = tempfile::Builder::new().prefix("rl-groups-").tempdir_in("/var/tmp").expect("a directory");
        let runtime = dir.path().join("rl-oci");
        std::os::unix::fs::symlink(binary(), &runtime).expect("a link");
        std::fs::create_dir(dir.path().join("podman")).expect("mkdir");
        let mut command = std::process::Command::new("unshare");
        command
            .args(["--mount", "bash"])
            .arg(top().join("tests/oci/groups.sh"))
            .arg(&runtime)
            .arg(dir.path().join("podman"));
        command.env("RL_TEST_CACHE", archive("busybox.tar").parent().expect("a directory"));
        let output = Line::new(command, "groups.sh".into()).output();
        let failures: Vec<_> = output.stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
        assert!(output.status.success(), "{}\n{}", failures.join("\n"), output.stderr);
    }

    #[test]
    fn containerd_runs_executes_freezes_and_ends_containers() {
        if !have(&["containerd", "ctr"]) {
            return;
        }
        let dir = tempfile::Builder::new().prefix("rl-ctr-").tempdir_in("/var/tmp").expect("a directory");
        let runtime = dir.path().join("rl-oci");
        std::os::unix::fs::symlink(binary(), &runtime).expect("a link");
        std::fs::create_dir(dir.path().join("ctr")).expect("mkdir");
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "bash"]).arg(top().join("tests/oci/containerd.sh"));
        command.arg(&runtime).arg(dir.path().join("ctr"));
        command.env("RL_TEST_CACHE", archive("busybox.tar").parent().expect("a directory"));
        let output = Line::new(command, "containerd.sh".into()).output();
        let failures: Vec<_> = output.stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
        assert!(output.status.success(), "{}\n{}", failures.join("\n"), output.stderr);
    }

    /// Who submits the jobs; made by tests/run.sh.
    const USER: &str = "rltest1";

    #[test]
    fn slurms_jobs_run_in_containers_and_are_cancelled() {
        if !have(&["slurmctld", "slurmd", "srun", "munged", "munge"]) {
            return;
        }
        if nix::unistd::User::from_name(USER).ok().flatten().is_none() {
            missing(USER);
            return;
        }
        // The user must be able to look into it.
        let dir = tempfile::Builder::new().prefix("rl-slurm-").tempdir_in("/var/tmp").expect("a directory");
        let mut command = std::process::Command::new("bash");
        command.arg(top().join("tests/oci/slurm.sh")).arg(binary()).arg(USER).arg(dir.path());
        command.env("RL_TEST_CACHE", archive("busybox.tar").parent().expect("a directory"));
        let output = Line::new(command, "slurm.sh".into()).output();
        assert!(output.status.success(), "{}\n{}", output.stdout, output.stderr);
    }
}
