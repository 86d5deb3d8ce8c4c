//! What is printed is what the specification's types read.

mod everywhere {
    use oci_spec::runtime::{Features, Spec, State};

    use crate::bundle::Oci;
    use crate::support::{Line, missing};

    #[test]
    fn features_are_the_specifications_document_and_name_what_is_done() {
        let oci = Oci::new(&["true"]);
        let text = oci.run(&["features"]).success().stdout;
        let _: Features = serde_json::from_str(&text).expect("features");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((value["ociVersionMin"].as_str(), value["ociVersionMax"].as_str()), (Some("1.0.0"), Some("1.3.0")));
        assert_eq!(value["hooks"].as_array().map(Vec::len), Some(6));
        assert_eq!(value["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert!(value["mountOptions"].as_array().is_some_and(|list| list.iter().any(|word| word == "rro")));
    }

    #[test]
    fn state_and_list_are_documents() {
        let oci = Oci::new(&["sleep", "100"]);
        oci.create(&[]);
        let text = oci.run(&["state", "c"]).success().stdout;
        let state: State = serde_json::from_str(&text).expect("a state");
        assert_eq!(state.id(), "c");
        let list: Vec<State> =
            serde_json::from_str(&oci.run(&["list", "--format=json"]).success().stdout).expect("a list");
        assert_eq!(list.len(), 1);
        assert_eq!(oci.run(&["list", "-q"]).success().stdout, "c\n");
        let table = oci.run(&["list"]).success().stdout;
        assert_eq!(
            table.lines().next().map(|line| line.split_whitespace().collect::<Vec<_>>()),
            Some(vec!["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"])
        );
    }

    /// By the schemas that Debian has, of 1.0.2, or those of `RL_OCI_SCHEMAS`.
    #[test]
    fn every_document_is_what_the_specifications_schemas_describe() {
        let debians = "/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema";
        let schemas = std::env::var("RL_OCI_SCHEMAS").unwrap_or_else(|_| debians.to_owned());
        let python = std::path::Path::new("/usr/lib/python3/dist-packages/jsonschema");
        if !python.exists() || !std::path::Path::new(&schemas).exists() {
            missing("python3-jsonschema, golang-github-opencontainers-specs-dev");
            return;
        }
        let oci = Oci::new(&["true"]);
        let top = oci.dir("documents");
        std::os::unix::fs::symlink(oci.bundle.join("rootfs"), top.join("rootfs")).expect("a link");
        let mut command = std::process::Command::new("/usr/bin/python3");
        command.args(["-W", "ignore"]).arg(crate::support::top().join("tests/oci/schema.py")).arg(schemas);
        command.arg(oci.dir("bin").join("rl-oci")).arg(top);
        let output = Line::new(command, "schema.py".into()).output();
        let wrong: Vec<_> = output.stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
        assert!(output.status.success(), "{}\n{}", wrong.join("\n"), output.stderr);
        assert!(output.stdout.lines().count() >= 11, "{}", output.stdout);
    }

    #[test]
    fn the_document_of_spec_runs() {
        let oci = Oci::new(&["echo", "it runs"]);
        let _: Spec = serde_json::from_value(oci.config.clone()).expect("a specification");
        assert_eq!(oci.run(&["run", "c"]).success().stdout, "it runs\n");
        oci.run(&["spec"]).fails_with(1);
    }

    #[test]
    fn what_it_does_not_do_is_refused() {
        let oci = Oci::new(&["true"]);
        for verb in ["checkpoint", "restore"] {
            let refused = oci.run(&[verb, "c"]).fails_with(1);
            assert!(refused.stderr.contains("not supported"), "{}", refused.stderr);
        }
        assert!(oci.run(&["--version"]).success().stdout.contains("spec: 1.3.0"));
    }
}
