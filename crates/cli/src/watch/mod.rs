//! The commands that show what servers do: `larder stats` and `larder top`.

mod console;
mod fleet;
mod live;
mod memcached;
mod screen;
mod servers;
mod show;
pub(crate) mod stats;
pub(crate) mod top;
