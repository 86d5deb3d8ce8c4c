//! Command line in, config.json out: golden documents in src/spec/snapshots.
//!
//! No privileges and no file system beyond /usr, /etc, /tmp and /dev/null. The seccomp profile's rules are left out: they are of
//! this machine's architecture, and tested where they are made.

use serde_json::Value;

use super::tests::resolved;
use crate::spec::build::build;
use crate::spec::document::document;
use crate::spec::ids::{self, Base};
use crate::spec::{Facts, Identity, ImageConfig, RunSpec};
use subid::{Extent, IdMap};

fn image() -> ImageConfig {
    ImageConfig {
        env: vec!["PATH=/bin".into(), "LANG=C.UTF-8".into(), "=odd".into()],
        cmd: vec!["sh".into()],
        user: String::new(),
        working_dir: "/srv".into(),
        stop_signal: Some("SIGQUIT".into()),
        labels: vec![("of".into(), "image".into()), ("and".into(), "image".into())],
        ..ImageConfig::default()
    }
}

/// The caller 1000 with the ids 100000 to 165535.
fn base() -> Base {
    let map = IdMap::new(vec![
        Extent { inside: 0, outside: 1000, count: 1 },
        Extent { inside: 1, outside: 100_000, count: 65_536 },
    ]);
    let map = map.expect("a map");
    Base { uid: map.clone(), gid: map, setgroups: true }
}

fn made(run: &RunSpec, image: &ImageConfig) -> crate::error::Result<Value> {
    let identity = Identity { id: "0123456789ab".repeat(6)[..64].into(), name: "name".into(), dir: "/run/rl/c".into() };
    let host_name = run.share.uts.then(|| "host".to_owned());
    let facts = Facts { unified_cgroup: true, host_mqueue: true, host_name, ..Facts::default() };
    let ids = ids::resolve(&run.userns, &base(), 1000, 1000, &[])?;
    let (spec, extras) = build(run, image, &ids, &identity, &facts)?;
    Ok(serde_json::to_value(document(spec, &extras)?).expect("JSON"))
}

fn golden(name: &str, words: &[&str]) {
    let run = resolved(words).expect(name);
    let mut value = made(&run, &image()).expect(name);
    // What other readers make of it: oci-spec's own types must take it, and say the same again.
    let spec: oci_spec::runtime::Spec = serde_json::from_value(value.clone()).expect(name);
    assert_eq!(spec, serde_json::from_value(serde_json::to_value(&spec).expect(name)).expect(name), "{name}");
    if let Some(profile) = value.pointer_mut("/linux/seccomp") {
        assert!(profile["syscalls"].as_array().is_some_and(|rules| rules.len() > 10), "{name}");
        *profile = profile["defaultAction"].clone();
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../spec/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(format!("rl run {}", words.join(" ")));
    settings.bind(|| insta::assert_json_snapshot!(name, value));
}

#[test]
fn the_plain_run() {
    golden("plain", &["image"]);
}

#[test]
fn a_terminal_with_variables_and_a_name() {
    golden(
        "terminal",
        &["-it", "--rm", "-h", "box", "-e", "LANG=de", "-e", "A=1", "-e", "A=2", "-w", "/w", "image", "ls"],
    );
}

#[test]
fn everything_shared_with_the_host() {
    golden("shared", &["--pid=host", "--ipc=host", "--uts=host", "--network=host", "--cgroupns=host", "image"]);
}

#[test]
fn privileged_inside() {
    golden("privileged", &["--privileged", "image"]);
}

#[test]
fn a_read_only_root_with_volumes() {
    let volumes = ["-v", "/usr:/srv/data/usr:ro", "-v", "/etc:/srv/data", "--tmpfs", "/tmp:size=1m,mode=700"];
    let mount = "type=bind,src=/tmp,dst=/dev/shm,bind-propagation=rslave";
    golden("volumes", &[&["--read-only", "--mount", mount][..], &volumes, &["image"]].concat());
}

#[test]
fn a_user_with_capabilities_of_its_own() {
    let flags = ["-u", "1000:50", "--cap-add=net_admin", "--cap-drop=KILL", "--security-opt=no-new-privileges"];
    golden("user", &[&flags[..], &["--security-opt=seccomp=unconfined", "--group-add=audio", "image"]].concat());
}

#[test]
fn a_directory_with_an_entrypoint() {
    golden("rootfs", &["--entrypoint", r#"["/bin/x","-a"]"#, "--rootfs", "/usr:O", "b"]);
}

#[test]
fn the_caller_kept() {
    golden("keep_id", &["--userns=keep-id", "image"]);
}

#[test]
fn a_single_id() {
    golden("single", &["--userns=single", "image"]);
}

#[test]
fn limits_clocks_devices_and_parameters() {
    let limits = ["--ulimit=core=0", "--umask=077", "--shm-size=1m", "--timens=60:-5", "--stop-signal=INT"];
    let own = ["--sysctl=net.ipv4.ip_unprivileged_port_start=0", "--device=/dev/null:/dev/x/y:r", "-l", "and=flag"];
    let paths = ["--security-opt=unmask=/proc/kcore:/proc/sys", "--security-opt=mask=/srv"];
    golden("limits", &[&limits[..], &own, &paths, &["image"]].concat());
}

#[test]
fn a_volume_on_dev_leaves_the_container_its_own_devpts() {
    golden("dev", &["-v", "/usr:/dev", "-v", "/tmp:/etc", "-v", "/tmp:/sys", "image"]);
}

#[test]
fn no_command_at_all_says_what_to_type() {
    let run = resolved(&["image"]).expect("a run");
    let error = made(&run, &ImageConfig::default()).expect_err("no command");
    assert!(error.remedy().contains("rl run IMAGE"), "{error}");
}

#[test]
fn an_entrypoint_of_the_command_line_drops_the_images_command() {
    let image = ImageConfig { entrypoint: vec!["/entry".into()], ..image() };
    let args =
        |words: &[&str]| made(&resolved(words).expect("a run"), &image).map(|value| value["process"]["args"].clone());
    assert_eq!(args(&["image"]).expect("args"), serde_json::json!(["/entry", "sh"]));
    assert_eq!(args(&["image", "a"]).expect("args"), serde_json::json!(["/entry", "a"]));
    assert_eq!(args(&["--entrypoint=/x", "image"]).expect("args"), serde_json::json!(["/x"]));
    assert_eq!(args(&["--entrypoint=", "image", "a"]).expect("args"), serde_json::json!(["a"]));
    assert!(args(&["--entrypoint=", "image"]).is_err());
}

#[test]
fn the_same_line_prints_the_same_document_each_time() {
    let run = resolved(&["--sysctl=net.a=1", "--sysctl=net.b=2", "-l", "a=1", "-l", "b=2", "image"]).expect("a run");
    let text = || serde_json::to_string(&made(&run, &image()).expect("a document")).expect("JSON");
    let first = text();
    assert!((0..8).all(|_| text() == first));
}
