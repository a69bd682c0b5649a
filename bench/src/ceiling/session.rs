//! One connection of the ceiling: cuts frames and answers the few requests that the loads and librdkafka send.

use super::Disk;
use super::log::{Broker, Partition, Placed, Topic};
use crate::wire::batch;
use crate::wire::{Reader, Writer, int32};
use conformance::fault::{Fault, ensure, fail};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Room for a few frames of the usual sizes; grows to the largest frame.
const BUFFER: usize = 1 << 20;
/// The same for one of thousands of connections.
const BUFFER_SMALL: usize = 4 << 10;
/// Frames above this are not ours.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Key, lowest and highest version of what is served, for clients that ask.
const APIS: [(i16, i16, i16); 8] =
    [(0, 3, 7), (1, 4, 11), (2, 1, 2), (3, 0, 4), (18, 0, 2), (19, 4, 4), (20, 3, 3), (22, 0, 1)];

/// What a frame leads to, beyond bytes in [`Session::out`].
pub enum Answer {
    /// Nothing more.
    Done,
    /// File bytes that follow what is in `out`.
    Slice {
        /// Whose file.
        partition: Arc<Partition>,
        /// In the file.
        from: u64,
        /// How many.
        length: usize,
    },
    /// A fetch at the end of the log.
    Wait(Fetch),
}

/// A Fetch request of one partition.
pub struct Fetch {
    correlation_id: i32,
    topic: Vec<u8>,
    index: i32,
    /// Whose log.
    pub partition: Arc<Partition>,
    /// From where.
    pub offset: i64,
    /// How long it may wait.
    pub patience: Duration,
    max_bytes: u64,
}

/// The state of a connection.
pub struct Session {
    broker: Arc<Broker>,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    placed: Vec<Placed>,
    known: Option<(Vec<u8>, Arc<Topic>)>,
    /// Bytes to be sent after [`Session::commit`].
    pub out: Vec<u8>,
}

impl Session {
    /// Nothing received yet; `many` where thousands of such are held.
    pub fn new(broker: &Arc<Broker>, many: bool) -> Session {
        let buffer = vec![0; if many { BUFFER_SMALL } else { BUFFER }];
        let broker = Arc::clone(broker);
        Session { broker, buffer, from: 0, to: 0, placed: Vec::new(), known: None, out: Vec::new() }
    }

    /// Where received bytes go.
    pub fn room(&mut self) -> &mut [u8] {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        if self.to == self.buffer.len() && self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        if self.to == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        &mut self.buffer[self.to..]
    }

    /// So many bytes were put into [`Session::room`].
    pub fn received(&mut self, bytes: usize) {
        self.to += bytes;
    }

    /// Answers the next whole frame, if there is one.
    pub fn next(&mut self) -> Result<Option<Answer>, Fault> {
        if self.to - self.from < 4 {
            return Ok(None);
        }
        let size = usize::try_from(int32(&self.buffer, self.from).unwrap_or(-1)).unwrap_or(usize::MAX);
        ensure((8..=FRAME_BYTES_MAX).contains(&size), || format!("a frame of {size} bytes"))?;
        if self.to - self.from < 4 + size {
            return Ok(None);
        }
        let frame = self.from + 4..self.from + 4 + size;
        self.from = frame.end;
        self.answer(frame).map(Some)
    }

    /// Makes what was received durable, as far as this ceiling does; before `out` is sent.
    pub fn commit(&mut self) -> Result<(), Fault> {
        self.broker.commit(&self.buffer, &mut self.placed)
    }

    /// As [`Session::commit`], but leaves the sync to whoever takes the answers and what they are about.
    pub fn write(&mut self) -> Result<(Vec<u8>, Vec<Placed>), Fault> {
        self.broker.write(&self.buffer, &self.placed)?;
        Ok((std::mem::take(&mut self.out), std::mem::take(&mut self.placed)))
    }

    /// Batches that have a place and are not written.
    pub fn unwritten(&self) -> usize {
        self.placed.len()
    }

