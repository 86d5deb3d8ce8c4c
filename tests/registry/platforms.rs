//! One reference, several machines: Debian for amd64 and arm64 behind one index, in a registry with TLS and logins.

use std::path::Path;

use rl::image::Digest;
use serde_json::{Value, json};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Makes of a layout's images, each with its platform, one index called `multi:1`.
fn index(layout: &Path, architectures: &[&str]) {
    let read = |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON") };
    let file = layout.join("index.json");
    let mut whole = read(&file);
    let entries = whole["manifests"].as_array().expect("manifests").clone();
    let manifests: Vec<Value> = architectures
        .iter()
        .map(|architecture| {
            let called = |entry: &&Value| entry["annotations"].to_string().contains(&format!("debian-{architecture}"));
            let entry = entries.iter().find(called).expect("an image for each architecture");
            json!({ "mediaType": entry["mediaType"], "digest": entry["digest"], "size": entry["size"],
                "platform": { "os": "linux", "architecture": architecture } })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string();
    let digest = Digest::of(index.as_bytes());
    std::fs::write(layout.join("blobs/sha256").join(digest.hex()), &index).expect("write");
    whole["manifests"] = json!([{ "mediaType": INDEX, "digest": digest.to_string(), "size": index.len(),
        "annotations": { "org.opencontainers.image.ref.name": "multi:1" } }]);
    std::fs::write(file, whole.to_string()).expect("write");
}

mod as_user {
    use std::io::Write;

    use super::index;
    use crate::fake::Authority;
    use crate::server::Server;
    use crate::support::{Output, Rl, archive, missing};

    #[test]
    fn debian_for_two_machines_is_one_name_behind_tls_and_a_login() {
        let Some(authority) = Authority::new() else { return };
        let Some(server) = Server::secure(&authority, &[("me", "secret")]) else { return };
        let rl = Rl::empty();
        let layout = rl.dir("layout");
        let shown = layout.to_string_lossy();
        for architecture in ["amd64", "arm64"] {
            let (file, name) = (archive(&format!("debian-{architecture}.tar")), format!("debian-{architecture}:1"));
            let platform = format!("linux/{architecture}");
            rl.run(&["import", "-q", "--platform", &platform, &file.to_string_lossy(), "only"]).success();
            rl.run(&["push", "-q", "--platform", &platform, "only", &format!("oci:{shown}:{name}")]).success();
        }
        index(&layout, &["amd64", "arm64"]);
        let name = format!("{}/debian:1", server.address);
        let copied = std::process::Command::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false", "--dest-creds", "me:secret"])
            .args([format!("oci:{shown}:multi:1"), format!("docker://{name}")])
            .output();
        let Ok(copied) = copied else {
            missing("skopeo");
            return;
        };
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));

        let other = Rl::empty();
        let file = authority.file("ca.pem");
        let pull = |words: &[&str]| -> Output {
            let mut all = vec!["pull", "-q"];
            all.extend(words);
            other.run(&all)
        };
        // Neither without trust nor without the login.
        assert!(pull(&["--creds", "me:secret", &name]).fails_with(125).stderr.contains("RL0320"));
        let trust = ["--cert-authority", &file.to_string_lossy()];
        assert!(pull(&[&trust[..], &[&name]].concat()).fails_with(125).stderr.contains("RL0321"));
        let trusted = [&trust[..], &["--creds", "me:secret"]].concat();
        pull(&[&trusted[..], &[&name]].concat()).success();
        pull(&[&trusted[..], &["--platform", "linux/arm64", &name]].concat()).success();
        let ending = name.replace("/debian:", "/debian-arm64:");
        pull(&[&trusted[..], &[&ending]].concat()).success();
        let none = pull(&[&trusted[..], &["--platform", "linux/s390x", &name]].concat()).fails_with(125);
        assert!(none.stderr.contains("RL0313") && none.stderr.contains("linux/amd64, linux/arm64"), "{}", none.stderr);

        // Both live side by side, with what skopeo says of each.
        let rows = other.run(&["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.Platform}} {{.ID}}"]);
        let mut rows: Vec<_> = rows.success().stdout.lines().map(str::to_owned).collect();
        rows.sort();
        let expected = ["amd64", "arm64"].map(|architecture| {
            let config = std::process::Command::new("skopeo")
                .args(["inspect", "--raw", "--config", "--tls-verify=false", "--creds", "me:secret"])
                .args(["--override-arch", architecture, &format!("docker://{name}")])
                .output()
                .expect("skopeo");
            format!("{name} linux/{architecture} {}", rl::image::Digest::of(&config.stdout))
        });
        assert_eq!(rows, expected);
        let busybox = |platform: &str| {
            let script = format!(
                "m=$({} image mount --platform {platform} {name}) && head -c 20 $m/bin/busybox | od -An -tx1 -j18",
                other.binary().display()
            );
            let inside = format!("{} unshare -m sh -c '{script}'", other.binary().display());
            other.shell(&inside).success().stdout
        };
        // e_machine of an ELF header: x86-64 is 62, AArch64 183.
        assert_eq!(busybox("linux/amd64").trim(), "3e 00");
        assert_eq!(busybox("linux/arm64").trim(), "b7 00");
        // One goes, the other stays.
        other.run(&["rmi", "--platform", "linux/arm64", &name]).success();
        assert_eq!(other.run(&["images", "--format", "{{.Platform}}"]).success().stdout, "linux/amd64\n");
    }

    #[test]
    fn a_login_can_come_from_a_helper() {
        let Some(server) = Server::with_users(&[("me", "secret")]) else { return };
        let rl = Rl::empty();
        rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "app:1"]).success();
        let name = format!("{}/app:1", server.address);
        let bin = rl.dir("bin");
        let helper = bin.join("docker-credential-test");
        // The protocol of docker's helpers: a verb, the server on standard input, JSON on standard output.
        let script = "#!/bin/sh\nread -r server\necho \"$1 $server\" >>\"$0.log\"\n[ \"$1\" != get ] || echo '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"secret\"}'\n";
        std::fs::write(&helper, script).expect("write");
        std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        let logins = rl.dir("logins").join("auth.json");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
        let push = || {
            rl.command(&["push", "-q", "app:1", &name])
                .env("PATH", &path)
                .env("REGISTRY_AUTH_FILE", &logins.to_string_lossy())
                .output()
        };
        push().fails_with(125);
        std::fs::write(&logins, format!("{{\"credHelpers\":{{\"{}\":\"test\"}}}}", server.address)).expect("write");
        push().success();
        let log = std::fs::read_to_string(bin.join("docker-credential-test.log")).expect("the helper's log");
        assert_eq!(log, format!("get {}\n", server.address));
    }

    #[test]
    fn every_kind_of_manifest_and_layer_is_taken() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let plain = archive("busybox.tar");
        let packed = rl.dir("archives").join("busybox.tar.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&std::fs::read(&plain).expect("read")).expect("write");
        std::fs::write(&packed, encoder.finish().expect("finish")).expect("write");
        let name = |tag: &str| format!("{}/app:{tag}", server.address);
        // What comes plain is kept as zstd, what comes as gzip as that.
        for (file, tag) in [(&plain, "zstd"), (&packed, "gzip")] {
            rl.run(&["import", "-q", &file.to_string_lossy(), "app:1"]).success();
            rl.run(&["push", "-q", "app:1", &name(tag)]).success();
        }
        let copied = std::process::Command::new("skopeo")
            .args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"])
            .args(["--format", "v2s2", &format!("docker://{}", name("gzip")), &format!("docker://{}", name("docker"))])
            .output();
        let Ok(copied) = copied else {
            missing("skopeo");
            return;
        };
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        for (tag, kind, layer) in [
            ("zstd", "application/vnd.oci.image.manifest.v1+json", "tar+zstd"),
            ("gzip", "application/vnd.oci.image.manifest.v1+json", "tar+gzip"),
            ("docker", "application/vnd.docker.distribution.manifest.v2+json", "rootfs.diff.tar.gzip"),
        ] {
            let raw = std::process::Command::new("skopeo")
                .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{}", name(tag))])
                .output()
                .expect("skopeo");
            let raw = String::from_utf8_lossy(&raw.stdout).into_owned();
            assert!(raw.contains(kind) && raw.contains(layer), "{tag}: {raw}");
            let other = Rl::empty();
            other.run(&["pull", "-q", &name(tag)]).success();
            let out = other.run(&["run", "--rm", "--network", "none", &name(tag), "echo", tag]).success();
            assert_eq!(out.stdout, format!("{tag}\n"));
        }
    }
}
