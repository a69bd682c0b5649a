//! `thalweg consume`: records become lines.

mod print;

use crate::options::{Connection, Format};
use crate::output::{Failure, Progress};
use crate::time::parse_millis;
use clap::{Args, ValueEnum};
use client::{Client, Consumer, ConsumerOptions, Isolation, OutOfRange, Start};
use print::Printer;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::pin::pin;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

/// Output gathered before it is written.
const OUT_BYTES: usize = 256 * 1024;

#[derive(Args)]
pub(crate) struct Consume {
    /// The topic
    topic: String,
    /// Only these partitions; may be repeated [default: all]
    #[arg(long, short)]
    partition: Vec<i32>,
    /// Where to begin: earliest, latest, an offset, -N for the last N of each partition, or a time such as
    /// 2026-11-24T10:00Z or @1795514400000
    #[arg(long, short, default_value = "earliest", value_parser = from, allow_hyphen_values = true)]
    from: From,
    /// Stop after this many records
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// Go on at the end and wait for more [default: stop at the end that the topic has now]
    #[arg(long, short = 'F')]
    follow: bool,
    /// How a record is printed, with %t topic, %p partition, %o offset, %k key, %s value, %T timestamp, %h headers, %% and
    /// \n \t [default: %s\n]
    #[arg(long, value_name = "TEXT", conflicts_with = "print_key")]
    format: Option<String>,
    /// Print the key before the value
    #[arg(long, short = 'k')]
    print_key: bool,
    /// What stands between key and value
    #[arg(long, default_value = "\\t", value_name = "TEXT")]
    key_separator: String,
    /// Whether records of open and aborted transactions are seen
    #[arg(long, value_enum, default_value_t = IsolationArg::ReadUncommitted)]
    isolation: IsolationArg,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum IsolationArg {
    /// They are
    #[value(name = "read_uncommitted")]
    ReadUncommitted,
    /// They are not
    #[value(name = "read_committed")]
    ReadCommitted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Start(Start),
    /// This many before the end.
    Last(i64),
}

fn from(text: &str) -> Result<From, String> {
    match text {
        "earliest" | "beginning" => return Ok(From::Start(Start::Earliest)),
        "latest" | "end" => return Ok(From::Start(Start::Latest)),
        _ => {}
    }
    match text.parse::<i64>() {
        Ok(offset @ 0..) => Ok(From::Start(Start::Offset(offset))),
        Ok(last) => Ok(From::Last(last.saturating_neg())),
        Err(_) => parse_millis(text)
            .map(|millis| From::Start(Start::Timestamp(millis)))
            .ok_or_else(|| "neither earliest, latest, an offset, nor a time such as 2026-11-24T10:00Z".to_owned()),
    }
}

/// Where to begin in a partition from `start` to `end`, and what is to be said when that is not where it was wanted: what is gone already
/// cannot be waited for, and beyond the end a broker knows no offset.
fn place(from: From, start: i64, end: i64) -> (Start, Option<String>) {
    match from {
        From::Last(count) => (Start::Offset((end - count).max(start)), None),
        From::Start(Start::Offset(offset)) if offset < start => {
            (Start::Offset(start), Some(format!("begins at {start}, after {offset}")))
        }
        From::Start(Start::Offset(offset)) if offset > end => {
            (Start::Offset(end), Some(format!("ends at {end}, before {offset}")))
        }
        From::Start(from) => (from, None),
    }
}

pub(crate) async fn run(command: Consume) -> Result<(), Failure> {
    let isolation = match command.isolation {
        IsolationArg::ReadUncommitted => Isolation::ReadUncommitted,
        IsolationArg::ReadCommitted => Isolation::ReadCommitted,
    };
    let printer = match (command.connection.output, &command.format) {
        (Format::Json, _) => Printer::json(),
        (Format::Text, Some(format)) => Printer::parse(format).map_err(Failure::said)?,
        (Format::Text, None) if command.print_key => {
            Printer::key_and_value(&super::produce::unescape(&command.key_separator))
        }
        (Format::Text, None) => Printer::value(),
    };
    let client = command.connection.connect().await?;
    let mut reading = Reading::begin(&client, &command, isolation).await?;
    reading.run(&command, &printer).await
}

/// A consumer, and where each of its partitions ends for us.
struct Reading {
    consumer: Consumer,
    /// `None` when following.
    ends: Option<BTreeMap<i32, i64>>,
    left: u64,
    progress: Progress,
    out: Vec<u8>,
}

impl Reading {
    async fn begin(client: &Client, command: &Consume, isolation: Isolation) -> Result<Reading, Failure> {
        let topic = client.refresh_topic(&command.topic, false).await?;
        let all: Vec<i32> = topic.partitions.iter().map(|partition| partition.partition).collect();
        if let Some(unknown) = command.partition.iter().find(|partition| !all.contains(partition)) {
            let count = all.len();
            return Err(Failure::said(format!(
                "topic {} has {count} partitions, no partition {unknown}",
                command.topic
            )));
        }
        let mut partitions = if command.partition.is_empty() { all } else { command.partition.clone() };
        partitions.sort_unstable();
        partitions.dedup();
        let out_of_range = if command.follow { OutOfRange::Earliest } else { OutOfRange::Fail };
        let options = ConsumerOptions { isolation, out_of_range, ..ConsumerOptions::default() };
        let mut consumer = Consumer::new(client.clone(), options);
        let (mut ends, mut beyond) = (BTreeMap::new(), 0);
        for partition in partitions {
            let (start, end) = client.offset_range(&command.topic, partition, isolation).await?;
            let (from, beside) = place(command.from, start, end);
            if let Some(what) = beside {
                eprintln!("thalweg: partition {partition} {what}");
            }
            beyond += usize::from(matches!(command.from, From::Start(Start::Offset(offset)) if offset > end));
            let position = consumer.assign(&command.topic, partition, from).await?;
            if !command.follow && position >= end {
                consumer.unassign(&command.topic, partition);
            }
            ends.insert(partition, end);
        }
        if beyond > 0 && beyond == ends.len() {
            return Err(Failure::said(format!(
                "there is no such offset in {}: begin at an offset up to the end, or --from latest with --follow",
                command.topic
            )));
        }
        let ends = (!command.follow).then_some(ends);
        let wanted = !io::stdout().is_terminal();
        let left = command.count.unwrap_or(u64::MAX);
        Ok(Reading {
            consumer,
            ends,
            left,
            progress: Progress::new("read", wanted),
            out: Vec::with_capacity(2 * OUT_BYTES),
        })
    }

