//! The harness's own logic: workloads, figures and tables, without any engine.
//!
//! The bench itself is `benches/store`: it owns the engines, so that they are dev-dependencies only.
//! What must stay true: everything random here comes from a fixed seed, so that two runs ask for
//! the same keys in the same order.

pub mod machine;
pub mod workload;

pub use larder_load::{figures, histogram, random, table};
