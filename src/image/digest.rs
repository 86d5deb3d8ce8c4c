//! Digests: `sha256:HEX` or `sha512:HEX`, checked once, so that no other text ever becomes part of a path.
//!
//! Pure, but for the hashing. The surprise: the algorithm is part of the value; two digests of the same bytes by different
//! algorithms are different names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, catalog::image};

/// A content's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of `bytes` by the algorithm of `like`.
    pub fn of_kind(like: &Self, bytes: &[u8]) -> Self {
        let mut hasher = like.hasher();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Checked to be 64 or 128 small hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// A hasher of this digest's algorithm, to verify content against it.
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = text.split_once(':').and_then(|(algorithm, hex)| {
            let (algorithm, length) = match algorithm {
                "sha256" => (Algorithm::Sha256, 64),
                "sha512" => (Algorithm::Sha512, 128),
                _ => return None,
            };
            let small_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (hex.len() == length && hex.bytes().all(small_hex)).then(|| Self { algorithm, hex: hex.to_owned() })
        });
        parsed.ok_or_else(|| {
            Error::new(&image::BAD_DIGEST, format!("{:?} is no digest", text.chars().take(200).collect::<String>()))
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Bytes in, digest out.
#[derive(Debug, Clone)]
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

impl Default for Hasher {
    fn default() -> Self {
        Self::Sha256(Sha256::new())
    }
}

impl Hasher {
    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(hasher) => Digest { algorithm: Algorithm::Sha256, hex: hex(&hasher.finalize()) },
            Self::Sha512(hasher) => Digest { algorithm: Algorithm::Sha512, hex: hex(&hasher.finalize()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_exactly_that() {
        let of_nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), of_nothing);
        assert_eq!(of_nothing.parse::<Digest>().expect("a digest"), Digest::of(b""));
        let upper = of_nothing.to_uppercase();
        for bad in ["", "sha256:", "sha256:../../x", "md5:00", &of_nothing[..70], &format!("{of_nothing}0"), &upper] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }
}
