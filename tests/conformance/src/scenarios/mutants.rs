//! Tests of the rig: a broker that is broken in one way, and each client's row must fail, for that reason and at that step.
//!
//! The proxy breaks it (`tests/conformance/src/proxy.rs`); the wrong hash is a client with another partitioner. Each has its control: the same rows
//! through an honest proxy, which all clients pass.

use super::table;
use conformance::fault::{During, Fault, ensure, fail};
use conformance::node::Node;
use conformance::proxy::{Mutant, Proxy};
use conformance::rig::Scene;
use conformance::table_peer::{FAMILIES, TablePeer};
use conformance::wire;
use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

const HEARTBEAT: i16 = 12;
const OFFSET_COMMIT: i16 = 8;
const ILLEGAL_GENERATION: i16 = 22;

const HEADERS: &str = "nulls_and_headers";
const IDEMPOTENT: &str = "idempotent";
const COMMITTING: &str = "a_group_goes_on_where_it_committed";

/// What became of a row, client by client.
type Ran = Vec<(&'static str, Result<(), String>)>;

/// A node that advertises the proxy before it.
struct Broken {
    node: Node,
    proxy: Proxy,
    data: PathBuf,
}

impl Broken {
    fn start(scene: &Scene<'_>, mutant: Mutant) -> Result<Broken, Fault> {
        let (plan, port) = table::plan(scene.plan()?).behind_a_proxy()?;
        plan.format(scene, &[])?;
        let node = plan.start(scene)?;
        let proxy = Proxy::start(port, &node.address, mutant)?;
        Ok(Broken { node, proxy, data: plan.data })
    }

    /// The peers of these families, as far as they can be had.
    fn peers(&self, scene: &Scene<'_>, families: &[&'static str], settings: &[&str]) -> Result<Vec<TablePeer>, Fault> {
        let mut peers = Vec::new();
        for family in families {
            let peer = TablePeer::start(family, &self.proxy.address, settings, &scene.folder);
            peers.extend(scene.peer(family, peer)?);
        }
        ensure(!peers.is_empty(), || "no client can be had".to_owned())?;
        Ok(peers)
    }

    /// The row by each of these peers, and what became of it.
    fn row(&self, name: &str, peers: &mut [TablePeer]) -> Result<Ran, Fault> {
        let rows = table::rows()?;
        let row = rows.iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| Fault::Failed(format!("the table has no row {name}")))?;
        // One that cannot do the row has nothing to say about it.
        let peers = peers.iter_mut().filter(|peer| row.limit(peer.family).is_none()).collect::<Vec<_>>();
        let count = peers.len();
        // All at once: they wait for brokers, and for retries that a broken one costs them.
        let done = std::thread::scope(|scope| {
            let run = |peer: &mut TablePeer| (peer.family, row.run(peer, &self.data));
            let threads: Vec<_> = peers.into_iter().map(|peer| scope.spawn(move || run(peer))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
        });
        ensure(done.len() == count, || "a peer's thread is lost".to_owned())?;
        let told = |result| match result {
            Ok(()) => Ok(()),
            Err(Fault::Failed(why) | Fault::Skipped(why)) => Err(why),
        };
        Ok(done.into_iter().map(|(family, result)| (family, told(result))).collect())
    }

    /// Every peer's row must pass.
    fn passed(&self, row: &str, peers: &mut [TablePeer]) -> Result<(), Fault> {
        for (family, result) in self.row(row, peers)? {
            result.map_err(Fault::Failed).during(format!("{row} by {family} through the proxy"))?;
        }
        Ok(())
    }

    /// Every family's row must fail with a reason that holds all of `intended`.
    fn caught(&self, scene: &Scene<'_>, row: &str, families: &[&'static str], intended: &[&str]) -> Result<(), Fault> {
        caught(row, &self.row(row, &mut self.peers(scene, families, &[])?)?, intended)
    }
}

fn caught(row: &str, ran: &Ran, intended: &[&str]) -> Result<(), Fault> {
    ensure(!ran.is_empty(), || format!("no client can do {row}"))?;
    for (family, result) in ran {
        let Err(why) = result else { return fail(format!("{row} by {family} passed on a broken broker")) };
        let holds = intended.iter().all(|part| why.contains(part));
        ensure(holds, || format!("{row} by {family} failed for another reason than {intended:?}: {why}"))?;
    }
    Ok(())
}

