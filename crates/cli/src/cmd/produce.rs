//! `thalweg produce`: lines become records.
//!
//! One thread reads blocks of whole lines, the client's loop sends them: neither waits for the other until a bounded queue is
//! full, so a pipe of any length runs in constant memory.

use crate::options::{Connection, Format};
use crate::output::{self, Failure, Progress};
use clap::{Args, ValueEnum};
use client::{Acks, Producer, ProducerOptions, ToSend};
use record::{Codec, Compression};
use serde_json::json;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::time::SystemTime;
use tokio::sync::mpsc;
use tokio::time::Duration;

/// One read of the input.
const BLOCK_BYTES: usize = 256 * 1024;
/// Blocks that wait for the sender.
const BLOCKS_MAX: usize = 16;
/// A longer line is no record: no broker would take it.
const LINE_BYTES_MAX: usize = 256 * 1024 * 1024;

#[derive(Args)]
pub(crate) struct Produce {
    /// The topic
    topic: String,
    /// Where the lines are; `-` is the standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Split each line into key and value here (`\t` for a tab); a line without it has no key
    #[arg(long, short, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Send everything to this partition
    #[arg(long, short)]
    partition: Option<i32>,
    /// How batches are compressed
    #[arg(long, short = 'z', default_value = "none", value_parser = codec, value_name = "none|gzip|snappy|lz4|zstd")]
    compression: Codec,
    /// Its level, for gzip, lz4 and zstd
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    compression_level: Option<i32>,
    /// Who must have a record before it counts as sent
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Bytes of a batch before compression
    #[arg(long, default_value_t = 128 * 1024, value_name = "BYTES")]
    batch_size: usize,
    /// How long a batch waits for more, in milliseconds
    #[arg(long, default_value_t = 5, value_name = "MS")]
    linger: u64,
    /// Bytes of the largest record, key and headers included; the topic's max.message.bytes is the broker's own limit
    #[arg(long, default_value_t = 1024 * 1024, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=256 << 20))]
    max_request_size: u32,
    /// An empty value becomes a tombstone (with --key-separator)
    #[arg(long)]
    tombstones: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AcksArg {
    /// Nobody
    #[value(name = "0")]
    None,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// All replicas in sync
    #[value(name = "all", alias = "-1")]
    All,
}

fn codec(name: &str) -> Result<Codec, String> {
    Codec::from_name(name).ok_or_else(|| format!("`{name}` is not one of none, gzip, snappy, lz4, zstd"))
}

pub(crate) async fn run(command: Produce) -> Result<(), Failure> {
    let separator = command.key_separator.as_deref().map(unescape);
    if separator.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::said("the key separator is empty"));
    }
    let compression = Compression { codec: command.compression, level: command.compression_level };
    check_level(compression)?;
    let client = command.connection.connect().await?;
    let options = ProducerOptions {
        acks: match command.acks {
            AcksArg::None => Acks::None,
            AcksArg::Leader => Acks::Leader,
            AcksArg::All => Acks::All,
        },
        linger: Duration::from_millis(command.linger),
        batch_bytes: command.batch_size.max(1),
        compression,
        request_bytes_max: command.max_request_size as usize,
        delivery_timeout: Duration::from_secs(command.connection.timeout),
        ..ProducerOptions::default()
    };
    let producer = Producer::new(client, options).await?;
    let mut blocks = start_reading(&command.file)?;
    let interactive = command.file.as_os_str() == "-" && io::stdin().is_terminal();
    let mut progress = Progress::new("sent", !interactive);
    let lines = Lines { command: &command, separator: separator.as_deref().map(str::as_bytes) };
    while let Some(block) = blocks.recv().await {
        let block = block.map_err(|error| Failure::said(format!("cannot read {}: {error}", command.file.display())))?;
        let records = lines.send(&producer, &block).await?;
        progress.add(records, block.len() as u64);
    }
    producer.flush().await?;
    progress.end();
    if command.connection.output == Format::Json {
        output::json(&json!({"topic": command.topic, "records": progress.records, "bytes": progress.bytes}))?;
    }
    Ok(())
}

/// The levels that a topic's config of the codec takes.
fn check_level(compression: Compression) -> Result<(), Failure> {
    let Some(level) = compression.level else { return Ok(()) };
    let name = compression.codec.name();
    let row = config::topic_row(&format!("compression.{name}.level"));
    let row =
        row.ok_or_else(|| Failure::said(format!("compression {name} has no levels: leave --compression-level out")))?;
    row.check(&level.to_string()).map_err(Failure::said)
}

