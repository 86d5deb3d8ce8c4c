//! Registries that lie, lead elsewhere or send without an end: nothing of it is kept, and credentials stay where they belong.

use crate::fake::{Answer, LAYER, MANIFEST, Pages};

/// What a registry sends and the words that the refusal has.
type Refused = (&'static str, Pages, &'static str);

/// The layer: one file that tells it from others.
fn layer(content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "file", content.as_bytes()).expect("append");
    builder.into_inner().expect("end")
}

/// The honest image, its manifest's text replaced part by part.
fn changed(parts: &[(&str, &str)]) -> Pages {
    let mut pages = Pages::image(&layer("content"));
    let mut text = pages.text();
    for (old, new) in parts {
        assert!(text.contains(old), "{old} is not in {text}");
        text = text.replace(old, new);
    }
    pages.manifest(&text);
    pages
}

/// The blob of a layer is other bytes than it was.
fn layer_sent_as(how: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Pages {
    let bytes = layer("content");
    let mut pages = Pages::image(&bytes);
    let path = format!("/v2/app/blobs/{}", rl::image::Digest::of(&bytes));
    pages.0.insert(path, Answer::ok("application/octet-stream", how(bytes)));
    pages
}

fn documents() -> Vec<Refused> {
    let size = |bytes: usize| format!("\"size\":{bytes}");
    let own = size(layer("content").len());
    let manifest = |answer: Answer| {
        let mut pages = changed(&[]);
        pages.0.insert("/v2/app/manifests/1".into(), answer);
        pages
    };
    let index = "application/vnd.oci.image.index.v1+json";
    let bzip2 = b"BZh91AY&SY and so on".to_vec();
    vec![
        ("100 MB of manifest", manifest(Answer::ok(MANIFEST, vec![b' '; 1 << 20]).times(100)), "has more than 4194304"),
        ("a deep manifest", manifest(Answer::ok(MANIFEST, "[".repeat(1 << 20))), "RL0312"),
        ("both kinds in one", changed(&[("\"layers\"", "\"manifests\":[],\"layers\"")]), "CVE-2021-41190"),
        ("called an index", manifest(Answer::ok(index, changed(&[]).text())), "the registry calls it"),
        ("no image", changed(&[(MANIFEST, "application/vnd.example")]), "itself it says application/vnd.example"),
        ("schema 1", manifest(Answer::ok("text/plain", r#"{"schemaVersion":1,"fsLayers":[]}"#)), "schema 1"),
        ("a helm chart", changed(&[("image.config.v1", "helm.config.v1")]), "no container image"),
        ("a digest that is a path", changed(&[("\"digest\":\"sha256:", "\"digest\":\"sha256:../../")]), "RL0312"),
        ("a negative size", changed(&[(&own, "\"size\":-5")]), "RL0312"),
        ("a page for people", manifest(Answer::ok("text/html", "<!DOCTYPE html><p>Log in")), "web page"),
        ("more than was announced", changed(&[(&own, &size(1000))]), "more came than the 1000 bytes"),
        (
            "other bytes of that length",
            layer_sent_as(|mut bytes| {
                bytes[600] ^= 1;
                bytes
            }),
            "RL0314",
        ),
        (
            "a page in place of a layer",
            layer_sent_as(|bytes| {
                let mut page = b"<!DOCTYPE html><p>Log in".to_vec();
                page.resize(bytes.len(), b' ');
                page
            }),
            "RL03",
        ),
        ("bzip2", Pages::with_layers(&[(LAYER, &bzip2, rl::image::Digest::of(b"").to_string())]), "bzip2"),
        (
            "content with another name",
            Pages::with_layers(&[(LAYER, &layer("a"), rl::image::Digest::of(b"b").to_string())]),
            "RL0314",
        ),
        ("a file that leads out", Pages::image(&leading_out()), "leads out with .."),
        ("no layer at all", Pages::with_layers(&[]), "it has no layer"),
        (
            "a layer too many",
            changed(&[("\"layers\":[", &format!("\"layers\":[{},", descriptor()))]),
            "names 1 layers, the manifest 2",
        ),
    ]
}

fn descriptor() -> String {
    let bytes = layer("content");
    format!(r#"{{"mediaType":"{LAYER}","digest":"{}","size":{}}}"#, rl::image::Digest::of(&bytes), bytes.len())
}

fn leading_out() -> Vec<u8> {
    let mut bytes = layer("x");
    bytes[..5].copy_from_slice(b"../up");
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..512]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

mod as_user {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

    use super::*;
    use crate::fake::{Authority, Fake, Request};
    use crate::proxy::{Fault, Proxy};
    use crate::support::{Rl, archive};

    /// A store with an image that must be there afterwards.
    fn with_one() -> Rl {
        let rl = Rl::empty();
        rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "kept"]).success();
        rl
    }

    fn nothing_is_lost(rl: &Rl, why: &str) {
        let names = rl.run(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).success().stdout;
        assert_eq!(names, "kept:latest\n", "{why}");
        for part in ["staging", "partial", "layers"] {
            let left = std::fs::read_dir(rl.root().join(part)).into_iter().flatten().count();
            assert_eq!(left, usize::from(part == "layers"), "{why}: {part}");
        }
        let check = rl.run(&["system", "check"]).success().stdout;
        assert!(!check.contains("damaged"), "{why}: {check}");
    }

    #[test]
    fn what_a_registry_lies_about_is_refused_and_nothing_is_lost() {
        let rl = with_one();
        for (name, pages, says) in documents() {
            let server = Fake::plain(move |request| pages.answer(request));
            let out = rl.run(&["pull", "-q", &format!("{}/app:1", server.address)]);
            assert_eq!(out.code(), 125, "{name}: {}{}", out.stdout, out.stderr);
            assert!(out.stderr.contains(says), "{name}: expected {says:?} in: {}", out.stderr);
            nothing_is_lost(&rl, name);
        }
    }

    #[test]
    fn a_blob_that_never_comes_whole_is_given_up() {
        let rl = with_one();
        let pages = layer_sent_as(|bytes| bytes[..700].to_vec());
        let server = Fake::plain(move |request| pages.answer(request));
        let out = rl.run(&["pull", "-q", &format!("{}/app:1", server.address)]).fails_with(125);
        assert!(out.stderr.contains("it ended after 700 of"), "{}", out.stderr);
        // What came is kept for a later attempt, and is no damage.
        let names = rl.run(&["images", "--format", "{{.Repository}}"]).success().stdout;
        assert_eq!(names, "kept\n");
        rl.run(&["system", "check", "--repair"]).success();
        nothing_is_lost(&rl, "after a repair");
    }

    #[test]
    fn the_limits_of_the_configuration_are_for_layers_from_registries_too() {
        let rl = with_one();
        let config = rl.dir("config");
        std::fs::create_dir(config.join("rl")).expect("mkdir");
        let bomb = {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &layer(&"0".repeat(5_000_000))).expect("write");
            encoder.finish().expect("finish")
        };
        let id = rl::image::Digest::of(&layer(&"0".repeat(5_000_000))).to_string();
        let pages = Pages::with_layers(&[("application/vnd.oci.image.layer.v1.tar+gzip", &bomb, id)]);
        let server = Fake::plain(move |request| pages.answer(request));
        let name = format!("{}/app:1", server.address);
        let pull = |limits: &str| {
            std::fs::write(config.join("rl/config.toml"), format!("[limits]\n{limits}\n")).expect("write");
            rl.command(&["pull", "-q", &name]).env("XDG_CONFIG_HOME", &config.to_string_lossy()).output()
        };
        let bytes = pull("layer_bytes = 1_000_000").fails_with(125);
        assert!(bytes.stderr.contains("layer_bytes"), "{}", bytes.stderr);
        let entries = pull("layer_entries = 0").fails_with(125);
        assert!(entries.stderr.contains("layer_entries"), "{}", entries.stderr);
        pull("layer_bytes = 10_000_000\nlayer_entries = 1").success();
    }

    #[test]
    fn what_a_foreign_layer_names_elsewhere_is_not_asked_for() {
        let elsewhere = Fake::plain(|_| Answer::ok("application/octet-stream", layer("content")));
        let url = format!("\"urls\":[\"http://{}/layer\"],\"digest\"", elsewhere.address);
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar";
        let mut pages = changed(&[(LAYER, foreign), ("\"digest\"", &url)]);
        let path = format!("/v2/app/blobs/{}", rl::image::Digest::of(&layer("content")));
        pages.0.remove(&path).expect("the layer");
        let server = Fake::plain(move |request| pages.answer(request));
        let rl = with_one();
        let out = rl.run(&["pull", "-q", &format!("{}/app:1", server.address)]).fails_with(125);
        assert!(out.stderr.contains("RL0322"), "{}", out.stderr);
        assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
        nothing_is_lost(&rl, "a foreign layer");
    }

    #[test]
    fn a_proxy_that_stops_in_the_middle_is_gone_on_from_by_a_later_command() {
        let Some(server) = crate::server::Server::plain() else { return };
        let rl = with_one();
        rl.run(&["push", "-q", "kept", &format!("{}/app:1", server.address)]).success();
        let proxy = Proxy::start(&server.address, vec![Fault::Stall(300_000)]);
        let name = format!("{}/app:1", proxy.address);
        let other = Rl::empty();
        std::fs::create_dir(other.root().join("partial")).expect("mkdir");
        let watch = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify");
        watch.add_watch(&other.root().join("partial"), AddWatchFlags::IN_MODIFY).expect("watch");
        let pull = other.command(&["pull", "-q", &name]).spawn();
        // Some of the layer has been kept.
        watch.read_events().expect("a change");
        // Whoever has no patience for it stops the command, and the next one goes on.
        nix::sys::signal::kill(pull.pid(), nix::sys::signal::Signal::SIGTERM).expect("kill");
        assert_ne!(pull.finish().code(), 0);
        other.run(&["pull", "-q", &name]).success();
        let ranges: Vec<_> = proxy.requests().into_iter().filter_map(|request| request.range).collect();
        assert!(ranges.len() == 1 && ranges[0] != "bytes=0-", "{ranges:?}");
        other.run(&["run", "--rm", "--network", "none", &name, "true"]).success();
        assert_eq!(other.run(&["system", "check"]).success().stdout, "The store is clean.\n");
    }

    /// A registry that wants a login, and sends whoever asks for the layer to `elsewhere`.
    fn leading(pages: &Pages, elsewhere: String) -> impl Fn(&Request) -> Answer + Send + Sync + use<> {
        let pages = pages.clone();
        let blob = format!("/v2/app/blobs/{}", rl::image::Digest::of(&layer("content")));
        move |request| {
            if request.header("authorization").is_none() {
                return Answer::new("401 Unauthorized").with("WWW-Authenticate: Basic realm=\"here\"");
            }
            match request.path == blob {
                true => Answer::new("307 Temporary Redirect").with(&format!("Location: {elsewhere}/layer")),
                false => pages.answer(request),
            }
        }
    }

    fn pull(rl: &Rl, authority: &Authority, name: &str, words: &[&str]) -> crate::support::Output {
        let authority = authority.file("ca.pem");
        let mut all = vec!["pull", "-q", "--cert-authority"];
        let authority = authority.to_string_lossy();
        all.push(&authority);
        all.extend(words);
        all.push(name);
        rl.run(&all)
    }

    const LOGIN: [&str; 2] = ["--creds", "me:secret"];

    #[test]
    fn authorization_does_not_follow_to_another_port_or_host() {
        let Some(authority) = Authority::new() else { return };
        let pages = Pages::image(&layer("content"));
        for host in ["127.0.0.1", "localhost"] {
            let elsewhere = Fake::secure(&authority, |_| Answer::ok("application/octet-stream", layer("content")));
            let to = format!("https://{host}:{}", elsewhere.port);
            let server = Fake::secure(&authority, leading(&pages, to));
            pull(&Rl::empty(), &authority, &format!("{}/app:1", server.address), &LOGIN).success();
            assert!(!server.authorized().is_empty());
            assert_eq!(elsewhere.requests().len(), 1);
            assert!(elsewhere.authorized().is_empty(), "{:?}", elsewhere.authorized());
        }
    }

    #[test]
    fn nothing_follows_from_https_to_http() {
        let Some(authority) = Authority::new() else { return };
        let elsewhere = Fake::plain(|_| Answer::ok("application/octet-stream", layer("content")));
        let to = format!("http://{}", elsewhere.address);
        let server = Fake::secure(&authority, leading(&Pages::image(&layer("content")), to));
        let rl = with_one();
        let out = pull(&rl, &authority, &format!("{}/app:1", server.address), &LOGIN).fails_with(125);
        assert!(out.stderr.contains("RL0323"), "{}", out.stderr);
        assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
        nothing_is_lost(&rl, "http");
    }

    #[test]
    fn a_certificate_that_nobody_vouches_for_gets_no_request() {
        let Some(authority) = Authority::new() else { return };
        let pages = Pages::image(&layer("content"));
        let server = Fake::secure(&authority, move |request| pages.answer(request));
        let name = format!("{}/app:1", server.address);
        let out = Rl::empty().run(&["pull", "-q", "--creds", "me:secret", &name]).fails_with(125);
        assert!(out.stderr.contains("RL0320") && out.stderr.contains("certificate"), "{}", out.stderr);
        assert!(server.requests().is_empty(), "{:?}", server.requests());
        Rl::empty().run(&["pull", "-q", "--tls-verify=false", &name]).success();
    }

    /// A registry whose tokens come from `realm`.
    fn with_tokens(pages: &Pages, realm: String) -> impl Fn(&Request) -> Answer + Send + Sync + use<> {
        let pages = pages.clone();
        move |request| match request.header("authorization") {
            Some("Bearer a-token") => pages.answer(request),
            _ => Answer::new("401 Unauthorized").with(&format!(
                "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"a registry\",scope=\"repository:app:pull\""
            )),
        }
    }

    fn tokens(request: &Request) -> Answer {
        match request.path.contains("scope=repository%3Aapp%3Apull") && request.path.contains("service=a+registry") {
            true => Answer::ok("application/json", r#"{"token":"a-token"}"#),
            false => Answer::new("400 Bad Request"),
        }
    }

    #[test]
    fn tokens_come_from_the_server_that_the_registry_names_if_it_is_its_own() {
        let Some(authority) = Authority::new() else { return };
        let pages = Pages::image(&layer("content"));
        let own = Fake::secure(&authority, tokens);
        let server = Fake::secure(&authority, with_tokens(&pages, format!("https://{}/token", own.address)));
        pull(&Rl::empty(), &authority, &format!("{}/app:1", server.address), &LOGIN).success();
        // The password went to the token server, the token to the registry.
        assert!(own.authorized().iter().all(|line| line.contains("Basic bWU6c2VjcmV0")), "{:?}", own.authorized());
        assert!(!own.authorized().is_empty());
        assert!(server.authorized().iter().all(|line| line.ends_with("Bearer a-token")), "{:?}", server.authorized());

        let other = Fake::secure(&authority, tokens);
        let server = Fake::secure(&authority, with_tokens(&pages, format!("https://localhost:{}/token", other.port)));
        let name = format!("{}/app:1", server.address);
        let out = pull(&Rl::empty(), &authority, &name, &LOGIN).fails_with(125);
        assert!(out.stderr.contains("RL0321") && out.stderr.contains("localhost"), "{}", out.stderr);
        assert!(other.requests().is_empty(), "{:?}", other.requests());
        // Whoever is not logged in has nothing to lose.
        pull(&Rl::empty(), &authority, &name, &[]).success();
        assert!(other.authorized().is_empty(), "{:?}", other.authorized());
    }

    #[test]
    fn no_token_is_asked_for_over_http_and_none_is_larger_than_a_megabyte() {
        let Some(authority) = Authority::new() else { return };
        let pages = Pages::image(&layer("content"));
        let plain = Fake::plain(tokens);
        let server = Fake::secure(&authority, with_tokens(&pages, format!("http://{}/token", plain.address)));
        for login in [&LOGIN[..], &[]] {
            let out = pull(&Rl::empty(), &authority, &format!("{}/app:1", server.address), login).fails_with(125);
            assert!(["RL0320", "RL0321"].iter().any(|id| out.stderr.contains(id)), "{}", out.stderr);
            assert!(plain.requests().is_empty(), "{:?}", plain.requests());
        }
        let endless = Fake::secure(&authority, |_| Answer::ok("application/json", vec![b' '; 1 << 20]).times(100));
        let server = Fake::secure(&authority, with_tokens(&pages, format!("https://{}/token", endless.address)));
        let out = pull(&Rl::empty(), &authority, &format!("{}/app:1", server.address), &[]).fails_with(125);
        assert!(out.stderr.contains("larger than any token"), "{}", out.stderr);
    }

    #[test]
    fn a_registrys_words_cannot_steer_the_terminal() {
        let said = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"\\u001b]52;c;aGk=\\u0007\\r\u{202e}no\"}]}";
        let server = Fake::plain(move |request| match request.path.as_str() {
            "/v2/" => Answer::ok("application/json", "{}"),
            _ => Answer::ok("application/json", said).status("403 Forbidden"),
        });
        // script(1) gives it a terminal.
        let rl = Rl::empty();
        let pull = format!("{} pull -q {}/app:1", rl.binary().display(), server.address);
        let shown = rl.shell(&format!("script -qec '{pull}' /dev/null </dev/null")).fails_with(125).stdout;
        assert!(shown.contains("DENIED") && shown.contains("\\u001b]52;c;aGk=\\u0007\\u000d\\u202eno"), "{shown:?}");
        assert!(!shown.contains(['\x1b', '\x07', '\u{202e}']), "{shown:?}");
    }
}
