//! config.json in, plan out: the golden documents of tests/golden and what becomes of each, without privileges.
//!
//! The documents hold what `rl run` never writes, too, and what can't be carried out is in tests/golden/refused, with the error
//! that names the field. A new document needs no line here.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use subid::IdMap;

use super::compile::compile;
use super::{Plan, RootSource, Step};
use crate::error::Result;
use crate::spec::resources::Cgroups;
use crate::spec::{Bundled, Extras, Identity, Ids, SeccompChoice};

fn planned(spec: &Spec) -> Result<Plan> {
    plan(spec, None)
}

/// As `rl oci create` does, with every flag that has to do with the plan.
fn bundled(spec: &Spec) -> Result<Plan> {
    let bundle = Bundled {
        path: "/srv/bundle".into(),
        rootfs: "/srv/bundle/rootfs".into(),
        awaits: Some("/run/rl-oci/id".into()),
        detached: true,
        preserve_fds: 2,
        no_pivot: true,
        keyring: true,
    };
    plan(spec, Some(bundle))
}

fn plan(spec: &Spec, bundle: Option<Bundled>) -> Result<Plan> {
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone()).filter(|_| bundle.is_some());
    let extras = Extras {
        volumes: Vec::new(),
        user: String::new(),
        group_add: Vec::new(),
        keep_groups: false,
        preserve_fds: 0,
        init: false,
        seccomp: seccomp.map_or(SeccompChoice::Default, |profile| SeccompChoice::Exact(Box::new(profile))),
        interactive: false,
        home_given: false,
        bundle,
        emulators: Vec::new(),
        wiring: crate::spec::network::Wiring::default(),
        cgroups: Cgroups::default(),
    };
    let map = IdMap::single(0, 0);
    let ids = Ids { uid: map.clone(), gid: map.clone(), base_uid: map.clone(), base_gid: map, setgroups: false };
    let identity = Identity { id: "id".into(), name: "name".into(), dir: "/run/rl/id".into() };
    let root = RootSource::Directory("/srv/root".into());
    compile(spec, &extras, &ids, &identity, &root, Path::new("/run/rl"), Vec::new())
}

/// The documents of one directory by name.
fn documents(dir: &str) -> Vec<(String, Spec)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(dir);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&dir).expect("the documents").map(|entry| entry.expect("entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    assert!(paths.len() > 3, "{}: {} documents", dir.display(), paths.len());
    let read = |path: PathBuf| {
        let spec = serde_json::from_slice(&fs::read(&path).expect("read")).expect("a runtime specification");
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), spec)
    };
    paths.into_iter().map(read).collect()
}

fn in_snapshots(of: &str, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(of).join("plans"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(check);
}

#[test]
fn each_document_becomes_its_plan() {
    for (name, spec) in documents("") {
        let plan = planned(&spec).unwrap_or_else(|error| panic!("{name}: {error}"));
        in_snapshots("", || insta::assert_json_snapshot!(name, plan));
    }
}

#[test]
fn each_bundle_becomes_its_plan() {
    for (name, spec) in documents("bundles") {
        let plan = bundled(&spec).unwrap_or_else(|error| panic!("{name}: {error}"));
        in_snapshots("bundles", || insta::assert_json_snapshot!(name, plan));
    }
}

#[test]
fn what_a_bundle_must_not_say_is_refused_by_the_name_of_its_field() {
    for (name, spec) in documents("bundles/refused") {
        let error = bundled(&spec).err().unwrap_or_else(|| panic!("{name} was planned"));
        in_snapshots("bundles/refused", || insta::assert_snapshot!(name, error.to_string()));
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused_by_the_name_of_its_field() {
    for (name, spec) in documents("refused") {
        let error = planned(&spec).err().unwrap_or_else(|| panic!("{name} was planned"));
        in_snapshots("refused", || insta::assert_snapshot!(name, error.to_string()));
    }
}

/// The places of the steps for which `of` holds.
fn places(plan: &Plan, of: impl Fn(&Step) -> bool) -> Vec<usize> {
    plan.steps.iter().enumerate().filter(|(_, step)| of(step)).map(|(place, _)| place).collect()
}

proptest! {
    /// Whatever a document holds, the order is the one in which the kernel allows it and nothing undoes what came before.
    #[test]
    fn the_order_holds_for_any_choice_of_fields(
        mounts in subsequence((0..10_usize).collect::<Vec<_>>(), 0..10),
        paths in any::<bool>(),
        no_new_privileges in any::<bool>(),
        terminal in any::<bool>(),
        read_only in any::<bool>(),
    ) {
        let (_, full) = documents("").into_iter().find(|(name, _)| name == "mounts").expect("the document of mounts");
        let mut document = serde_json::to_value(full).expect("JSON");
        let all = document["mounts"].as_array().expect("mounts").clone();
        document["mounts"] = mounts.iter().map(|&at| all[at].clone()).collect();
        document["process"]["noNewPrivileges"] = no_new_privileges.into();
        document["process"]["terminal"] = terminal.into();
        document["root"]["readonly"] = read_only.into();
        if !paths {
            document["linux"]["maskedPaths"] = Vec::<String>::new().into();
        }
        let plan = planned(&serde_json::from_value(document).expect("a specification")).expect("a plan");

        let at = |of: fn(&Step) -> bool| places(&plan, of);
        let pivot = at(|step| matches!(step, Step::PivotRoot { .. }))[0];
        let hiding = at(|step| matches!(step, Step::Mask { .. } | Step::ReadOnly { .. }));
        let attached = at(|step| matches!(step, Step::Mount { .. } | Step::Bind { .. }));
        prop_assert_eq!(at(|step| matches!(step, Step::Isolate { .. })), vec![0]);
        prop_assert!(attached.iter().all(|mount| hiding.iter().all(|hide| mount < hide)), "nothing covers what is hidden");
        prop_assert!(attached.iter().chain(&hiding).all(|&place| place < pivot), "pivot_root ends the host's paths");
        let user = at(|step| matches!(step, Step::User { .. }))[0];
        let rights = at(|step| matches!(step, Step::Capabilities(_)))[0];
        let filter = at(|step| matches!(step, Step::Seccomp { .. }))[0];
        prop_assert!(pivot < user && user < rights);
        prop_assert_eq!(filter > rights, no_new_privileges);
        let made = at(|step| matches!(step, Step::Mount { .. } | Step::Bind { device: false, .. }));
        let of_a_device = |at: usize| all[at]["options"].as_array().is_some_and(|words| words.contains(&"dev".into()));
        let asked = mounts.iter().filter(|&&at| !of_a_device(at)).count();
        prop_assert_eq!(made.len(), asked, "every mount of the document and no other");
    }
}
