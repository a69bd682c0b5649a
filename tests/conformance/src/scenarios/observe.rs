//! The opt-in HTTP listener: metrics that move, and health; and what hostile clients do to it (S49).

use crate::members::{Ends, Member, has_reached, java};
use conformance::fault::{During, Fault, ensure};
use conformance::node::Kind;
use conformance::process::{CLIENT_DEADLINE, now};
use conformance::rig::Scene;
use conformance::wire::{api_versions, connect, leads};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Connections of S49: more than are answered at once.
const HALF_OPEN: usize = 100;

/// Status line and body of a GET.
pub(super) fn get(address: &str, path: &str) -> Result<(String, String), Fault> {
    let mut stream = connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).during(path)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).during(path)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

/// The sum of all samples whose line starts with a metric's name and holds every label.
pub(super) fn sample(text: &str, holds: &[&str]) -> f64 {
    let lines = text.lines().filter(|line| !line.starts_with('#') && holds.iter().all(|part| line.contains(part)));
    lines.filter_map(|line| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok())).sum()
}

/// The text of a node's metrics, once a condition holds.
fn until(address: &str, what: &str, holds: impl Fn(&str) -> bool) -> Result<String, Fault> {
    let until = now() + CLIENT_DEADLINE;
    loop {
        let (_, text) = get(address, "/metrics")?;
        if holds(&text) {
            return Ok(text);
        }
        ensure(now() < until, || format!("{what}:\n{text}"))?;
    }
}

/// An address that nobody listens on.
fn free() -> Result<String, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").during("a free port")?;
    listener.local_addr().during("a free port").map(|address| address.to_string())
}

fn only_thalweg(scene: &Scene<'_>) -> Result<(), Fault> {
    match scene.rig.target {
        Kind::Kafka => Err(Fault::Skipped("Kafka has no HTTP listener".to_owned())),
        Kind::Thalweg => Ok(()),
    }
}

/// Groups of both protocols come, commit, go and are deleted, and the metrics follow them.
pub(super) fn metrics_of_groups(scene: &Scene<'_>) -> Result<(), Fault> {
    only_thalweg(scene)?;
    let free = free()?;
    let node = super::groups::plan(scene)?.with("thalweg.metrics.listen", &free).start(scene)?;
    scene.java(|java| {
        java.peer(&["create", &node.address, "t", "2", "1"])?;
        java.peer(&["produce-rich", &node.address, "t", "2", "100", "none"])
    })?;
    let groups =
        |text: &str, kind: &str, state: &str| sample(text, &[&format!("thalweg_{kind}_groups{{state=\"{state}\"}}")]);
    for (name, kind) in [("java-range", "classic"), ("java-consumer", "consumer")] {
        let member = Member::start(scene, &java(name), (&node.address, name, "t"), 1, &[])?;
        let ends: Ends = [(0, 50), (1, 50)].into();
        member.until(scene, "commit of the end", |lines| has_reached(lines, &ends).then_some(()))?;
        let text = until(&free, "a stable group", |text| groups(text, kind, "Stable") == 1.0)?;
        let rebalances = sample(&text, &[&format!("thalweg_group_rebalances_total{{type=\"{kind}\"}}")]);
        ensure(rebalances >= 1.0, || format!("{rebalances} rebalances of a group of {kind}:\n{text}"))?;
        member.leave(scene)?;
        until(&free, "an empty group", |text| {
            groups(text, kind, "Empty") == 1.0 && groups(text, kind, "Stable") == 0.0
        })?;
    }
    let (_, text) = get(&free, "/metrics")?;
    let of = |name: &str| sample(&text, &[&format!("thalweg_{name}")]);
    ensure(of("group_offsets ") == 4.0 && of("offset_commits_total ") >= 4.0, || format!("four offsets:\n{text}"))?;
    ensure(of("group_coordinator_partitions{state=\"active\"}") == 5.0, || format!("five partitions:\n{text}"))?;
    for histogram in ["load", "append", "commit"] {
        ensure(of(&format!("group_coordinator_{histogram}_seconds_count ")) >= 1.0, || {
            format!("{histogram}:\n{text}")
        })?;
    }
    let args = ["--bootstrap-server", &node.address, "--delete", "--group", "java-range"];
    scene.java(|java| java.tool(super::admin::GROUPS_TOOL, &args))?;
    until(&free, "a deleted group", |text| {
        groups(text, "classic", "Empty") == 0.0 && sample(text, &["thalweg_offset_deletions_total "]) == 2.0
    })?;
    node.stop()
}

