//! Packages from the mirror that this machine itself uses.
//!
//! Needs the internet (or the mirror of apt's sources) and is therefore run only when it is asked for: `--run-ignored`.

mod as_user {
    use std::path::Path;

    use crate::support::Rl;

    #[test]
    #[ignore = "needs the mirror of this machine's apt sources"]
    fn a_package_is_installed_and_runs() {
        let places = ["/etc/apt/apt.conf.d", "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/ssl/certs"];
        let there = places.iter().filter(|place| Path::new(place).exists());
        let mut words = vec!["run".to_owned(), "--rm".to_owned(), "--http-proxy".to_owned()];
        words.extend(there.flat_map(|place| ["-v".to_owned(), format!("{place}:{place}:ro")]));
        let script = "apt-get update && apt-get install -y --no-install-recommends hello && hello";
        words.extend(["debian", "sh", "-c", script].map(str::to_owned));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let out = Rl::with_debian().run(&words).success().stdout;
        assert!(out.ends_with("Hello, world!\n"), "{out}");
    }
}
