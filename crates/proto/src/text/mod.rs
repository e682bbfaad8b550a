//! The classic text protocol (memcached `doc/protocol.txt`).

pub mod auth;
pub(crate) mod reply;
pub(crate) mod request;
