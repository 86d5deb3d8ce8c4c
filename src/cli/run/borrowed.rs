//! What a container has of others: the volumes of other containers (`--volumes-from`), and images mounted in it (`--mount type=image`).
//!
//! The surprise: an image is mounted in a mount namespace of `rl`'s own before the container is cloned, which then binds it as it
//! would any directory; so the mount goes with the process that watches over the container.

use super::image::{self, Ensured, Want};
use crate::cli::Globals;
use crate::error::Result;
use crate::host::Host;
use crate::host::config::Config;
use crate::image::{Hold, Image, Store};
use crate::runtime::container::Container;
use crate::runtime::fuse::{self, Fuse};
use crate::runtime::view;
use crate::spec::{BindOptions, Ids, RunSpec, Source, Volume};
use crate::state::Containers;

/// Adds the volumes of the containers that are named. What is on a place already stays there.
///
/// # Errors
/// RL0804 for a container that is not there.
pub(super) fn volumes_from(host: &Host, run: &mut RunSpec) -> Result<()> {
    for word in std::mem::take(&mut run.volumes_from) {
        let (name, options) = word.split_once(':').unwrap_or((&word, ""));
        let container = Containers::open(&host.dirs).find(name).map_err(|error| error.exit(125))?;
        for (index, volume) in container.record.run.volumes.into_iter().enumerate() {
            if run.volumes.iter().any(|own| own.target() == volume.target()) {
                continue;
            }
            let mut volume = of_another(volume, options.split(',').any(|option| option == "ro"));
            if let Volume::Image { name, .. } = &mut volume
                && let Some(image) = Store::open(&host.dirs).pinned_volume(&container.data, index)?
            {
                // Whatever its name means by now.
                *name = image.id;
            }
            run.volumes.push(volume);
        }
    }
    Ok(())
}

/// It does not go with this container, whoever has it anonymously.
fn of_another(volume: Volume, read_only: bool) -> Volume {
    let limited = |options: BindOptions| BindOptions { read_only: options.read_only || read_only, ..options };
    match volume {
        Volume::Bind { source, target, options } => Volume::Bind { source, target, options: limited(options) },
        Volume::Named { name, source, target, options, copy, subpath, memory, .. } => {
            Volume::Named { name, source, target, options: limited(options), copy, anonymous: false, subpath, memory }
        }
        other => other,
    }
}

/// Fetches the images that are volumes, where they are missing. Some: a pull has failed, and has said why.
pub(super) fn ensure(globals: &Globals, host: &Host, run: &RunSpec, want: &Want) -> Result<Option<u8>> {
    for volume in &run.volumes {
        let Volume::Image { name, .. } = volume else { continue };
        if let Ensured::Ended(status) = image::ensure(globals, host, &Source::Image(name.clone()), want)? {
            return Ok(Some(status));
        }
    }
    Ok(None)
}

/// Images that are mounted for a container.
#[derive(Default)]
pub(super) struct Borrowed {
    /// Keeps them from being deleted.
    holds: Vec<Hold>,
    /// What keeps those mounted whose owners are shifted.
    pub(super) helpers: Vec<Fuse>,
}

impl Borrowed {
    /// Takes the mounts of helpers away.
    pub(super) fn stop(&mut self) {
        for helper in self.helpers.drain(..) {
            // Said beside whatever the container made of it.
            if let Err(error) = helper.stop() {
                eprintln!("rl: {error}");
            }
        }
    }
}

/// Mounts them, and keeps them from being deleted for as long as what is given back lives, and as the container's directory is there. The
/// kernel's overlay does where the owners are the container's own, else fuse-overlayfs shifts them, as of the root.
///
/// # Errors
/// RL0301, RL0317; RL0405 where there is no fuse-overlayfs and one is needed.
pub(super) fn mount(host: &Host, run: &mut RunSpec, container: &Container, ids: &Ids) -> Result<Borrowed> {
    let mut borrowed = Borrowed::default();
    for (index, volume) in run.volumes.iter_mut().enumerate() {
        let Volume::Image { name, subpath, source, .. } = volume else { continue };
        let image = find(host, name, container, index)?;
        *source = if image.shared || fuse::is_needed(ids) {
            let helper = fuse::mount_volume(&image.layers, ids, image.shared, &container.identity.dir, index)?;
            let on = helper.target().to_owned();
            borrowed.helpers.push(helper);
            view::within(&on, subpath.as_deref())?
        } else {
            view::mount_alone(&image.layers, &image.id, &host.dirs.run, subpath.as_deref())?
        };
        container.pin_volume(&image.pin, index)?;
        borrowed.holds.push(image.hold);
    }
    Ok(borrowed)
}

/// The one with which it was started before, or what the name means now.
fn find(host: &Host, name: &str, container: &Container, index: usize) -> Result<Image> {
    let own = Store::open(&host.dirs);
    if let Some(image) = own.pinned_volume(&container.data, index)? {
        return Ok(image);
    }
    if own.lookup(name, None)? {
        return own.find(name, None);
    }
    for store in Config::read()?.additional_stores.iter().map(|root| Store::of_others(root)) {
        if store.lookup(name, None)? {
            return store.find(name, None);
        }
    }
    own.find(name, None)
}

/// What [`mount`] would say, without mounting anything (`--plan`).
pub(super) fn foresee(host: &Host, run: &mut RunSpec) {
    for volume in &mut run.volumes {
        if let Volume::Image { name, subpath, source, .. } = volume {
            let id = Store::open(&host.dirs).find(name, None).map_or_else(|_| "IMAGE".to_owned(), |image| image.id);
            let inside = subpath.as_deref().map(|path| path.strip_prefix("/").unwrap_or(path));
            *source = host.dirs.run.join("mounts").join(id);
            inside.into_iter().for_each(|inside| source.push(inside));
        }
    }
}
