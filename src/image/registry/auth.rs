//! Who one is at a registry: basic authentication, or tokens of a server that the registry names.
//!
//! Owns which server credentials may be sent to. The surprise: the registry names the token's server in its first answer, so a
//! hostile one could name anybody; credentials go to the registry's own domain only, over https.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use serde::Deserialize;

use super::http::STALL;
use crate::error::{Context, Error, Result, catalog::image};
use crate::host::credentials::Credentials;
use crate::image::reference::Reference;

/// Of a token's answer.
const MOST_TOKEN_BYTES: usize = 1 << 20;

/// What a registry wants, from its `WWW-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// `Bearer realm="...",service="...",scope="..."` (RFC 9110, 11.6.1); `None` for other schemes.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let get = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        Some(Self::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
    }
}

/// `name=token` or `name="quoted \" text"`, with commas between; a comma in quotes is text (scopes have them).
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((name, value)) = rest.split_once('=') {
        let mut read = String::new();
        let after;
        if let Some(quoted) = value.strip_prefix('"') {
            let mut letters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, letter)) = letters.next() {
                match letter {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => read.extend(letters.next().map(|(_, letter)| letter)),
                    other => read.push(other),
                }
            }
            after = &quoted[end..];
        } else {
            let end = value.find(',').unwrap_or(value.len());
            read.push_str(value[..end].trim());
            after = &value[end..];
        }
        all.push((name.trim().to_owned(), read));
        rest = after.trim_start_matches([' ', ',']);
    }
    all
}

#[derive(Default)]
struct State {
    challenge: Option<(Challenge, Url)>,
    header: Option<HeaderValue>,
}

/// The way to an `Authorization` header.
pub(super) struct Authority {
    credentials: Option<Credentials>,
    scope: String,
    state: Mutex<State>,
}

impl Authority {
    pub(super) fn new(reference: &Reference, credentials: Option<Credentials>) -> Self {
        let scope = format!("repository:{}:pull", reference.repository());
        Self { credentials, scope, state: Mutex::default() }
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The registry at `url` has refused what it was given.
    pub(super) fn challenged(&self, challenge: Challenge, url: &Url) -> Result<()> {
        if let (Challenge::Bearer { realm, .. }, Some(_)) = (&challenge, &self.credentials) {
            let parsed =
                realm.parse::<Url>().context(&image::REGISTRY, || format!("use the token server {realm:?}"))?;
            if !may_know(&parsed, url) {
                let (own, other) = (url.host_str().unwrap_or_default(), parsed.host_str().unwrap_or_default());
                return Err(Error::new(&image::DENIED, format!("get a token for {own}"))
                    .because(format!("it sends your credentials to {other}, which is none of its servers"))
                    .fix("If that is right, pull without a login, or tell whoever runs the registry."));
            }
        }
        self.state(|state| *state = State { challenge: Some((challenge, url.clone())), header: None });
        Ok(())
    }

    /// What to send now. A token is fetched when there is none yet.
    pub(super) async fn header(&self, client: &Client) -> Result<Option<HeaderValue>> {
        let (header, challenge) = self.state(|state| (state.header.clone(), state.challenge.clone()));
        let Some((challenge, registry)) = challenge.filter(|_| header.is_none()) else { return Ok(header) };
        let header = match challenge {
            Challenge::Basic => self.credentials.as_ref().map(basic).transpose()?,
            Challenge::Bearer { realm, service, scope } => {
                let scope = scope.unwrap_or_else(|| self.scope.clone());
                Some(self.token(client, &realm, service.as_deref(), &scope, &registry).await?)
            }
        };
        self.state(|state| state.header.clone_from(&header));
        Ok(header)
    }

    async fn token(
        &self,
        client: &Client,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        registry: &Url,
    ) -> Result<HeaderValue> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let doing = || format!("get a token from {realm}");
        let mut url = realm.parse::<Url>().context(&image::REGISTRY, doing)?;
        if url.scheme() != "https" && registry.scheme() != "http" {
            return Err(Error::new(&image::REGISTRY, doing()).because("a token server must be asked over https"));
        }
        let scopes = scope.split(' ').filter(|scope| !scope.is_empty()).map(|scope| ("scope", scope));
        url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).extend_pairs(scopes);
        let mut request = client.get(url).timeout(STALL);
        if let Some(Credentials { user, password }) = &self.credentials {
            request = request.basic_auth(user, Some(password));
        }
        let mut response =
            request.send().await.map_err(|error| Error::new(&image::REGISTRY, doing()).because(error.without_url()))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.context(&image::REGISTRY, doing)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST_TOKEN_BYTES {
                return Err(Error::new(&image::REGISTRY, doing()).because("its answer is larger than any token"));
            }
        }
        if !status.is_success() {
            return Err(Error::new(&image::DENIED, doing()).because(format!("it answered {}", status.as_u16())));
        }
        let answer: Answer = serde_json::from_slice(&bytes).context(&image::REGISTRY, doing)?;
        let token = answer.token.or(answer.access_token);
        let token = token.ok_or_else(|| Error::new(&image::REGISTRY, doing()).because("its answer has no token"))?;
        secret(&format!("Bearer {token}"))
    }
}

