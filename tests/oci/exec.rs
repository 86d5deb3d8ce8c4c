//! `exec`: what a second process of a container gets, and what the container can't do to it.

mod everywhere {
    use serde_json::{Value, json};

    use crate::bundle::Oci;

    fn processors(oci: &Oci, affinity: &Value) -> String {
        let process = json!({
            "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/bin"],
            "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "execCPUAffinity": affinity,
        });
        std::fs::write(oci.bundle.join("process.json"), process.to_string()).expect("write");
        let out = oci.run(&["exec", "--process", "process.json", "c"]).success().stdout;
        out.split_whitespace().nth(1).expect("a list").to_owned()
    }

    #[test]
    fn processors_are_those_of_exec_cpu_affinity_and_never_the_first_processs() {
        let own = std::fs::read_to_string("/proc/self/status").expect("read");
        let own = own.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).expect("a line");
        let one = own.split(['-', ',']).next().expect("a number");
        let oci = Oci::new(&["sleep", "100"]);
        let oci = oci.with(|config| config["process"]["execCPUAffinity"] = json!({ "initial": one, "final": one }));
        let pid = oci.create(&[]);
        oci.run(&["start", "c"]).success();
        let first = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read");
        assert!(first.contains(&format!("Cpus_allowed_list:\t{own}\n")), "{first}");
        assert_eq!(processors(&oci, &json!({ "final": one })), one);
        assert_eq!(processors(&oci, &json!({ "initial": one })), one);
        assert_eq!(processors(&oci, &json!({ "initial": one, "final": own })), own);
        assert_eq!(processors(&oci, &Value::Null), own);
    }
}

mod as_user {
    use serde_json::json;

    use crate::bundle::Oci;

    /// CVE-2019-5736: whose rl's file is, is asked where the container has no say.
    #[test]
    fn what_executes_a_command_is_never_rl_itself_whatever_the_containers_proc_says() {
        let oci = Oci::new(&["sleep", "100"]).with(|config| {
            let mounts = config["mounts"].as_array_mut().expect("a list");
            for mount in mounts.iter_mut().filter(|mount| mount["type"] == "proc") {
                mount["destination"] = "/proc2".into();
            }
            // What belongs to the machine's root belongs to nobody here, and nobody here could write to such a file of rl's.
            let lie = json!({ "destination": "/proc/self/exe", "source": "/etc/passwd", "options": ["bind"] });
            mounts.push(lie);
        });
        let script = oci.bundle.join("rootfs/attack");
        std::fs::write(&script, "#!/proc2/self/exe\n").expect("write");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, executable).expect("chmod");
        let own = oci.dir("own").join("rl-oci");
        std::fs::copy(oci.dir("bin").join("rl-oci"), &own).expect("copy");
        oci.create(&[]);
        oci.run(&["start", "c"]).success();
        let mut command = std::process::Command::new(&own);
        command.arg("--root").arg(&oci.root).args(["exec", "c", "/attack"]);
        let out = crate::support::Line::new(command, "exec".into()).output().fails_with(125);
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""));
    }
}
