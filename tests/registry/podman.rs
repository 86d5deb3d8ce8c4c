//! Each verb beside podman's, on the same data: columns, fields, statuses, and what is left afterwards.
//!
//! Owns podman's own store, which is as empty as rl's when a test begins. Where rl follows docker and podman does not, the
//! comparison says so. The surprise: podman calls a name without a registry localhost/NAME, rl and docker call it NAME.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Output, Rl, missing};

/// podman with a store in `rl`'s home.
struct Podman<'a> {
    rl: &'a Rl,
}

impl<'a> Podman<'a> {
    /// None: there is none that works.
    fn of(rl: &'a Rl) -> Option<Self> {
        let podman = Self { rl };
        if podman.run(&["images", "-q"]).code() != 0 {
            missing("a podman that works");
            return None;
        }
        Some(podman)
    }

    fn run(&self, words: &[&str]) -> Output {
        let dir = self.rl.dir("podman");
        let mut command = Command::new("podman");
        for part in ["root", "runroot", "tmpdir"] {
            command.arg(format!("--{part}")).arg(dir.join(part));
        }
        command.args(["--storage-driver", "vfs"]).args(words);
        // Its namespace is held by a process of its own, found through this directory.
        command.env("HOME", self.rl.dir("podman-home")).env("XDG_RUNTIME_DIR", self.rl.dir("podman-run"));
        crate::support::Line::new(command, format!("podman {}", words.join(" "))).output()
    }

    fn logins(&self) -> std::path::PathBuf {
        self.rl.dir("podman-run").join("containers/auth.json")
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // Ends the process that holds its namespace.
        let _ = self.run(&["system", "migrate"]);
        let dir = self.rl.dir("podman");
        let _ = Command::new("podman").args(["unshare", "rm", "-rf"]).arg(dir).output();
    }
}

