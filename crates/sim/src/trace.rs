//! Traces: who asked for what, in order.
//!
//! A trace comes from a file ([`formats`]) or is made up ([`synthetic`]). Whatever names the keys had,
//! here they are numbered from 0 in the order of their first request.

pub mod formats;
pub mod synthetic;

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};

use crate::policy::Key;

/// The most that a file may decompress to, in bytes.
const LARGEST: u64 = 8 << 30;

/// A sequence of requests.
#[derive(Debug, Default, Clone)]
pub struct Trace {
    /// What it is called in tables.
    pub name: String,
    /// Who has to be named where results are shown.
    pub credit: Option<&'static str>,
    /// What was asked for.
    pub requests: Vec<Key>,
    /// When, in seconds. Empty: no request has a time, and nothing expires.
    pub times: Vec<u32>,
    /// By key: the size when it was asked for first, in bytes. Empty: all have size 1.
    pub sizes: Vec<u32>,
    /// By key: seconds from the miss that stored it to its expiry; 0: never. Empty: nothing expires.
    pub lifetimes: Vec<u32>,
    /// How many keys there are.
    pub keys: usize,
}

impl Trace {
    /// Opens a trace file, or makes up the trace that `source` specifies.
    ///
    /// # Errors
    ///
    /// When the specification is wrong, or the file cannot be read or is malformed; the error says where.
    pub fn open(source: &str) -> anyhow::Result<Self> {
        if let Some(trace) = synthetic::parse(source)? {
            return Ok(trace);
        }
        let path = Path::new(source);
        let bytes = fs::read(path).with_context(|| format!("cannot read the trace {source}"))?;
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or(source);
        let (plain, bytes) = decompress(file, bytes).with_context(|| source.to_owned())?;
        let trace = formats::read(plain, &bytes).with_context(|| source.to_owned())?;
        if trace.requests.is_empty() {
            bail!("{source}: no requests in it");
        }
        Ok(trace)
    }

    /// The size of `key`: in bytes, or 1 if sizes are not to be counted or not known.
    #[must_use]
    pub fn size(&self, key: Key, bytes: bool) -> u32 {
        if bytes { self.sizes.get(key as usize).copied().unwrap_or(1) } else { 1 }
    }

    /// The room that all keys would need, in bytes or items.
    #[must_use]
    pub fn footprint(&self, bytes: bool) -> u64 {
        if bytes && !self.sizes.is_empty() {
            self.sizes.iter().map(|&size| u64::from(size)).sum()
        } else {
            self.keys as u64
        }
    }
}

/// Numbers keys in the order of their first request.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    known: HashMap<u64, Key>,
}

impl Numbering {
    /// The number of the key that a trace calls `name`, and whether it is new.
    ///
    /// # Errors
    ///
    /// When there are too many keys.
    pub(crate) fn number(&mut self, name: u64) -> anyhow::Result<(Key, bool)> {
        if let Some(&known) = self.known.get(&name) {
            return Ok((known, false));
        }
        let number = u32::try_from(self.known.len())?;
        if number == Key::MAX {
            bail!("more than {number} different keys");
        }
        self.known.insert(name, number);
        Ok((number, true))
    }
}

/// What a file holds, and its name without the ending that says how it is compressed.
fn decompress(name: &str, bytes: Vec<u8>) -> anyhow::Result<(&str, Vec<u8>)> {
    let mut plain = Vec::new();
    let before = bytes.len();
    let result = if let Some(stem) = name.strip_suffix(".zst") {
        zstd(&bytes, &mut plain).map(|()| stem)
    } else if let Some(stem) = name.strip_suffix(".xz") {
        let reader = lzma_rust2::XzReader::new(&*bytes, true);
        reader.take(LARGEST).read_to_end(&mut plain).map(|_| stem).map_err(Into::into)
    } else {
        return Ok((name, bytes));
    };
    let stem = result.with_context(|| {
        format!("cannot be decompressed: wrong after {} bytes of output ({before} in)", plain.len())
    })?;
    if plain.len() as u64 >= LARGEST {
        bail!("decompresses to {LARGEST} bytes or more");
    }
    Ok((stem, plain))
}

/// Decompresses all frames of a zstd file.
fn zstd(mut bytes: &[u8], plain: &mut Vec<u8>) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        let decoder = ruzstd::decoding::StreamingDecoder::new(&mut bytes)?;
        decoder.take(LARGEST).read_to_end(plain)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("larder-sim-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn open(name: &str, bytes: &[u8]) -> anyhow::Result<Trace> {
        let path = file(name, bytes);
        let trace = Trace::open(&path);
        fs::remove_file(path).unwrap();
        trace
    }

    #[test]
    fn zstd_files_are_read() {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let compressed = compress_to_vec(&b"5 2 0 0\n5 1 0 1\n"[..], CompressionLevel::Fastest);
        assert_eq!(open("a.lis.zst", &compressed).unwrap().requests, [0, 1, 0]);
        // Two frames, one after the other.
        let twice = [compressed.clone(), compressed.clone()].concat();
        assert_eq!(open("b.lis.zst", &twice).unwrap().requests, [0, 1, 0, 0, 1, 0]);
        for wrong in [&compressed[..compressed.len() - 3], b"no zstd"] {
            let error = format!("{:#}", open("c.lis.zst", wrong).unwrap_err());
            assert!(error.contains("c.lis.zst") && error.contains("bytes"), "{error}");
        }
    }

    #[test]
    fn xz_files_are_read() {
        // The bytes 0 0 0 7 0 0 0 7, compressed by xz.
        let compressed: &[u8] = &[
            0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00,
            0x21, 0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x07, 0x00,
            0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x07, 0x00, 0xd8, 0x94, 0xb8, 0x22, 0x03, 0x21,
            0x0a, 0x8c, 0x00, 0x01, 0x20, 0x08, 0xbb, 0x19, 0xd9, 0xbb, 0x1f, 0xb6, 0xf3, 0x7d,
            0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
        ];
        assert_eq!(open("a.trace.xz", compressed).unwrap().requests, [0, 0]);
        for wrong in [&compressed[..30], b"no xz"] {
            let error = format!("{:#}", open("b.trace.xz", wrong).unwrap_err());
            assert!(error.contains("b.trace.xz") && error.contains("bytes"), "{error}");
        }
    }

    #[test]
    fn an_error_names_file_and_place() {
        let error = format!("{:#}", open("bad.txt", b"1\n2 3\n").unwrap_err());
        assert!(error.contains("bad.txt") && error.contains("byte 2"), "{error}");
        let error = format!("{:#}", open("empty.txt", b"\n").unwrap_err());
        assert!(error.contains("empty.txt") && error.contains("no requests"), "{error}");
        let error = format!("{:#}", Trace::open("no-such-file.txt").unwrap_err());
        assert!(error.contains("no-such-file.txt"), "{error}");
    }
}
