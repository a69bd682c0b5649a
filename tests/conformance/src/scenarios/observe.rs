//! The opt-in HTTP listener: metrics that move, and health.

use conformance::fault::{During, Fault, ensure};
use conformance::node::Kind;
use conformance::rig::Scene;
use conformance::wire::{api_versions, connect};
use std::io::{Read, Write};
use std::net::TcpListener;

/// Status line and body of a GET.
fn get(address: &str, path: &str) -> Result<(String, String), Fault> {
    let mut stream = connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).during(path)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).during(path)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

/// The sum of all samples whose line starts with a metric's name and holds every label.
fn sample(text: &str, holds: &[&str]) -> f64 {
    let lines = text.lines().filter(|line| !line.starts_with('#') && holds.iter().all(|part| line.contains(part)));
    lines.filter_map(|line| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok())).sum()
}

pub(super) fn metrics_and_health(scene: &Scene<'_>) -> Result<(), Fault> {
    if scene.rig.target == Kind::Kafka {
        return Err(Fault::Skipped("Kafka has no HTTP listener".to_owned()));
    }
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).during("a free port")?.to_string();
    let node = scene.plan()?.with("thalweg.metrics.listen", &free).start(scene)?;
    for path in ["/healthz", "/readyz"] {
        let (status, body) = get(&free, path)?;
        ensure(status.contains(" 200 "), || format!("{path}: {status}: {body}"))?;
    }
    let (status, _) = get(&free, "/absent")?;
    ensure(status.contains(" 404 "), || format!("/absent: {status}"))?;
    let (_, before) = get(&free, "/metrics")?;
    let mut stream = connect(&node.address)?;
    for _ in 0..10 {
        api_versions(&mut stream)?;
    }
    let (status, after) = get(&free, "/metrics")?;
    ensure(status.contains(" 200 ") && after.contains("# TYPE "), || format!("/metrics: {status}: {after}"))?;
    let requests = |text: &str| sample(text, &["request", "ApiVersions", "total"]);
    let moved = requests(&after) - requests(&before);
    ensure(moved >= 10.0, || format!("10 ApiVersions requests moved their counter by {moved}:\n{after}"))?;
    node.stop()
}
