//! Engines that no one here wrote, with `rl-oci` as their runtime.

mod as_user {
    use crate::bundle::Oci;
    use crate::support::{missing, top};

    fn have(programs: &[&str]) -> bool {
        let found = |name: &&str| {
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(name).exists())
        };
        let lacking: Vec<_> = programs.iter().filter(|name| !found(name)).copied().collect();
        lacking.is_empty() || missing(&lacking.join(", "))
    }

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
