//! The formats of trace files, told apart by the name of the file.
//!
//! | name (before `.zst` or `.xz`) | format |
//! |---|---|
//! | `*.lis` | ARC: lines of `first-block blocks 0 request`, each a run of blocks |
//! | `*.trace` | cache2k: big-endian 32-bit keys |
//! | `*oracleGeneral*` | libCacheSim: 24-byte little-endian records: time, key, size, next request |
//! | anything else | text: a key a line, a number or not; blank lines and `#` comments are skipped |
//!
//! Malformed input is an error that names the byte offset in the decompressed file, never a panic.

use anyhow::{Context, bail};

use super::{Numbering, Trace};
use crate::policy::mix;

/// The papers and licences that ask to be named with the results of a trace.
const CREDITS: [(&str, &str); 2] = [
    (
        "arc-",
        "ARC traces (OLTP …): N. Megiddo and D. S. Modha, ARC: A Self-Tuning, Low Overhead Replacement \
         Cache, USENIX FAST 2003",
    ),
    ("cache2k-", "cache2k traces (web12 …): CC BY 4.0 © headissue GmbH, Jens Wilke"),
];

/// The most requests in a trace; requests are numbered with 32 bits.
const MOST: usize = u32::MAX as usize - 1;

/// Reads the decompressed content of a file called `name`.
///
/// # Errors
///
/// When it is malformed.
pub fn read(name: &str, bytes: &[u8]) -> anyhow::Result<Trace> {
    let mut trace = if name.ends_with(".lis") {
        arc(bytes)
    } else if name.ends_with(".trace") {
        cache2k(bytes)
    } else if name.contains("oracleGeneral") {
        oracle_general(bytes)
    } else {
        text(bytes)
    }?;
    let stem = name.trim_end_matches(".lis").trim_end_matches(".trace").trim_end_matches(".txt");
    let credit = CREDITS.iter().find(|(prefix, _)| stem.starts_with(prefix));
    trace.name = credit.map_or(stem, |(prefix, _)| &stem[prefix.len()..]).to_owned();
    trace.credit = credit.map(|(_, credit)| *credit);
    Ok(trace)
}

/// Collects requests.
#[derive(Default)]
struct Builder {
    trace: Trace,
    numbering: Numbering,
}

impl Builder {
    /// Adds a request, and says whether it is the first for its key.
    fn push(&mut self, key: u64) -> anyhow::Result<bool> {
        if self.trace.requests.len() == MOST {
            bail!("more than {MOST} requests");
        }
        let (key, new) = self.numbering.number(key)?;
        self.trace.requests.push(key);
        self.trace.keys += usize::from(new);
        Ok(new)
    }
}

/// Lines with the offsets of their first bytes, line ends and surrounding blanks removed.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut offset = 0;
    bytes.split_inclusive(|&byte| byte == b'\n').filter_map(move |line| {
        let at = offset;
        offset += line.len();
        let line = line.trim_ascii();
        (!line.is_empty()).then_some((at, line))
    })
}

fn arc(bytes: &[u8]) -> anyhow::Result<Trace> {
    let mut builder = Builder::default();
    for (offset, line) in lines(bytes) {
        let wrong = || {
            let line = String::from_utf8_lossy(&line[..line.len().min(80)]);
            format!("byte {offset}: not `first-block blocks 0 request`: {line:?}")
        };
        let mut fields = std::str::from_utf8(line).with_context(wrong)?.split_ascii_whitespace();
        let mut field = || fields.next().and_then(|field| field.parse::<u64>().ok());
        let (Some(first), Some(count)) = (field(), field()) else { bail!(wrong()) };
        let end = first.checked_add(count).with_context(wrong)?;
        for block in first..end {
            builder.push(block).with_context(wrong)?;
        }
    }
    Ok(builder.trace)
}

fn cache2k(bytes: &[u8]) -> anyhow::Result<Trace> {
    let (keys, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        bail!("byte {}: ends in the middle of a 4-byte key", bytes.len() - rest.len());
    }
    let mut builder = Builder::default();
    for &key in keys {
        builder.push(u64::from(u32::from_be_bytes(key)))?;
    }
    Ok(builder.trace)
}

