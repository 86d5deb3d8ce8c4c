//! `rl oci` as engines call it: bundles by hand here, podman and buildah in `engines`.

#[path = "../support/mod.rs"]
mod support;

mod bundle;
mod documents;
mod engines;
mod exec;
mod groups;
mod lifecycle;
mod mounts;
mod refused;
