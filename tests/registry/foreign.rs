//! One name for several platforms: an index in a registry, of which `rl run` takes what this machine can run.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::Server;
use crate::support::{Rl, archive};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Architecture, its name in an index, what `uname -m` says there.
const ALL: [(&str, &str, &str); 4] = [
    ("arm64", "arm64", "aarch64"),
    ("armhf", "arm", "armv7l"),
    ("riscv64", "riscv64", "riscv64"),
    ("s390x", "s390x", "s390x"),
];

/// One request; head and body of the answer.
fn request(server: &Server, head: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(&server.address).expect("connect");
    let length = body.len();
    let text =
        format!("{head}\r\nHost: {}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}", server.address);
    stream.write_all(text.as_bytes()).expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.to_owned(), body.to_owned())
}

/// Puts busyboxes of these architectures into the registry and an index of them under `name`.
fn publish(server: &Server, architectures: &[&str], name: &str) {
    let rl = Rl::empty();
    let mut manifests = Vec::new();
    for architecture in architectures {
        let file = archive(&format!("busybox-{architecture}.tar"));
        let platform = format!("linux/{architecture}");
        rl.run(&["import", "-q", "--platform", &platform, &file.to_string_lossy(), architecture]).success();
        let at = format!("{}/team/app:{architecture}", server.address);
        rl.run(&["push", "-q", "--platform", &platform, architecture, &at]).success();
        let get = format!("GET /v2/team/app/manifests/{architecture} HTTP/1.1\r\nAccept: {MANIFEST}");
        let (head, body) = request(server, &get, "");
        let digest = head.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: ")).expect("a digest");
        let (_, in_index, _) = ALL.iter().find(|(known, ..)| known == architecture).expect("known");
        manifests.push(format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{},"platform":{{"os":"linux","architecture":"{in_index}"}}}}"#,
            body.len()
        ));
    }
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, manifests.join(","));
    let put = format!("PUT /v2/team/app/manifests/{name} HTTP/1.1\r\nContent-Type: {INDEX}");
    let (head, body) = request(server, &put, &index);
    assert!(head.starts_with("HTTP/1.1 201"), "{head}\n{body}");
}

mod as_user {
    use super::*;

    #[test]
    fn each_platform_of_an_index_runs() {
        let Some(server) = Server::plain() else { return };
        publish(&server, &["arm64", "armhf", "riscv64", "s390x"], "all");
        let name = format!("{}/team/app:all", server.address);
        let rl = Rl::empty();
        for (architecture, in_index, machine) in ALL {
            let platform = format!("linux/{in_index}");
            let out = rl.run(&["run", "--rm", "-q", "--platform", &platform, &name, "uname", "-m"]).success();
            assert_eq!((out.stdout.trim_end(), out.stderr.as_str()), (machine, ""), "{architecture}");
            let ending = format!("{}/team/app-{architecture}:all", server.address);
            let out = rl.run(&["run", "--rm", "-q", &ending, "uname", "-m"]).success();
            assert_eq!((out.stdout.trim_end(), out.stderr.as_str()), (machine, ""), "{architecture}");
        }
    }

    #[test]
    fn an_image_that_is_only_there_for_other_machines_runs_with_a_warning() {
        let Some(server) = Server::plain() else { return };
        publish(&server, &["s390x"], "one");
        let name = format!("{}/team/app:one", server.address);
        let rl = Rl::empty();
        // Nobody pulls another platform than this machine's unasked.
        let refused = rl.run(&["pull", "-q", &name]).fails_with(125);
        assert!(refused.stderr.contains("RL0313") && refused.stderr.contains("linux/s390x"), "{}", refused.stderr);
        for _from_the_registry_and_then_from_the_store in 0..2 {
            let out = rl.run(&["run", "--rm", "-q", &name, "uname", "-m"]).success();
            assert_eq!(out.stdout, "s390x\n");
            assert!(out.stderr.contains("warning") && out.stderr.contains("for linux/s390x alone"), "{}", out.stderr);
        }
        // A single manifest, without an index, says it in its configuration only.
        publish(&server, &["arm64"], "unused");
        let plain = format!("{}/team/app:arm64", server.address);
        let out = rl.run(&["run", "--rm", "-q", &plain, "uname", "-m"]).success();
        assert_eq!(out.stdout, "aarch64\n");
        assert!(out.stderr.contains("for linux/arm64 alone"), "{}", out.stderr);
    }

    #[test]
    fn what_can_be_run_is_preferred_among_other_machines() {
        let Some(server) = Server::plain() else { return };
        publish(&server, &["s390x", "arm64"], "two");
        let name = format!("{}/team/app:two", server.address);
        let rl = Rl::empty();
        let directory = rl.dir("home/.config/rl");
        std::fs::write(directory.join("config.toml"), "qemu = { arm64 = '/no/where' }\n").expect("write");
        let out =
            rl.command(&["run", "--rm", "-q", &name, "uname", "-m"]).env_remove("XDG_CONFIG_HOME").output().success();
        assert_eq!(out.stdout, "s390x\n");
    }
}
