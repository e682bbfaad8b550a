//! Lists of the tenant's items: `lru_crawler metadump`, `lru_crawler mgdump`, `stats cachedump`.
//!
//! A list has every item that is there throughout, in no order; one that moves meanwhile may be in it
//! twice. Listing is no use of an item.

use std::io::Write;

use larder_proto::server::{Words, decimal, meta};
use larder_store::{Item, Position};
use larder_tenancy::Capabilities;

use super::{Dump, put_encoded};
use crate::cx::{Cx, Flow};

/// memcached has so many classes of sizes, from 1 on. Here all items are of class 1.
const CLASSES: u64 = 63;
/// The longest `cachedump` (memcached's limit), in bytes.
const MAX_CACHEDUMP: usize = 2 << 20;

/// Items that are still to be listed.
#[derive(Debug)]
pub(crate) struct Keys {
    kind: Kind,
    has_begun: bool,
    /// Where to go on; none: nothing is left.
    from: Option<Position>,
    left: Left,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Metadump,
    Mgdump,
    Cachedump,
}

/// How much may still be listed.
#[derive(Debug, Clone, Copy)]
struct Left {
    items: u64,
    bytes: usize,
}

impl Left {
    const ALL: Left = Left { items: u64::MAX, bytes: usize::MAX };
}

/// The words after `lru_crawler`, if they are for here.
pub(crate) fn lru_crawler(mut args: Words<'_>, cx: &mut Cx<'_>, out: &mut Vec<u8>) -> Option<Flow> {
    let (name, kind) = match args.next()? {
        b"metadump" => ("metadump", Kind::Metadump),
        b"mgdump" => ("mgdump", Kind::Mgdump),
        _ => return None,
    };
    let classes = args.next()?;
    if args.next().is_some() {
        return None;
    }
    let refusal = if !cx.node.settings.allow_dumps || !cx.access.may(Capabilities::READ) {
        match kind {
            Kind::Metadump => "ERROR metadump not allowed\r\n".to_owned(),
            _ => "ERROR key dump not allowed\r\n".to_owned(),
        }
    } else if !cx.first_in_batch {
        format!("ERROR cannot pipeline other commands before {name}\r\n")
    } else if let Some(ours) = has_ours(classes) {
        let from = ours.then_some(Position::START);
        return Some(start(Keys { kind, has_begun: false, from, left: Left::ALL }));
    } else {
        "BADCLASS invalid class id\r\n".to_owned()
    };
    out.extend_from_slice(refusal.as_bytes());
    Some(Flow::Continue)
}

/// `stats cachedump <class> <items>`; 0 items are all of them.
pub(crate) fn cachedump(mut args: Words<'_>, cx: &mut Cx<'_>, out: &mut Vec<u8>) -> Flow {
    let refusal: &[u8] = if !cx.node.settings.allow_dumps || !cx.access.may(Capabilities::READ) {
        b"CLIENT_ERROR stats cachedump not allowed\r\n"
    } else if let (Some(class), Some(items)) = (args.next(), args.next()) {
        let number = |word| decimal(word).filter(|number| *number <= u64::from(u32::MAX));
        match (number(class), number(items)) {
            (Some(class), Some(items)) if class <= CLASSES => {
                let items = if items == 0 { u64::MAX } else { items };
                let left = Left { items, bytes: MAX_CACHEDUMP };
                let from = (class == 1).then_some(Position::START);
                return start(Keys { kind: Kind::Cachedump, has_begun: true, from, left });
            }
            (Some(_), Some(_)) => b"CLIENT_ERROR Illegal slab id\r\n",
            _ => b"CLIENT_ERROR bad command line format\r\n",
        }
    } else {
        b"CLIENT_ERROR bad command line\r\n"
    };
    out.extend_from_slice(refusal);
    Flow::Continue
}

fn start(keys: Keys) -> Flow {
    Flow::Dump(Box::new(Dump::Keys(keys)))
}

