//! A node that says what it is told to.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_tenancy::{Figures, Insight, ItemFacts, Latency, Node, NodeFacts, TenantId};

/// Values by cache and key.
pub type Items = HashMap<(TenantId, Vec<u8>), Vec<u8>>;

/// A node whose figures are set by a test.
#[derive(Debug, Default)]
pub struct FakeNode {
    pub figures: Mutex<BTreeMap<TenantId, Figures>>,
    pub latency: Mutex<Latency>,
    pub insight: Mutex<Insight>,
    pub items: Mutex<Items>,
    pub last_used: Mutex<Vec<(Arc<[u8]>, u64)>>,
    /// What is wrong with it; none: nothing.
    pub sick: Mutex<Option<String>>,
    pub probes: Mutex<u32>,
    /// How often it panics when it is asked for all figures.
    pub panics: AtomicU32,
}

impl FakeNode {
    pub fn set(&self, tenant: TenantId, figures: Figures) {
        self.figures.lock().unwrap().insert(tenant, figures);
    }

    pub fn store(&self, tenant: TenantId, key: &[u8], value: &[u8]) {
        self.items.lock().unwrap().insert((tenant, key.to_vec()), value.to_vec());
    }
}

impl Node for FakeNode {
    fn facts(&self) -> NodeFacts {
        NodeFacts {
            started: 1_700_000_000,
            directory_version: 7,
            memory_bytes: 1 << 30,
            max_item_bytes: 1 << 20,
            workers: 2,
            connections: 3,
            max_connections: 1000,
            rejected_connections: 4,
            buffer_bytes: 5,
            max_buffer_bytes: 6,
            listening: vec!["127.0.0.1:11211".to_owned()],
        }
    }

    fn figures(&self, tenant: Option<TenantId>) -> Figures {
        let figures = self.figures.lock().unwrap();
        match tenant {
            Some(tenant) => figures.get(&tenant).copied().unwrap_or_default(),
            None => figures.values().fold(Figures::default(), |sum, one| sum.plus(one)),
        }
    }

    fn all_figures(&self) -> Vec<(TenantId, Figures)> {
        let is_left = |left: u32| left.checked_sub(1);
        assert!(self.panics.fetch_update(SeqCst, SeqCst, is_left).is_err(), "as it was told");
        self.figures.lock().unwrap().iter().map(|(id, figures)| (*id, *figures)).collect()
    }

    fn latency(&self, _: Option<TenantId>) -> Latency {
        self.latency.lock().unwrap().clone()
    }

    fn insight(&self, _: TenantId) -> Insight {
        self.insight.lock().unwrap().clone()
    }

    fn last_used(&self) -> Vec<(Arc<[u8]>, u64)> {
        self.last_used.lock().unwrap().clone()
    }

    fn look_up(&self, tenant: TenantId, key: &[u8]) -> Option<ItemFacts> {
        let items = self.items.lock().unwrap();
        let value = items.get(&(tenant, key.to_vec()))?;
        Some(ItemFacts {
            value_bytes: value.len() as u64,
            bytes: value.len() as u64 + 60,
            flags: 1,
            cas: 42,
            ttl: Some(Duration::from_secs(60)),
            idle: Duration::from_secs(2),
            fetched: true,
        })
    }

    fn value(&self, tenant: TenantId, key: &[u8], most: usize) -> Option<Vec<u8>> {
        let items = self.items.lock().unwrap();
        let value = items.get(&(tenant, key.to_vec()))?;
        Some(value[..value.len().min(most)].to_vec())
    }

    fn delete(&self, tenant: TenantId, key: &[u8]) -> bool {
        self.items.lock().unwrap().remove(&(tenant, key.to_vec())).is_some()
    }

    fn flush(&self, tenant: TenantId) {
        self.items.lock().unwrap().retain(|(of, _), _| *of != tenant);
    }

    fn probe(&self) -> Result<Duration, String> {
        *self.probes.lock().unwrap() += 1;
        match &*self.sick.lock().unwrap() {
            Some(reason) => Err(reason.clone()),
            None => Ok(Duration::from_micros(250)),
        }
    }
}
