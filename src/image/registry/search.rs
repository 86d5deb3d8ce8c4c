//! What a registry has: repositories that a term is in, tags of one repository.
//!
//! Owns the two ways of asking, which have nothing in common: the Hub's search, and the catalogue of the distribution
//! specification, read page by page. The surprise: most public registries refuse their catalogue to everybody.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::{Answer, Registry};
use crate::error::{Context, Error, Result, catalog::image};

/// Of one page.
const MOST_PAGE_BYTES: u64 = 4 << 20;
/// Names a page, and pages: a million names are looked through.
const A_PAGE: usize = 1000;
const MOST_PAGES: usize = 1000;

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hit {
    /// Without the registry.
    pub name: String,
    /// In its owner's words.
    #[serde(default, deserialize_with = "or_nothing")]
    pub description: String,
    /// Of people who like it.
    #[serde(default, rename = "star_count")]
    pub stars: u64,
    /// Docker's own.
    #[serde(default, rename = "is_official")]
    pub official: bool,
    /// Built by the registry itself.
    #[serde(default, rename = "is_automated")]
    pub automated: bool,
}

fn or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Hits {
    results: Vec<Hit>,
}

#[derive(Deserialize)]
struct Catalogue {
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Repositories with `term` in their names, at most `limit`; `hub`: by the search of Docker's Hub.
    ///
    /// # Errors
    /// The registry's refusal, which is common.
    pub fn search(&self, term: &str, limit: usize, hub: bool) -> Result<Vec<Hit>> {
        self.runtime.block_on(async {
            if hub {
                return self.by_search(term, limit).await;
            }
            let mut hits = Vec::new();
            let first = format!("v2/_catalog?n={A_PAGE}");
            self.pages(&first, |page: Catalogue| {
                let names = page.repositories.unwrap_or_default().into_iter().filter(|name| name.contains(term));
                hits.extend(names.map(|name| Hit {
                    name,
                    description: String::new(),
                    stars: 0,
                    official: false,
                    automated: false,
                }));
                hits.len() < limit
            })
            .await?;
            hits.truncate(limit);
            Ok(hits)
        })
    }

    /// Tags of the repository, at most `limit`.
    ///
    /// # Errors
    /// The registry's refusal.
    pub fn tags(&self, limit: usize) -> Result<Vec<String>> {
        let mut tags = Vec::new();
        let first = format!("v2/{}/tags/list?n={}", self.reference.repository(), A_PAGE.min(limit));
        self.runtime.block_on(self.pages(&first, |page: Tags| {
            tags.extend(page.tags.unwrap_or_default());
            tags.len() < limit
        }))?;
        tags.truncate(limit);
        Ok(tags)
    }

    /// Whether it takes the login that it was opened with.
    ///
    /// # Errors
    /// `RL0321` where it does not.
    pub fn check_login(&self) -> Result<()> {
        self.runtime.block_on(async {
            let base = self.http.base().await?;
            let url = base.join("v2/").context(&image::REGISTRY, || "make an address".into())?;
            let answer = self.http.send(Method::GET, url, HeaderMap::new()).await?;
            match answer.status {
                StatusCode::OK => Ok(()),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    let what = format!("log in at {}", self.reference.registry());
                    Err(Error::new(&image::DENIED, what).because("the user or the password is wrong"))
                }
                _ => Err(self.refusal(answer, &format!("log in at {}", self.reference.registry())).await),
            }
        })
    }

    async fn by_search(&self, term: &str, limit: usize) -> Result<Vec<Hit>> {
        let base = self.http.base().await?;
        let mut url = base.join("v1/search").context(&image::REGISTRY, || "make an address".into())?;
        url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
        let (Hits { mut results }, _) = self.page(url).await?;
        results.truncate(limit);
        Ok(results)
    }

    /// Page after page, as long as `take` wants more.
    async fn pages<T: for<'de> Deserialize<'de>>(&self, first: &str, mut take: impl FnMut(T) -> bool) -> Result<()> {
        let base = self.http.base().await?;
        let mut next = Some(base.join(first).context(&image::REGISTRY, || format!("make the address of {first}"))?);
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { return Ok(()) };
            let (page, following) = self.page(url).await?;
            if !take(page) {
                return Ok(());
            }
            // A page of another host would be asked with this one's authorization.
            next = following.filter(|url| url.origin() == base.origin());
        }
        Ok(())
    }

    async fn page<T: for<'de> Deserialize<'de>>(&self, url: Url) -> Result<(T, Option<Url>)> {
        let shown = url.clone();
        let answer = self.http.send(Method::GET, url, HeaderMap::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refusal(answer, &format!("search {}", self.reference.registry())).await);
        }
        let next = link(&answer, &shown);
        let bytes = answer.whole(MOST_PAGE_BYTES).await?;
        let page = serde_json::from_slice(&bytes).context(&image::REGISTRY, || format!("understand {shown}"))?;
        Ok((page, next))
    }
}

/// `<URL>; rel="next"` (RFC 8288).
fn link(answer: &Answer, at: &Url) -> Option<Url> {
    let header = answer.header(LINK.as_str())?;
    let (url, relation) = header.strip_prefix('<')?.split_once('>')?;
    at.join(url).ok().filter(|_| relation.contains("next"))
}
