//! `stats detail`: reads, hits, writes and deletes by the prefix of the key, each tenant's for itself.
//!
//! The prefix is what comes before the first delimiter; a key without one is not counted. While nobody
//! counts, a command pays one load for it. While somebody does, commands wait for each other here: it is
//! for looking at a server now and then, as in memcached.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder_proto::server::binary::{Head, Status};
use larder_tenancy::{Capabilities, TenantId};

use super::{Figures, Form};
use crate::access::Access;
use crate::cx::{Cx, Flow};
use crate::exec::dump::{self, Dump};
use crate::node::lock;

/// The most prefixes of a tenant (memcached's limit).
const MOST_PREFIXES: usize = 65_536;
/// The most of all tenants together. Nobody takes more than is left for others.
const MOST_OF_ALL: usize = 2 * MOST_PREFIXES;
/// Lines of one step.
const STEP: usize = 512;
/// The longest value of a binary reply, in bytes: it has to be made whole.
const MOST_BINARY: usize = 1 << 20;

/// Counts by prefix.
#[derive(Debug)]
pub(crate) struct Detail {
    delimiter: u8,
    /// Whether tenants count that were not asked to.
    from_the_start: bool,
    /// Tenants that count, as far as that is known without locking: 0 is certain.
    counting: AtomicUsize,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    tenants: HashMap<TenantId, Table>,
    /// Prefixes of all tables.
    prefixes: usize,
}

#[derive(Debug)]
struct Table {
    is_on: bool,
    counts: BTreeMap<Box<[u8]>, Counts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

impl Detail {
    /// Counting from the start if `on`; a key's prefix ends before `delimiter`.
    pub(crate) fn new(on: bool, delimiter: u8) -> Detail {
        let counting = AtomicUsize::new(usize::from(on));
        Detail { delimiter, from_the_start: on, counting, tables: Mutex::default() }
    }

    /// A read of a key.
    #[inline]
    pub(crate) fn get(&self, access: &Access, key: &[u8], hit: bool) {
        if self.counting.load(Ordering::Relaxed) > 0 {
            self.count(access, key, |counts| {
                counts.gets += 1;
                counts.hits += u64::from(hit);
            });
        }
    }

    /// A store command for a key.
    #[inline]
    pub(crate) fn set(&self, access: &Access, key: &[u8]) {
        if self.counting.load(Ordering::Relaxed) > 0 {
            self.count(access, key, |counts| counts.sets += 1);
        }
    }

    /// A delete of a key.
    #[inline]
    pub(crate) fn delete(&self, access: &Access, key: &[u8]) {
        if self.counting.load(Ordering::Relaxed) > 0 {
            self.count(access, key, |counts| counts.deletes += 1);
        }
    }

    /// Whether a tenant counts.
    pub(crate) fn is_on(&self, tenant: TenantId) -> bool {
        lock(&self.tables).tenants.get(&tenant).map_or(self.from_the_start, |table| table.is_on)
    }

    /// Has a tenant count, or not any more; what was counted stays.
    pub(crate) fn switch(&self, tenant: TenantId, on: bool) {
        let mut tables = lock(&self.tables);
        let was = std::mem::replace(&mut self.table(&mut tables, tenant).is_on, on);
        match (was, on) {
            (false, true) => self.counting.fetch_add(1, Ordering::Relaxed),
            // From the start everybody counts; then one less does not say that nobody does.
            (true, false) if !self.from_the_start => self.counting.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// Forgets what a tenant has counted.
    pub(crate) fn clear(&self, tenant: TenantId) {
        let mut tables = lock(&self.tables);
        let counts = tables.tenants.get_mut(&tenant).map(|table| std::mem::take(&mut table.counts));
        tables.prefixes -= counts.map_or(0, |counts| counts.len());
    }

    fn table<'t>(&self, tables: &'t mut Tables, tenant: TenantId) -> &'t mut Table {
        let new = || Table { is_on: self.from_the_start, counts: BTreeMap::new() };
        tables.tenants.entry(tenant).or_insert_with(new)
    }

    #[cold]
    fn count(&self, access: &Access, key: &[u8], change: impl FnOnce(&mut Counts)) {
        let Some(end) = key.iter().position(|byte| *byte == self.delimiter) else { return };
        let prefix = &key[..end];
        let mut tables = lock(&self.tables);
        let most = MOST_PREFIXES.min(MOST_OF_ALL - tables.prefixes);
        let table = self.table(&mut tables, access.grant.tenant());
        if !table.is_on {
            return;
        }
        if let Some(counts) = table.counts.get_mut(prefix) {
            change(counts);
        } else if table.counts.len() < most {
            let mut counts = Counts::default();
            change(&mut counts);
            table.counts.insert(prefix.into(), counts);
            tables.prefixes += 1;
        }
    }

