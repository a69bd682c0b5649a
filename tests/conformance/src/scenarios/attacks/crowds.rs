//! Many connections, and slow ones: S03, S13.

use super::requests::{ALL, produce, wall_ms};
use super::siege::{GROWTH_KIB_MAX, Siege, resident_kib};
use conformance::fault::{During, Fault, ensure};
use conformance::made_batch::{MadeBatch, record};
use conformance::process::now;
use conformance::rig::Scene;
use conformance::wire::{api_versions, connect, expect_close};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// Connections of S13.
const CONNECTIONS: u64 = 10_000;
/// What each of them may cost, bytes.
const CONNECTION_BYTES_MAX: u64 = 20 << 10;
/// Files that both sides have open besides.
const OTHER_FILES: u64 = 500;

/// Slow connections of each kind.
const SLOW: usize = 100;
/// Bytes that a connection sends of a frame of 100 MiB before it falls silent.
const SENT: usize = 256 << 10;
/// `connections.max.idle.ms` of S03.
const IDLE_MS: &str = "2000";
/// Between two bytes of a connection that sends them one by one.
const PAUSE: Duration = Duration::from_millis(50);
/// By when all of them must be gone: the node adds a second for each KiB that it received.
const GONE: Duration = Duration::from_secs(40);

/// `queued.max.request.bytes` of the half-sent giants: one request of `socket.request.max.bytes`.
const MEMORY_BYTES: usize = 100 << 20;
/// Connections that send half a frame of nearly that size.
const GIANTS: usize = 100;
/// What each of them tries to send, bytes.
const GIANT_SENT: usize = 12 << 20;
/// A giant that has not got on for this long is held back.
const HELD_BACK: Duration = Duration::from_millis(50);
/// A record of an honest client that needs such memory too.
const LARGE_RECORD: usize = 900_000;

/// More half-sent frames than memory: the node keeps no more than it says (`queued.max.request.bytes`, one frame, and 16 KiB a connection),
/// and gets rid of those who sit on it when somebody else wants it.
pub(in super::super) fn s03_half_sent_giants(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?.with("queued.max.request.bytes", &MEMORY_BYTES.to_string());
    let siege = Siege::lay(scene, plan)?;
    let announced = (99_i32 << 20).to_be_bytes();
    let (part, mut sent) = (vec![0; 64 << 10], 0);
    let mut giants = Vec::new();
    for number in 0..GIANTS {
        let mut stream = connect(&siege.node.address)?;
        stream.set_write_timeout(Some(HELD_BACK)).during("write timeout")?;
        stream.write_all(&announced).during(format!("giant {number}"))?;
        let mut of_this = 0;
        // Held back, or closed for being slow while others waited: either is a defence.
        while of_this < GIANT_SENT && stream.write_all(&part).is_ok() {
            of_this += part.len();
        }
        sent += of_this;
        giants.push(stream);
    }
    siege.honest_is_served()?;
    // Its frame is too large for the connection's own buffer.
    let mut honest = connect(&siege.node.address)?;
    honest.set_read_timeout(Some(GONE)).during("read timeout")?;
    honest.set_write_timeout(Some(GONE)).during("write timeout")?;
    let batch = MadeBatch::of(wall_ms(), &[record(0, None, Some(&vec![7; LARGE_RECORD]))]).bytes();
    let started = now();
    let (error, _) = produce(&mut honest, "honest", ALL, &batch).during("a large record among half-sent giants")?;
    ensure(error == 0, || format!("a large record is refused with error {error}"))?;
    scene.figure(&format!(
        "{GIANTS} giants got {} MiB off; an honest record of {LARGE_RECORD} bytes was then kept in {} ms",
        sent >> 20,
        (now() - started).as_millis()
    ));
    let bound = (2 * MEMORY_BYTES + GIANTS * (16 << 10)) as u64 >> 10;
    siege.lift(scene, "half-sent giants", bound + GROWTH_KIB_MAX)
}

