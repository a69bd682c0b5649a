//! A machine that counts, and the rules of when it may speak.

use super::{Hold, Shard};
use crate::testing::{Script, play};
use crate::{Effects, Machine, Now, Origin, Outcome, Ticket};
use base::{ErrorCode, Monotonic, Offset, ProducerId, Refusal, SeededRng, Timestamp};

/// Adds numbers up; a timer adds one.
#[derive(Default)]
struct Counter {
    sum: u64,
    /// A bug for the negative control: the sum is changed beside the records.
    cheats: bool,
}

impl Machine for Counter {
    type Record = u64;
    type Reply = u64;
    type Timer = u8;

    fn apply(&mut self, record: &u64, _: Origin) {
        self.sum += record;
    }

    fn end_transaction(&mut self, _: ProducerId, _: Outcome) {}

    fn on_loaded(&mut self, _: Now, _: &mut Effects<Self>) {}

    fn on_timer(&mut self, now: Now, timer: &u8, effects: &mut Effects<Self>) {
        effects.append(1);
        effects.wake(*timer, now.mono.plus_millis(1_000));
    }

    fn record_bytes(record: &u64) -> usize {
        usize::try_from(*record).expect("small")
    }
}

fn add(shard: &mut Shard<Counter>, ticket: u64, number: u64) {
    shard.decide(|machine, effects| {
        effects.append(number);
        effects.reply(Ticket(ticket), Ok(machine.sum + number));
    });
}

fn ask(shard: &mut Shard<Counter>, ticket: u64) {
    shard.decide(|machine, effects| effects.reply(Ticket(ticket), Ok(machine.sum)));
}

fn released(shard: &mut Shard<Counter>) -> Vec<(u64, u64)> {
    let releases = shard.take_releases().into_iter();
    releases.map(|release| (release.ticket.0, release.reply.expect("it does not refuse"))).collect()
}

fn open() -> Shard<Counter> {
    let mut shard = Shard::new(Counter::default());
    shard.open(Now { mono: Monotonic(0), wall: Timestamp(0) }, Offset(5), Offset(5));
    shard
}

#[test]
fn a_reply_waits_until_its_records_are_committed() {
    let mut shard = open();
    add(&mut shard, 1, 7);
    assert_eq!(released(&mut shard), [], "staged is not said");
    assert_eq!(shard.take_batch().expect("one record is staged").records, [7]);
    shard.on_appended(Offset(6));
    assert_eq!(released(&mut shard), [], "appended is not said");
    shard.on_high_watermark(Offset(6));
    assert_eq!(released(&mut shard), [(1, 7)]);
}

#[test]
fn a_reply_without_records_waits_for_what_it_has_seen() {
    let mut shard = open();
    ask(&mut shard, 1);
    assert_eq!(released(&mut shard), [(1, 0)], "everything is committed");
    add(&mut shard, 2, 7);
    ask(&mut shard, 3);
    assert!(shard.take_batch().is_some());
    ask(&mut shard, 4);
    shard.on_appended(Offset(6));
    ask(&mut shard, 5);
    assert_eq!(released(&mut shard), []);
    shard.on_high_watermark(Offset(6));
    assert_eq!(released(&mut shard), [(2, 7), (3, 7), (4, 7), (5, 7)], "in order");
}

#[test]
fn requests_that_come_while_a_batch_is_on_its_way_share_the_next() {
    let mut shard = open();
    add(&mut shard, 1, 1);
    assert_eq!(shard.take_batch().expect("an idle shard waits for nothing").records, [1]);
    add(&mut shard, 2, 2);
    assert!(shard.take_batch().is_none(), "one batch is out, not reported yet");
    shard.on_appended(Offset(6));
    add(&mut shard, 3, 3);
    assert!(shard.take_batch().is_none(), "the first batch is not committed");
    shard.on_high_watermark(Offset(6));
    assert_eq!(shard.take_batch().expect("now").records, [2, 3]);
    shard.on_appended(Offset(8));
    shard.on_high_watermark(Offset(7));
    assert_eq!(released(&mut shard), [(1, 1)], "half a batch is not committed");
    shard.on_high_watermark(Offset(8));
    assert_eq!(released(&mut shard), [(2, 3), (3, 6)]);
}