/// Whether our class is among those that are named; none if one is no class.
fn has_ours(classes: &[u8]) -> Option<bool> {
    if matches!(classes, b"all" | b"hash") {
        return Some(true);
    }
    let mut ours = false;
    for class in classes.split(|byte| *byte == b',') {
        let class = decimal(class).filter(|class| (1..=CLASSES).contains(class))?;
        ours |= class == 1;
    }
    Some(ours)
}

impl Keys {
    /// Lists some; whether there are more.
    pub(crate) fn step(&mut self, cx: &Cx<'_>, out: &mut Vec<u8>) -> bool {
        if !self.has_begun {
            out.extend_from_slice(b"OK\r\n");
            self.has_begun = true;
        }
        if let Some(from) = self.from {
            let (before, mut left) = (out.len(), self.left);
            self.from = cx.tenant().walk(from, |item| self.kind.list(&item, &mut left, cx, out));
            if self.from == Some(from) {
                // Something moved under it: the same piece again.
                out.truncate(before);
                return true;
            }
            self.left = left;
        }
        if self.left.items == 0 {
            self.from = None;
        }
        if self.from.is_none() {
            out.extend_from_slice(match self.kind {
                Kind::Mgdump => b"EN\r\n",
                Kind::Metadump | Kind::Cachedump => b"END\r\n",
            });
        }
        self.from.is_some()
    }
}

impl Kind {
    /// One more item, if it fits.
    fn list(self, item: &Item<'_>, left: &mut Left, cx: &Cx<'_>, out: &mut Vec<u8>) {
        if left.items == 0 || !cx.access.grant.allows_key(item.key()) {
            return;
        }
        let before = out.len();
        match self {
            Kind::Metadump => metadump(item, cx, out),
            Kind::Mgdump => mgdump(item, out),
            Kind::Cachedump => cachedump_line(item, cx, out),
        }
        match out.len() - before {
            0 => {}
            len if len > left.bytes => {
                out.truncate(before);
                left.items = 0;
            }
            len => *left = Left { items: left.items - 1, bytes: left.bytes - len },
        }
    }
}

fn metadump(item: &Item<'_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"key=");
    put_encoded(out, item.key(), |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    });
    out.extend_from_slice(b" exp=");
    // Writing to memory cannot fail.
    let _ = match expiry(item, cx) {
        Some(unix) => write!(out, "{unix}"),
        None => write!(out, "-1"),
    };
    let accessed = cx.now.unix().saturating_sub(item.idle().as_secs());
    let fetched = if item.fetched() { "yes" } else { "no" };
    let (cas, size, flags) = (item.cas(), item.stored_bytes(), item.flags());
    let _ =
        writeln!(out, " la={accessed} cas={cas} fetch={fetched} cls=1 size={size} flags={flags} ");
}

/// A key that would not be one word is written in base64.
fn mgdump(item: &Item<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"mg ");
    if item.marked() || !is_word(item.key()) {
        meta::put_base64(out, item.key());
        out.extend_from_slice(b" b\r\n");
    } else {
        out.extend_from_slice(item.key());
        out.extend_from_slice(b"\r\n");
    }
}

/// Like memcached it leaves out keys that came in base64; and those that would end the line early.
fn cachedump_line(item: &Item<'_>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    if item.marked() || !is_word(item.key()) {
        return;
    }
    out.extend_from_slice(b"ITEM ");
    out.extend_from_slice(item.key());
    let (len, unix) = (item.value().len(), expiry(item, cx).unwrap_or(0));
    let _ = write!(out, " [{len} b; {unix} s]\r\n");
}

fn is_word(key: &[u8]) -> bool {
    !key.iter().any(|byte| *byte <= b' ' || *byte == 0x7f)
}

/// When an item expires, in seconds since 1970; none: never. Rounded up, for an exptime is kept less the
/// last step of the store's clock.
fn expiry(item: &Item<'_>, cx: &Cx<'_>) -> Option<u64> {
    let left = u64::try_from(item.ttl()?.as_millis()).unwrap_or(u64::MAX);
    Some(cx.now.unix_ms.saturating_add(left).div_ceil(1000))
}
