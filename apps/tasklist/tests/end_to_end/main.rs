//! The task list end to end: the binary as real processes, on real databases and stock memcached,
//! in front of visitors and a browser.
//!
//! One test program, so that all its tests share one PostgreSQL and one MariaDB. What must stay
//! true: a started process gets the variables its test gives it and no others; a claim about hits
//! polls, or gives the cache a long deadline, because a lookup that a busy machine delays beyond the
//! default deadline is rightly a miss.

mod browser;
mod outage;
mod process;
mod sessions;
mod support;
mod two_processes;
mod walkthrough;
