//! A client of the server's own, that finds out whether an event loop answers: over a pair of sockets, one of
//! which a worker is given like any other connection. It belongs to a tenant that is nobody's.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use larder_store::Limits;
use larder_tenancy::{Capabilities, Grant, TenantId};

use crate::access::Access;
use crate::insight::Trace;
use crate::node::{Node, TenantState};
use crate::settings::{Address, ProtocolPin};
use crate::worker::Accepted;

/// How long it waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much the tenant may have: as little as a tenant can.
const LIMITS: Limits = Limits { floor_bytes: 0, ceiling_bytes: 0 };

/// What is kept from one probe to the next.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    tenant: OnceLock<TenantState>,
    /// Probes ever: the number of the next, which says whose turn it is.
    number: AtomicU64,
}

impl Probe {
    /// Who the probing connection is.
    pub(crate) fn access(&self, node: &Node, worker: usize) -> Arc<Access> {
        // No directory has a tenant of this number, and it is not looked for in any.
        let id = TenantId::new(u32::MAX);
        let tenant = self.tenant.get_or_init(|| {
            TenantState::new(id, node.store.add_tenant(LIMITS), Trace::off(), node.settings.workers)
        });
        Arc::new(tenant.access(worker, Grant::anonymous(id, Capabilities::USE), None))
    }

    /// Sets, gets and deletes a value through the event loop whose turn it is.
    ///
    /// # Errors
    ///
    /// What went wrong, for an operator.
    pub(crate) fn run(&self, node: &Node) -> Result<Duration, String> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let inboxes = node.inboxes.get().ok_or("the server does not run")?;
        if node.stop.is_asked() {
            return Err("the server stops".to_owned());
        }
        let worker = usize::try_from(number).unwrap_or(0) % inboxes.len();
        let failed = |what: &'static str| {
            move |error: std::io::Error| format!("worker {worker}: {what}: {error}")
        };
        let begin = Instant::now();
        let (mut client, socket) = UnixStream::pair().map_err(failed("no sockets"))?;
        socket.set_nonblocking(true).map_err(failed("no socket"))?;
        client.set_read_timeout(Some(PATIENCE)).map_err(failed("no socket"))?;
        node.connections.admit_to(worker);
        inboxes[worker].push(Accepted {
            socket: socket.into(),
            peer: Address::Unknown,
            listener: None,
            tls: None,
            protocol: ProtocolPin::Text,
        });
        converse(&mut client, number)
            .map(|()| begin.elapsed())
            .map_err(|error| format!("worker {worker}: {error}"))
    }
}

/// Sets, gets and deletes the value of this number.
fn converse(client: &mut UnixStream, number: u64) -> Result<(), String> {
    let (key, value) = (format!("probe-{number}"), number.to_string());
    let len = value.len();
    let request = format!("set {key} 0 60 {len}\r\n{value}\r\nget {key}\r\ndelete {key}\r\n");
    let reply = format!("STORED\r\nVALUE {key} 0 {len}\r\n{value}\r\nEND\r\nDELETED\r\n");
    client.write_all(request.as_bytes()).map_err(|error| format!("it took no request: {error}"))?;
    let (mut got, mut buffer) = (Vec::new(), [0; 256]);
    while got.len() < reply.len() {
        let read = client.read(&mut buffer);
        let read = read.map_err(|error| format!("no answer within a second: {error}"))?;
        got.extend_from_slice(&buffer[..read]);
        if read == 0 || !reply.as_bytes().starts_with(&got) {
            return Err(format!("a wrong answer: {}", got.escape_ascii()));
        }
    }
    Ok(())
}