/// The control: with nothing broken, the same rows pass through the same proxy.
pub(super) fn honest(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::Honest)?;
    let mut peers = broken.peers(scene, FAMILIES, &[])?;
    for row in
        ["from_an_offset", "acks_of_all", "keys_choose_partitions_as_murmur2_does", HEADERS, IDEMPOTENT, COMMITTING]
    {
        broken.passed(row, &mut peers)?;
    }
    generation(&broken)?;
    broken.node.stop()
}

/// The control for producers that are not known again: answers are lost alike, and what comes a second time is not appended a second time.
pub(super) fn lost_answers(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::LostAnswers)?;
    let mut peers = broken.peers(scene, FAMILIES, &[])?;
    broken.passed(IDEMPOTENT, &mut peers)?;
    broken.node.stop()
}

pub(super) fn forgotten_producers(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::ForgottenProducers)?;
    broken.caught(scene, IDEMPOTENT, FAMILIES, &["`send", "line 1: `sent 0 1` where `sent 0 0`"])?;
    broken.node.stop()
}

pub(super) fn changed_timestamps(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::ChangedTimestamps)?;
    let intended = ["`read", "line 1: `record 0 0 key=~ value=a ts=1700000000002 ", "value=a ts=1700000000001 "];
    broken.caught(scene, "from_an_offset", FAMILIES, &intended)?;
    broken.node.stop()
}

pub(super) fn dropped_headers(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::DroppedHeaders)?;
    let intended = ["`read", "line 4: `record 0 3 ", "headers=` where `record 0 3 ", "headers=a:1,b:`"];
    broken.caught(scene, HEADERS, FAMILIES, &intended)?;
    broken.node.stop()
}

/// The first records that are fetched are those of partition 0.
pub(super) fn foreign_records(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::ForeignRecords)?;
    let intended = ["`read $t 1 ", "line 1: `record 1 0 key=~ value=a ", "where `record 1 0 key=~ value=b "];
    broken.caught(scene, IDEMPOTENT, FAMILIES, &intended)?;
    broken.node.stop()
}

pub(super) fn lost_commit(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::LostCommit)?;
    let intended = ["`committed", "`committed 0 2` where `committed 0 3`"];
    broken.caught(scene, COMMITTING, FAMILIES, &intended)?;
    broken.node.stop()
}

/// The node client checks no checksums.
pub(super) fn wrong_crc(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::WrongCrc)?;
    let families = ["java", "librdkafka", "go", "kafka-python"];
    broken.caught(scene, "from_an_offset", &families, &["`read", "`error CORRUPT_MESSAGE` where `record 0 0 "])?;
    broken.node.stop()
}

pub(super) fn lost_batch(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::LostBatch)?;
    let intended = ["`read", "line 2: `record 0 2 ", "where `record 0 1 "];
    broken.caught(scene, "from_an_offset", FAMILIES, &intended)?;
    broken.node.stop()
}

pub(super) fn doubled_batch(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::DoubledBatch)?;
    broken.caught(scene, "acks_of_all", FAMILIES, &["`send", "line 2: `sent 0 2` where `sent 0 1`"])?;
    broken.node.stop()
}

pub(super) fn off_by_one(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::OffByOne)?;
    let intended = ["`read", "line 1: `record 0 1 key=~ value=a ", "where `record 0 0 key=~ value=a "];
    broken.caught(scene, "from_an_offset", FAMILIES, &intended)?;
    broken.node.stop()
}

/// librdkafka's own default is CRC-32, the Node client's another sign of murmur2.
pub(super) fn wrong_hash(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::Honest)?;
    let row = "keys_choose_partitions_as_murmur2_does";
    let mut peers = broken.peers(scene, &["librdkafka"], &["partitioner=consistent_random"])?;
    peers.extend(broken.peers(scene, &["node"], &["partitioner=default"])?);
    let ran = broken.row(row, &mut peers)?;
    caught(row, &ran, &["`send", "`sent ", "where `sent "])?;
    broken.node.stop()
}

pub(super) fn stale_generation(scene: &Scene<'_>) -> Result<(), Fault> {
    let broken = Broken::start(scene, Mutant::StaleGeneration)?;
    match generation(&broken) {
        Err(Fault::Failed(why)) if why.contains("a commit of generation 1 in generation 2 is answered with 0") => {}
        Err(fault) => return Err(fault.during("it was caught for another reason")),
        Ok(()) => return fail("a commit of an older generation passed for the current one's"),
    }
    broken.node.stop()
}