#[test]
fn a_full_batch_goes_out_at_once_and_a_large_record_goes_alone() {
    let mut shard = open();
    add(&mut shard, 1, 1);
    assert!(shard.take_batch().is_some());
    shard.on_appended(Offset(6));
    for ticket in 2..5 {
        add(&mut shard, ticket, 300_000);
    }
    assert_eq!(shard.take_batch().expect("more than a batch is staged").records, [300_000]);
    shard.on_appended(Offset(7));
    add(&mut shard, 5, 10_000_000);
    assert_eq!(shard.take_batch().expect("still more than one").records.len(), 1);
    shard.on_appended(Offset(8));
    assert_eq!(shard.take_batch().expect("still").records.len(), 1);
    shard.on_appended(Offset(9));
    shard.on_high_watermark(Offset(9));
    assert_eq!(shard.take_batch().expect("it is larger than a batch").records, [10_000_000]);
}

/// A crash between two batches took half a decision: a member was out, and the epoch that gives its partitions on was not in the log.
#[test]
fn a_decision_is_in_one_batch_with_all_of_its_records() {
    let mut shard = open();
    add(&mut shard, 1, 300_000);
    shard.decide(|_, effects| (0..3).for_each(|_| effects.append(200_000)));
    add(&mut shard, 2, 7);
    assert_eq!(shard.take_batch().expect("more than a batch is staged").records, [300_000]);
    shard.on_appended(Offset(6));
    assert_eq!(shard.take_batch().expect("it is larger than a batch").records, [200_000; 3]);
    shard.on_appended(Offset(9));
    shard.on_high_watermark(Offset(9));
    assert_eq!(shard.take_batch().expect("the rest").records, [7]);
}

#[test]
fn a_decision_of_parts_fills_batches() {
    let mut shard = open();
    shard.decide(|_, effects| {
        for number in [200_000, 200_001, 200_002] {
            effects.append(number);
            effects.end_part();
        }
    });
    assert_eq!(shard.take_batch().expect("more than a batch is staged").records, [200_000, 200_001]);
    shard.on_appended(Offset(7));
    shard.on_high_watermark(Offset(7));
    assert_eq!(shard.take_batch().expect("the rest").records, [200_002]);
}

#[test]
fn the_high_watermark_does_not_go_back() {
    let mut shard = open();
    add(&mut shard, 1, 1);
    assert!(shard.take_batch().is_some());
    shard.on_high_watermark(Offset(3));
    shard.on_appended(Offset(6));
    ask(&mut shard, 2);
    assert_eq!(released(&mut shard), []);
    assert_eq!(shard.held.front().map(|(hold, _)| *hold), Some(Hold::Until(Offset(6))));
}

#[test]
fn timers_fire_and_their_records_are_staged() {
    let mut shard = open();
    shard.decide(|_, effects| effects.wake(1, Monotonic(5)));
    shard.tick(Now { mono: Monotonic(4), wall: Timestamp(0) });
    assert_eq!(shard.staged(), 0);
    shard.tick(Now { mono: Monotonic(5), wall: Timestamp(0) });
    assert_eq!((shard.staged(), shard.machine().sum), (1, 1));
    assert_eq!(shard.next_deadline(), Some(Monotonic(5).plus_millis(1_000)));
}

struct Counting {
    cheats: bool,
}

impl Script for Counting {
    type Machine = Counter;

    fn machine(&mut self) -> Counter {
        Counter { sum: 0, cheats: self.cheats }
    }

    fn act(
        &mut self,
        rng: &mut SeededRng,
        machine: &mut Counter,
        now: Now,
        ticket: Ticket,
        effects: &mut Effects<Counter>,
    ) {
        let number = rng.below(10);
        match rng.below(4) {
            0 => effects.wake(1, now.mono.plus_millis(50)),
            1 if machine.cheats => machine.sum += 1,
            _ => effects.append(number),
        }
        if number == 9 {
            effects.reply(ticket, Err(Refusal::new(ErrorCode::InvalidRequest, "nine")));
        } else {
            effects.reply(ticket, Ok(machine.sum));
        }
    }

    fn hear(&mut self, _: Ticket, _: Result<u64, Refusal>) {}

    fn restarted(&mut self) {}

    fn compare(&self, live: &Counter, folded: &Counter) -> Result<(), String> {
        if live.sum == folded.sum { Ok(()) } else { Err(format!("{} is {} in the log", live.sum, folded.sum)) }
    }
}

#[test]
fn a_machine_that_keeps_the_rules_passes() {
    for seed in 0..50 {
        play(&mut Counting { cheats: false }, seed, 500);
    }
}

/// Negative control: state beside the records is caught.
#[test]
#[should_panic(expected = "the log tells another state")]
fn a_machine_that_changes_state_beside_its_records_is_caught() {
    for seed in 0..50 {
        play(&mut Counting { cheats: true }, seed, 500);
    }
}
