//! The observation listener with a thread of its own: it answers while the node reads its logs, before there is any event loop.

use super::{StartError, join};
use crate::metrics_http::{Observed, serve};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A listener that is served until this is dropped.
pub(super) struct Observation {
    pub(super) bound: SocketAddr,
    /// Dropped first: it is what the thread waits for.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Observation {
    /// Listens on `address`; on none when it is empty.
    pub(super) fn start(address: &str, observed: Arc<Observed>) -> Result<Option<Observation>, StartError> {
        if address.is_empty() {
            return Ok(None);
        }
        let listening = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let bound = listener.local_addr()?;
            Ok((listener, bound))
        });
        let (listener, bound) = listening.map_err(|source| StartError::Bind {
            listener: "thalweg.metrics.listen".into(),
            address: address.to_owned(),
            source,
        })?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Threads)?;
        let (stop, stopped) = oneshot::channel();
        let body = move || {
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async move {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => tokio::select! {
                        () = serve(observed, listener) => {}
                        _ = stopped => {}
                    },
                    Err(error) => tracing::error!(%error, "the observation listener cannot be served"),
                }
            });
        };
        let thread = std::thread::Builder::new().name("observation".into()).spawn(body).map_err(StartError::Threads)?;
        Ok(Some(Observation { bound, stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().into_iter().for_each(join);
    }
}
