//! The loads that both brokers get, with the same durability on both sides.

use crate::encode;
use crate::load::{self, Counts};
use conformance::fault::{During, Fault};
use conformance::node::Node;
use conformance::process::now;
use std::time::Duration;

/// Every case uses one topic of its own broker.
pub const TOPIC: &str = "bench";
/// How long one round of load is.
const ROUND: Duration = Duration::from_secs(2);
/// What a fetch case reads again and again.
const FETCH_LOG_BYTES: u64 = 256 << 20;

/// What is asked of the broker.
pub enum Work {
    /// Pipelined Produce requests, acks=all.
    Produce {
        /// Bytes of the batch, about.
        batch: usize,
        /// Bytes of a record's value.
        record: usize,
        /// Requests in flight per connection.
        depth: usize,
    },
    /// One connection that reads the log from its start.
    Fetch {
        /// max_bytes of a request.
        bytes: i32,
    },
}

/// One line of the comparison.
pub struct Case {
    /// Also the name of its folder.
    pub name: &'static str,
    /// Load.
    pub work: Work,
    /// Connections, each with partitions of its own.
    pub connections: i32,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Configs that make the two promise the same.
    pub thalweg: &'static [(&'static str, &'static str)],
    /// The same for Kafka.
    pub kafka: &'static [(&'static str, &'static str)],
}

/// Both acknowledge what is in the page cache, Kafka's default.
const PAGECACHE: &[(&str, &str)] = &[("log.durability", "pagecache")];
/// Both acknowledge what is on disk: our default, and Kafka told to flush each message set.
const FLUSHED: &[(&str, &str)] = &[("log.flush.interval.messages", "1")];

const fn produce(name: &'static str, batch: usize, record: usize, depth: usize, connections: i32) -> Case {
    Case {
        name,
        work: Work::Produce { batch, record, depth },
        connections,
        partitions: connections,
        thalweg: PAGECACHE,
        kafka: &[],
    }
}

const fn fetch(name: &'static str, bytes: i32) -> Case {
    Case { name, work: Work::Fetch { bytes }, connections: 1, partitions: 1, thalweg: PAGECACHE, kafka: &[] }
}

const fn durable(case: Case) -> Case {
    Case { thalweg: &[], kafka: FLUSHED, ..case }
}

/// All of them.
pub const CASES: &[Case] = &[
    produce("produce_64k_depth_5", 64 << 10, 100, 5, 1),
    produce("produce_1k_depth_5", 1 << 10, 100, 5, 1),
    produce("produce_1k_ten_connections", 1 << 10, 100, 5, 10),
    produce("produce_1k_depth_1", 1 << 10, 100, 1, 1),
    fetch("fetch_1m", 1 << 20),
    fetch("fetch_64k", 64 << 10),
    durable(produce("durable_1k_depth_1", 1 << 10, 100, 1, 1)),
    durable(produce("durable_64k_depth_64", 64 << 10, 100, 64, 1)),
    durable(produce("durable_1k_sixteen_connections", 1 << 10, 100, 5, 16)),
];

/// One round.
pub struct Measure {
    seconds: f64,
    broker_cpu_seconds: f64,
    counts: Counts,
}

impl Measure {
    /// Names and units of [`Measure::figures`].
    pub const FIGURES: &[(&str, &str)] = &[
        ("rate", "MB/s"),
        ("requests", "1/s"),
        ("broker CPU", "s/GB"),
        ("broker CPU", "us/req"),
        ("p50", "us"),
        ("p99", "us"),
    ];

    /// In the order of [`Measure::FIGURES`].
    pub fn figures(&self) -> [f64; 6] {
        let (bytes, requests) = (self.counts.bytes as f64, self.counts.requests as f64);
        [
            bytes / 1e6 / self.seconds,
            requests / self.seconds,
            self.broker_cpu_seconds / (bytes / 1e9),
            self.broker_cpu_seconds / requests * 1e6,
            self.counts.latency_us(0.50),
            self.counts.latency_us(0.99),
        ]
    }
}

impl Case {
    /// Fills the log that a fetch case reads.
    pub fn prepare(&self, node: &Node) -> Result<(), Fault> {
        let Work::Fetch { .. } = self.work else { return Ok(()) };
        let batch = encode::batch(64 << 10, 100);
        load::produce(&node.address, 0, &batch, 5, &|counts| counts.bytes >= FETCH_LOG_BYTES).map(|_| ())
    }

    /// One round of load.
    pub fn run(&self, node: &Node) -> Result<Measure, Fault> {
        let (cpu, started) = (cpu_seconds(node.running.pid())?, now());
        let over = move |_: &Counts| now() - started >= ROUND;
        let counts = match self.work {
            Work::Produce { batch, record, depth } => {
                let batch = encode::batch(batch, record);
                load::on_each(self.connections, |partition| {
                    load::produce(&node.address, partition, &batch, depth, &over)
                })?
            }
            Work::Fetch { bytes } => {
                load::on_each(self.connections, |partition| load::fetch(&node.address, partition, bytes, &over))?
            }
        };
        let seconds = (now() - started).as_secs_f64();
        Ok(Measure { seconds, broker_cpu_seconds: cpu_seconds(node.running.pid())? - cpu, counts })
    }
}

/// User and system time of a process and its ended threads, from the kernel's accounting in ticks of 10 ms.
fn cpu_seconds(pid: u32) -> Result<f64, Fault> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).during(&path)?;
    // The name in brackets may hold spaces; after it come the fields from the third on.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / 100.0),
        _ => Err(Fault::Failed(format!("{path} has no CPU times"))),
    }
}
