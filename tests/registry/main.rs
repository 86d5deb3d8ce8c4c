//! Against a real registry: Debian's docker-registry on loopback, one for each test.
//!
//! Everything here runs as an ordinary user alone: nothing in it depends on who the user is.

#[path = "../support/mod.rs"]
mod support;

mod buildah;
mod fake;
mod foreign;
mod hostile;
mod killed;
mod platforms;
mod podman;
mod proxy;
mod server;

mod as_user {
    use std::time::Duration;

    use crate::proxy::{Fault, Proxy};
    use crate::server::Server;
    use crate::support::{Line, Rl, archive};

    /// A store with busybox in one layer, and what a registry calls it.
    fn filled(server: &Server) -> (Rl, String) {
        let rl = Rl::empty();
        rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "app:1"]).success();
        (rl, format!("{}/team/app:1", server.address))
    }

    fn clean(rl: &Rl) {
        assert_eq!(rl.run(&["system", "check", "--repair"]).success().stderr, "");
        assert_eq!(rl.run(&["system", "check"]).success().stdout, "The store is clean.\n");
    }

    #[test]
    fn what_is_pushed_is_found_and_run() {
        let Some(server) = Server::plain() else { return };
        let (rl, name) = filled(&server);
        rl.run(&["push", "-q", "app:1", &name]).success();
        let again = rl.run(&["push", "app:1", &name]).success();
        assert_eq!(again.stderr.matches(": exists").count(), 2, "{}", again.stderr);
        // Another repository of the same registry takes it from the first.
        rl.run(&["tag", "app:1", &name]).success();
        rl.run(&["push", "-q", "app:1", &format!("{}/other:2", server.address)]).success();
        let found = rl.run(&["search", "--format", "{{.Name}}", &format!("{}/team", server.address)]).success();
        assert_eq!(found.stdout, format!("{}/team/app\n", server.address));
        let tags = rl.run(&["search", "--list-tags", "--format", "{{.Tag}}", name.trim_end_matches(":1")]).success();
        assert_eq!(tags.stdout, "1\n");
        let other = Rl::empty();
        let out = other.run(&["run", "--rm", &name, "echo", "it runs"]).success();
        assert_eq!(out.stdout, "it runs\n");
        assert!(out.stderr.contains(": downloaded "), "{}", out.stderr);
        let quiet = other.run(&["run", "--rm", "-q", "--pull=always", &name, "true"]).success();
        assert_eq!(quiet.stderr, "");
        clean(&other);
    }

    #[test]
    fn a_platform_is_chosen_by_the_ending_of_the_name() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let file = archive("busybox.tar");
        let name = format!("{}/app", server.address);
        rl.run(&["import", "-q", "--platform", "linux/arm64", &file.to_string_lossy(), "arm"]).success();
        rl.run(&["push", "-q", "--platform", "linux/arm64", "arm", &name]).success();
        let other = Rl::empty();
        other.run(&["pull", "-q", &format!("{name}-arm64")]).success();
        let shown = other.run(&["images", "--format", "{{.Repository}} {{.Platform}}"]).success();
        assert_eq!(shown.stdout, format!("{name} linux/arm64\n"));
        let wrong = other.run(&["pull", "--platform", "linux/s390x", &name]).fails_with(125);
        assert!(wrong.stderr.contains("RL0313"), "{}", wrong.stderr);
    }

    #[test]
    fn a_login_is_asked_for_kept_closed_and_forgotten() {
        let Some(server) = Server::with_users(&[("me", "secret")]) else { return };
        let (rl, name) = filled(&server);
        let file = rl.dir("logins").join("auth.json");
        let run = |words: &[&str]| -> Line { rl.command(words).env("REGISTRY_AUTH_FILE", &file.to_string_lossy()) };
        let denied = run(&["push", "app:1", &name]).output().fails_with(125);
        assert!(denied.stderr.contains("RL0321") && denied.stderr.contains("rl login "), "{}", denied.stderr);
        let login = ["login", "-u", "me", "--password-stdin", &server.address];
        run(&login).stdin("wrong\n").output().fails_with(125);
        assert!(!file.exists());
        run(&login).stdin("secret\n").output().success();
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("the file").permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(run(&["login", "--get-login", &server.address]).output().success().stdout, "me\n");
        run(&["push", "-q", "app:1", &name]).output().success();
        run(&["pull", "-q", &name]).output().success();
        run(&["logout", &server.address]).output().success();
        run(&["pull", "-q", &name]).output().fails_with(125);
        run(&["logout", &server.address]).output().fails_with(1);
        run(&["pull", "-q", "--creds", "me:secret", &name]).output().success();
    }

    #[test]
    fn a_cut_download_goes_on_where_it_ended() {
        let Some(server) = Server::plain() else { return };
        let (rl, name) = filled(&server);
        rl.run(&["push", "-q", "app:1", &name]).success();
        let proxy = Proxy::start(&server.address, vec![Fault::Cut(300_000), Fault::Cut(300_000)]);
        let other = Rl::empty();
        other.run(&["pull", "-q", &format!("{}/team/app:1", proxy.address)]).success();
        let ranges: Vec<_> = proxy.requests().into_iter().filter_map(|request| request.range).collect();
        assert_eq!(ranges.len(), 2, "{ranges:?}");
        assert!(ranges.iter().all(|range| range != "bytes=0-"), "{ranges:?}");
        clean(&other);
    }

    #[test]
    fn what_another_repository_of_the_registry_has_is_mounted_and_not_sent_again() {
        let Some(server) = Server::plain() else { return };
        let (rl, name) = filled(&server);
        rl.run(&["push", "-q", "app:1", &name]).success();
        let proxy = Proxy::start(&server.address, Vec::new());
        let (other, name) = (Rl::empty(), format!("{}/team/app:1", proxy.address));
        other.run(&["pull", "-q", &name]).success();
        other.run(&["push", "-q", &name, &format!("{}/friends/app:1", proxy.address)]).success();
        let asked: Vec<_> = proxy.requests().into_iter().map(|request| request.path).collect();
        let to: Vec<_> = asked.iter().filter(|path| path.contains("/friends/app/blobs/uploads/")).collect();
        // The layer and the configuration.
        assert_eq!(to.len(), 2, "{asked:?}");
        assert!(to.iter().all(|path| path.contains("mount=sha256") && path.contains("from=team%2Fapp")), "{to:?}");
        other.run(&["rmi", "-f", &name]).success();
        other.run(&["pull", "-q", &format!("{}/friends/app:1", server.address)]).success();
        clean(&other);
    }

    #[test]
    fn pulls_side_by_side_fetch_each_layer_once() {
        let Some(server) = Server::plain() else { return };
        let (rl, name) = filled(&server);
        rl.run(&["push", "-q", "app:1", &name]).success();
        let proxy = Proxy::start(&server.address, Vec::new());
        let other = Rl::empty();
        let name = format!("{}/team/app:1", proxy.address);
        // Both need the user's namespace, which the first would else be busy making.
        other.run(&["images", "-q"]).success();
        let pulls: Vec<_> = (0..4).map(|_| other.command(&["pull", "-q", &name]).spawn()).collect();
        for pull in pulls {
            pull.finish().success();
        }
        let layers = other.run(&["image", "inspect", "-f", "{{len .RootFS.Layers}}", &name]).success().stdout;
        assert_eq!(layers, "1\n");
        let mut blobs: Vec<_> = proxy.requests().into_iter().map(|request| request.path).collect();
        blobs.retain(|path| path.contains("/blobs/"));
        blobs.sort();
        // The configuration is small and may be fetched by each; the layer is not.
        let of = |blob: &String| blobs.iter().filter(|other| *other == blob).count();
        assert!(blobs.iter().any(|blob| of(blob) == 1), "{blobs:?}");
        clean(&other);
    }

    #[test]
    fn a_busy_registry_is_waited_for() {
        let Some(server) = Server::plain() else { return };
        let (rl, name) = filled(&server);
        rl.run(&["push", "-q", "app:1", &name]).success();
        let proxy =
            Proxy::start(&server.address, vec![Fault::Status("429 Too Many Requests"), Fault::Status("503 Busy")]);
        let begun = std::time::Instant::now();
        Rl::empty().run(&["pull", "-q", &format!("{}/team/app:1", proxy.address)]).success();
        assert!(begun.elapsed() >= Duration::from_secs(2), "Retry-After was not honoured");
    }

    #[test]
    fn content_that_was_changed_on_the_way_is_refused_and_nothing_of_it_stays() {
        let Some(server) = Server::plain() else { return };
        let (rl, name) = filled(&server);
        rl.run(&["push", "-q", "app:1", &name]).success();
        let proxy = Proxy::start(&server.address, vec![Fault::Corrupt]);
        let other = Rl::empty();
        let bad = other.run(&["pull", "-q", &format!("{}/team/app:1", proxy.address)]).fails_with(125);
        assert!(bad.stderr.contains("RL0314"), "{}", bad.stderr);
        assert_eq!(other.run(&["images", "-q"]).success().stdout, "");
        clean(&other);
        other.run(&["pull", "-q", &format!("{}/team/app:1", proxy.address)]).success();
        clean(&other);
    }

    #[test]
    fn a_page_for_people_is_explained() {
        let Some(server) = Server::plain() else { return };
        let proxy = Proxy::start(&server.address, vec![Fault::Html; 8]);
        let bad = Rl::empty().run(&["pull", &format!("{}/team/app:1", proxy.address)]).fails_with(125);
        assert!(bad.stderr.contains("web page"), "{}", bad.stderr);
    }
}
