//! The id map: which ids inside a user namespace are which ids of its parent.
//!
//! Owns [`IdMap`] and its arithmetic; it reads and writes nothing. The surprise: half-open extents never reach 2^32,
//! because 4294967295 is no id; so `first + count` fits in a u32 everywhere behind the check in [`IdMap::new`].

use std::fmt;

/// `count` ids from `inside` (in the namespace) on are those from `outside` (in its parent) on; half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Extent {
    /// First id inside the namespace.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many ids; never 0.
    pub count: u32,
}

/// Extents sorted by `inside`, overlapping on neither side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct IdMap(Vec<Extent>);

/// Why extents are no id map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// A count of zero.
    #[error("an extent of no ids at {inside}")]
    Empty {
        /// First id inside.
        inside: u32,
    },
    /// Beyond the last id, 4294967294.
    #[error("the extent {inside}:{outside}:{count} goes beyond the last id")]
    Overflow {
        /// First id inside.
        inside: u32,
        /// First id outside.
        outside: u32,
        /// How many.
        count: u32,
    },
    /// Two extents share ids.
    #[error("the extents {first} and {second} overlap")]
    Overlap {
        /// One extent as text.
        first: String,
        /// The other extent as text.
        second: String,
    },
    /// Ids that the parent does not have.
    #[error("{count} ids from {outside} on are not all mapped in the parent namespace")]
    NotInParent {
        /// First id outside.
        outside: u32,
        /// How many.
        count: u32,
    },
    /// Not three numbers a line.
    #[error("the line {line:?} is not INSIDE OUTSIDE COUNT")]
    Malformed {
        /// The line.
        line: String,
    },
}

impl IdMap {
    /// Checks and sorts the extents.
    pub fn new(mut extents: Vec<Extent>) -> Result<Self, MapError> {
        extents.sort();
        for extent in &extents {
            extent.check()?;
        }
        let mut outside = extents.clone();
        outside.sort_by_key(|extent| extent.outside);
        for pair in extents.windows(2) {
            if pair[0].inside + pair[0].count > pair[1].inside {
                return Err(MapError::Overlap { first: pair[0].to_string(), second: pair[1].to_string() });
            }
        }
        for pair in outside.windows(2) {
            if pair[0].outside + pair[0].count > pair[1].outside {
                return Err(MapError::Overlap { first: pair[0].to_string(), second: pair[1].to_string() });
            }
        }
        Ok(Self(extents))
    }

    /// Reads the format of /proc/PID/uid_map: `INSIDE OUTSIDE COUNT` a line (user_namespaces(7)).
    pub fn parse(text: &str) -> Result<Self, MapError> {
        let extent = |line: &str| {
            // The kernel prints digits only; `+1` is a number to Rust and to nobody else.
            let number = |word: &str| if word.starts_with('+') { None } else { word.parse::<u32>().ok() };
            let mut numbers = line.split_ascii_whitespace().map(number);
            match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
                (Some(Some(inside)), Some(Some(outside)), Some(Some(count)), None) => {
                    Ok(Extent { inside, outside, count })
                }
                _ => Err(MapError::Malformed { line: line.to_owned() }),
            }
        };
        Self::new(text.lines().map(extent).collect::<Result<_, _>>()?)
    }

    /// One extent of one id.
    pub fn single(inside: u32, outside: u32) -> Self {
        Self(vec![Extent { inside, outside, count: 1 }])
    }

    /// The extents, sorted by `inside`.
    pub fn extents(&self) -> &[Extent] {
        &self.0
    }

    /// The id in the parent namespace that `inside` is.
    pub fn outside(&self, inside: u32) -> Option<u32> {
        let extent = self.0.iter().find(|extent| extent.inside <= inside && inside - extent.inside < extent.count)?;
        Some(extent.outside + (inside - extent.inside))
    }

    /// The id inside the namespace that `outside` of the parent is.
    pub fn inside(&self, outside: u32) -> Option<u32> {
        let extent =
            self.0.iter().find(|extent| extent.outside <= outside && outside - extent.outside < extent.count)?;
        Some(extent.inside + (outside - extent.outside))
    }

    /// How many ids are mapped in all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|extent| u64::from(extent.count)).sum()
    }

    /// The map of a child namespace that has the very ids of this one, split at this map's extents as the kernel
    /// demands.
    #[must_use]
    pub fn identity_child(&self) -> Self {
        Self(self.0.iter().map(|extent| Extent { outside: extent.inside, ..*extent }).collect())
    }

    /// Cuts each extent of `self` where its outside ids cross an extent of `parent`; an error where the parent lacks an
    /// id.
    pub fn split_at(&self, parent: &Self) -> Result<Self, MapError> {
        let mut pieces = Vec::new();
        for extent in &self.0 {
            let (mut inside, mut outside, mut left) = (extent.inside, extent.outside, extent.count);
            while left > 0 {
                let holder = parent.0.iter().find(|p| p.inside <= outside && outside - p.inside < p.count);
                let holder = holder.ok_or(MapError::NotInParent { outside: extent.outside, count: extent.count })?;
                let count = left.min(holder.count - (outside - holder.inside));
                pieces.push(Extent { inside, outside, count });
                left -= count;
                inside += count;
                outside += count;
            }
        }
        Self::new(pieces)
    }

    /// What `self`, a child of `parent`, looks like from the parent's parent.
    pub fn through(&self, parent: &Self) -> Result<Self, MapError> {
        let translate = |extent: &Extent| {
            let outside = parent
                .outside(extent.outside)
                .ok_or(MapError::NotInParent { outside: extent.outside, count: extent.count })?;
            Ok(Extent { outside, ..*extent })
        };
        Self::new(self.split_at(parent)?.0.iter().map(translate).collect::<Result<_, _>>()?)
    }
}

impl Extent {
    fn check(&self) -> Result<(), MapError> {
        if self.count == 0 {
            return Err(MapError::Empty { inside: self.inside });
        }
        // 4294967295 is (uid_t)-1, which means "no id" to many calls; it can't be mapped.
        let fits = |first: u32| first.checked_add(self.count).is_some();
        if fits(self.inside) && fits(self.outside) {
            return Ok(());
        }
        Err(MapError::Overflow { inside: self.inside, outside: self.outside, count: self.count })
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

/// The format that /proc/PID/uid_map takes.
impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for extent in &self.0 {
            writeln!(f, "{} {} {}", extent.inside, extent.outside, extent.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
