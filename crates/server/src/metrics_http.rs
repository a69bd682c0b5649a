//! The opt-in observation listener (`thalweg.metrics.listen`): `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! It reads only: no request changes anything (S49). Requests are answered one a connection, of at most 8 KiB, within 5 s. It answers
//! before there is a broker to ask, since a start after a crash may take long.

use crate::broker::Broker;
use crate::recovery::RecoveryProgress;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REQUEST_BYTES_MAX: usize = 8 * 1024;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// Scrapers open one connection at a time; more than this many at once is a flood.
const CONNECTIONS_MAX: usize = 64;

/// What is observed: a node that starts, and then its broker.
pub(crate) struct Observed {
    pub(crate) progress: Arc<RecoveryProgress>,
    pub(crate) broker: OnceLock<Arc<Broker>>,
}

impl Observed {
    fn metrics(&self) -> String {
        match self.broker.get() {
            Some(broker) => broker.render_metrics(),
            None => crate::broker::render(self.progress.metrics()),
        }
    }

    /// What is wrong with the node, if anything.
    fn unhealthy(&self) -> Option<String> {
        self.broker.get().and_then(|broker| broker.unhealthy())
    }

    /// Why clients are not served, if they are not.
    fn unready(&self) -> Option<String> {
        match self.broker.get() {
            Some(broker) if broker.is_ready() => None,
            Some(_) => Some("not ready".to_owned()),
            None => Some(self.progress.text()),
        }
    }
}

/// Serves until the listener fails or the loop ends.
pub(crate) async fn serve(observed: Arc<Observed>, listener: TcpListener) {
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let observed = Arc::clone(&observed);
                tokio::task::spawn_local(async move {
                    let _held = slot;
                    match tokio::time::timeout(REQUEST_TIME_MAX, answer(&observed, stream)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "an observation request failed"),
                        Err(_) => tracing::debug!("an observation request took longer than 5 s"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the observation listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(observed: &Observed, mut stream: TcpStream) -> std::io::Result<()> {
    let Some(path) = read_path(&mut stream).await? else {
        return respond(&mut stream, "400 Bad Request", "text/plain", "only GET requests of up to 8 KiB are served\n")
            .await;
    };
    match path.as_str() {
        "/metrics" => respond(&mut stream, "200 OK", "text/plain; version=0.0.4", &observed.metrics()).await,
        "/healthz" => respond_unless(&mut stream, observed.unhealthy(), "ok").await,
        "/readyz" => respond_unless(&mut stream, observed.unready(), "ready").await,
        _ => respond(&mut stream, "404 Not Found", "text/plain", "try /metrics, /healthz or /readyz\n").await,
    }
}

/// The path of a GET request; `None` for anything else.
async fn read_path(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut request = Vec::with_capacity(1024);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() >= REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&request);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some(target)) => Ok(Some(target.split('?').next().unwrap_or_default().to_owned())),
        _ => Ok(None),
    }
}

/// Says that all is well, or why it is not.
async fn respond_unless(stream: &mut TcpStream, why: Option<String>, well: &str) -> std::io::Result<()> {
    match why {
        None => respond(stream, "200 OK", "text/plain", &format!("{well}\n")).await,
        Some(why) => respond(stream, "503 Service Unavailable", "text/plain", &format!("{why}\n")).await,
    }
}

async fn respond(stream: &mut TcpStream, status: &str, content_type: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
