//! Archives made byte by byte, so that each can be wrong in one way.

use std::io::Write;

const BLOCK: usize = 512;

/// A header block; `sum` comes last.
#[derive(Clone)]
pub struct Header(pub [u8; BLOCK]);

impl Header {
    /// A ustar header of root's, mode 0644 (0755: a directory), of the second 1,000,000,000.
    pub fn new(kind: u8, name: &str, size: u64) -> Self {
        let mut header = Self([0; BLOCK]);
        header.set(0, name.as_bytes());
        header.set(100, if kind == b'5' { b"0000755" } else { b"0000644" });
        header.set(108, b"0000000").set(116, b"0000000");
        header.set(124, format!("{size:011o}").as_bytes());
        header.set(136, format!("{:011o}", 1_000_000_000).as_bytes());
        header.set(156, &[kind]).set(257, b"ustar\x0000");
        header.sum()
    }

    pub fn set(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.set(at, bytes);
        self.sum()
    }

    fn sum(mut self) -> Self {
        self.set(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.set(148, format!("{sum:06o}\0 ").as_bytes());
        self
    }
}

/// An archive under construction.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn header(self, header: Header) -> Self {
        self.raw(&header.0)
    }

    fn data(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// A header with the data that it announces.
    pub fn with_data(self, header: Header, bytes: &[u8]) -> Self {
        self.header(header).data(bytes)
    }

    pub fn file(self, name: &str, content: &str) -> Self {
        self.with_data(Header::new(b'0', name, content.len() as u64), content.as_bytes())
    }

    pub fn dir(self, name: &str) -> Self {
        self.header(Header::new(b'5', name, 0))
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.header(Header::new(b'2', name, 0).with(157, target.as_bytes()))
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.header(Header::new(b'1', name, 0).with(157, target.as_bytes()))
    }

    /// An extension header: `x`, `g`, `L` or `K`.
    pub fn extension(self, kind: u8, bytes: &[u8]) -> Self {
        self.with_data(Header::new(kind, "extension", bytes.len() as u64), bytes)
    }

    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            bytes.extend(record(key, value));
        }
        self.extension(b'x', &bytes)
    }

    /// The two zero blocks.
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 2 * BLOCK]).0
    }
}

/// A pax record: its length counts itself.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (1..8).map(|digits| body + digits).find(|all| all.to_string().len() + body == *all).expect("a length");
    let mut bytes = format!("{length} {key}=").into_bytes();
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("zstd")
}