struct Lines<'a> {
    command: &'a Produce,
    separator: Option<&'a [u8]>,
}

impl Lines<'_> {
    /// Sends the lines of a block that ends with a line's end.
    async fn send(&self, producer: &Producer, block: &[u8]) -> Result<u64, Failure> {
        let now = now_millis();
        let mut records = 0;
        for line in block.strip_suffix(b"\n").unwrap_or(block).split(|byte| *byte == b'\n') {
            let (key, value) = match self.separator.and_then(|separator| split_once(line, separator)) {
                Some((key, value)) => (Some(key), value),
                None => (None, line),
            };
            let tombstone = self.command.tombstones && key.is_some() && value.is_empty();
            let value = (!tombstone).then_some(value);
            let record = ToSend { partition: self.command.partition, key, value, headers: &[], timestamp_ms: now };
            producer.send(&self.command.topic, &record).await?;
            records += 1;
        }
        Ok(records)
    }
}

fn split_once<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

/// `\t`, `\n`, `\0` and `\\` as shells make them hard to type.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            (c, false) => out.push(c),
        }
    }
    out
}

#[expect(clippy::disallowed_methods, reason = "a record's create time is the wall clock of the one who creates it")]
fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

type Block = io::Result<Vec<u8>>;

/// Starts a thread that reads blocks of whole lines.
fn start_reading(file: &PathBuf) -> Result<mpsc::Receiver<Block>, Failure> {
    let input: Box<dyn Read + Send> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| Failure::said(format!("cannot open {}: {error}", file.display())))?)
    };
    let (sender, receiver) = mpsc::channel(BLOCKS_MAX);
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read_blocks(input, |block| sender.blocking_send(block).is_ok()))
        .map_err(|error| Failure::said(format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

/// Cuts the input at line ends; the last block may end without one.
fn read_blocks(mut input: impl Read, mut send: impl FnMut(Block) -> bool) {
    let mut held: Vec<u8> = Vec::with_capacity(BLOCK_BYTES);
    let mut chunk = vec![0; BLOCK_BYTES];
    loop {
        let read = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                send(Err(error));
                return;
            }
        };
        match chunk[..read].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                held.extend_from_slice(&chunk[..=end]);
                let rest = chunk[end + 1..read].to_vec();
                if !send(Ok(std::mem::replace(&mut held, rest))) {
                    return;
                }
            }
            None if held.len() + read > LINE_BYTES_MAX => {
                send(Err(io::Error::other(format!("a line is longer than {LINE_BYTES_MAX} bytes"))));
                return;
            }
            None => held.extend_from_slice(&chunk[..read]),
        }
    }
    if !held.is_empty() {
        send(Ok(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of one length.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(buf.len());
            buf[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    #[test]
    fn blocks_hold_whole_lines_however_the_input_is_cut() {
        let text = b"one\n\ntwo and more\nlast without an end";
        for piece in 1..=text.len() {
            let mut blocks = Vec::new();
            read_blocks(Pieces(text, piece), |block| {
                blocks.push(block.expect("reads"));
                true
            });
            assert_eq!(blocks.concat(), text);
            let (last, others) = blocks.split_last().expect("a block");
            assert!(others.iter().all(|block| block.ends_with(b"\n")));
            assert_eq!(*last, b"last without an end");
        }
    }

    #[test]
    fn a_level_that_its_codec_does_not_have_is_refused() {
        let check = |codec, level| check_level(Compression { codec, level: Some(level) }).is_ok();
        assert!(check(Codec::Gzip, 9) && check(Codec::Lz4, 17) && check(Codec::Zstd, -5) && check(Codec::Zstd, 22));
        assert!(!check(Codec::Gzip, 77) && !check(Codec::Lz4, 0) && !check(Codec::Zstd, 23));
        assert!(!check(Codec::None, 1) && !check(Codec::Snappy, 1), "there is no level to have");
        assert!(check_level(Compression { codec: Codec::Snappy, level: None }).is_ok());
    }

    #[test]
    fn separators_are_typed_as_escapes() {
        assert_eq!(unescape(r"\t"), "\t");
        assert_eq!(unescape(r"a\\b\0"), "a\\b\0");
        assert_eq!(split_once(b"k::v::w", b"::"), Some((&b"k"[..], &b"v::w"[..])));
        assert_eq!(split_once(b"k", b"::"), None);
    }
}
