//! Requests to one registry: where it is, redirects, retries, bounds.
//!
//! Owns the decision between https and http, and that authorization stays with the registry. The surprise: redirects are
//! followed by hand, because what a client library forwards to which host is its own decision, and CVE-2020-15157 was one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;

use super::auth::{Authority, Challenge};
use super::{ATTEMPTS, Options};
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::reference::Reference;

/// Without a byte for so long a connection is dead.
pub(super) const STALL: Duration = Duration::from_secs(30);
/// The same for a registry that has been given a blob.
const SETTLE: Duration = Duration::from_secs(120);
/// Bytes of a file that are sent at a time.
const PIECE: usize = 256 * 1024;
const CONNECT: Duration = Duration::from_secs(20);
/// Attempts at a registry that has never answered: as a rule its name is wrong, or there is no network.
const TO_BEGIN_WITH: u32 = 3;
const REDIRECTS: usize = 5;
/// Registries ask for minutes at most; whoever asks for more gets an error instead.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Of an error's text.
const MOST_SAID: u64 = 64 * 1024;

/// What goes with a request.
#[derive(Clone)]
pub(super) enum Payload {
    Nothing,
    Bytes(Vec<u8>),
    /// The whole of a file of that size, and who counts its bytes as they go.
    File(Arc<File>, u64, Arc<watch::Sender<u64>>),
}

impl Payload {
    fn of(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Nothing => request,
            Self::Bytes(bytes) => request.body(bytes.clone()),
            Self::File(file, size, sent) => {
                let (file, sent) = (Arc::clone(file), Arc::clone(sent));
                sent.send_replace(0);
                // From the page cache, as a rule: not worth a thread.
                let pieces = futures_util::stream::unfold(0, move |position| {
                    let piece = piece(&file, position);
                    sent.send_replace(position);
                    std::future::ready(match piece {
                        Ok(bytes) if bytes.is_empty() => None,
                        Ok(bytes) => Some((Ok(bytes.clone()), position + bytes.len() as u64)),
                        Err(error) => Some((Err(error), position)),
                    })
                });
                request.header(CONTENT_LENGTH, *size).body(Body::wrap_stream(pieces))
            }
        }
    }

    fn sent(&self) -> u64 {
        match self {
            Self::File(_, _, sent) => *sent.borrow(),
            _ => 0,
        }
    }
}

fn piece(file: &File, position: u64) -> std::io::Result<Bytes> {
    let mut buffer = vec![0; PIECE];
    let count = file.read_at(&mut buffer, position)?;
    buffer.truncate(count);
    Ok(buffer.into())
}

/// A client for one registry.
pub(super) struct Http {
    client: Client,
    host: String,
    loopback: bool,
    insecure: bool,
    base: OnceCell<Url>,
    authority: Authority,
    /// It has answered once, so that it exists.
    answered: AtomicBool,
}

impl Http {
    pub(super) fn new(reference: &Reference, options: &Options) -> Result<Self> {
        // Another part of the program may have chosen one already; it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("rl/", env!("CARGO_PKG_VERSION")));
        if options.insecure {
            builder = builder.danger_accept_invalid_certs(true);
        }
        for path in &options.authorities {
            let doing = || format!("read the certificate authority {}", path.display());
            let pem = std::fs::read(path).context(&image::REGISTRY, doing)?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem).context(&image::REGISTRY, doing)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().context(&image::REGISTRY, || "set up TLS".into())?;
        let host = match reference.registry() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let url = format!("https://{host}/").parse::<Url>().context(&image::REGISTRY, || format!("use {host}"))?;
        let loopback = url.host().is_some_and(|host| match host {
            url::Host::Domain(name) => name == "localhost",
            url::Host::Ipv4(address) => address.is_loopback(),
            url::Host::Ipv6(address) => address.is_loopback(),
        });
        let authority = Authority::new(reference, options.credentials.clone());
        Ok(Self {
            client,
            host: host.to_owned(),
            loopback,
            insecure: options.insecure,
            base: OnceCell::new(),
            authority,
            answered: AtomicBool::new(false),
        })
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.authority.has_credentials()
    }

    /// https, or http where nobody can listen in between (loopback) or the user has said that it does not matter.
    pub(super) async fn base(&self) -> Result<Url> {
        self.base.get_or_try_init(|| self.find_base()).await.cloned()
    }

    async fn find_base(&self) -> Result<Url> {
        let url = |scheme: &str| {
            let text = format!("{scheme}://{}/", self.host);
            text.parse::<Url>().context(&image::REGISTRY, || format!("use {text}"))
        };
        let secure = url("https")?;
        if !self.loopback && !self.insecure {
            return Ok(secure);
        }
        let ask = |url: Url| self.client.get(url).timeout(STALL).send();
        let versions = |base: &Url| base.join("v2/").context(&image::REGISTRY, || format!("use {base}"));
        match ask(versions(&secure)?).await {
            Ok(_) => Ok(secure),
            Err(refused) => {
                let plain = url("http")?;
                match ask(versions(&plain)?).await {
                    Ok(_) => Ok(plain),
                    Err(_) => Err(unreachable(&secure, refused)),
                }
            }
        }
    }

    /// The final answer: redirects followed, a token fetched where one is asked for, patience where it is asked for.
    pub(super) async fn send(&self, method: Method, url: Url, headers: HeaderMap) -> Result<Answer> {
        self.carry(method, url, headers, &Payload::Nothing, ATTEMPTS).await
    }

