//! From a producer to a consumer that waits: one record at a time, or on a schedule.
//!
//! On a schedule the clock of a record starts when it was *meant* to be sent: a broker that stalls is charged for every record
//! that had to wait meanwhile, not only for the one that it stalled on.

use super::counts::Counts;
use super::drain::fetched;
use crate::connection::Connection;
use crate::wire::{batch, requests};
use conformance::fault::{During, Fault, ensure};
use conformance::process::now;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Time for the consumer's request to arrive before the record does.
const HEAD_START: Duration = Duration::from_micros(5);
/// What a consumer asks for.
const FETCH_BYTES: i32 = 64 << 10;
/// A record that is not there by then is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent where.
pub struct Plan<'a> {
    /// Partition 0 of it; nothing else writes there.
    pub topic: &'a str,
    /// 1, or -1 for all.
    pub acks: i16,
    /// Bytes of the only record of a batch.
    pub record: usize,
    /// The offset of the first record: what the log holds already.
    pub start: i64,
}

/// One record at a time for so long: the next is sent when the one before is read and confirmed.
pub fn one_at_a_time(address: &str, plan: &Plan<'_>, time: Duration) -> Result<Counts, Fault> {
    let batch = batch::records(1, plan.record);
    let mut produce = requests::produce(plan.topic, plan.acks, 0..1, &batch);
    let (mut producer, mut consumer) = (Connection::open(address)?, Connection::open(address)?);
    let mut counts = Counts::default();
    let (started, mut offset) = (now(), plan.start);
    while now() - started < time {
        consumer.send(&mut requests::fetch(plan.topic, 0, offset, FETCH_BYTES))?;
        spin_until(now() + HEAD_START);
        let sent = now();
        producer.send(&mut produce)?;
        let arrived = loop {
            let next = receive(&mut consumer, plan, offset)?;
            let arrived = now();
            if next > offset {
                ensure(next == offset + 1, || format!("{next} is next after {offset}"))?;
                break arrived;
            }
            ensure(arrived - sent < PATIENCE, || format!("record {offset} does not arrive"))?;
            consumer.send(&mut requests::fetch(plan.topic, 0, offset, FETCH_BYTES))?;
        };
        confirm(&mut producer, plan)?;
        counts.add(batch.len(), arrived - sent);
        offset += 1;
    }
    Ok(counts)
}

/// `count` records, one every `gap`, whatever the broker does.
pub fn on_schedule(address: &str, plan: &Plan<'_>, count: u32, gap: Duration) -> Result<Counts, Fault> {
    let batch = batch::records(1, plan.record);
    let mut confirmations = Connection::open(address)?;
    let mut sender = confirmations.sender()?;
    let mut consumer = Connection::open(address)?;
    // The first is due when the consumer waits.
    let first = now() + gap * 5;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            // Linux lets sleeps of a thread end late by its slack, 50 us unless told otherwise.
            rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).during("timer slack")?;
            let mut produce = requests::produce(plan.topic, plan.acks, 0..1, &batch);
            for index in 0..count {
                sleep_until(first + gap * index);
                sender.send(&mut produce)?;
            }
            Ok::<(), Fault>(())
        });
        let confirming = scope.spawn(|| (0..count).try_for_each(|_| confirm(&mut confirmations, plan)));
        let mut counts = Counts::default();
        let end = plan.start + i64::from(count);
        let mut offset = plan.start;
        while offset < end {
            consumer.send(&mut requests::fetch(plan.topic, 0, offset, FETCH_BYTES))?;
            let next = receive(&mut consumer, plan, offset)?;
            let arrived = now();
            for index in offset - plan.start..next - plan.start {
                let meant = first + gap * u32::try_from(index).unwrap_or(u32::MAX);
                counts.add(batch.len(), arrived.saturating_duration_since(meant));
            }
            offset = next;
            let last = first + gap * count;
            ensure(arrived < last + PATIENCE, || format!("record {offset} does not arrive"))?;
        }
        for thread in [sending, confirming] {
            thread.join().map_err(|_| Fault::Failed("a sender's thread panicked".to_owned()))??;
        }
        Ok(counts)
    })
}

/// The offset after the records of a Fetch reply, each of which must be whole.
fn receive(consumer: &mut Connection, plan: &Plan<'_>, offset: i64) -> Result<i64, Fault> {
    let found = fetched(consumer.reply()?, plan.topic)?;
    batch::walk(found.records, offset, |view| {
        ensure(view.is_whole() && view.count == 1, || format!("the batch at {} is another one", view.base))
    })
}

fn confirm(producer: &mut Connection, plan: &Plan<'_>) -> Result<(), Fault> {
    let error_at = 4 + 4 + 2 + plan.topic.len() + 4 + 4;
    let error = producer.reply()?.get(error_at..error_at + 2);
    ensure(error == Some(&[0, 0]), || format!("Produce answered error {error:?}"))
}

fn spin_until(time: Instant) {
    while now() < time {
        std::hint::spin_loop();
    }
}

#[expect(clippy::disallowed_methods, reason = "a schedule of real time is this load's purpose")]
fn sleep_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(now()));
}
