//! Requests to one registry: where it is, redirects, retries, bounds.
//!
//! Owns the decision between https and http, and that authorization stays with the registry. The surprise: redirects are
//! followed by hand, because what a client library forwards to which host is its own decision, and CVE-2020-15157 was one.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, StatusCode, Url};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::auth::{Authority, Challenge};
use super::{ATTEMPTS, Options};
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::reference::Reference;

/// Without a byte for so long a connection is dead.
pub(super) const STALL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 5;
/// Registries ask for minutes at most; whoever asks for more gets an error instead.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Of an error's text.
const MOST_SAID: u64 = 64 * 1024;

/// A client for one registry.
pub(super) struct Http {
    client: Client,
    host: String,
    loopback: bool,
    insecure: bool,
    base: OnceCell<Url>,
    authority: Authority,
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
        if let Some(path) = &options.authority {
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
        let mut failures = 0;
        let mut asked_for_token = false;
        loop {
            let token = self.authority.header(&self.client).await?;
            let wait = match self.follow(&method, url.clone(), &headers, token).await {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !asked_for_token => {
                    asked_for_token = true;
                    let Some(challenge) = answer.header(WWW_AUTHENTICATE.as_str()).and_then(Challenge::parse) else {
                        return Ok(answer);
                    };
                    self.authority.challenged(challenge, &url)?;
                    continue;
                }
                Ok(answer) if !is_temporary(answer.status) || failures + 1 == ATTEMPTS => return Ok(answer),
                Ok(answer) => answer.retry_after().unwrap_or_else(|| pause(failures)),
                Err(error) if failures + 1 == ATTEMPTS => return Err(error),
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
        headers: &HeaderMap,
        token: Option<HeaderValue>,
    ) -> Result<Answer> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            let mut request = self.client.request(method.clone(), at.clone()).headers(headers.clone());
            // To the registry itself and to nobody else (CVE-2020-15157).
            if let Some(token) = token.clone().filter(|_| at.origin() == url.origin()) {
                request = request.header(AUTHORIZATION, token);
            }
            let sent = timeout(STALL, request.send()).await;
            let response = match sent {
                Ok(sent) => sent.map_err(|error| unreachable(&at, error))?,
                Err(_) => return Err(silent(&at)),
            };
            let Some(next) = redirected(&response, &at)? else { return Ok(Answer::new(at, response)) };
            at = next;
        }
        Err(Error::new(&image::REGISTRY, format!("ask {url}")).because(format!("more than {REDIRECTS} redirections")))
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
