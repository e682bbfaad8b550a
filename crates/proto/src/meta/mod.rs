//! The meta protocol of memcached 1.6 and later (memcached `doc/protocol.txt`, "Meta Commands").

pub(crate) mod reply;
pub(crate) mod request;
