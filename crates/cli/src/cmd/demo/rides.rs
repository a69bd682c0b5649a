//! The events, those who send them, those who read them, and the check.
//!
//! Every event can be computed from its key and its number, so the readers know what must come: each key's events in their
//! order, none missing, none twice, no byte changed.

use crate::output::Failure;
use base::SeededRng;
use client::{
    Admin, Client, ClientOptions, Consumer, ConsumerOptions, Isolation, NewTopic, Producer, ProducerOptions, Start,
    ToSend, partition_for_key,
};
use record::{Codec, Compression};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::time::{Duration, Instant};

const CITIES: [&str; 12] = [
    "Amsterdam",
    "Berlin",
    "Bogota",
    "Cairo",
    "Jakarta",
    "Lagos",
    "Lima",
    "Lyon",
    "Mumbai",
    "Osaka",
    "Seattle",
    "Sydney",
];
const ZONES: u64 = 40;
/// 2026-11-01T00:00:00Z: events tell a time of their own, so that a run can be repeated.
const FIRST_EVENT_MS: u64 = 1_793_491_200_000;
/// Readers give up when nothing has come for this long.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) bootstrap: String,
    pub(super) topic: String,
    pub(super) partitions: i32,
    pub(super) records: u64,
    pub(super) producers: usize,
    pub(super) consumers: usize,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) produce_seconds: f64,
    pub(super) consume_seconds: f64,
}

fn keys() -> Vec<String> {
    CITIES.iter().flat_map(|city| (0..ZONES).map(move |zone| format!("{city}/{zone}"))).collect()
}

/// How many events key number `key` of `keys` gets.
fn events_of(records: u64, keys: usize, key: usize) -> u64 {
    records / keys as u64 + u64::from((key as u64) < records % keys as u64)
}

/// Event number `number` of a key, as JSON.
fn write_event(out: &mut String, key: usize, number: u64) {
    let mut rng = SeededRng::new((key as u64) << 40 | number);
    let (demand, supply) = (rng.below(200), 1 + rng.below(150));
    let (city, zone) = (CITIES[key / ZONES as usize], key as u64 % ZONES);
    let time = FIRST_EVENT_MS + number * 250;
    out.clear();
    let _ = write!(
        out,
        r#"{{"city":"{city}","zone":{zone},"event":{number},"demand":{demand},"supply":{supply},"time":{time}}}"#
    );
}

pub(super) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = Arc::new(plan.clone());
    let starts = Arc::new(on_a_loop(prepare(&plan))?);
    let begun = Instant::now();
    let readers = start(plan.consumers, "consumer", |index| {
        let (plan, starts) = (Arc::clone(&plan), Arc::clone(&starts));
        move || on_a_loop(read(&plan, &starts, index))
    })?;
    let writers = start(plan.producers, "producer", |index| {
        let plan = Arc::clone(&plan);
        move || on_a_loop(write(&plan, index))
    })?;
    let bytes = join(writers)?.into_iter().sum();
    let produce_seconds = begun.elapsed().as_secs_f64();
    let records: u64 = join(readers)?.into_iter().sum();
    let consume_seconds = begun.elapsed().as_secs_f64();
    on_a_loop(check_ends(&plan, &starts))?;
    Ok(Report { records, bytes, produce_seconds, consume_seconds })
}

type Threads<T> = Vec<std::thread::JoinHandle<Result<T, Failure>>>;

fn start<T, F>(count: usize, name: &str, job: impl Fn(usize) -> F) -> Result<Threads<T>, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Failure> + Send + 'static,
{
    let spawn = |index| {
        let thread = std::thread::Builder::new().name(format!("{name}-{index}")).spawn(job(index));
        thread.map_err(|error| Failure::said(format!("cannot start a thread: {error}")))
    };
    (0..count).map(spawn).collect()
}

fn join<T>(threads: Threads<T>) -> Result<Vec<T>, Failure> {
    let ended = |thread: std::thread::JoinHandle<Result<T, Failure>>| {
        thread.join().unwrap_or_else(|_| Err(Failure::said("a thread of the demo broke an invariant")))
    };
    threads.into_iter().map(ended).collect()
}

fn on_a_loop<T>(job: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::said(format!("cannot start: {error}")))?.block_on(job)
}

async fn connect(plan: &Plan) -> Result<Client, Failure> {
    Ok(Client::connect(&plan.bootstrap, ClientOptions::default()).await?)
}

/// Makes the topic, or goes on at the ends of the one that is there; returns where each partition begins for us.
async fn prepare(plan: &Plan) -> Result<BTreeMap<i32, i64>, Failure> {
    let client = connect(plan).await?;
    let admin = Admin::new(client.clone());
    let topic = NewTopic {
        name: plan.topic.clone(),
        partitions: Some(plan.partitions),
        replication_factor: Some(1),
        ..NewTopic::default()
    };
    match admin.create_topic(&topic, false).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(base::ErrorCode::TopicAlreadyExists) => {}
        Err(error) => return Err(error.into()),
    }
    ends(&client, plan).await
}

async fn ends(client: &Client, plan: &Plan) -> Result<BTreeMap<i32, i64>, Failure> {
    let described = client.refresh_topic(&plan.topic, true).await?;
    let mut ends = BTreeMap::new();
    for partition in &described.partitions {
        let end = client.offset_range(&plan.topic, partition.partition, Isolation::ReadUncommitted).await?.1;
        ends.insert(partition.partition, end);
    }
    Ok(ends)
}

