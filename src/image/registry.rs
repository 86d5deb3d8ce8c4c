//! Registries (OCI distribution specification), as sources of images.
//!
//! Owns the repository's addresses and what their answers mean; `http` owns requests, redirects and retries, `auth` tokens. It
//! stores nothing. The surprise: it is synchronous outside, called by several threads at once, while all of its connections live
//! on one runtime thread of its own; a process that has opened a registry must not clone a container any more.

mod auth;
mod http;
mod mirrors;
mod push;
mod search;

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Url};
use tokio::runtime::Runtime;

use self::http::{Answer, Http, STALL};
pub use self::mirrors::Mirrors;
pub use self::push::Push;
pub use self::search::Hit;
use super::digest::Digest;
use super::manifest::{ACCEPTED, Descriptor, MOST_DOCUMENT_BYTES, Parsed, parse};
use super::reference::Reference;
use super::transport::{Sink, Source};
use crate::error::{Context, Error, Result, catalog::image};
use crate::host::credentials::Credentials;

/// Attempts that bring nothing new; whoever brings bytes begins to count again.
const ATTEMPTS: u32 = 6;

/// How a registry is to be spoken to.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--tls-verify=false`: plain http and any certificate will do.
    pub insecure: bool,
    /// Certificate authorities beside the system's.
    pub authorities: Vec<PathBuf>,
    /// Who one is there.
    pub credentials: Option<Credentials>,
}

/// One repository of a registry.
pub struct Registry {
    reference: Reference,
    http: Arc<Http>,
    runtime: Runtime,
}

impl Registry {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// `RL0320` for a certificate authority that can't be read.
    pub fn open(reference: Reference, options: &Options) -> Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.context(&image::REGISTRY, || "start the network's thread".into())?;
        let http = Arc::new(Http::new(&reference, options)?);
        Ok(Self { reference, http, runtime })
    }

    fn url(&self, base: &Url, rest: &str) -> Result<Url> {
        let path = format!("v2/{}/{rest}", self.reference.repository());
        base.join(&path).context(&image::REGISTRY, || format!("make the address of {path}"))
    }

    async fn get(&self, rest: &str, headers: HeaderMap) -> Result<Answer> {
        let base = self.http.base().await?;
        self.http.send(Method::GET, self.url(&base, rest)?, headers).await
    }

    /// A manifest or a configuration, whole.
    async fn small(&self, rest: &str, accept: &str) -> Result<(Vec<u8>, Option<String>)> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value(accept)?);
        let answer = self.get(rest, headers).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refusal(answer, &self.getting()).await);
        }
        let content_type = answer.header(CONTENT_TYPE.as_str()).map(str::to_owned);
        Ok((answer.whole(MOST_DOCUMENT_BYTES).await?, content_type))
    }

    fn getting(&self) -> String {
        format!("get {} from {}", self.reference, self.reference.registry())
    }

    /// What an answer other than the one that was hoped for means.
    async fn refusal(&self, answer: Answer, doing: &str) -> Error {
        let status = answer.status;
        let said = answer.said().await;
        let error = |entry, why: &str| {
            let error = Error::new(entry, doing.to_owned());
            error.because(if said.is_empty() { why.to_owned() } else { format!("{why}: {said}") })
        };
        match status {
            StatusCode::NOT_FOUND => error(&image::NOT_IN_REGISTRY, "it is not there"),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let who =
                    if self.http.has_credentials() { "as the user that you logged in as" } else { "without a login" };
                error(&image::DENIED, &format!("it is denied {who} ({})", status.as_u16()))
                    .fix(format!("Log in, or as another user: rl login {}", self.reference.registry()))
            }
            other => error(&image::REGISTRY, &format!("it answered {}", other.as_u16())),
        }
    }

    async fn stream(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        let mut failures = 0;
        while sink.position() < descriptor.size {
            let before = sink.position();
            let failed = match self.go_on(descriptor, sink).await {
                Ok(()) => return Ok(()),
                Err(Stopped::ForGood(error)) => return Err(error),
                Err(Stopped::Cut(error)) => error,
            };
            failures = if sink.position() > before { 0 } else { failures + 1 };
            if failures == ATTEMPTS {
                return Err(failed);
            }
            tokio::time::sleep(http::pause(failures)).await;
        }
        Ok(())
    }

    /// One request, from where the sink is.
    async fn go_on(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<(), Stopped> {
        let from = sink.position();
        let mut headers = HeaderMap::new();
        if from > 0 {
            headers.insert(RANGE, value(&format!("bytes={from}-"))?);
        }
        let mut answer = self.get(&format!("blobs/{}", descriptor.digest), headers).await?;
        match answer.status {
            StatusCode::PARTIAL_CONTENT if starts_at(&answer, from) => {}
            // The server does not know ranges, or means another one.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                sink.restart().map_err(|error| full(descriptor, error))?;
                if answer.status != StatusCode::OK {
                    return Err(Stopped::Cut(self.refusal(answer, &self.getting()).await));
                }
            }
            StatusCode::OK => {}
            _ => return Err(Stopped::ForGood(self.refusal(answer, &self.getting()).await)),
        }
        while let Some(chunk) = answer.chunk(STALL).await.map_err(Stopped::Cut)? {
            if sink.position() + chunk.len() as u64 > descriptor.size {
                let error = Error::new(&image::WRONG_CONTENT, format!("fetch {}", descriptor.digest));
                let why = format!("more came than the {} bytes that were announced", descriptor.size);
                return Err(Stopped::ForGood(error.because(why)));
            }
            sink.write(&chunk).map_err(|error| full(descriptor, error))?;
        }
        if sink.position() == descriptor.size {
            return Ok(());
        }
        let why = format!("it ended after {} of {} bytes", sink.position(), descriptor.size);
        Err(Stopped::Cut(Error::new(&image::REGISTRY, format!("fetch {}", descriptor.digest)).because(why)))
    }
}