    fn answer(&mut self, frame: Range<usize>) -> Result<Answer, Fault> {
        let mut reader = Reader::new(&self.buffer[frame.clone()]);
        let (key, version, correlation_id) = (reader.i16()?, reader.i16()?, reader.i32()?);
        reader.text()?;
        let body = frame.start + reader.at..frame.end;
        match key {
            0 => self.produce(correlation_id, body),
            1 => self.fetch(correlation_id, body),
            _ => self.rare(key, version, correlation_id, body),
        }
    }

    fn produce(&mut self, correlation_id: i32, body: Range<usize>) -> Result<Answer, Fault> {
        let start = self.out.len();
        let mut out = Writer(std::mem::take(&mut self.out));
        out.i32(0).i32(correlation_id);
        let mut reader = Reader::new(&self.buffer[body.clone()]);
        reader.text()?; // transactional id
        let (acks, _, topics) = (reader.i16()?, reader.i32()?, reader.count()?);
        ensure(topics == 1, || format!("{topics} topics in a Produce"))?;
        let name = reader.text()?.to_vec();
        let (partitions, mut at) = (reader.count()?, body.start + reader.at);
        let topic = self.topic(&name)?;
        out.count(1).i16(name.len() as i16).0.extend_from_slice(&name);
        out.count(partitions);
        for _ in 0..partitions {
            let index = int32(&self.buffer, at).unwrap_or(-1);
            let length = usize::try_from(int32(&self.buffer, at + 4).unwrap_or(-1)).unwrap_or(0);
            let range = at + 8..at + 8 + length;
            ensure(range.end <= body.end, || "a batch beyond its frame".to_owned())?;
            at = range.end;
            let partition = at_index(&topic, index)?;
            let whole = self.broker.disk == Disk::Nothing
                || batch::first(&self.buffer[range.clone()]).is_some_and(|batch| batch.is_whole());
            ensure(whole, || "a batch with another checksum".to_owned())?;
            let (base, placed) = partition.place(&mut self.buffer, range)?;
            self.placed.push(placed);
            out.i32(index).i16(0).i64(base).i64(-1).i64(0);
        }
        out.i32(0);
        if acks == 0 {
            out.0.truncate(start);
        }
        self.out = out.0;
        self.size(start, 0);
        Ok(Answer::Done)
    }

    fn fetch(&mut self, correlation_id: i32, body: Range<usize>) -> Result<Answer, Fault> {
        let mut reader = Reader::new(&self.buffer[body]);
        reader.i32()?; // replica
        let patience = Duration::from_millis(u64::try_from(reader.i32()?).unwrap_or(0));
        reader.at += 4 + 4 + 1 + 4 + 4; // min bytes, max bytes, isolation, session id and epoch
        let topics = reader.count()?;
        ensure(topics == 1, || format!("{topics} topics in a Fetch"))?;
        let name = reader.text()?.to_vec();
        let partitions = reader.count()?;
        ensure(partitions == 1, || format!("{partitions} partitions in a Fetch"))?;
        let (index, _, offset, _) = (reader.i32()?, reader.i32()?, reader.i64()?, reader.i64()?);
        let max_bytes = u64::try_from(reader.i32()?).unwrap_or(0);
        let topic = self.topic(&name)?;
        let partition = Arc::clone(at_index(&topic, index)?);
        self.commit()?;
        let fetch = Fetch { correlation_id, topic: name, index, partition, offset, patience, max_bytes };
        match self.try_fetch(&fetch, false) {
            Some(answer) => Ok(answer),
            None => Ok(Answer::Wait(fetch)),
        }
    }