    /// Appends lines of a tenant's prefixes that come after `from`, at most `most`; the last prefix that
    /// was told, if there are more.
    fn lines(
        &self,
        tenant: TenantId,
        from: Bound<&[u8]>,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Option<Box<[u8]>> {
        let tables = lock(&self.tables);
        let counts = &tables.tenants.get(&tenant)?.counts;
        let mut left = counts.range::<[u8], _>((from, Bound::Unbounded));
        let mut last = None;
        for (prefix, Counts { gets, hits, sets, deletes }) in left.by_ref().take(most) {
            out.extend_from_slice(b"PREFIX ");
            dump::put_printable(out, prefix);
            // Writing to memory cannot fail.
            let _ = write!(out, " get {gets} hit {hits} set {sets} del {deletes}\r\n");
            last = Some(prefix);
        }
        left.next().and(last).cloned()
    }
}

/// The lines of `stats detail dump` that are still to be told.
#[derive(Debug)]
pub(crate) struct Prefixes {
    after: Option<Box<[u8]>>,
}

impl Prefixes {
    /// Tells some; whether there are more.
    pub(crate) fn step(&mut self, cx: &Cx<'_>, out: &mut Vec<u8>) -> bool {
        let from = self.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.after = cx.node.detail.lines(cx.access.grant.tenant(), from, STEP, out);
        if self.after.is_none() {
            out.extend_from_slice(b"END\r\n");
        }
        self.after.is_some()
    }
}

/// What follows `detail`.
enum What {
    Switch(bool),
    Dump,
}

impl What {
    fn of(word: Option<&[u8]>) -> Option<What> {
        match word? {
            b"on" => Some(What::Switch(true)),
            b"off" => Some(What::Switch(false)),
            b"dump" => Some(What::Dump),
            _ => None,
        }
    }

    /// Whether the connection may; a refusal is counted.
    fn is_allowed(&self, cx: &Cx<'_>) -> bool {
        match self {
            What::Switch(_) => cx.access.may(Capabilities::ADMIN),
            What::Dump => cx.access.may(Capabilities::READ),
        }
    }
}

/// `stats detail on|off|dump`.
pub(super) fn text(word: Option<&[u8]>, cx: &Cx<'_>, out: &mut Vec<u8>) -> Flow {
    const NOT_ALLOWED: &[u8] = b"CLIENT_ERROR stats detail not allowed\r\n";
    if !cx.node.settings.allow_dumps {
        out.extend_from_slice(NOT_ALLOWED);
        return Flow::Continue;
    }
    match What::of(word) {
        None => out.extend_from_slice(b"CLIENT_ERROR usage: stats detail on|off|dump\r\n"),
        Some(what) if !what.is_allowed(cx) => out.extend_from_slice(NOT_ALLOWED),
        Some(What::Switch(on)) => {
            cx.node.detail.switch(cx.access.grant.tenant(), on);
            out.extend_from_slice(b"OK\r\n");
        }
        Some(What::Dump) => {
            return Flow::Dump(Box::new(Dump::Prefixes(Prefixes { after: None })));
        }
    }
    Flow::Continue
}

/// The same in binary: the lines are the value of one figure, those that fit.
pub(super) fn binary(head: Head, word: Option<&[u8]>, cx: &Cx<'_>, out: &mut Vec<u8>) {
    let Some(what) = What::of(word).filter(|_| cx.node.settings.allow_dumps) else {
        return head.refuse(out, Status::NotFound);
    };
    if !what.is_allowed(cx) {
        return head.refuse(out, Status::AuthFailed);
    }
    match what {
        What::Switch(on) => cx.node.detail.switch(cx.access.grant.tenant(), on),
        What::Dump => {
            let mut lines = Prefixes { after: None };
            let mut value = Vec::new();
            while lines.step(cx, &mut value) {
                if value.len() > MOST_BINARY {
                    value.extend_from_slice(b"END\r\n");
                    break;
                }
            }
            head.stat(out, b"detailed", &value);
        }
    }
    Figures::new(Form::Binary(head), out).end();
}
