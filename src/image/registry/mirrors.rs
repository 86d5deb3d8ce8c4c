//! One repository in several places: mirrors, and behind them the registry itself.
//!
//! Owns the order in which they are asked. The surprise: a blob that broke off at a mirror goes on at the next place from
//! where it ended, because a digest is the same everywhere.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Options, Registry};
use crate::error::{Error, Result, catalog::image};
use crate::image::manifest::{Descriptor, Parsed};
use crate::image::reference::Reference;
use crate::image::transport::{Sink, Source};

/// Places of the same images.
pub struct Mirrors {
    all: Vec<Registry>,
    /// The one that has answered.
    at: AtomicUsize,
}

impl Mirrors {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open(places: &[(Reference, Options)]) -> Result<Self> {
        let all = places.iter().map(|(reference, options)| Registry::open(reference.clone(), options));
        Ok(Self { all: all.collect::<Result<_>>()?, at: AtomicUsize::new(0) })
    }

    /// Asks from the one that answered last on; the last one's failure is the one to tell.
    fn first<T>(&self, mut ask: impl FnMut(&Registry) -> Result<T>) -> Result<T> {
        let start = self.at.load(Ordering::Relaxed);
        let mut failed = Error::new(&image::REGISTRY, "find a place to ask");
        for (index, registry) in self.all.iter().enumerate().skip(start) {
            match ask(registry) {
                Ok(answer) => {
                    self.at.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                // A full disk is nothing that another place could mend.
                Err(error) if [&image::NO_SPACE, &image::STORE].contains(&error.entry()) => return Err(error),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Source for Mirrors {
    fn resolve(&self) -> Result<Parsed> {
        self.first(Source::resolve)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.first(|registry| registry.document(descriptor))
    }

    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        self.first(|registry| registry.blob(descriptor, sink))
    }
}