/// Sends the events of every `producers`-th key; returns their bytes.
async fn write(plan: &Plan, index: usize) -> Result<u64, Failure> {
    let options = ProducerOptions {
        batch_bytes: 128 * 1024,
        compression: Compression::of(Codec::Lz4),
        linger: Duration::from_millis(10),
        ..ProducerOptions::default()
    };
    let producer = Producer::new(connect(plan).await?, options).await?;
    let keys = keys();
    let mut value = String::new();
    let mut bytes = 0;
    for number in 0..events_of(plan.records, keys.len(), 0) {
        for (key, name) in keys.iter().enumerate().filter(|(key, _)| key % plan.producers == index) {
            if number >= events_of(plan.records, keys.len(), key) {
                continue;
            }
            write_event(&mut value, key, number);
            bytes += (name.len() + value.len()) as u64;
            let record = ToSend {
                key: Some(name.as_bytes()),
                value: Some(value.as_bytes()),
                timestamp_ms: (FIRST_EVENT_MS + number * 250) as i64,
                ..ToSend::default()
            };
            producer.send(&plan.topic, &record).await?;
        }
    }
    producer.flush().await?;
    Ok(bytes)
}

/// What a reader has seen and still expects.
struct Check {
    /// Number of each key, and of its next event.
    next: HashMap<Vec<u8>, (usize, u64)>,
    missing: u64,
    expected: String,
    fault: Option<String>,
}

impl Check {
    fn see(&mut self, key: &[u8], value: &[u8]) {
        let name = String::from_utf8_lossy(key);
        let Some((index, number)) = self.next.get_mut(key) else {
            self.fault = Some(format!("key {name} came to a partition that is not its own"));
            return;
        };
        write_event(&mut self.expected, *index, *number);
        if value != self.expected.as_bytes() {
            let got = String::from_utf8_lossy(value);
            self.fault = Some(format!("key {name}: event {number} was due and this came: {got}"));
            return;
        }
        *number += 1;
        self.missing = self.missing.saturating_sub(1);
    }
}

/// Reads every `consumers`-th partition until all of its events have come; returns how many.
async fn read(plan: &Plan, starts: &BTreeMap<i32, i64>, index: usize) -> Result<u64, Failure> {
    let mut consumer = Consumer::new(connect(plan).await?, ConsumerOptions::default());
    let is_mine = |partition: i32| partition as usize % plan.consumers == index;
    let keys = keys();
    let mut check = Check { next: HashMap::new(), missing: 0, expected: String::new(), fault: None };
    for (number, key) in keys.iter().enumerate() {
        if is_mine(partition_for_key(key.as_bytes(), starts.len())) {
            check.next.insert(key.clone().into_bytes(), (number, 0));
            check.missing += events_of(plan.records, keys.len(), number);
        }
    }
    let expected = check.missing;
    if expected == 0 {
        return Ok(0);
    }
    for (partition, start) in starts.iter().filter(|(partition, _)| is_mine(**partition)) {
        consumer.assign(&plan.topic, *partition, Start::Offset(*start)).await?;
    }
    while check.missing > 0 {
        let records = tokio::time::timeout(SILENCE_MAX, consumer.poll()).await;
        let records = records.map_err(|_| {
            Failure::said(format!("{} events have not come for {} s", check.missing, SILENCE_MAX.as_secs()))
        })??;
        for records in records {
            records.for_each(&mut |record| {
                check.see(record.key.unwrap_or_default(), record.value.unwrap_or_default());
                if check.fault.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        if let Some(fault) = check.fault {
            return Err(Failure::said(fault));
        }
    }
    Ok(expected)
}

/// Nothing more than the events was appended.
async fn check_ends(plan: &Plan, starts: &BTreeMap<i32, i64>) -> Result<(), Failure> {
    let ends = ends(&connect(plan).await?, plan).await?;
    let appended: i64 = ends.iter().map(|(partition, end)| end - starts.get(partition).copied().unwrap_or(0)).sum();
    if appended.unsigned_abs() == plan.records {
        return Ok(());
    }
    Err(Failure::said(format!("{} events were sent and {appended} records were appended", plan.records)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_share_all_events() {
        for records in [1, 479, 480, 481, 1_000_000] {
            let keys = keys();
            let total: u64 = (0..keys.len()).map(|key| events_of(records, keys.len(), key)).sum();
            assert_eq!(total, records);
        }
    }

    #[test]
    fn a_lost_a_doubled_and_a_changed_event_are_noticed() {
        let event = |number| {
            let mut text = String::new();
            write_event(&mut text, 3, number);
            text.into_bytes()
        };
        let check = |events: &[Vec<u8>]| {
            let next = HashMap::from([(b"k".to_vec(), (3, 0))]);
            let mut check = Check { next, missing: events.len() as u64, expected: String::new(), fault: None };
            events.iter().for_each(|event| check.see(b"k", event));
            check.fault
        };
        assert_eq!(check(&[event(0), event(1), event(2)]), None);
        assert!(check(&[event(0), event(2)]).is_some());
        assert!(check(&[event(0), event(0)]).is_some());
        assert!(check(&[event(1), event(0)]).is_some());
        let mut changed = event(0);
        changed[20] ^= 1;
        assert!(check(&[changed]).is_some());
    }
}