fn basic(credentials: &Credentials) -> Result<HeaderValue> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{}:{}", credentials.user, credentials.password))))
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).context(&image::REGISTRY, || "send credentials".into())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the token server belongs to the registry: the same host, one below it, its parent domain (registry.gitlab.com is
/// served by gitlab.com), or Docker's own. Not its siblings: those of example.co.uk are all of Britain.
fn may_know(realm: &Url, registry: &Url) -> bool {
    let (Some(realm_host), Some(host)) = (realm.host_str(), registry.host_str()) else { return false };
    if realm.scheme() != "https" && registry.scheme() != "http" {
        return false;
    }
    let below = |host: &str, domain: &str| host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
    let dockers = |host: &str| below(host, "docker.io");
    realm_host == host
        || registry.domain().is_some()
            && (below(realm_host, host)
                || host.split_once('.').is_some_and(|(_, parent)| parent == realm_host && parent.contains('.'))
                || dockers(realm_host) && dockers(host))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read_with_commas_and_quotes_in_them() {
        let header = r#"Bearer realm="https://auth.docker.io/token", service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(header),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate abc"), None);
        assert_eq!(Challenge::parse("Bearer service=x"), None);
    }

    #[test]
    fn credentials_stay_in_the_registrys_own_domain() {
        let may =
            |realm: &str, registry: &str| may_know(&realm.parse().expect(realm), &registry.parse().expect(registry));
        assert!(may("https://auth.docker.io/token", "https://registry-1.docker.io/"));
        assert!(may("https://ghcr.io/token", "https://ghcr.io/v2/"));
        assert!(may("https://auth.example.com/", "https://example.com/"));
        assert!(may("https://gitlab.com/jwt/auth", "https://registry.gitlab.com/"));
        assert!(may("http://127.0.0.1:5001/", "http://127.0.0.1:5000/"));
        for (realm, registry) in [
            ("https://evil.org/token", "https://ghcr.io/"),
            ("https://evil.io/token", "https://ghcr.io/"),
            ("http://ghcr.io/token", "https://ghcr.io/"),
            ("https://notexample.com/", "https://example.com/"),
            ("https://evil.co.uk/", "https://example.co.uk/"),
            ("https://evildocker.io/", "https://registry-1.docker.io/"),
            ("https://10.0.0.2/", "https://10.0.0.1/"),
            ("https://1.0.0.1/", "https://10.0.0.1/"),
        ] {
            assert!(!may(realm, registry), "{realm} for {registry}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic_or_hang(text in "(Bearer )?[a-z=\", \\\\é]{0,60}") {
            let _ = Challenge::parse(&text);
        }
    }
}
