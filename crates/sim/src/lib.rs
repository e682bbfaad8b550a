//! Policy simulator: a cache trace in, hit ratios per eviction policy and cache size out.
//!
//! For development only: it answers which eviction policy the engine should have and with which
//! parameters, and shows that the answer holds. It shares no code with the engine: the engine's policy is
//! modelled here ([`policy::engine`]) item by item, without bytes, threads or time.
//!
//! ```console
//! $ cargo run --release -p larder-sim -- --sizes 1%,10% TRACE...
//! $ cargo run --release -p larder-sim -- --policies lru,engine,engine/segments=512,belady zipf:1.0:1000000:5000000
//! $ cargo run --release -p larder-sim -- --plot docs/images/policies.svg cache2k-web12.trace.xz arc-OLTP.lis.zst
//! ```
//!
//! The last one draws `docs/images/policies.svg`. Its traces are not part of the project: web12 is in
//! ben-manes/caffeine (CC BY 4.0 © headissue GmbH, Jens Wilke), OLTP in moka-rs/cache-trace (Megiddo and
//! Modha, ARC, USENIX FAST 2003).
//!
//! - [`trace`]: where requests come from: files in four formats, or made up.
//! - [`policy`]: the policies, each a file.
//! - [`simulate`]: runs policies over traces, and the share of the gap between LRU and Belady they close.
//! - [`report`]: the table.
//! - [`plot`]: the picture.
//! - [`series`]: another picture, of a long run of the engine itself (`cargo xtask soak store --plot`).

pub mod plot;
pub mod policy;
pub mod report;
pub mod series;
pub mod simulate;
mod svg;
pub mod trace;
