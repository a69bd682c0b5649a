use super::{Kind, check};
use crate::history::{Acks, Event, Outcome, Span};
use crate::wire::batch::{FOREIGN, Run, Value};

fn span(invoked: u64, completed: u64) -> Span {
    Span { invoked, completed }
}

fn value(producer: u32, counter: u64) -> Value {
    Value { producer, counter }
}

fn run(offset: i64, producer: u32, counter: u64, count: u64) -> Run {
    Run { offset, first: value(producer, counter), count }
}

fn sent(at: u64, producer: u32, counter: u64, count: u64, acks: Acks, base: Option<i64>) -> Event {
    let outcome = base.map_or(Outcome::Unknown, |base| Outcome::Acked { base });
    let completed = if base.is_some() { at + 1 } else { u64::MAX };
    Event::Sent { span: span(at, completed), partition: 0, first: value(producer, counter), count, acks, outcome }
}

fn read(at: u64, high_watermark: i64, runs: &[Run]) -> Event {
    Event::Read { span: span(at, at + 1), partition: 0, high_watermark, runs: runs.to_vec() }
}

fn log(at: u64, end: i64, runs: &[Run]) -> Event {
    Event::Log { span: span(at, at + 1), partition: 0, start: 0, end, runs: runs.to_vec() }
}

fn latest(at: u64, offset: i64) -> Event {
    Event::Latest { span: span(at, at + 1), partition: 0, offset }
}

fn commit(at: u64, offset: i64, acked: bool) -> Event {
    let completed = if acked { at + 1 } else { u64::MAX };
    Event::Commit { span: span(at, completed), group: 0, partition: 0, offset, acked }
}

fn committed(at: u64, offset: i64) -> Event {
    Event::Committed { span: span(at, at + 1), group: 0, partition: 0, offset }
}

fn topic(at: u64, deleted: bool, acked: bool) -> Event {
    let completed = if acked { at + 1 } else { u64::MAX };
    Event::Topic { span: span(at, completed), name: "t".into(), deleted, acked }
}

fn topics(at: u64, names: &[&str]) -> Event {
    Event::Topics { span: span(at, at + 1), names: names.iter().map(|&name| name.to_owned()).collect() }
}

fn cut(at: u64) -> Event {
    Event::PowerCut(span(at, at))
}

fn kinds(history: &[Event]) -> Vec<Kind> {
    let mut kinds: Vec<_> = check(history).anomalies.iter().map(|anomaly| anomaly.kind).collect();
    kinds.dedup();
    kinds
}

/// Producers 0 (acks=all), 1 (acks=1) and 2 (acks=0), two cuts, a reader, a group and a topic; nothing is wrong with it.
fn good() -> Vec<Event> {
    let whole = [run(0, 0, 0, 3), run(3, 1, 0, 2), run(5, 0, 3, 2), run(7, 2, 1, 1)];
    vec![
        topic(1, false, true),
        sent(10, 0, 0, 3, Acks::All, Some(0)),
        sent(12, 1, 0, 2, Acks::Leader, Some(3)),
        read(14, 5, &[run(0, 0, 0, 3), run(3, 1, 0, 2)]),
        sent(16, 1, 2, 1, Acks::Leader, Some(5)),
        sent(17, 2, 0, 1, Acks::None, None),
        commit(18, 3, true),
        commit(20, 5, false),
        sent(22, 0, 3, 2, Acks::All, None),
        latest(24, 5),
        cut(30),
        log(32, 5, &whole[..2]),
        committed(34, 5),
        answered_late(),
        sent(36, 2, 1, 1, Acks::None, None),
        topics(38, &["t"]),
        topic(40, true, true),
        topics(42, &[]),
        cut(44),
        log(46, 8, &whole),
        latest(48, 8),
        committed(50, 5),
    ]
}

/// A batch that was sent at 22 and answered after a restart.
fn answered_late() -> Event {
    let outcome = Outcome::Acked { base: 5 };
    Event::Sent { span: span(22, 35), partition: 0, first: value(0, 3), count: 2, acks: Acks::All, outcome }
}

/// The good history with the event at `at` replaced.
fn with(at: usize, event: Event) -> Vec<Event> {
    let mut history = good();
    history[at] = event;
    history
}

#[test]
fn a_good_history_has_no_anomaly_and_its_figures() {
    let verdict = check(&good());
    assert_eq!(verdict.anomalies, []);
    assert_eq!((verdict.acked_all, verdict.acked_leader, verdict.lost), (5, 3, 0));
    assert_eq!((verdict.given_up, verdict.commits, verdict.duplicated), (1, 1, 0));
}

