//! Images go to a registry (OCI distribution specification, "Push").
//!
//! Owns uploads: what is there is not sent, what another repository of the same registry has is mounted from there, the
//! rest is sent in one piece each. The surprise: after a cut an upload begins again, because what a registry says of the
//! bytes that it has kept is true for few of them.

use std::fs::File;
use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::watch;

use super::http::{Answer, Payload, pause};
use super::{ATTEMPTS, Options, Registry, value};
use crate::error::{Error, Result, catalog::image};
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::reference::Reference;
use crate::image::transport::{Destination, Progress};

/// What docker does, and registries are used to.
const SIDE_BY_SIDE: usize = 3;

/// One repository that images go to.
pub struct Push {
    registry: Registry,
    /// Repositories of the same registry that may have some of the blobs.
    near: Vec<String>,
}

impl Push {
    /// Connects to nothing yet. `known` are names of images, of which those on the same registry may share content.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open<'a>(
        reference: Reference,
        options: &Options,
        known: impl IntoIterator<Item = &'a Reference>,
    ) -> Result<Self> {
        let mut near: Vec<String> = known
            .into_iter()
            .filter(|other| other.registry() == reference.registry() && other.repository() != reference.repository())
            .map(|other| other.repository().to_owned())
            .collect();
        near.sort();
        near.dedup();
        Ok(Self { registry: Registry::open(reference, options)?, near })
    }

    async fn url(&self, rest: &str) -> Result<Url> {
        let base = self.registry.http.base().await?;
        self.registry.url(&base, rest)
    }

    async fn refusal(&self, answer: Answer) -> Error {
        let reference = &self.registry.reference;
        self.registry.refusal(answer, &format!("send {reference} to {}", reference.registry())).await
    }

    async fn is_there(&self, descriptor: &Descriptor) -> Result<bool> {
        let url = self.url(&format!("blobs/{}", descriptor.digest)).await?;
        let answer = self.registry.http.send(Method::HEAD, url, HeaderMap::new()).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            // Whoever may write only is told by some registries that reading is denied; the upload will tell.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Ok(false),
            _ => Err(self.refusal(answer).await),
        }
    }

    /// Where the content is to be sent; `None`: it was mounted from another repository.
    async fn begin(&self, descriptor: &Descriptor, from: Option<&str>) -> Result<Option<Url>> {
        let mut url = self.url("blobs/uploads/").await?;
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("mount", &descriptor.digest.to_string()).append_pair("from", from);
        }
        let answer = self.registry.http.send(Method::POST, url, HeaderMap::new()).await?;
        match answer.status {
            StatusCode::CREATED if from.is_some() => Ok(None),
            StatusCode::ACCEPTED => match answer.location() {
                Some(location) => Ok(Some(location)),
                None => Err(strange("it does not say where the upload goes")),
            },
            _ => Err(self.refusal(answer).await),
        }
    }

    async fn upload(&self, descriptor: &Descriptor, content: &Arc<File>, sent: &Arc<watch::Sender<u64>>) -> Result<()> {
        let mut place = None;
        for from in &self.near {
            match self.begin(descriptor, Some(from)).await? {
                None => return Ok(()),
                // Not there; but this is the beginning of an ordinary upload.
                Some(url) => place = Some(url),
            }
        }
        let mut failures = 0;
        loop {
            let to = match place.take() {
                Some(url) => url,
                None => match self.begin(descriptor, None).await? {
                    Some(url) => url,
                    None => return Ok(()),
                },
            };
            let answer = self.send(to, descriptor, content, sent).await;
            failures += 1;
            match answer {
                Ok(answer) if answer.status == StatusCode::CREATED => return Ok(()),
                Ok(answer) if !answer.status.is_server_error() || failures == ATTEMPTS => {
                    return Err(self.refusal(answer).await);
                }
                Err(error) if failures == ATTEMPTS => return Err(error),
                _ => tokio::time::sleep(pause(failures)).await,
            }
        }
    }

    async fn send(
        &self,
        mut to: Url,
        descriptor: &Descriptor,
        content: &Arc<File>,
        sent: &Arc<watch::Sender<u64>>,
    ) -> Result<Answer> {
        to.query_pairs_mut().append_pair("digest", &descriptor.digest.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let payload = Payload::File(Arc::clone(content), descriptor.size, Arc::clone(sent));
        self.registry.http.carry(Method::PUT, to, headers, &payload, 1).await
    }

    async fn name(&self, manifest: &Manifest, tag: &str) -> Result<()> {
        let url = self.url(&format!("manifests/{tag}")).await?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, value(&manifest.media_type)?);
        let payload = Payload::Bytes(manifest.bytes.clone());
        let answer = self.registry.http.carry(Method::PUT, url, headers, &payload, ATTEMPTS).await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
            _ => Err(self.refusal(answer).await),
        }
    }
}

fn strange(why: &str) -> Error {
    Error::new(&image::REGISTRY, "send the image").because(why)
}

impl Destination for Push {
    fn side_by_side(&self) -> usize {
        SIDE_BY_SIDE
    }

    fn wants_compressed(&self) -> bool {
        true
    }

    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        self.registry.runtime.block_on(self.is_there(descriptor))
    }

    fn put(&self, descriptor: &Descriptor, content: &Arc<File>, progress: &dyn Progress) -> Result<()> {
        let (sent, mut sending) = watch::channel(0_u64);
        let sent = Arc::new(sent);
        self.registry.runtime.block_on(async {
            let mut uploading = std::pin::pin!(self.upload(descriptor, content, &sent));
            loop {
                tokio::select! {
                    uploaded = &mut uploading => return uploaded,
                    Ok(()) = sending.changed() => {
                        // The last bytes count when the registry has said that it has them.
                        let sent = *sending.borrow_and_update();
                        progress.blob(descriptor, sent.min(descriptor.size.saturating_sub(1)));
                    }
                }
            }
        })?;
        progress.blob(descriptor, descriptor.size);
        Ok(())
    }

    fn finish(&self, manifest: &Manifest, _: &[Reference]) -> Result<()> {
        let tag = self.registry.reference.asked();
        self.registry.runtime.block_on(self.name(manifest, &tag))
    }
}
