//! The memcached protocols without any I/O: text, meta and binary.
//!
//! Bytes go in and out of buffers that the caller owns; this crate never touches a socket, a clock
//! or a thread. In the client direction [`Codec::encode`] turns a [`Command`] into request bytes, and
//! [`Codec::parse`] turns reply bytes into an [`Answer`]; the server direction is [`server`].
//!
//! What must stay true:
//!
//! - A [`Key`] that exists can be sent: its constructor refuses what a protocol cannot carry, so no
//!   key can end a line early and smuggle a second command.
//! - A reply is accepted only if it belongs to the request it is parsed for: by opaque and opcode
//!   (binary), by opaque and key (meta), by key where the protocol names one (text).
//! - Parsing is bounded and resumable: lines and values have limits, a length is checked before it
//!   is used, nothing recurses, and a byte that was searched once is not searched again.
//! - Peer input never panics; it yields a [`ProtocolError`], after which the connection is useless.
//!
//! Each protocol is one module with `request.rs` (encode) and `reply.rs` (parse). The rules come
//! from memcached's `doc/protocol.txt`, `doc/protocol-binary.txt` and from observing 1.6.18 and
//! 1.6.45.

mod binary;
mod codec;
mod command;
mod error;
mod key;
mod line;
mod meta;
mod reply;
pub mod server;
mod text;

pub use binary::sasl;
pub use codec::{Codec, DEFAULT_MAX_VALUE_LEN, MAX_VALUE_LEN, Protocol};
pub use command::{Command, Direction, StoreMode};
pub use error::{CommandError, ProtocolError, Refusal, RefusalKind};
pub use key::{Key, KeyError, MAX_KEY_LEN};
pub use reply::{Answer, Item, Progress, Reply, StoreOutcome};
pub use text::auth as text_auth;
