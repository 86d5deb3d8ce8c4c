//! Sparse files: where their data lies, in the four ways in which GNU tar has written it.
//!
//! Owns the map (offset, length) and its checks: the pieces must be in order, within the file, and add up to what is
//! stored. Holes are never written, so an archive of a petabyte of nothing costs nothing here and is refused by its
//! size elsewhere.

use std::io::{self, Read};

use super::number::field;

/// A piece of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// More pieces than any real file has; each is a seek and a write.
const MOST_PIECES: usize = 1 << 20;

/// In order, within `size`, and as long as the data that is stored.
pub(super) fn check(pieces: &[Piece], size: u64, stored: u64) -> Result<(), String> {
    let (mut end, mut total) = (0_u64, 0_u64);
    for piece in pieces {
        let next = piece.offset.checked_add(piece.length).ok_or("a piece of a sparse file overflows")?;
        if piece.offset < end || next > size {
            return Err("the pieces of a sparse file overlap or reach beyond its size".to_owned());
        }
        end = next;
        // Disjoint and within a u64, so the sum is too.
        total += piece.length;
    }
    if total == stored { Ok(()) } else { Err(format!("a sparse file stores {stored} bytes but its map names {total}")) }
}

/// The four entries of an old GNU header, or the 21 of a block that continues it: 12 octal digits each.
pub(super) fn gnu_entries(bytes: &[u8], into: &mut Vec<Piece>) -> Result<(), String> {
    for entry in bytes.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        into.push(Piece { offset: field(&entry[..12])?, length: field(&entry[12..])? });
    }
    Ok(())
}

/// pax 0.0: the records GNU.sparse.offset and GNU.sparse.numbytes, alternating.
pub(super) fn pax_pairs(numbers: &[u64]) -> Result<Vec<Piece>, String> {
    if !numbers.len().is_multiple_of(2) || numbers.len() / 2 > MOST_PIECES {
        return Err("a sparse file's offsets and lengths are no pairs".to_owned());
    }
    Ok(numbers.chunks_exact(2).map(|pair| Piece { offset: pair[0], length: pair[1] }).collect())
}

/// pax 0.1: `offset,length,offset,length,...`.
pub(super) fn pax_list(text: &str) -> Result<Vec<Piece>, String> {
    let numbers = text.split(',').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    let numbers = numbers.map_err(|_| format!("GNU.sparse.map {text:?} is no list of numbers"))?;
    pax_pairs(&numbers)
}

/// pax 1.0: decimal lines at the start of the data, padded to a block. Gives how many bytes they took.
pub(super) fn pax_stored(data: &mut impl Read) -> io::Result<(Vec<Piece>, u64)> {
    let mut lines = Lines { data, block: [0; 512], position: 512, blocks: 0 };
    let count = lines.number()?;
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST_PIECES);
    let count = count.ok_or_else(|| io::Error::other("a sparse file with too many pieces"))?;
    let pieces = (0..count).map(|_| Ok(Piece { offset: lines.number()?, length: lines.number()? }));
    Ok((pieces.collect::<io::Result<_>>()?, lines.blocks * 512))
}

struct Lines<'a, R> {
    data: &'a mut R,
    block: [u8; 512],
    position: usize,
    blocks: u64,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> io::Result<u64> {
        let mut text = String::new();
        loop {
            if self.position == 512 {
                self.data.read_exact(&mut self.block)?;
                (self.position, self.blocks) = (0, self.blocks + 1);
            }
            let byte = self.block[self.position];
            self.position += 1;
            match byte {
                b'\n' => {
                    return text
                        .parse()
                        .map_err(|_| io::Error::other(format!("{text:?} in a sparse map is no number")));
                }
                b'0'..=b'9' if text.len() < 20 => text.push(char::from(byte)),
                _ => return Err(io::Error::other("a sparse map is malformed")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_out_of_order_or_beyond_the_size_are_refused() {
        let piece = |offset, length| Piece { offset, length };
        assert_eq!(check(&[piece(0, 5), piece(10, 5)], 20, 10), Ok(()));
        assert!(check(&[piece(10, 5), piece(0, 5)], 20, 10).is_err());
        assert!(check(&[piece(0, 5), piece(4, 5)], 20, 10).is_err());
        assert!(check(&[piece(18, 5)], 20, 5).is_err());
        assert!(check(&[piece(u64::MAX, 5)], 20, 5).is_err());
        assert!(check(&[piece(0, 5)], 20, 6).is_err());
    }
}
