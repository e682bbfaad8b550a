//! The console of a cache server: an HTTP API and a dashboard.
//!
//! [`Console`] is what it works on: the accounts, what the node counted over time, the rules about it, and
//! the node itself. [`serve`] runs it on a listener until told to stop. A request goes, from the outside
//! in, through the `front` (security headers, the host and same-origin checks), the right that its row of
//! the table in `routes` needs, a handler of `api` or `pages`, and `service`, which does what was asked,
//! whichever of the two asked. What comes back is one of [`view`].
//!
//! What must stay true: no handler runs before the rights of its row were checked; a cache that is not
//! one's own looks like one that does not exist; nothing here keeps or prints a secret; whatever a client
//! sends, it costs bounded memory and time.

mod api;
mod console;
mod front;
mod health;
mod metrics;
mod openapi;
mod pages;
mod places;
mod problem;
mod routes;
mod server;
mod service;
mod ticker;
pub mod view;
mod webhook;

pub use console::{Console, ConsoleSettings};
pub use routes::{RouteFacts, routes};
pub use server::{attend, serve};
