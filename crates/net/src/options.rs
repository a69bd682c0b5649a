//! What a listener and its connections are told: names, limits, and what they share with those of other listeners.

use crate::quotas::ConnectionQuotas;
use crate::reply_memory::ReplyMemory;
use crate::request_memory::RequestMemory;
use crate::service::{NoObserver, Observer};
use std::sync::Arc;
use tokio::time::Duration;

/// Kafka's default of `socket.request.max.bytes`.
const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;

/// How a listener and its connections behave.
#[derive(Clone)]
pub struct ListenerOptions {
    /// The listener's name.
    pub name: Arc<str>,
    /// `socket.listen.backlog.size`.
    pub backlog: i32,
    /// `socket.request.max.bytes`: a larger frame closes its connection before anything is allocated for it.
    pub request_bytes_max: usize,
    /// `queued.max.request.bytes`, over all connections: shared by the listeners of a node.
    pub request_memory: Arc<RequestMemory>,
    /// `connections.max.idle.ms`; `None` for never.
    pub idle_max: Option<Duration>,
    /// Requests of one connection whose replies are not sent yet; beyond it nothing is read.
    pub pipeline_max: usize,
    /// Bytes of ready replies of one connection; beyond it nothing is read.
    pub reply_bytes_max: usize,
    /// Bytes of ready replies of all connections: shared by the listeners of a node.
    pub reply_memory: Arc<ReplyMemory>,
    /// `socket.receive.buffer.bytes`; `None` (-1) lets the kernel tune it, which is twice as fast.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes`; as above.
    pub send_buffer_bytes: Option<usize>,
    /// Counts of connections, shared by the listeners of a node.
    pub quotas: Arc<ConnectionQuotas>,
    /// Is told what happens.
    pub observer: Arc<dyn Observer>,
}

impl ListenerOptions {
    /// Kafka's defaults, under this name.
    #[must_use]
    pub fn new(name: &str, quotas: Arc<ConnectionQuotas>) -> Self {
        Self {
            name: Arc::from(name),
            backlog: 50,
            request_bytes_max: REQUEST_BYTES_MAX,
            request_memory: RequestMemory::new(2 * REQUEST_BYTES_MAX),
            idle_max: Some(Duration::from_secs(600)),
            pipeline_max: 256,
            reply_bytes_max: 1024 * 1024,
            reply_memory: ReplyMemory::new(2 * REQUEST_BYTES_MAX),
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            quotas,
            observer: Arc::new(NoObserver),
        }
    }
}
