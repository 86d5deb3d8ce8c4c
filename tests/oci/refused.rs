//! Documents that say what can't be, or what rl doesn't do: one line of stderr and one of the log, with the field's name.

mod everywhere {
    use serde_json::{Value, json};

    use crate::bundle::Oci;

    /// The place of a member in the document, what is written there, and the name that must be told.
    fn table() -> Vec<(&'static str, Value, &'static str)> {
        let mount = |more: Value| {
            let mut mount = json!({ "destination": "/x", "type": "tmpfs" });
            let all = mount.as_object_mut().expect("an object");
            all.extend(more.as_object().expect("an object").clone());
            json!([mount])
        };
        let ids = || json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        vec![
            ("/ociVersion", json!("2.0.0"), "ociVersion"),
            ("/ociVersion", json!(1), "ociVersion"),
            ("/root/path", json!("nowhere"), "root.path"),
            ("/process/args", json!([]), "process.args"),
            ("/process/cwd", json!("relative"), "process.cwd"),
            ("/process/user/uid", json!("root"), "process.user.uid"),
            ("/process/user/additionalGids", json!([-1]), "process.user.additionalGids"),
            ("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 9, "hard": 8 }]), "process.rlimits"),
            ("/process/rlimits", json!([{ "type": "RLIMIT_NONE", "soft": 1, "hard": 1 }]), "process.rlimits"),
            ("/process/capabilities/bounding", json!(["CAP_NONE"]), "process.capabilities.bounding"),
            ("/process/scheduler", json!({ "policy": "SCHED_ISO" }), "process.scheduler"),
            ("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }), "process.ioPriority"),
            ("/process/execCPUAffinity", json!({ "final": "3-1" }), "process.execCPUAffinity"),
            ("/process/execCPUAffinity", json!({ "initial": "all" }), "process.execCPUAffinity"),
            ("/process/terminal", json!("yes"), "process.terminal"),
            ("/mounts", json!([{ "destination": "/x/../y", "type": "tmpfs" }]), "mounts[0].destination"),
            ("/mounts", mount(json!({ "options": ["nonsense"] })), "mounts[0].options"),
            ("/mounts", mount(json!({ "type": "none" })), "mounts[0].type"),
            ("/mounts", mount(json!({ "type": "bind" })), "mounts[0].source"),
            ("/mounts", mount(json!({ "type": "proc", "options": ["tmpcopyup"] })), "mounts[0].options"),
            ("/mounts", mount(json!({ "options": ["ridmap"] })), "mounts[0].options"),
            ("/mounts", mount(json!({ "options": ["bind"], "uidMappings": ids() })), "mounts[0].gidMappings"),
            ("/hooks", json!({ "prestart": [{ "path": "relative" }] }), "hooks.prestart[0].path"),
            ("/hooks", json!({ "poststop": [{ "path": "/x", "timeout": 0 }] }), "hooks.poststop[0].timeout"),
            ("/linux/namespaces", json!([{ "type": "user" }]), "linux.namespaces"),
            ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "mount" }]), "linux.namespaces"),
            ("/linux/namespaces", json!([{ "type": "mount", "path": "x" }]), "linux.namespaces"),
            ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "strange" }]), "linux.namespaces"),
            ("/linux/namespaces", json!([{ "type": "mount" }]), "hostname"),
            ("/linux/timeOffsets", json!({ "monotonic": { "secs": 1 } }), "linux.timeOffsets"),
            ("/linux/personality", json!({ "domain": "LINUX", "flags": ["X"] }), "linux.personality.flags"),
            ("/linux/memoryPolicy", json!({ "mode": "MPOL_BIND", "nodes": "x" }), "linux.memoryPolicy.nodes"),
            ("/linux/rootfsPropagation", json!("loud"), "linux.rootfsPropagation"),
            ("/linux/maskedPaths", json!(["relative"]), "linux.maskedPaths"),
            ("/linux/readonlyPaths", json!(["/a/../b"]), "linux.readonlyPaths"),
            ("/linux/devices", json!([{ "path": "/dev/x", "type": "x" }]), "linux.devices"),
            ("/linux/intelRdt", json!({ "closID": "x" }), "linux.intelRdt"),
            ("/linux/netDevices", json!({ "eth0": {} }), "linux.netDevices"),
            ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "linux.seccomp.defaultAction"),
            ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NONE" }), "linux.seccomp.defaultAction"),
            ("/linux/sysctl", json!({ "vm.swappiness": "60" }), "linux.sysctl"),
            ("/linux/sysctl", json!({ "kernel/core_pattern": "x" }), "linux.sysctl"),
            (
                "/linux/seccomp",
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] }),
                "linux.seccomp.flags",
            ),
            ("/process/scheduler", json!({ "policy": "SCHED_BATCH", "flags": ["NONE"] }), "process.scheduler.flags"),
            ("/linux/uidMappings", json!([{ "containerID": 0, "hostID": 0, "size": 0 }]), "linux.uidMappings"),
            ("/windows", json!({ "layerFolders": ["x"] }), "windows"),
        ]
    }

    #[test]
    fn each_wrong_document_is_told_in_one_line_of_stderr_and_one_of_the_log() {
        let oci = Oci::new(&["true"]);
        let good = oci.config.clone();
        let log = oci.bundle.join("log");
        let mut wrong = Vec::new();
        for (place, value, field) in table() {
            let mut config = good.clone();
            let (parent, name) = place.rsplit_once('/').expect("a place");
            config
                .pointer_mut(parent)
                .expect("a member")
                .as_object_mut()
                .expect("an object")
                .insert(name.into(), value.clone());
            if place == "/linux/uidMappings" {
                let kinds = json!([{ "type": "mount" }, { "type": "uts" }, { "type": "user" }]);
                config["linux"]["namespaces"] = kinds;
            }
            let path = oci.bundle.join("wrong.json");
            std::fs::write(&path, config.to_string()).expect("write");
            let _ = std::fs::remove_file(&log);
            let words = ["--log", "log", "--log-format", "json", "run", "--config", "wrong.json", "c"];
            let out = oci.run(&words);
            let told = std::fs::read_to_string(&log).unwrap_or_default();
            let line: Value = serde_json::from_str(&told).unwrap_or_default();
            let named = |text: &str| text.contains(field);
            let one = out.stderr.lines().count() == 1 && told.lines().count() == 1;
            if out.code() != 1 || !one || !named(&out.stderr) || !line["msg"].as_str().is_some_and(named) {
                wrong.push(format!("{place} {value}: wanted {field}; {:?}: {} | {told}", out.code(), out.stderr));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
