//! How many connections there may be: in all, on a listener, from one address (KIP-402, `max.connections.per.ip`).
//!
//! Counts are exact: one lock, taken once when a connection comes and once when it goes.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Notify;

/// The limits of a node.
#[derive(Clone, Debug)]
pub struct QuotaLimits {
    /// `max.connections`: over all listeners. Beyond it, accepted connections wait until another one closes.
    pub connections_max: usize,
    /// `max.connections.per.ip`: a further connection from that address is closed at once.
    pub connections_per_ip_max: usize,
    /// `max.connections.per.ip.overrides`, addresses already resolved.
    pub per_ip_overrides: BTreeMap<IpAddr, usize>,
}

impl Default for QuotaLimits {
    /// Kafka's defaults: no limit.
    fn default() -> Self {
        Self {
            connections_max: i32::MAX as usize,
            connections_per_ip_max: i32::MAX as usize,
            per_ip_overrides: BTreeMap::new(),
        }
    }
}

/// Counts the connections of a node; shared by its listeners.
#[derive(Debug)]
pub struct ConnectionQuotas {
    limits: Mutex<QuotaLimits>,
    counts: Mutex<Counts>,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    per_ip: BTreeMap<IpAddr, usize>,
}

impl ConnectionQuotas {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(limits: QuotaLimits) -> Arc<Self> {
        Arc::new(Self { limits: Mutex::new(limits), counts: Mutex::new(Counts::default()), closed: Notify::new() })
    }

    /// Changes the limits (they are dynamic configs); connections that are open stay open.
    pub fn set_limits(&self, limits: QuotaLimits) {
        *self.limits.lock() = limits;
        self.closed.notify_waiters();
    }

    /// How many connections there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.counts.lock().total
    }

    /// Counts a connection from `remote` in, waiting while the node is full; `None` when its address has too many.
    pub(crate) async fn admit(self: &Arc<Self>, remote: SocketAddr) -> Option<Slot> {
        let ip = remote.ip().to_canonical();
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            closed.as_mut().enable();
            match self.try_admit(ip) {
                Admission::Admitted => return Some(Slot { quotas: Arc::clone(self), ip }),
                Admission::Refused => return None,
                Admission::Full => closed.await,
            }
        }
    }

    fn try_admit(&self, ip: IpAddr) -> Admission {
        let limits = self.limits.lock();
        let mut counts = self.counts.lock();
        let from_ip = counts.per_ip.get(&ip).copied().unwrap_or(0);
        if from_ip >= limits.per_ip_overrides.get(&ip).copied().unwrap_or(limits.connections_per_ip_max) {
            return Admission::Refused;
        }
        if counts.total >= limits.connections_max {
            return Admission::Full;
        }
        counts.total += 1;
        counts.per_ip.insert(ip, from_ip + 1);
        Admission::Admitted
    }
}

enum Admission {
    Admitted,
    Refused,
    Full,
}

/// One counted connection; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct Slot {
    quotas: Arc<ConnectionQuotas>,
    ip: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.quotas.counts.lock();
        counts.total -= 1;
        if let Some(count) = counts.per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.per_ip.remove(&self.ip);
            }
        }
        drop(counts);
        self.quotas.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
