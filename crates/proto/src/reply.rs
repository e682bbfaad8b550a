//! What a server answers, the same for all protocols.

use bytes::Bytes;

use crate::error::Refusal;

/// The answer to a [`Command`](crate::Command) that the server carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To `Get`: the item, or none on a miss.
    Item(Option<Item>),
    /// To `Store`.
    Store(StoreOutcome),
    /// To `Delete`: whether there was something to delete.
    Deleted(bool),
    /// To `Touch`: whether the item is there.
    Touched(bool),
    /// To `Arith`: the new number, or none when there is no such item.
    Number(Option<u64>),
    /// To `FlushAll`.
    Flushed,
    /// To `Version`: the server's own text, such as `1.6.18`.
    Version(String),
}

/// A stored item as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The value. A slice of the buffer it was received in: keeping it keeps that buffer.
    pub value: Bytes,
    /// The 32 bits that were stored with it.
    pub flags: u32,
    /// The item's CAS, to be given to [`StoreMode::Cas`](crate::StoreMode::Cas); 0 when the server
    /// keeps none.
    pub cas: u64,
}

/// What became of a `Store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// Written.
    Stored {
        /// The new item's CAS, where the protocol tells (meta and binary do, text does not).
        cas: Option<u64>,
    },
    /// The condition of add, replace, append or prepend did not hold.
    NotStored,
    /// The CAS given is no longer the item's.
    Exists,
    /// A CAS was given and there is no such item.
    NotFound,
}

/// One complete reply, taken out of the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the server answered; a refusal concerns this command only.
    pub reply: Result<Reply, Refusal>,
    /// Whether the connection can go on. False when a refused store may have left its payload to
    /// be read as commands, or when the server closes after such an answer: whatever follows must
    /// not be believed.
    pub in_sync: bool,
}

impl Answer {
    pub(crate) fn done(reply: Reply) -> Self {
        Self { reply: Ok(reply), in_sync: true }
    }
}

/// How far [`Codec::parse`](crate::Codec::parse) came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The reply is not complete: at least this many bytes (1 or more, within the limits) are
    /// missing.
    NeedMore(usize),
    /// A complete reply; its bytes are gone from the buffer.
    Ready(Answer),
}
