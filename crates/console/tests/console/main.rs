//! The console from outside: rights, the API, the front door, live streams, and who else talks to it.
//! One program, so that all of it is linked once.

#[path = "../common/mod.rs"]
mod common;

mod api;
mod front;
mod live;
mod outside;
mod rights;