    /// As [`Http::send`], with a payload, in so many attempts.
    pub(super) async fn carry(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        payload: &Payload,
        attempts: u32,
    ) -> Result<Answer> {
        let mut failures = 0;
        let mut asked_for_token = false;
        loop {
            let attempts = if self.answered.load(Ordering::Relaxed) { attempts } else { attempts.min(TO_BEGIN_WITH) };
            let token = self.authority.header(&self.client).await?;
            let wait = match self.follow(&method, url.clone(), (&headers, payload), token).await {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !asked_for_token => {
                    asked_for_token = true;
                    let Some(challenge) = answer.header(WWW_AUTHENTICATE.as_str()).and_then(Challenge::parse) else {
                        return Ok(answer);
                    };
                    self.authority.challenged(challenge, &url)?;
                    continue;
                }
                Ok(answer) if !is_temporary(answer.status) || failures + 1 >= attempts => return Ok(answer),
                Ok(answer) => answer.retry_after().unwrap_or_else(|| pause(failures)),
                Err(error) if failures + 1 >= attempts => return Err(error),
                Err(error) if *error.entry() == image::INSECURE_REDIRECT => return Err(error),
                Err(_) => pause(failures),
            };
            if wait > LONGEST_WAIT {
                let why = format!("it asks to wait for {} seconds", wait.as_secs());
                return Err(Error::new(&image::REGISTRY, format!("ask {}", self.host)).because(why));
            }
            failures += 1;
            tokio::time::sleep(wait).await;
        }
    }

    async fn follow(
        &self,
        method: &Method,
        url: Url,
        (headers, payload): (&HeaderMap, &Payload),
        token: Option<HeaderValue>,
    ) -> Result<Answer> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            let mut request = self.client.request(method.clone(), at.clone()).headers(headers.clone());
            // To the registry itself and to nobody else (CVE-2020-15157).
            if let Some(token) = token.clone().filter(|_| at.origin() == url.origin()) {
                request = request.header(AUTHORIZATION, token);
            }
            let response = patient(payload.of(request).send(), payload).await;
            let response = response.ok_or_else(|| silent(&at))?.map_err(|error| unreachable(&at, error))?;
            self.answered.store(true, Ordering::Relaxed);
            let Some(next) = redirected(&response, &at)? else { return Ok(Answer::new(at, response)) };
            at = next;
        }
        Err(Error::new(&image::REGISTRY, format!("ask {url}")).because(format!("more than {REDIRECTS} redirections")))
    }
}

/// Waits for as long as bytes go or come; `None` after the time in which none did.
async fn patient<T>(sending: impl Future<Output = T>, payload: &Payload) -> Option<T> {
    let mut sending = std::pin::pin!(sending);
    let mut before = payload.sent();
    loop {
        // A registry that has all of a large blob is silent while it moves it to where it belongs.
        let patience = if matches!(payload, Payload::File(..)) { SETTLE } else { STALL };
        if let Ok(sent) = timeout(patience, &mut sending).await {
            return Some(sent);
        }
        if payload.sent() == before {
            return None;
        }
        before = payload.sent();
    }
}

fn redirected(response: &Response, at: &Url) -> Result<Option<Url>> {
    if !response.status().is_redirection() {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()) else {
        return Ok(None);
    };
    let next = at.join(location).context(&image::REGISTRY, || format!("follow {at} to {location:?}"))?;
    let secure = next.scheme() == "https" || at.scheme() == "http" && next.scheme() == "http";
    if secure {
        return Ok(Some(next));
    }
    Err(Error::new(&image::INSECURE_REDIRECT, format!("follow {at} to {next}")))
}

fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
}

/// Twice as long each time, and a random part, so that a hundred clients do not come back together.
pub(super) fn pause(failures: u32) -> Duration {
    let base = 250_u64 << failures.min(5);
    let random = getrandom::u32().unwrap_or(0);
    Duration::from_millis(base + u64::from(random) % base)
}

fn unreachable(url: &Url, error: reqwest::Error) -> Error {
    Error::new(&image::REGISTRY, format!("ask {}", url.host_str().unwrap_or_default())).because(error.without_url())
}

fn silent(url: &Url) -> Error {
    let why = format!("it has not said a word for {} seconds", STALL.as_secs());
    Error::new(&image::REGISTRY, format!("ask {}", url.host_str().unwrap_or_default())).because(why)
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    url: Url,
    response: Response,
}

impl Answer {
    fn new(url: Url, response: Response) -> Self {
        Self { status: response.status(), url, response }
    }

    /// Where it leads, for uploads: not followed, used for the next request.
    pub(super) fn location(&self) -> Option<Url> {
        self.url.join(self.header(LOCATION.as_str())?).ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header(RETRY_AFTER.as_str())?.parse().ok().map(Duration::from_secs)
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn chunk(&mut self, patience: Duration) -> Result<Option<Bytes>> {
        match timeout(patience, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| unreachable(&self.url, error)),
            Err(_) => Err(silent(&self.url)),
        }
    }

    /// The body, of at most `most` bytes.
    pub(super) async fn whole(mut self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(STALL).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > most {
                let why = format!("it has more than {most} bytes");
                return Err(Error::new(&image::BAD_MANIFEST, format!("read {}", self.url)).because(why));
            }
        }
        Ok(bytes)
    }

    /// What the registry says of an error, in its own words if it is one.
    pub(super) async fn said(self) -> String {
        let text = self.whole(MOST_SAID).await.unwrap_or_default();
        let errors: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let first = &errors["errors"][0];
        let words = [&first["code"], &first["message"]];
        words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(": ")
    }
}
