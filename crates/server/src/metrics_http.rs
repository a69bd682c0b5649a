//! The opt-in observation listener (`thalweg.metrics.listen`): `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! It reads only: no request changes anything (S49). Requests are answered one a connection, of at most 8 KiB, within 5 s; who opens many
//! and says nothing keeps no probe waiting, for the oldest goes for the newest. It answers before there is a broker to ask, since a start
//! after a crash may take long.

use crate::broker::Broker;
use crate::recovery::RecoveryProgress;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

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
    // In the order of their coming. What a probe asks is answered at once, so the oldest that is still here has not asked.
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_finished());
                if open.len() >= CONNECTIONS_MAX {
                    open.pop_front().iter().for_each(AbortHandle::abort);
                }
                let observed = Arc::clone(&observed);
                let connection = tokio::task::spawn_local(async move {
                    match tokio::time::timeout(REQUEST_TIME_MAX, answer(&observed, stream)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "an observation request failed"),
                        Err(_) => tracing::debug!("an observation request took longer than 5 s"),
                    }
                });
                open.push_back(connection.abort_handle());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 connections that said nothing kept every probe waiting for 5 s, and more of them for as much longer.
    #[tokio::test]
    async fn s49_silent_connections_keep_no_probe_waiting() {
        let (clock, metrics) = (crate::Environment::real().clock, Arc::default());
        let observed = Observed { progress: Arc::new(RecoveryProgress::new(clock, metrics)), broker: OnceLock::new() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let test = async {
            tokio::task::spawn_local(serve(Arc::new(observed), listener));
            let mut silent = Vec::new();
            for _ in 0..2 * CONNECTIONS_MAX {
                silent.push(TcpStream::connect(address).await.expect("connects"));
            }
            let mut probe = TcpStream::connect(address).await.expect("connects");
            probe.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.expect("asks");
            let mut answer = String::new();
            probe.read_to_string(&mut answer).await.expect("is answered");
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            // Who came last is still here: the probe did not wait until the time of the others was up.
            let last = silent.last().expect("many").try_read(&mut [0]);
            assert_eq!(last.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
            assert_eq!(silent[0].read(&mut [0]).await.ok().unwrap_or(0), 0, "the oldest went");
        };
        tokio::task::LocalSet::new().run_until(test).await;
    }
}
