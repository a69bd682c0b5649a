//! The opt-in observation listener (`thalweg.metrics.listen`): `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! It reads only: no request changes anything (S49). Requests are answered one a connection, of at most 8 KiB, within 5 s.

use crate::broker::Broker;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REQUEST_BYTES_MAX: usize = 8 * 1024;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// Scrapers open one connection at a time; more than this many at once is a flood.
const CONNECTIONS_MAX: usize = 64;

/// Serves until the listener fails or the loop ends.
pub(crate) async fn serve(broker: Arc<Broker>, listener: TcpListener) {
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let broker = Arc::clone(&broker);
                tokio::task::spawn_local(async move {
                    let _held = slot;
                    match tokio::time::timeout(REQUEST_TIME_MAX, answer(&broker, stream)).await {
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

async fn answer(broker: &Broker, mut stream: TcpStream) -> std::io::Result<()> {
    let Some(path) = read_path(&mut stream).await? else {
        return respond(&mut stream, "400 Bad Request", "text/plain", "only GET requests of up to 8 KiB are served\n")
            .await;
    };
    match path.as_str() {
        "/metrics" => {
            let text = broker.render_metrics();
            respond(&mut stream, "200 OK", "text/plain; version=0.0.4", &text).await
        }
        "/healthz" => match broker.unhealthy() {
            None => respond(&mut stream, "200 OK", "text/plain", "ok\n").await,
            Some(why) => respond(&mut stream, "503 Service Unavailable", "text/plain", &format!("{why}\n")).await,
        },
        "/readyz" if broker.is_ready() => respond(&mut stream, "200 OK", "text/plain", "ready\n").await,
        "/readyz" => respond(&mut stream, "503 Service Unavailable", "text/plain", "not ready\n").await,
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

async fn respond(stream: &mut TcpStream, status: &str, content_type: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
