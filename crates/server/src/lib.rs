//! The cache server as a library: it speaks memcached's protocols to sockets that the caller has bound.
//!
//! A [`Server`] has one event loop per worker, and all of them share one store. Requests of a connection
//! are read, executed and answered by the worker that owns it; nothing is handed from one thread to
//! another but new connections.
//!
//! # The walk of a batch
//!
//! ```text
//! listen     accept              the listener's thread; the connection goes to the least loaded worker
//! worker     turns               epoll says who is readable; what they want first is fetched together
//! stream     read                one read, into the worker's buffer; TLS records opened
//! gather     gather              parse up to 64 requests, hash, have their buckets fetched
//! batch      first_reads         have the items of all fetched
//! exec       read, write         one after another, in order; reads side by side share a reader
//! replies    bytes, value        small values copied, large ones referred to
//! stream     send                one write; what the socket did not take is kept, and reading stops
//! ```
//!
//! Beside the event loops one thread looks at a sample of what clients do (`insight`), and one checks passwords
//! whose digests are slow on purpose (`verifier`). Neither is waited for by a loop. What others want to know
//! of a running server they ask its [`Handle`], which is a [`larder_tenancy::Node`].
//!
//! # What must stay true
//!
//! - A reply goes to the connection whose request it answers: a worker holds one connection at a time, and
//!   an event finds its connection by a slot and the slot's generation.
//! - A prefetch is a hint, never a result: a request sees what the one before it did.
//! - A reference into the store does not outlive a turn of the loop.
//! - Buffers of connections are charged to one budget before they grow.
//! - No lock, no allocation and no system call for a request, but the store's own.

mod access;
mod batch;
mod budget;
mod conn;
mod connections;
mod counters;
mod cx;
mod desk;
mod exec;
mod exptime;
mod floor;
mod gather;
mod helpers;
mod insight;
mod listen;
mod node;
mod output;
mod patience;
mod probe;
mod protocol;
mod reading;
mod records;
mod replies;
mod server;
mod session;
mod settings;
mod slots;
mod socket;
mod stop;
mod stopwatch;
mod stream;
#[doc(hidden)]
pub mod testing;
mod tls;
mod upload;
mod verifier;
mod worker;

pub use server::{Handle, Server, ServerError};
pub use settings::{Address, Listener, ProtocolPin, Settings};
pub use tls::{ClientCertificates, MinVersion, Tls, TlsError, TlsSettings};
