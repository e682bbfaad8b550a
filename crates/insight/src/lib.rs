//! What clients of a cache do, from a sample.
//!
//! An [`Observer`] is fed with the events of one tenant and keeps, in bounded memory, what a person wants to
//! know of them: the busiest keys, the forms that keys have in common, why keys were missed, and the latest
//! commands. It is pure: no I/O, no threads, no clock; every time comes with the events.
//!
//! Two samples come in one stream. *By request*: one of so many requests, whatever its key; of these are the
//! busy keys, the counts of patterns and the recent commands. *By key*: every event of those keys whose hash
//! ends in so many zero bits; of these is why keys were missed, which only the whole story of a key tells.
//! Each event says for how many it stands in either sample, so the sampling may change at any time.

mod busy;
mod collapse;
mod decay;
mod fates;
mod observer;
mod pattern;
mod patterns;
mod recent;
mod table;

pub use larder_tenancy::Command;

pub use self::observer::{Event, Limits, Observer};
