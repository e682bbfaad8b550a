//! The cache engine: bytes in, bytes out.
//!
//! A [`Store`] maps keys to items under a limit in bytes, with TTLs, CAS numbers and eviction, for any
//! number of [`Tenant`]s. It knows no sockets and starts no threads; its clock is given to it.
//!
//! # How it works
//!
//! Memory is taken once, as a mapping cut into *segments*. Items are appended to a segment, each
//! right behind the one before, and never changed once they are published: a change is a new item.
//! A segment belongs to one tenant and one of its two queues, so the list of a queue's segments *is*
//! its FIFO, and an item's tenant is that of its segment. When memory is scarce the oldest segment is
//! looked through: what the `policy` wants to keep is appended again, and the segment is free. There
//! are no size classes, so nothing calcifies when sizes change.
//!
//! A hash table of cache lines (`index`) says where an item lies. Readers never lock it nor count
//! references: they announce that they read (`epoch`), and memory is not reused before they are
//! done. So a get writes nothing that other threads read, but for the two bits of an item that say
//! how often it was used, until they say "often", and once a minute the time of its last access.
//!
//! # A set, a get
//!
//! ```text
//! key        hashed         hashed once, for all that is done with the key
//! write      write          what is asked for (request), and what there is (edit)
//! draft      begin          bytes from an open segment of the tenant (room, memory::log)
//!            append         the value goes to its place
//! publish    publish        the slot of the index, under the lock of its bucket
//! reclaim    make_room      some steps, if memory is scarce: choose, scan, move
//!
//! reader     reader         the epoch is pinned, for a run of reads
//! read       look_up        the index; key and tenant compared; expiry decided
//! item       Item           handed to the caller: nothing is copied
//! ```
//!
//! `commands` has shorthands of these by plain keys.
//!
//! # What must stay true, checked by [`Store::validate`]
//!
//! - Every segment is in one place: the pool, the index, a tenant's queue, open, or being reclaimed.
//!   So the memory in use never exceeds the limit.
//! - A slot of the index refers to an item in a segment that a tenant owns.
//! - A lookup compares tenant and whole key, never the hash alone.
//! - Values are opaque: only what `incr` or `decr` has computed is ever different from what was
//!   stored.
//! - An expired or flushed item is never returned, whether or not its memory has been taken back.

mod clock;
mod commands;
mod config;
mod draft;
mod edit;
mod epoch;
mod error;
mod figures;
mod index;
mod item;
mod key;
mod memory;
mod paged;
mod policy;
mod publish;
mod queues;
mod read;
mod reader;
mod reclaim;
mod request;
mod reserve;
mod room;
mod shares;
mod stats;
mod store;
mod sync;
mod tenant;
mod tenants;
mod time;
mod walk;
mod write;

pub use clock::Clock;
pub use config::{Config, MAX_KEY_BYTES, MIN_MAX_BYTES, MOST_BYTES, MOST_ITEM_BYTES};
pub use error::StoreError;
pub use index::prefetch;
pub use item::Item;
pub use key::HashedKey;
pub use memory::stored::Value;
pub use reader::{Foreseen, Lookups, Reader};
pub use request::{Arith, Arithmetic, Commit, Computed, Mode, Outcome, Removed, Stale, Write};
pub use reserve::Reservation;
pub use stats::Stats;
pub use store::Store;
#[cfg(feature = "lines")]
pub use sync::{LineWrites, record_writes};
pub use tenant::{Limits, Tenant};
pub use walk::Position;
