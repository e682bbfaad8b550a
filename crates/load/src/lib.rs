//! A load generator for servers that speak memcached's protocols: what `larder bench` is made of.
//!
//! A [`Generator`] asks one server at a time ([`fill`](Generator::fill), [`run`](Generator::run)) over
//! many connections, each of a thread with its own epoll loop. [`compare()`] does it with several servers
//! in turns and [`report`] says what came out.
//!
//! What must stay true:
//!
//! - Every reply is checked to the last byte: what a key holds follows from the key alone
//!   ([`data`]), so a wrong byte is known whoever stored it. Errors and misses are counted, never hidden.
//! - In the open loop a latency begins when a request was due, not when a connection was free for it.
//! - What is random comes from a seed: two runs of one load ask for the same keys.

mod auth;
mod batch;
mod connection;
mod pace;
mod protocol;
#[cfg(test)]
mod script;
mod stats;
mod stream;
mod tally;
mod work;
mod worker;

pub mod compare;
pub mod cpu;
pub mod data;
pub mod figures;
pub mod histogram;
pub mod load;
pub mod random;
pub mod report;
pub mod run;
pub mod server;
pub mod table;

pub use compare::{Compared, compare};
pub use load::Load;
pub use protocol::Protocol;
pub use run::{Error, Figures, Generator, Progress, Step};
pub use server::{Address, Login, LoginForm, Server, Tls};
pub use stats::Inquiry;
pub use tally::Tally;