/// Why a stream has ended before its time.
enum Stopped {
    /// The line; going on from there may work.
    Cut(Error),
    ForGood(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::ForGood(error)
    }
}

/// The sink's own failure: the disk, or that nobody wants it any more.
fn full(descriptor: &Descriptor, error: std::io::Error) -> Stopped {
    let entry = match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => &image::NO_SPACE,
        _ => &image::STORE,
    };
    Stopped::ForGood(Error::new(entry, format!("keep {}", descriptor.digest)).because(error))
}

fn starts_at(answer: &Answer, from: u64) -> bool {
    let range = answer.header(CONTENT_RANGE.as_str()).and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split('-').next()).is_some_and(|start| start.parse() == Ok(from))
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).context(&image::REGISTRY, || format!("ask with {text:?}"))
}

impl Source for Registry {
    fn resolve(&self) -> Result<Parsed> {
        let asked = self.reference.asked();
        let (rest, accept) = (format!("manifests/{asked}"), ACCEPTED.join(", "));
        let (bytes, content_type) = self.runtime.block_on(self.small(&rest, &accept))?;
        if let Some(digest) = self.reference.digest() {
            verify(digest, &bytes)?;
        }
        parse(&bytes, content_type.as_deref())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let manifest = ACCEPTED.contains(&descriptor.media_type.as_str());
        let kind = if manifest { "manifests" } else { "blobs" };
        let rest = format!("{kind}/{}", descriptor.digest);
        let (bytes, _) = self.runtime.block_on(self.small(&rest, &descriptor.media_type))?;
        verify(&descriptor.digest, &bytes)?;
        Ok(bytes)
    }

    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        self.runtime.block_on(self.stream(descriptor, sink))
    }
}

fn verify(digest: &Digest, bytes: &[u8]) -> Result<()> {
    let is = Digest::of_kind(digest, bytes);
    if is == *digest {
        return Ok(());
    }
    Err(Error::new(&image::WRONG_CONTENT, format!("fetch {digest}")).because(format!("what came is {is}")))
}