/// Half-open clients, clients that send half a frame and fall silent, clients that send a byte at a time: what the node keeps for
/// them follows what they sent, not what they announced, and each is closed once it has had its time.
pub(in super::super) fn s03_slow_clients(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?.with("connections.max.idle.ms", IDLE_MS))?;
    let announced = (99_i32 << 20).to_be_bytes();
    let (mut silent, mut dripping) = (Vec::new(), Vec::new());
    for _ in 0..SLOW {
        silent.push(connect(&siege.node.address)?);
        let mut half = connect(&siege.node.address)?;
        half.write_all(&announced[..2]).during("half a size")?;
        silent.push(half);
        let mut drip = connect(&siege.node.address)?;
        drip.write_all(&announced).during("a size")?;
        dripping.push(drip);
    }
    let mut large = Vec::new();
    for _ in 0..SLOW {
        let mut stream = connect(&siege.node.address)?;
        stream.write_all(&announced).and_then(|()| stream.write_all(&vec![0; SENT])).during("part of a frame")?;
        large.push(stream);
    }
    drop(large);
    let until = now() + GONE;
    while !(silent.is_empty() && dripping.is_empty()) {
        ensure(now() < until, || {
            format!("{} silent and {} slow clients are still there", silent.len(), dripping.len())
        })?;
        dripping.retain_mut(|stream| stream.write_all(&[0]).is_ok() && !is_closed(stream, Duration::from_millis(1)));
        let wait = if silent.is_empty() { PAUSE } else { Duration::from_millis(1) };
        silent.retain_mut(|stream| !is_closed(stream, wait));
        siege.honest_is_served()?;
    }
    // What was sent, twice while a buffer grows.
    let held = (SLOW * SENT * 2) as u64 >> 10;
    siege.lift(scene, "slow and half-open clients", held + GROWTH_KIB_MAX)
}

/// Whether the other side has closed, looked at for this long.
fn is_closed(stream: &mut TcpStream, wait: Duration) -> bool {
    stream.set_read_timeout(Some(wait)).is_ok() && expect_close(stream).is_ok()
}

/// Ten thousand connections that have each asked once and then keep quiet.
pub(in super::super) fn s13_ten_thousand_connections(scene: &Scene<'_>) -> Result<(), Fault> {
    let connections = raise_files(scene, CONNECTIONS)?;
    let siege = Siege::lay(scene, scene.plan()?)?;
    let before = resident_kib(&siege.node)?;
    let started = now();
    let mut open = Vec::new();
    for number in 0..connections {
        let mut stream = connect(&siege.node.address).during(format!("connection {number}"))?;
        api_versions(&mut stream).during(format!("connection {number}"))?;
        open.push(stream);
    }
    siege.honest_is_served()?;
    let grown = resident_kib(&siege.node)?.saturating_sub(before);
    scene.figure(&format!(
        "{connections} connections in {} ms cost {} bytes each",
        (now() - started).as_millis(),
        (grown << 10) / connections.max(1)
    ));
    for stream in open.iter_mut().step_by(10) {
        api_versions(stream).during("a connection among many")?;
    }
    drop(open);
    siege.honest_is_served()?;
    let bound = (connections * CONNECTION_BYTES_MAX) >> 10;
    siege.lift(scene, "ten thousand connections", bound + (16 << 10))
}

/// Raises how many files this process, and the node that it starts, may open; how many of the wanted connections fit.
pub(in super::super) fn raise_files(scene: &Scene<'_>, connections: u64) -> Result<u64, Fault> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let wanted = (connections + OTHER_FILES).min(most);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
        raised.map_err(|error| Fault::Failed(format!("raising the limit of open files to {wanted}: {error}")))?;
    }
    let fit = wanted.saturating_sub(OTHER_FILES);
    if fit < connections {
        let why = format!("this machine lets a process open {most} files: {fit} connections instead of {connections}");
        scene.skipped.borrow_mut().push(("all_of_them".to_owned(), why));
    }
    Ok(fit)
}