    /// Answers a fetch when there is something, or anyhow.
    pub fn try_fetch(&mut self, fetch: &Fetch, anyhow: bool) -> Option<Answer> {
        let (visible, from, there) = fetch.partition.locate(fetch.offset);
        if there == 0 && !anyhow {
            return None;
        }
        let length = there.min(fetch.max_bytes) as usize;
        let start = self.out.len();
        let mut out = Writer(std::mem::take(&mut self.out));
        out.i32(0).i32(fetch.correlation_id).i32(0).i16(0).i32(0);
        out.count(1).i16(fetch.topic.len() as i16).0.extend_from_slice(&fetch.topic);
        out.count(1).i32(fetch.index).i16(0).i64(visible).i64(visible).i64(0).i32(-1).i32(-1).count(length);
        self.out = out.0;
        self.size(start, length);
        Some(Answer::Slice { partition: Arc::clone(&fetch.partition), from, length })
    }

    /// Everything that is not measured, and the small request that is: Metadata of no topics.
    fn rare(&mut self, key: i16, version: i16, correlation_id: i32, body: Range<usize>) -> Result<Answer, Fault> {
        let start = self.out.len();
        let mut out = Writer(std::mem::take(&mut self.out));
        out.i32(0).i32(correlation_id);
        let mut reader = Reader::new(&self.buffer[body]);
        match key {
            3 => metadata(&self.broker, version, &mut reader, &mut out)?,
            18 => {
                out.i16(if version > 2 { 35 } else { 0 }).count(APIS.len());
                for (key, low, high) in APIS {
                    out.i16(key).i16(low).i16(high);
                }
                if (1..=2).contains(&version) {
                    out.i32(0);
                }
            }
            19 | 20 | 37 => {
                reader.count()?;
                let name = reader.text()?;
                if key != 20 {
                    self.broker.create(name, reader.i32()?)?
                } else {
                    self.broker.delete(name)?
                }
                out.i32(0).count(1).i16(name.len() as i16).0.extend_from_slice(name);
                out.i16(0);
                if key != 20 {
                    out.null();
                }
            }
            other => return fail(format!("API {other} is not measured")),
        }
        self.out = out.0;
        self.size(start, 0);
        Ok(Answer::Done)
    }

    /// Puts the size of the frame at `start`, which `further` file bytes follow, into its first bytes.
    fn size(&mut self, start: usize, further: usize) {
        if let Some(size) = (self.out.len() - start + further).checked_sub(4) {
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            if let Some(place) = self.out.get_mut(start..start + 4) {
                place.copy_from_slice(&size.to_be_bytes());
            }
        }
    }

    fn topic(&mut self, name: &[u8]) -> Result<Arc<Topic>, Fault> {
        if let Some((known, topic)) = &self.known
            && known == name
        {
            return Ok(Arc::clone(topic));
        }
        match self.broker.topic(name) {
            Some(topic) => {
                self.known = Some((name.to_vec(), Arc::clone(&topic)));
                Ok(topic)
            }
            None => fail(format!("no topic {}", String::from_utf8_lossy(name))),
        }
    }
}

fn at_index(topic: &Topic, index: i32) -> Result<&Arc<Partition>, Fault> {
    let found = usize::try_from(index).ok().and_then(|index| topic.partitions.get(index));
    found.ok_or_else(|| Fault::Failed(format!("no partition {index}")))
}

/// Metadata v0 to v4.
fn metadata(broker: &Broker, version: i16, reader: &mut Reader<'_>, out: &mut Writer) -> Result<(), Fault> {
    if version >= 3 {
        out.i32(0);
    }
    out.count(1).i32(1).text("127.0.0.1").i32(i32::from(broker.port));
    if version >= 1 {
        out.null();
    }
    if version >= 2 {
        out.text("ceiling");
    }
    if version >= 1 {
        out.i32(1);
    }
    let names = reader.count()?;
    out.count(names);
    for _ in 0..names {
        let name = reader.text()?;
        let partitions = broker.topic(name).map_or(0, |topic| topic.partitions.len());
        out.i16(if partitions > 0 { 0 } else { 3 }).i16(name.len() as i16).0.extend_from_slice(name);
        if version >= 1 {
            out.i8(0);
        }
        out.count(partitions);
        for index in 0..partitions {
            out.i16(0).count(index).i32(1).count(1).i32(1).count(1).i32(1);
        }
    }
    Ok(())
}