/// A log dir whose disk has less room than is reserved is told of.
pub(super) fn full_log_dirs(scene: &Scene<'_>) -> Result<(), Fault> {
    only_thalweg(scene)?;
    // With an exbibyte in reserve every disk is nearly full, and none with nothing in reserve.
    for (reserve, full) in [((1_i64 << 60).to_string(), 1.0), ("0".to_owned(), 0.0)] {
        let free = free()?;
        let plan = scene.plan()?.with("thalweg.disk.reserve.bytes", &reserve);
        let node = plan.with("thalweg.metrics.listen", &free).start(scene)?;
        until(&free, &format!("with {reserve} bytes in reserve"), |text| {
            sample(text, &["thalweg_full_log_dirs "]) == full
        })?;
        node.stop()?;
    }
    Ok(())
}

/// Clients that say half a request, or a megabyte, or something else than GET: none of them changes anything, or keeps a scraper out for long.
pub(super) fn s49_hostile_scrapers(scene: &Scene<'_>) -> Result<(), Fault> {
    only_thalweg(scene)?;
    let http = free()?;
    let node = scene.plan()?.with("thalweg.metrics.listen", &http).start(scene)?;
    let mut halves = Vec::new();
    for _ in 0..HALF_OPEN {
        let mut stream = connect(&http)?;
        stream.write_all(b"GET /metr").during("half a request")?;
        halves.push(stream);
    }
    for request in
        ["POST /metrics HTTP/1.1\r\n\r\n", "DELETE / HTTP/1.1\r\n\r\n", "PUT /healthz HTTP/1.1\r\n\r\n", "\0\0\r\n\r\n"]
    {
        let mut stream = connect(&http)?;
        stream.write_all(request.as_bytes()).during(request)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).during(request)?;
        ensure(answer.starts_with("HTTP/1.1 400 "), || format!("{request:?}: {answer}"))?;
    }
    let mut endless = connect(&http)?;
    // It ends the connection in the middle, so that the rest may not be taken.
    drop(endless.write_all(&[&b"GET /metrics HTTP/1.1\r\nX: "[..], &vec![b'x'; 1 << 20]].concat()));
    let (status, body) = get(&http, "/metrics")?;
    ensure(status.contains(" 200 ") && body.contains("# TYPE "), || format!("/metrics: {status}"))?;
    api_versions(&mut connect(&node.address)?)?;
    drop(halves);
    node.stop()
}

/// An answer that tells of an error counts as one, wherever in it the error stands; one that tells of none does not.
fn errors_are_counted(free: &str, stream: &mut TcpStream) -> Result<(), Fault> {
    let errors = || Ok::<f64, Fault>(sample(&get(free, "/metrics")?.1, &["request_errors", "ListOffsets", "total"]));
    let before = errors()?;
    ensure(!leads(stream, "absent", 0)?, || "a topic that does not exist has a leader".to_owned())?;
    let moved = errors()? - before;
    ensure((moved - 1.0).abs() < f64::EPSILON, || {
        format!("an unknown partition moved the errors of its API by {moved}")
    })?;
    let of_versions = sample(&get(free, "/metrics")?.1, &["request_errors", "ApiVersions", "total"]);
    ensure(of_versions < f64::EPSILON, || format!("ApiVersions failed {of_versions} times"))
}

pub(super) fn metrics_and_health(scene: &Scene<'_>) -> Result<(), Fault> {
    only_thalweg(scene)?;
    let free = free()?;
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
    errors_are_counted(&free, &mut stream)?;
    node.stop()
}