#[test]
fn lost() {
    let short = [run(0, 0, 0, 3), run(3, 1, 0, 2)];
    assert_eq!(
        kinds(&[sent(1, 0, 0, 3, Acks::All, Some(0)), cut(3), log(4, 0, &[])]),
        [Kind::Lost, Kind::EndRegressed]
    );
    // The last records of an acked batch.
    assert_eq!(
        kinds(&[sent(1, 0, 0, 3, Acks::All, Some(0)), log(4, 2, &[run(0, 0, 0, 2)])]),
        [Kind::Lost, Kind::EndRegressed]
    );
    // acks=1 without a power cut: kill -9 keeps the page cache.
    assert_eq!(kinds(&[sent(1, 1, 0, 1, Acks::Leader, Some(0)), log(4, 0, &[])]), [Kind::Lost]);
    // A cut before the ack, or after the log was read, takes nothing.
    let acked = sent(2, 1, 0, 1, Acks::Leader, Some(0));
    assert_eq!(kinds(&[cut(1), acked.clone(), log(4, 0, &[]), cut(9)]), [Kind::Lost]);
    assert_eq!(kinds(&[acked, cut(4), log(5, 0, &[])]), []);
    let mut history = good();
    history[19] = log(46, 5, &short);
    assert!(kinds(&history).contains(&Kind::Lost));
}

#[test]
fn an_answer_that_is_read_while_the_power_goes_confirms_nothing() {
    let cut = Event::PowerCut(span(2, 6));
    let answers = [
        sent(4, 0, 0, 3, Acks::All, Some(0)),
        read(4, 3, &[run(0, 0, 0, 3)]),
        latest(4, 3),
        commit(4, 1, true),
        committed(4, 1),
        topic(4, false, true),
    ];
    let after = [log(8, 0, &[]), committed(8, -1), topics(8, &[])];
    assert_eq!(kinds(&[&answers[..], &[cut], &after].concat()), []);
    let before = Event::PowerCut(span(5, 7));
    let found = kinds(&[&answers[..], &[before], &after].concat());
    assert_eq!(found, [Kind::Lost, Kind::Vanished, Kind::EndRegressed, Kind::CommitRegressed, Kind::TopicLost]);
}

#[test]
fn vanished() {
    // Seen, though only acked with acks=1, or not acked at all: a power cut may not take it back.
    let seen = [read(3, 1, &[run(0, 1, 0, 1)]), cut(6), log(7, 0, &[])];
    let all = [&[sent(1, 1, 0, 1, Acks::None, None)], &seen[..]].concat();
    assert_eq!(kinds(&all), [Kind::Vanished, Kind::EndRegressed]);
}

#[test]
fn changed() {
    let history = [
        sent(1, 0, 0, 1, Acks::None, None),
        sent(1, 1, 0, 1, Acks::None, None),
        read(3, 1, &[run(0, 0, 0, 1)]),
        log(7, 1, &[run(0, 1, 0, 1)]),
    ];
    assert_eq!(kinds(&history), [Kind::Changed]);
}

#[test]
fn foreign() {
    assert_eq!(kinds(&[read(3, 1, &[run(0, 0, 0, 1)])]), [Kind::Foreign]);
    assert_eq!(kinds(&[sent(1, 0, 0, 2, Acks::None, None), log(3, 3, &[run(0, 0, 0, 3)])]), [Kind::Foreign]);
    assert_eq!(kinds(&with(3, read(14, 5, &[run(0, FOREIGN, 0, 1)]))), [Kind::Foreign]);
}

#[test]
fn duplicate() {
    let history = [sent(1, 0, 0, 2, Acks::All, Some(0)), log(3, 4, &[run(0, 0, 0, 2), run(2, 0, 0, 2)])];
    let verdict = check(&history);
    assert!(verdict.has(Kind::Duplicate) && verdict.duplicated == 2, "{verdict:?}");
}

#[test]
fn reordered() {
    let sent = [sent(1, 1, 0, 1, Acks::Leader, Some(0)), sent(1, 1, 1, 1, Acks::Leader, Some(1))];
    let read = log(3, 2, &[run(0, 1, 1, 1), run(1, 1, 0, 1)]);
    assert_eq!(kinds(&[&sent[..], &[read]].concat()), [Kind::Reordered, Kind::Moved]);
}

#[test]
fn skipped() {
    let history = [sent(1, 0, 0, 3, Acks::All, None), log(3, 2, &[run(0, 0, 0, 1), run(1, 0, 2, 1)])];
    assert_eq!(kinds(&history), [Kind::Skipped]);
    // A producer that does not repeat may leave gaps.
    let history = [sent(1, 1, 0, 3, Acks::Leader, None), log(3, 2, &[run(0, 1, 0, 1), run(1, 1, 2, 1)])];
    assert_eq!(kinds(&history), []);
}

#[test]
fn moved() {
    let history = [
        sent(1, 0, 0, 1, Acks::All, Some(1)),
        sent(1, 1, 0, 1, Acks::None, None),
        log(3, 2, &[run(0, 0, 0, 1), run(1, 1, 0, 1)]),
    ];
    assert_eq!(kinds(&history), [Kind::Moved]);
}