    async fn run(&mut self, command: &Consume, printer: &Printer) -> Result<(), Failure> {
        let follow = command.follow;
        let mut gone = pin!(async move { if follow { reader_is_gone().await } else { std::future::pending().await } });
        while self.left > 0 && !self.consumer.is_idle() {
            let polled = tokio::select! {
                polled = self.consumer.poll() => polled?,
                () = &mut gone => return Err(Failure::ReaderGone),
            };
            for records in polled {
                let end = self.ends.as_ref().and_then(|ends| ends.get(&records.partition).copied());
                self.print(&records, end.unwrap_or(i64::MAX), printer)?;
                if end.is_some_and(|end| records.next_offset() >= end) {
                    self.consumer.unassign(&command.topic, records.partition);
                }
                if self.left == 0 {
                    break;
                }
            }
            // A follower wants to see each record when it comes.
            if command.follow {
                self.write()?;
            }
        }
        self.write()?;
        self.progress.end();
        Ok(())
    }

    fn print(&mut self, records: &client::PartitionRecords, end: i64, printer: &Printer) -> Result<(), Failure> {
        let (mut count, mut bytes) = (0, 0);
        let mut failed = None;
        let (topic, partition, left) = (&*records.topic, records.partition, self.left);
        let (out, mut room) = (&mut self.out, left);
        records.for_each(&mut |record| {
            if record.offset.0 >= end || room == 0 {
                return ControlFlow::Break(());
            }
            room -= 1;
            count += 1;
            bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
            printer.print(topic, partition, record, out);
            if out.len() >= OUT_BYTES
                && let Err(error) = flush(out)
            {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        self.left = room;
        self.progress.add(count, bytes);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn write(&mut self) -> Result<(), Failure> {
        Ok(flush(&mut self.out)?)
    }
}

/// Waits until nobody reads the standard output any more: who follows may otherwise learn of it only with a record that never comes.
async fn reader_is_gone() {
    // Watched and never written to, so that what it stands for stays as it is: who writes to it waits.
    let watched = io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    let Ok(watched) = watched else {
        // A file cannot be watched, and has no reader that could go.
        return std::future::pending().await;
    };
    if let Err(error) = watched.ready(Interest::ERROR).await {
        tracing::debug!(%error, "the standard output cannot be watched");
        std::future::pending().await
    }
}

fn flush(out: &mut Vec<u8>) -> io::Result<()> {
    // `Stdout` would look for line ends in everything it is given; the file beneath it does not.
    let mut stdout = io::stdout().lock();
    stdout.write_all(out)?;
    stdout.flush()?;
    out.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_begin() {
        assert_eq!(from("earliest"), Ok(From::Start(Start::Earliest)));
        assert_eq!(from("17"), Ok(From::Start(Start::Offset(17))));
        assert_eq!(from("-5"), Ok(From::Last(5)));
        assert_eq!(from("@17"), Ok(From::Start(Start::Timestamp(17))));
        assert_eq!(from("2026-11-24T10:00Z"), Ok(From::Start(Start::Timestamp(1_795_514_400_000))));
        assert!(from("yesterday").is_err());
    }

    #[test]
    fn a_place_beside_the_partition_is_told() {
        let at = |offset| place(From::Start(Start::Offset(offset)), 3, 7);
        assert_eq!(at(2), (Start::Offset(3), Some("begins at 3, after 2".to_owned())));
        assert_eq!(at(3), (Start::Offset(3), None));
        assert_eq!(at(7), (Start::Offset(7), None), "the next record's");
        assert_eq!(at(99), (Start::Offset(7), Some("ends at 7, before 99".to_owned())));
        assert_eq!(place(From::Last(9), 3, 7), (Start::Offset(3), None));
    }
}
