//! The proof that every machine has to pass: random decisions on a shard with a log in memory, at random moments of appending,
//! committing, time passing and starting anew.
//!
//! Checked at each step: no request is answered before what had been decided when it came is committed; none is answered twice; a
//! deadline that has come is not left behind; what was folded from the log is what the machine had.

use crate::{Effects, Machine, Now, Origin, Shard, Ticket};
use base::{Monotonic, Offset, SeededRng, Timestamp};
use std::collections::BTreeMap;

/// How to play with a machine.
pub trait Script {
    /// The machine.
    type Machine: Machine;

    /// A machine that has folded nothing in.
    fn machine(&mut self) -> Self::Machine;

    /// Makes some request; its reply is owed to `ticket`.
    fn act(
        &mut self,
        rng: &mut SeededRng,
        machine: &mut Self::Machine,
        now: Now,
        ticket: Ticket,
        effects: &mut Effects<Self::Machine>,
    );

    /// Hears a reply.
    fn hear(&mut self, ticket: Ticket, reply: Result<<Self::Machine as Machine>::Reply, base::Refusal>);

    /// The shard starts anew from its log: requests that waited are refused, sessions begin again.
    fn restarted(&mut self);

    /// Whether a machine that was folded from the log holds what the live one does.
    ///
    /// # Errors
    /// What differs.
    fn compare(&self, live: &Self::Machine, folded: &Self::Machine) -> Result<(), String>;
}

struct Log<R> {
    records: Vec<R>,
    committed: usize,
}

/// Plays `steps` steps with this seed.
///
/// # Panics
/// When a check fails; the message names the seed and the step.
pub fn play<S: Script>(script: &mut S, seed: u64, steps: usize) {
    let mut rng = SeededRng::new(seed);
    let mut log = Log { records: Vec::new(), committed: 0 };
    let mut now = Now { mono: Monotonic(0), wall: Timestamp(1_700_000_000_000) };
    let mut shard = Shard::new(script.machine());
    shard.open(now, Offset::ZERO, Offset::ZERO);
    // For each open request, how many records had been decided when it came.
    let mut open: BTreeMap<Ticket, usize> = BTreeMap::new();
    for step in 0..steps {
        let place = || format!("seed {seed}, step {step}");
        match rng.below(100) {
            0..70 => {
                let ticket = Ticket(step as u64);
                open.insert(ticket, log.records.len() + shard.staged());
                shard.decide(|machine, effects| script.act(&mut rng, machine, now, ticket, effects));
            }
            70..90 => {
                log.committed = log.records.len();
                shard.on_high_watermark(offset(log.committed));
            }
            90..98 => {
                let ms = 1 << rng.below(16);
                now = Now { mono: now.mono.plus_millis(ms), wall: now.wall.plus_millis(ms) };
                shard.tick(now);
                assert!(shard.next_deadline().is_none_or(|at| at > now.mono), "{}: a deadline is left behind", place());
            }
            _ => {
                append_all(&mut shard, &mut log);
                let folded = fold(script, &log, now);
                if let Err(why) = script.compare(shard.machine(), folded.machine()) {
                    panic!("{}: the log tells another state: {why}", place());
                }
                shard = folded;
                open.clear();
                script.restarted();
            }
        }
        if let Some(batch) = shard.take_batch() {
            log.records.extend(batch.records);
            shard.on_appended(offset(log.records.len()));
        }
        for release in shard.take_releases() {
            let decided = open.remove(&release.ticket);
            let decided = decided.unwrap_or_else(|| panic!("{}: {:?} is answered twice", place(), release.ticket));
            assert!(decided <= log.committed, "{}: {:?} is answered before its time", place(), release.ticket);
            script.hear(release.ticket, release.reply);
        }
    }
}

fn offset(count: usize) -> Offset {
    Offset(i64::try_from(count).expect("few records"))
}

fn append_all<M: Machine>(shard: &mut Shard<M>, log: &mut Log<M::Record>) {
    while shard.staged() > 0 {
        shard.on_high_watermark(offset(log.records.len()));
        let batch = shard.take_batch().expect("what is staged can be taken when everything is committed");
        log.records.extend(batch.records);
        shard.on_appended(offset(log.records.len()));
    }
    log.committed = log.records.len();
}

fn fold<S: Script>(script: &mut S, log: &Log<<S::Machine as Machine>::Record>, now: Now) -> Shard<S::Machine> {
    let mut shard = Shard::new(script.machine());
    for (at, record) in log.records.iter().enumerate() {
        shard.load(record, Origin::Loaded { offset: offset(at), transaction: None });
    }
    shard.open(now, offset(log.records.len()), offset(log.records.len()));
    shard
}
