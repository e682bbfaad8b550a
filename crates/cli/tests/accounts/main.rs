//! Accounts as a user has them: `larder provision` and its kin, servers that follow what they change, and
//! what is left when something breaks. Every program is a process of its own.

mod credentials;
mod faults;
mod fleet;
mod provision;
mod support;
mod terminal;
mod tutorial;
mod up;