/// A table's columns: what stands in its first line, without those that only one of the two has.
fn columns(table: &str) -> Vec<String> {
    let header = table.lines().next().unwrap_or_default();
    header.split("  ").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

mod as_user {
    use std::io::Write;

    use super::*;
    use crate::server::Server;
    use crate::support::archive;

    /// The same image in both, `app:1`, by way of a registry, and that name.
    fn both<'a>(rl: &'a Rl, server: &Server) -> Option<(Podman<'a>, String)> {
        let name = format!("{}/app:1", server.address);
        // With gzip, because podman can't make a docker archive of zstd.
        let file = text(&rl.dir("archives").join("busybox.tar.gz"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&std::fs::read(archive("busybox.tar")).expect("read")).expect("write");
        std::fs::write(&file, encoder.finish().expect("finish")).expect("write");
        let changes = ["-c", "ENV A=1", "-c", "LABEL tier=web", "-c", "CMD [\"sh\", \"-l\"]", "-c", "WORKDIR /tmp"];
        rl.run(&[&["import", "-q", "-m", "a comment"][..], &changes, &[&file, &name]].concat()).success();
        rl.run(&["push", "-q", &name]).success();
        rl.run(&["rmi", &name]).success();
        rl.run(&["pull", "-q", &name]).success();
        let podman = Podman::of(rl)?;
        podman.run(&["pull", "-q", "--tls-verify=false", &name]).success();
        Some((podman, name))
    }

    #[test]
    fn what_is_pulled_is_the_same_image_in_every_field() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let Some((podman, name)) = both(&rl, &server) else { return };
        // Field by field, as --format gives them.
        for template in [
            "{{.Architecture}} {{.Os}} {{.Author}}",
            "{{.Config.Env}} {{.Config.Cmd}} {{.Config.WorkingDir}}",
            "{{json .Config.Labels}} {{.Labels.tier}}",
            "{{.RootFS.Type}} {{json .RootFS.Layers}} {{len .RootFS.Layers}}",
            "{{json .RepoTags}} {{json .RepoDigests}}",
            "{{.Digest}}",
        ] {
            let words = ["image", "inspect", "--format", template, &name];
            assert_eq!(rl.run(&words).success().stdout, podman.run(&words).success().stdout, "{template}");
        }
        let words = ["image", "inspect", "--format", "{{json .History}}", &name];
        let (ours, theirs) = (json(&rl.run(&words).success().stdout), json(&podman.run(&words).success().stdout));
        assert_eq!(ours[0]["comment"], theirs[0]["comment"]);
        let id = |text: &str| text.trim().trim_start_matches("sha256:").to_owned();
        let words = ["image", "inspect", "-f", "{{.Id}}", &name];
        assert_eq!(id(&rl.run(&words).success().stdout), id(&podman.run(&words).success().stdout));
        // Both print an array of one object with the same names of fields, but for what only podman's storage has.
        let words = ["image", "inspect", &name];
        let (ours, theirs) = (json(&rl.run(&words).success().stdout), json(&podman.run(&words).success().stdout));
        let fields = theirs[0].as_object().expect("an object").keys();
        let own_affairs =
            ["Parent", "Comment", "Version", "GraphDriver", "Annotations", "ManifestType", "User", "NamesHistory"];
        for field in fields.filter(|field| !own_affairs.contains(&field.as_str())) {
            assert!(ours[0].get(field).is_some(), "rl image inspect has no {field}");
        }
    }

    #[test]
    fn tables_have_the_same_columns_and_values() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let Some((podman, name)) = both(&rl, &server) else { return };
        for words in [&["images"][..], &["images", "--digests"], &["image", "ls"]] {
            let (ours, theirs) = (rl.run(words).success().stdout, podman.run(words).success().stdout);
            assert_eq!(columns(&ours), columns(&theirs), "{words:?}");
        }
        let (ours, theirs) =
            (rl.run(&["history", &name]).success().stdout, podman.run(&["history", &name]).success().stdout);
        // docker's word for the first column is IMAGE, podman's ID.
        assert_eq!(columns(&ours)[1..], columns(&theirs)[1..]);
        let (ours, theirs) =
            (rl.run(&["system", "df"]).success().stdout, podman.run(&["system", "df"]).success().stdout);
        assert_eq!(columns(&ours), columns(&theirs));
        let images = |table: &str| {
            let line = table.lines().find(|line| line.starts_with("Images")).expect("a line").to_owned();
            line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(images(&ours), images(&theirs));
        for template in ["{{.Repository}}:{{.Tag}}", "{{.Repository}} {{.Digest}}", "{{.ID}}"] {
            let words = ["images", "--format", template];
            assert_eq!(rl.run(&words).success().stdout, podman.run(&words).success().stdout, "{template}");
        }
        for template in ["{{.Comment}}", "{{.CreatedBy}}"] {
            let words = ["history", "--format", template, &name];
            assert_eq!(rl.run(&words).success().stdout, podman.run(&words).success().stdout, "{template}");
        }
        for words in [
            &["images", "-q"][..],
            &["images", "-q", "--no-trunc"],
            &["images", "-q", "-f", "label=tier=web"],
            &["images", "-q", "-f", "label=tier=db"],
            &["images", "-q", "-f", "dangling=true"],
        ] {
            assert_eq!(rl.run(words).success().stdout, podman.run(words).success().stdout, "{words:?}");
        }
        let (ours, theirs) = (
            rl.run(&["image", "tree", &name]).success().stdout,
            podman.run(&["image", "tree", &name]).success().stdout,
        );
        let branches = |tree: &str| tree.matches("└").count() + tree.matches("├").count();
        assert_eq!(branches(&ours), branches(&theirs), "{ours}{theirs}");
    }

    #[test]
    fn names_come_and_go_with_the_same_words_and_statuses() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let Some((podman, name)) = both(&rl, &server) else { return };
        let other = format!("{}/other:2", server.address);
        let same = |words: &[&str]| {
            let (ours, theirs) = (rl.run(words), podman.run(words));
            assert_eq!(ours.code(), theirs.code(), "{words:?}: {}{}", ours.stderr, theirs.stderr);
            (ours.stdout, theirs.stdout)
        };
        // What is not there: docker's status, as of containers and volumes (docs/podman.md).
        let apart = |words: &[&str]| {
            let statuses = (rl.run(words).code(), podman.run(words).code());
            assert_eq!(statuses, (1, 125), "{words:?}");
        };
        same(&["tag", &name, &other]);
        apart(&["tag", "never-was", &other]);
        same(&["tag", &name, "UPPER"]);
        let (ours, theirs) = same(&["rmi", &other]);
        assert_eq!(ours, theirs);
        same(&["rmi", "never-was"]);
        same(&["rmi", "-f", "never-was"]);
        apart(&["image", "inspect", "never-was"]);
        apart(&["history", "never-was"]);
        apart(&["save", "-q", "-o", "/dev/null", "never-was"]);
        same(&["load", "-q", "-i", "/etc/passwd"]);
        same(&["import", "-q", "/never/was", "x"]);
        same(&["images", "-f", "color=red"]);
        same(&["image", "prune", "-f"]);
        assert_eq!(
            same(&["images", "--format", "{{.Repository}}:{{.Tag}}"]),
            (format!("{name}\n"), format!("{name}\n"))
        );
        let (ours, theirs) = same(&["rmi", &name]);
        let words = |text: &str| text.replace("sha256:", "");
        assert_eq!(words(&ours), words(&theirs));
        assert_eq!(same(&["images", "-q"]), (String::new(), String::new()));
        same(&["pull", "-q", "--tls-verify=false", &format!("{}/never-was:1", server.address)]);
    }

    /// Layouts are for skopeo (tests/image/exchange.rs): of this directory's name podman makes a name of an image, and refuses it.
    #[test]
    fn what_one_saves_the_other_loads() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let Some((podman, name)) = both(&rl, &server) else { return };
        let dir = rl.dir("out");
        let id = |text: &str| text.trim().trim_start_matches("sha256:").to_owned();
        let words = ["image", "inspect", "-f", "{{.Id}}", &name];
        let own = id(&rl.run(&words).success().stdout);
        for format in ["docker-archive", "oci-archive"] {
            let (ours, theirs) =
                (text(&dir.join(format!("ours-{format}"))), text(&dir.join(format!("theirs-{format}"))));
            rl.run(&["save", "-q", "--format", format, "-o", &ours, &name]).success();
            podman.run(&["save", "-q", "--format", format, "-o", &theirs, &name]).success();
            podman.run(&["rmi", &name]).success();
            let loaded = podman.run(&["load", "-q", "-i", &ours]).success().stdout;
            assert_eq!(loaded, format!("Loaded image: {name}\n"), "{format}");
            assert_eq!(id(&podman.run(&words).success().stdout), own, "{format}");
            let other = Rl::empty();
            let loaded = other.run(&["load", "-q", "-i", &theirs]).success().stdout;
            assert_eq!(loaded, format!("Loaded image: {name}\n"), "{format}");
            let layers = ["image", "inspect", "-f", "{{json .RootFS.Layers}} {{json .Config.Env}}", &name];
            assert_eq!(other.run(&layers).success().stdout, podman.run(&layers).success().stdout, "{format}");
            assert_eq!(other.run(&["system", "check"]).success().stdout, "The store is clean.\n");
        }
    }

    #[test]
    fn files_and_imports_are_the_same_in_both() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let Some((podman, name)) = both(&rl, &server) else { return };
        // podman's store can be seen from its own namespace only.
        let list = "cd \"$1\" && find . -printf '%P %y %m %U:%G %s %T@ %l\\n' | sort && find . -type f -exec sha256sum {} + | sort -k2";
        let mounted = "m=$(\"$@\") && set -- $m && LIST".replace("LIST", list);
        let binary = rl.binary();
        let own = rl.shell(&format!(
            "{0} unshare -m sh -c '{1}' sh {0} image mount {name}",
            binary.display(),
            mounted.replace('\'', r"'\''")
        ));
        let dir = rl.dir("podman");
        let podman_words: Vec<String> = ["root", "runroot", "tmpdir"]
            .iter()
            .flat_map(|part| [format!("--{part}"), text(&dir.join(part))])
            .chain(["--storage-driver", "vfs", "image", "mount", &name].map(str::to_owned))
            .collect();
        let mut words = vec!["unshare", "sh", "-c", &mounted, "sh", "podman"];
        words.extend(podman_words.iter().map(String::as_str));
        let theirs = podman.run(&words).success().stdout;
        // Directories have the sizes of their file systems, and the root directory its own time.
        let comparable = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with(" d "));
            lines
                .map(|line| {
                    if line.contains(" d ") {
                        line.split(' ').take(4).collect::<Vec<_>>().join(" ")
                    } else {
                        line.to_owned()
                    }
                })
                .collect()
        };
        let (own, theirs) = (comparable(&own.success().stdout), comparable(&theirs));
        assert!(own.len() > 100, "{own:?}");
        assert_eq!(own, theirs);

        let file = text(&archive("busybox.tar"));
        let words =
            ["import", "-q", "-c", "ENV B=2", "-c", "ENTRYPOINT [\"/bin/sh\"]", "-m", "why", &file, "localhost/new:1"];
        for (template, image) in [("{{json .Config}}", "localhost/new:1"), ("{{json .RootFS}}", "localhost/new:1")] {
            rl.run(&words).success();
            podman.run(&words).success();
            let show = ["image", "inspect", "-f", template, image];
            assert_eq!(json(&rl.run(&show).success().stdout), json(&podman.run(&show).success().stdout), "{template}");
        }
    }

    #[test]
    fn logins_searches_and_pushes_end_alike() {
        let Some(server) = Server::with_users(&[("me", "secret")]) else { return };
        let rl = Rl::empty();
        let Some(podman) = Podman::of(&rl) else { return };
        let file = text(&archive("busybox.tar"));
        let name = format!("{}/team/app:1", server.address);
        rl.run(&["import", "-q", &file, &name]).success();
        podman.run(&["import", "-q", &file, &name]).success();
        let logins = text(&rl.dir("logins").join("rl.json"));
        let same = |words: &[&str]| {
            let ours = rl.command(words).env("REGISTRY_AUTH_FILE", &logins).output();
            // podman asks for https on loopback, too, where it is not told otherwise.
            let (verb, rest) = words.split_first().expect("a verb");
            let speaks = ["push", "login", "search", "pull"].contains(verb);
            let theirs = podman.run(&[&[*verb][..], if speaks { &["--tls-verify=false"] } else { &[] }, rest].concat());
            assert_eq!(ours.code(), theirs.code(), "{words:?}: {}{}", ours.stderr, theirs.stderr);
            (ours.stdout, theirs.stdout)
        };
        same(&["push", "-q", &name]);
        same(&["login", "-u", "me", "-p", "wrong", &server.address]);
        let (ours, theirs) = same(&["login", "-u", "me", "-p", "secret", &server.address]);
        assert!(theirs == "Login Succeeded!\n" && ours.starts_with(theirs.trim_end()), "{ours}{theirs}");
        assert_eq!(same(&["login", "--get-login", &server.address]).0, "me\n");
        same(&["push", "-q", &name]);
        let term = format!("{}/team", server.address);
        let (ours, theirs) = same(&["search", "--format", "{{.Name}}", &term]);
        assert_eq!(ours, theirs);
        let tags = format!("{}/team/app", server.address);
        let (ours, theirs) = same(&["search", "--list-tags", &tags]);
        let lines = |table: &str| {
            table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(lines(&ours), lines(&theirs));
        let (ours, theirs) = same(&["search", &term]);
        assert_eq!(columns(&ours)[..2], columns(&theirs)[..2]);
        same(&["pull", "-q", &name]);
        // Each finds the other's login.
        let borrowed = rl.command(&["pull", "-q", &name]).env("REGISTRY_AUTH_FILE", &text(&podman.logins())).output();
        borrowed.success();
        assert_eq!(same(&["logout", &server.address]).0, format!("Removed login credentials for {}\n", server.address));
        same(&["pull", "-q", &name]);
        same(&["logout", "--all"]);
    }

    #[test]
    fn another_platform_is_chosen_and_refused_alike() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let Some(podman) = Podman::of(&rl) else { return };
        let name = format!("{}/arm:1", server.address);
        let file = text(&archive("busybox.tar"));
        rl.run(&["import", "-q", "--platform", "linux/arm64", &file, "arm:1"]).success();
        rl.run(&["push", "-q", "--platform", "linux/arm64", "arm:1", &name]).success();
        let words = ["pull", "-q", "--tls-verify=false", "--platform", "linux/arm64", &name];
        assert_eq!(rl.run(&words).success().stdout, podman.run(&words).success().stdout);
        let show = ["image", "inspect", "-f", "{{.Architecture}}/{{.Os}}", &name];
        assert_eq!(rl.run(&show).success().stdout, podman.run(&show).success().stdout);
    }
}
