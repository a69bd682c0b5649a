//! The node as the connections of one event loop see it.

use crate::broker::Broker;
use crate::dispatch;
use crate::session::{LoopShared, Session};
use net::{ConnContext, Observer, Peer, Reply, SendFile, Service, Warming};
use std::rc::Rc;
use std::sync::Arc;
use telemetry::Metrics;

/// One per loop.
pub(crate) struct NodeService {
    broker: Arc<Broker>,
    of_loop: Rc<LoopShared>,
}

impl NodeService {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, of_loop: Rc::default() }
    }
}

impl Service for NodeService {
    type Session = Session;

    fn connected(&self, peer: &Peer) -> Session {
        let is_controller = self.broker.config.listener(&peer.listener).is_some_and(|listener| listener.is_controller);
        Session::new(Arc::clone(&peer.listener), is_controller, peer.remote.ip(), Rc::clone(&self.of_loop))
    }

    fn call(&self, cx: &mut ConnContext<Session>, frame: &[u8]) -> Reply {
        let metrics = &self.broker.metrics;
        let started = self.broker.clock.monotonic();
        let key = frame.first_chunk::<2>().map(|key| i16::from_be_bytes(*key));
        let key = key.filter(|key| protocol::ApiKey::from_code(*key).is_some());
        match dispatch::call(&self.broker, cx, frame) {
            Reply::Later(pending) => {
                let broker = Arc::clone(&self.broker);
                Reply::Later(Box::pin(async move {
                    let answer = pending.await;
                    let took = broker.clock.monotonic().since(started);
                    let failed = answer.as_ref().is_none_or(|outgoing| outgoing.has_error);
                    broker.metrics.request(key, took, failed);
                    answer
                }))
            }
            reply => {
                let took = self.broker.clock.monotonic().since(started);
                let failed = match &reply {
                    Reply::Now(outgoing) => outgoing.has_error,
                    Reply::Close(_) => true,
                    Reply::Nothing | Reply::Later(_) => false,
                };
                metrics.request(key, took, failed);
                reply
            }
        }
    }

    fn before_send(&self, file: &Arc<dyn SendFile>, position: u64, len: usize) -> Option<Warming> {
        if file.is_in_memory(position, len) { None } else { self.broker.cold_reads.bring(file, position, len) }
    }
}

/// Counts what happens on connections.
pub(crate) struct ConnectionMetrics(pub(crate) Arc<Metrics>);

impl Observer for ConnectionMetrics {
    fn connection_opened(&self, _listener: &str) {
        self.0.accepted.add(1);
        self.0.connections.add(1);
    }
    fn connection_closed(&self, _listener: &str) {
        self.0.connections.add(-1);
    }
    fn connection_refused(&self, _listener: &str) {
        self.0.refused.add(1);
    }
    fn request_waits(&self) {
        self.0.request_waits.add(1);
    }
    fn slow_request_closed(&self) {
        self.0.slow_requests_closed.add(1);
    }
    fn bytes_in(&self, bytes: usize) {
        self.0.received_bytes.add(bytes as u64);
    }
    fn bytes_out(&self, bytes: usize) {
        self.0.sent_bytes.add(bytes as u64);
    }
}
