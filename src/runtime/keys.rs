//! The keys by which one leaves a container's terminal.
//!
//! Pure. The surprise: half a sequence that goes on differently is the container's, so it is held back only until the next key.

/// Where the detach keys have been typed up to.
#[derive(Debug, Clone)]
pub struct Keys {
    sequence: Vec<u8>,
    typed: usize,
}

impl Keys {
    /// This sequence; an empty one leaves no way out.
    pub fn new(sequence: Vec<u8>) -> Self {
        Self { sequence, typed: 0 }
    }

    /// Takes what was typed out of `bytes` that belongs to the keys; true when all have been typed. Half a sequence that goes on
    /// differently is the container's.
    pub(super) fn filter(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(bytes.len());
        if self.sequence.is_empty() {
            return (bytes.to_vec(), false);
        }
        for byte in bytes {
            if self.sequence.get(self.typed) != Some(byte) {
                out.extend_from_slice(&self.sequence[..self.typed]);
                self.typed = 0;
            }
            if self.sequence.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.sequence.len() {
                    return (out, true);
                }
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_wherever_the_reads_cut_them_and_what_only_begins_like_them_is_typed() {
        let mut keys = Keys::new(vec![16, 17]);
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"c\x10"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.filter(b"\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11rest"), (Vec::new(), true));
        assert_eq!(Keys::new(Vec::new()).filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