#[test]
fn hole() {
    let sent = sent(1, 1, 0, 2, Acks::None, None);
    assert_eq!(kinds(&[sent.clone(), log(3, 3, &[run(0, 1, 0, 1), run(2, 1, 1, 1)])]), [Kind::Hole]);
    assert_eq!(kinds(&[sent.clone(), log(3, 3, &[run(0, 1, 0, 2)])]), [Kind::Hole]);
    assert_eq!(kinds(&[sent, log(3, 3, &[run(1, 1, 0, 2)])]), [Kind::Hole]);
}

#[test]
fn beyond_the_high_watermark() {
    assert_eq!(
        kinds(&[sent(1, 1, 0, 2, Acks::None, None), read(3, 1, &[run(0, 1, 0, 2)])]),
        [Kind::BeyondHighWatermark]
    );
}

#[test]
fn end_regressed() {
    assert_eq!(kinds(&[latest(1, 5), latest(3, 4)]), [Kind::EndRegressed]);
    assert_eq!(kinds(&[read(1, 5, &[]), latest(3, 4)]), [Kind::EndRegressed]);
    assert_eq!(kinds(&[sent(1, 0, 0, 2, Acks::All, Some(0)), latest(3, 1)]), [Kind::EndRegressed]);
    // Side by side, either may come first; acks=1 promises nothing about what is visible.
    assert_eq!(kinds(&[latest(1, 5), Event::Latest { span: span(2, 9), partition: 0, offset: 4 }]), []);
    assert_eq!(kinds(&[sent(1, 1, 0, 2, Acks::Leader, Some(0)), latest(3, 1)]), []);
    let elsewhere = Event::Latest { span: span(3, 4), partition: 1, offset: 4 };
    assert_eq!(kinds(&[latest(1, 5), elsewhere]), []);
}

#[test]
fn commit_regressed() {
    assert_eq!(kinds(&[commit(1, 3, true), committed(3, -1)]), [Kind::CommitRegressed]);
    assert_eq!(kinds(&[commit(1, 3, true), commit(3, 4, true), committed(5, 3)]), [Kind::CommitRegressed]);
    // Not confirmed, but seen once.
    assert_eq!(kinds(&[commit(1, 3, false), committed(3, 3), committed(5, -1)]), [Kind::CommitRegressed]);
    assert_eq!(kinds(&[commit(1, 3, false), committed(5, -1), committed(7, 3)]), []);
}

#[test]
fn commit_foreign() {
    assert_eq!(kinds(&[commit(1, 3, true), committed(3, 4)]), [Kind::CommitForeign]);
}

#[test]
fn topic_lost_and_foreign() {
    assert_eq!(kinds(&[topic(1, false, true), topics(3, &[])]), [Kind::TopicLost]);
    assert_eq!(kinds(&[topic(1, false, false), topics(3, &[])]), []);
    assert_eq!(kinds(&[topic(1, false, true), topic(3, true, false), topics(5, &["t"]), topics(7, &[])]), []);
    assert_eq!(kinds(&[topic(1, false, true), topic(3, true, true), topics(5, &["t"])]), [Kind::TopicForeign]);
    assert_eq!(kinds(&[topics(5, &["t"])]), [Kind::TopicForeign]);
}

#[test]
fn refused() {
    let history = [Event::Refused { span: span(1, 2), partition: 0, what: "Produce: 45".into() }];
    assert_eq!(kinds(&history), [Kind::Refused]);
}

/// Each way to spoil the last log of the good history is noticed, at every record.
#[test]
fn a_good_history_spoilt_anywhere_is_noticed() {
    let Event::Log { runs, end, .. } = good()[19].clone() else { panic!("the last log") };
    let records: Vec<_> =
        runs.iter().flat_map(|r| (0..r.count).map(|n| (r.first.producer, r.first.counter + n))).collect();
    let spoilt = |records: &[(u32, u64)], end: i64| {
        let runs: Vec<_> =
            records.iter().zip(0..).map(|(&(producer, counter), at)| run(at, producer, counter, 1)).collect();
        kinds(&with(19, log(46, end, &runs)))
    };
    assert_eq!(spoilt(&records, end), []);
    for at in 0..records.len() {
        let mut without = records.clone();
        without.remove(at);
        // The very last one was sent with acks=0 and never seen: it may be missing.
        assert_eq!(spoilt(&without, end - 1).is_empty(), at == records.len() - 1, "record {at} cut out");
        let mut twice = records.clone();
        twice.insert(at, records[at]);
        assert!(spoilt(&twice, end + 1).contains(&Kind::Duplicate), "record {at} doubled");
        let mut other = records.clone();
        other[at].1 += 100;
        assert!(spoilt(&other, end).contains(&Kind::Foreign), "record {at} replaced");
        for to in at + 1..records.len() {
            let mut swapped = records.clone();
            swapped.swap(at, to);
            assert_ne!(spoilt(&swapped, end), [], "records {at} and {to} swapped");
        }
    }
}