fn oracle_general(bytes: &[u8]) -> anyhow::Result<Trace> {
    let (records, rest) = bytes.as_chunks::<24>();
    if !rest.is_empty() {
        bail!("byte {}: ends in the middle of a 24-byte record", bytes.len() - rest.len());
    }
    let mut builder = Builder::default();
    for (number, record) in records.iter().enumerate() {
        let ([time, key_low, key_high, size, ..], _) = record.as_chunks::<4>() else {
            bail!("byte {}: not a record", number * 24);
        };
        let key = u64::from(u32::from_le_bytes(*key_low))
            | u64::from(u32::from_le_bytes(*key_high)) << 32;
        let new = builder.push(key).with_context(|| format!("byte {}", number * 24))?;
        builder.trace.times.push(u32::from_le_bytes(*time));
        if new {
            builder.trace.sizes.push(u32::from_le_bytes(*size).max(1));
        }
    }
    Ok(builder.trace)
}

fn text(bytes: &[u8]) -> anyhow::Result<Trace> {
    let mut builder = Builder::default();
    for (offset, line) in lines(bytes).filter(|(_, line)| !line.starts_with(b"#")) {
        let words = std::str::from_utf8(line)
            .with_context(|| format!("byte {offset}: not UTF-8; not a text of one key a line?"))?;
        if words.contains(char::is_whitespace) || words.contains('\0') {
            let start: String = words.chars().take(80).collect();
            bail!("byte {offset}: more than one key in the line {start:?}");
        }
        builder.push(words.parse().unwrap_or_else(|_| digest(line)))?;
    }
    Ok(builder.trace)
}

/// A number for a key that is none.
fn digest(key: &[u8]) -> u64 {
    key.iter().fold(key.len() as u64, |hash, &byte| mix(hash ^ u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(name: &str, bytes: &[u8]) -> Vec<u32> {
        let trace = read(name, bytes).unwrap();
        let keys = trace.requests.iter().max().map_or(0, |&key| key as usize + 1);
        assert_eq!(trace.keys, keys);
        trace.requests
    }

    fn error(name: &str, bytes: &[u8]) -> String {
        format!("{:#}", read(name, bytes).unwrap_err())
    }

    #[test]
    fn arc_lines_are_runs_of_blocks() {
        assert_eq!(requests("a.lis", b"7 3 0 0\n8 1 0 1\r\n\n9 2 0 2"), [0, 1, 2, 1, 2, 3]);
        assert!(requests("a.lis", b"").is_empty());
        for (wrong, offset) in [
            (&b"1 1 0 0\nx 1 0 1\n"[..], 8),
            (b"1 1 0 0\n2\n", 8),
            (b"-1 1 0 0", 0),
            (b"1 1 0 0\n\xff\xff", 8),
            (b"18446744073709551615 1 0 0", 0),
        ] {
            let error = error("a.lis", wrong);
            assert!(error.starts_with(&format!("byte {offset}: ")), "{error}");
        }
    }

    #[test]
    fn cache2k_keys_are_big_endian() {
        assert_eq!(requests("a.trace", &[0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0]), [0, 1, 0]);
        assert!(error("a.trace", &[0; 6]).starts_with("byte 4: "));
    }

    #[test]
    fn oracle_general_has_times_and_sizes() {
        let record = |time: u32, key: u64, size: u32| {
            let next = (-1_i64).to_le_bytes();
            [&time.to_le_bytes()[..], &key.to_le_bytes(), &size.to_le_bytes(), &next].concat()
        };
        let bytes = [record(5, 1 << 40, 100), record(6, 0, 0), record(7, 1 << 40, 300)].concat();
        let trace = read("t.oracleGeneral.bin", &bytes).unwrap();
        assert_eq!((&*trace.requests, &*trace.times), (&[0, 1, 0][..], &[5, 6, 7][..]));
        assert_eq!(trace.sizes, [100, 1]);
        assert!(error("t.oracleGeneral", &bytes[..50]).starts_with("byte 48: "));
    }

    #[test]
    fn text_is_a_key_a_line() {
        assert_eq!(
            requests("a.txt", b"# keys\n12\nuser:1\n\n 12\nuser:2\nuser:1"),
            [0, 1, 0, 2, 1]
        );
        for (wrong, offset) in [(&b"1\n2 3\n"[..], 2), (b"ok\n\xfe\n", 3), (b"a\0b", 0)] {
            let error = error("a.txt", wrong);
            assert!(error.starts_with(&format!("byte {offset}: ")), "{error}");
        }
    }

    #[test]
    fn credit_is_given() {
        let arc = read("arc-OLTP.lis", b"1 1 0 0").unwrap();
        assert!(arc.name == "OLTP" && arc.credit.unwrap().ends_with("FAST 2003"));
        let web = read("cache2k-web12.trace", &[0; 4]).unwrap();
        assert!(
            web.name == "web12"
                && web.credit.unwrap().contains("CC BY 4.0 © headissue GmbH, Jens Wilke")
        );
        assert_eq!(read("keys.txt", b"1").unwrap().credit, None);
    }
}
