//! What a broken node would leave behind, made by the rig itself in the files of a killed one: the checker must say what is wrong. These
//! are the negative controls of a node that accepts a torn tail, forgets its producers, or puts batches where they do not belong.

use crate::Options;
use crate::checker::{Kind, check};
use crate::load::TOPIC;
use crate::node::Plan;
use crate::session::{Answer, Session};
use crate::wire::batch::{base_offset, seal, split};
use crate::wire::connection::Connection;
use conformance::fault::{During, Fault, ensure, fail};
use conformance::rig::Scene;
use std::path::Path;

/// Batches of the log that is tampered with.
const BATCHES: u64 = 6;
/// Where a batch's producer id stands.
const PRODUCER_ID_AT: usize = 43;

/// What is done to a log's batches, and what the checker must find then.
struct Tampering {
    name: &'static str,
    change: fn(&mut Vec<Vec<u8>>),
    /// Whether the last batch is sent again, as by a client that has had no answer.
    resend: bool,
    found: &'static [Kind],
}

const ALL: &[Tampering] = &[
    Tampering { name: "nothing", change: |_| {}, resend: true, found: &[] },
    Tampering { name: "the last batch is gone", change: cut_last, resend: false, found: &[Kind::Lost] },
    Tampering { name: "a batch in the middle is gone", change: cut_middle, resend: false, found: &[Kind::Lost] },
    Tampering { name: "the last batch is there twice", change: double_last, resend: false, found: &[Kind::Duplicate] },
    Tampering {
        name: "two batches have changed places",
        change: |batches| swap(batches),
        resend: false,
        found: &[Kind::Reordered, Kind::Moved],
    },
    Tampering {
        name: "a value has changed",
        change: |batches| scribble(batches),
        resend: false,
        found: &[Kind::Foreign],
    },
    Tampering {
        name: "the producer is forgotten",
        change: |batches| forget_producer(batches),
        resend: true,
        found: &[Kind::Duplicate],
    },
];

/// Each tampering on a log of its own, killed, changed and started again.
pub(super) fn is_noticed(scene: &Scene<'_>, _options: &Options) -> Result<(), Fault> {
    for (number, tampering) in ALL.iter().enumerate() {
        one(&scene.path(&number.to_string()), tampering).during(tampering.name)?;
    }
    Ok(())
}

fn one(folder: &Path, tampering: &Tampering) -> Result<(), Fault> {
    let data = folder.join("data");
    std::fs::create_dir_all(folder).during(folder.display())?;
    let plan = Plan::new(std::slice::from_ref(&data), &folder.join("node.log"));
    let node = plan.start()?;
    let mut session = Session::begin(&node, 1, &[])?;
    let last = session.fill(&node, 0, BATCHES)?;
    node.kill()?;
    let log = data.join(format!("{TOPIC}-0/00000000000000000000.log"));
    let bytes = std::fs::read(&log).during(log.display())?;
    let mut batches: Vec<Vec<u8>> = split(&bytes).into_iter().map(<[u8]>::to_vec).collect();
    ensure(batches.len() as u64 == BATCHES, || format!("{} batches in the log", batches.len()))?;
    (tampering.change)(&mut batches);
    std::fs::write(&log, batches.concat()).during(log.display())?;
    let node = plan.start()?;
    if let Some(last) = last.filter(|_| tampering.resend) {
        let answer = session.send_again(&mut Connection::open(&node.address)?, last)?;
        ensure(matches!(answer, Answer::Acked(_)), || format!("sent again: {answer:?}"))?;
    }
    session.look(&node)?;
    let verdict = check(session.load.history());
    for kind in tampering.found {
        ensure(verdict.has(*kind), || format!("{kind:?} was not found, but {:?}", verdict.anomalies))?;
    }
    if tampering.found.is_empty() && !verdict.anomalies.is_empty() {
        return fail(format!("anomalies in a log that nobody changed: {:?}", verdict.anomalies));
    }
    node.kill()
}

fn cut_last(batches: &mut Vec<Vec<u8>>) {
    batches.pop();
}

fn cut_middle(batches: &mut Vec<Vec<u8>>) {
    batches.remove(2);
}

/// A batch's base offset is outside of its checksum.
fn put_at(batch: &mut [u8], offset: i64) {
    batch[..8].copy_from_slice(&offset.to_be_bytes());
}

fn records(batch: &[u8]) -> i64 {
    i64::from(u32::from_be_bytes([batch[57], batch[58], batch[59], batch[60]]))
}

fn double_last(batches: &mut Vec<Vec<u8>>) {
    let Some(mut last) = batches.last().cloned() else { return };
    let end = base_offset(&last) + records(&last);
    put_at(&mut last, end);
    batches.push(last);
}

fn swap(batches: &mut [Vec<u8>]) {
    batches.swap(1, 2);
    let mut offset = 0;
    for batch in batches {
        put_at(batch, offset);
        offset += records(batch);
    }
}

fn scribble(batches: &mut [Vec<u8>]) {
    let Some(last) = batches.last_mut() else { return };
    let at = last.len() - 3;
    last[at] ^= 1;
    seal(last);
}

fn forget_producer(batches: &mut [Vec<u8>]) {
    for batch in batches {
        batch[PRODUCER_ID_AT..PRODUCER_ID_AT + 8].copy_from_slice(&i64::MAX.to_be_bytes());
        seal(batch);
    }
}
