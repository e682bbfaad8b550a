//! What is known about each server, for dashboards and checks.

use crate::addr::ServerAddr;

/// One server as this client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHealth {
    /// The server.
    pub addr: ServerAddr,
    /// False while the circuit breaker leaves the server alone.
    pub up: bool,
    /// Failures since its last answer.
    pub failures_in_a_row: u32,
    /// Failed operations (timeouts, connection and authentication errors) since the client was
    /// made.
    pub failures: u64,
    /// Keys that must be deleted there before it is read again.
    pub owed_deletes: usize,
    /// Too many deletes were owed, or a flush was not answered: the server must be flushed before it
    /// is read again.
    pub flush_owed: bool,
    /// Connections that an operation is using.
    pub connections_in_use: usize,
    /// Connections kept for reuse.
    pub connections_idle: usize,
}