/// A member joins twice; in its second generation, a commit of the first one must be refused, and so must a heartbeat.
fn generation(broken: &Broken) -> Result<(), Fault> {
    let mut stream = wire::connect(&broken.proxy.address)?;
    let text = |text: &str| {
        let mut out = i16::try_from(text.len()).unwrap_or(i16::MAX).to_be_bytes().to_vec();
        out.extend(text.as_bytes());
        out
    };
    let first = join(&mut stream, "")?;
    let second = join(&mut stream, &first.1)?;
    ensure((first.0, second.0) == (1, 2), || format!("generations {} and {}", first.0, second.0))?;
    // Group, generation, member, and for a commit: retention time, one topic with one partition, offset 5, no metadata.
    let mut member = text("generations");
    member.extend(1_i32.to_be_bytes());
    member.extend(text(&first.1));
    let mut commit = member.clone();
    commit.extend((-1_i64).to_be_bytes());
    commit.extend([0, 0, 0, 1]);
    // The one topic that is there for sure.
    commit.extend(text("__consumer_offsets"));
    commit.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0xFF, 0xFF]);
    let answer = ask(&mut stream, HEARTBEAT, 0, &member)?;
    let code = i16::from_be_bytes([answer[0], answer[1]]);
    ensure(code == ILLEGAL_GENERATION, || {
        format!("a heartbeat of generation 1 in generation 2 is answered with {code}")
    })?;
    let answer = ask(&mut stream, OFFSET_COMMIT, 2, &commit)?;
    let code = answer.last_chunk::<2>().map_or(-1, |code| i16::from_be_bytes(*code));
    ensure(code == ILLEGAL_GENERATION, || format!("a commit of generation 1 in generation 2 is answered with {code}"))
}

/// JoinGroup 2 as the only member, and its SyncGroup 0: the generation and the member's id. The coordinator may have to be made first.
fn join(stream: &mut TcpStream, member: &str) -> Result<(i32, String), Fault> {
    let text = |text: &str| [&i16::try_from(text.len()).unwrap_or(0).to_be_bytes()[..], text.as_bytes()].concat();
    // A group's coordinator comes with its topic, which a look-up makes.
    while ask(stream, 10, 0, &text("generations"))?.get(..2) != Some(&[0, 0]) {}
    // Group, session and rebalance timeout, member, protocol type, one protocol with its metadata. Another metadata each time: a
    // rebalance.
    let mut body = text("generations");
    body.extend(10_000_i32.to_be_bytes());
    body.extend(10_000_i32.to_be_bytes());
    body.extend(text(member));
    body.extend(text("consumer"));
    body.extend([0, 0, 0, 1]);
    body.extend(text("mine"));
    body.extend(i32::try_from(member.len()).unwrap_or(0).to_be_bytes());
    body.extend(member.as_bytes());
    let mut answer = ask(stream, 11, 2, &body)?;
    while answer.get(4..6) == Some(&[0, 14]) || answer.get(4..6) == Some(&[0, 16]) {
        answer = ask(stream, 11, 2, &body)?;
    }
    // Throttle time, error code, generation, protocol, leader, member.
    ensure(answer.get(4..6) == Some(&[0, 0]), || format!("JoinGroup: {answer:?}"))?;
    let int = |at: usize| i32::from_be_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
    let generation = int(6);
    let mut at = 10;
    let mut word = || {
        let len = usize::from(answer[at]) << 8 | usize::from(answer[at + 1]);
        at += 2 + len;
        String::from_utf8_lossy(&answer[at - len..at]).into_owned()
    };
    let (_, _, member) = (word(), word(), word());
    let mut sync = text("generations");
    sync.extend(generation.to_be_bytes());
    sync.extend(text(&member));
    sync.extend([0, 0, 0, 0]);
    ask(stream, 14, 0, &sync)?;
    Ok((generation, member))
}

/// The answer's body, behind its correlation id.
fn ask(stream: &mut TcpStream, key: i16, version: i16, body: &[u8]) -> Result<Vec<u8>, Fault> {
    stream.write_all(&wire::frame(key, version, 3, body)).during(format!("sending API {key}"))?;
    let frame = wire::read_frame(stream).during(format!("API {key}"))?;
    ensure(frame.len() >= 6, || format!("API {key}: an answer of {} bytes", frame.len()))?;
    Ok(frame[4..].to_vec())
}
