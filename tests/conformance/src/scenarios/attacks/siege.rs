//! What holds while an attack goes on: an honest client that produces and fetches, memory, log lines, life.

use super::requests::{self, ALL};
use conformance::fault::{During, Fault, ensure};
use conformance::made_batch::{MadeBatch, record};
use conformance::node::{Kind, Node, Plan};
use conformance::process::now;
use conformance::rig::Scene;
use conformance::wire::connect;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What resident memory may grow by when an attack says nothing else, KiB: the bound of the list of attacks.
pub(super) const GROWTH_KIB_MAX: u64 = 64 << 10;
/// Lines that the node may log in each second of an attack, and as many again for its beginning.
const LOG_LINES_PER_SECOND_MAX: u64 = 12;
/// How long one round of the honest client may take on a shared machine before it counts as not served.
const ROUND_DEADLINE: Duration = Duration::from_secs(20);
/// The topic of the honest client.
const TOPIC: &str = "honest";

/// A node under attack.
pub(super) struct Siege {
    /// The node.
    pub(super) node: Node,
    before_kib: u64,
    lines_before: usize,
    started: std::time::Instant,
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    honest: JoinHandle<Result<Duration, Fault>>,
}

impl Siege {
    /// Starts the node and its honest client; memory is measured from here on.
    pub(super) fn lay(scene: &Scene<'_>, plan: Plan) -> Result<Siege, Fault> {
        let node = plan.start(scene)?;
        let mut stream = connect(&node.address)?;
        requests::create_topic(&mut stream, TOPIC, &[])?;
        // The first round makes what every client has once: buffers, a segment's file.
        round(&mut stream, 0)?;
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (asked, done) = (Arc::clone(&stop), Arc::clone(&rounds));
        let honest = std::thread::Builder::new().name("honest".to_owned());
        let honest = honest.spawn(move || serve_me(&mut stream, &asked, &done)).during("starting a thread")?;
        let before_kib = reset_peak(node.running.pid())?;
        let lines_before = node.running.said().lines().count();
        Ok(Siege { node, before_kib, lines_before, started: now(), stop, rounds, honest })
    }

    /// Waits until the honest client has had another round or two.
    pub(super) fn honest_is_served(&self) -> Result<(), Fault> {
        let until = now() + 2 * ROUND_DEADLINE;
        let wanted = self.rounds.load(Ordering::Relaxed) + 2;
        while self.rounds.load(Ordering::Relaxed) < wanted && !self.honest.is_finished() {
            ensure(now() < until, || "the honest client has not been served".to_owned())?;
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Ends the siege: everything must have held. `growth_kib_max` is the attack's own bound on memory.
    pub(super) fn lift(self, scene: &Scene<'_>, what: &str, growth_kib_max: u64) -> Result<(), Fault> {
        self.honest_is_served()?;
        self.stop.store(true, Ordering::Relaxed);
        let slowest = self.honest.join().map_err(|_| Fault::Failed("the honest client panicked".to_owned()))?;
        let slowest = slowest.during(format!("an honest client beside {what}"))?;
        let mut node = self.node;
        ensure(node.running.is_alive(), || format!("the node died; it said: {}", node.running.said()))?;
        let grown = peak_kib(node.running.pid())?.saturating_sub(self.before_kib);
        let said = node.running.said();
        let lines = said.lines().count().saturating_sub(self.lines_before) as u64;
        scene.figure(&format!(
            "{what}: at most {grown} KiB more resident, {lines} log lines; an honest client was served {} times, \
             at worst in {} ms",
            self.rounds.load(Ordering::Relaxed),
            slowest.as_millis()
        ));
        // A JVM's heap grows and its log says what it likes.
        if node.kind == Kind::Thalweg {
            ensure(grown <= growth_kib_max, || {
                format!("{what}: resident memory grew by {grown} KiB, {growth_kib_max} are its bound")
            })?;
            let lines_max = (now() - self.started).as_secs().saturating_add(2) * LOG_LINES_PER_SECOND_MAX;
            ensure(lines <= lines_max, || format!("{what}: {lines} log lines, {lines_max} are the bound"))?;
            ensure(!said.contains("broke an invariant") && !said.contains("panicked"), || {
                format!("{what}: something panicked: {said}")
            })?;
        }
        node.stop()
    }
}

/// Produces a record with acks=all and fetches it back, until it is told to stop; the slowest round.
fn serve_me(stream: &mut TcpStream, stop: &AtomicBool, rounds: &AtomicU64) -> Result<Duration, Fault> {
    stream.set_read_timeout(Some(ROUND_DEADLINE)).during("read timeout")?;
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let started = now();
        round(stream, rounds.load(Ordering::Relaxed) + 1)?;
        slowest = slowest.max(now() - started);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(slowest)
}

fn round(stream: &mut TcpStream, number: u64) -> Result<(), Fault> {
    let value = format!("honest record {number}");
    let batch = MadeBatch::of(requests::wall_ms(), &[record(0, None, Some(value.as_bytes()))]).bytes();
    let (error, offset) = requests::produce(stream, TOPIC, ALL, &batch)?;
    ensure(error == 0, || format!("an honest record is refused with error {error}"))?;
    let fetched = requests::fetch(stream, TOPIC, offset)?;
    // The value ends the batch, but for the count of headers.
    let came_back = fetched.windows(value.len()).any(|window| window == value.as_bytes());
    ensure(came_back, || format!("record {number} at offset {offset} did not come back"))
}

/// Lets the kernel's record of a process's peak begin anew; its resident memory now.
fn reset_peak(pid: u32) -> Result<u64, Fault> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").during(path)?;
    status_kib(pid, "VmRSS:")
}

fn peak_kib(pid: u32) -> Result<u64, Fault> {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: u32, field: &str) -> Result<u64, Fault> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).during(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let figure = line.and_then(|line| line.split_whitespace().next()).and_then(|figure| figure.parse().ok());
    figure.ok_or_else(|| Fault::Failed(format!("{path} has no {field}")))
}

/// Resident memory of the node now, KiB.
pub(super) fn resident_kib(node: &Node) -> Result<u64, Fault> {
    status_kib(node.running.pid(), "VmRSS:")
}
