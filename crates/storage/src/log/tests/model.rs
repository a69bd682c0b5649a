//! A log against a model in memory: random appends, rolls, truncations, retention, faults, crashes and restarts.
//!
//! What must hold: nothing durable is lost, nothing is invented, offsets are dense, look-ups by offset and time agree with the model,
//! producers and epochs are what the surviving batches say. proptest prints the seed and the steps of a run that fails.

use super::DIR;
use crate::{AppendError, Disk, FaultyMemDisk, Log, LogConfig, LogOptions, commit};
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use proptest::prelude::*;
use record::{BatchBuilder, BatchOptions, Batches, Codec, Compression, NewRecord, ValidBatch};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A batch as the model knows it.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    first: i64,
    /// Value, which is unique, and timestamp of each record.
    records: Vec<(u64, i64)>,
    epoch: i32,
    /// Producer and first sequence number.
    producer: Option<(i64, i32)>,
}

impl Known {
    fn end(&self) -> i64 {
        self.first + self.records.len() as i64
    }

    fn bytes(&self, size: usize) -> Vec<u8> {
        let (id, sequence) = self.producer.unwrap_or((-1, -1));
        let codec = if self.first % 3 == 0 { Codec::Lz4 } else { Codec::None };
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(if id < 0 { -1 } else { 0 }),
            base_sequence: sequence,
            compression: Compression { codec, level: None },
            ..BatchOptions::default()
        });
        for (value, timestamp) in &self.records {
            let value = format!("{value:0>size$}");
            let timestamp = Timestamp(*timestamp);
            builder.append(&NewRecord { timestamp, value: Some(value.as_bytes()), ..NewRecord::default() });
        }
        builder.build()
    }
}

struct Run {
    disk: FaultyMemDisk,
    log: Log,
    /// Every batch that was not cut off, those below the log's start too.
    batches: Vec<Known>,
    /// A batch whose append failed: it may turn up after a restart.
    doubtful: Option<Known>,
    start: i64,
    /// Where the log may start after a crash, when a retention pass has failed.
    start_max: i64,
    durable: i64,
    /// What the recovery point checkpoint says.
    checkpoint: Offset,
    epoch: i32,
    next_value: u64,
    clock: i64,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_500,
        index_interval_bytes: 150,
        segment_index_bytes: 96,
        retention_bytes: 4_000,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

fn open(disk: &FaultyMemDisk, recovery_point: Offset, clean: bool) -> Result<Log, crate::LogError> {
    let options = LogOptions {
        dir: PathBuf::from(DIR),
        config: config().into(),
        recovery_point,
        log_start: Offset::ZERO,
        compacted_to: Offset::ZERO,
        clean,
    };
    Log::open(Arc::new(disk.clone()), options).map(|(log, _)| log)
}

impl Run {
    fn new(seed: u64) -> Run {
        let disk = FaultyMemDisk::new(seed);
        disk.create_dir(Path::new(DIR)).unwrap();
        let log = open(&disk, Offset::ZERO, false).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        Run {
            disk,
            log,
            batches: Vec::new(),
            doubtful: None,
            start: 0,
            start_max: 0,
            durable: 0,
            checkpoint: Offset::ZERO,
            epoch: 0,
            next_value: 0,
            clock: 1_000,
        }
    }

    fn end(&self) -> i64 {
        self.batches.last().map_or(0, Known::end)
    }

    fn next_sequence(&self, id: i64) -> i32 {
        let last = self.batches.iter().rev().find_map(|batch| batch.producer.filter(|p| p.0 == id).map(|p| (batch, p)));
        last.map_or(0, |(batch, (_, first))| first + batch.records.len() as i32)
    }

    fn append(&mut self, what: u16) -> Result<(), AppendError> {
        let producer = i64::from(what % 3);
        self.clock += i64::from(what % 7) - 1;
        let records = (0..1 + i64::from(what % 4)).map(|i| {
            self.next_value += 1;
            (self.next_value, self.clock + (i * i64::from(what % 5) - 3))
        });
        let records = records.collect();
        let batch = Known {
            first: self.end(),
            records,
            epoch: self.epoch,
            producer: (producer > 0).then(|| (producer, self.next_sequence(producer))),
        };
        let bytes = batch.bytes(usize::from(what % 90));
        let valid = ValidBatch::internal(&bytes).unwrap();
        match self.log.append(Timestamp(self.clock), &valid, LeaderEpoch(self.epoch)) {
            Ok(appended) => {
                assert!(!appended.duplicate);
                assert_eq!((appended.first_offset.0, appended.last_offset.0 + 1), (batch.first, batch.end()));
                self.batches.push(batch);
                Ok(())
            }
            Err(error) => {
                self.doubtful = Some(batch);
                Err(error)
            }
        }
    }

    /// R31: each of a producer's last five batches is answered again.
    fn retry(&mut self, what: u16) {
        let id = 1 + i64::from(what % 2);
        let own: Vec<_> = self.batches.iter().filter(|b| b.producer.is_some_and(|p| p.0 == id)).cloned().collect();
        let last = own.iter().rev().take(5).filter(|batch| batch.first >= self.start).nth(usize::from(what / 2 % 5));
        let Some(batch) = last else { return };
        let bytes = batch.bytes(10);
        let valid = ValidBatch::internal(&bytes).unwrap();
        let again = self.log.append(Timestamp(self.clock), &valid, LeaderEpoch(self.epoch)).unwrap();
        assert_eq!((again.duplicate, again.first_offset.0), (true, batch.first));
    }

    fn sync(&mut self) -> Result<(), crate::DiskError> {
        if let Some(ticket) = self.log.ticket()? {
            commit(&self.disk, Path::new("/d"), None, std::slice::from_ref(&ticket))?;
            self.durable = ticket.up_to.0;
        }
        Ok(())
    }

    fn truncate(&mut self, what: u16) {
        let to = self.start.max(self.end() - i64::from(what % 40));
        self.log.truncate_to(Offset(to)).unwrap();
        self.batches.retain(|batch| batch.end() <= to);
        self.durable = self.durable.min(self.end());
        // Whoever truncates writes the checkpoint at once, as Kafka does.
        self.checkpoint = self.checkpoint.min(self.log.recovery_point());
        assert_eq!(self.log.log_end().0, self.end());
        // A batch that the start lies within goes whole.
        self.start = self.start.min(self.end());
    }

    fn retain(&mut self) -> Result<(), crate::ReadError> {
        let deletion = self.log.retain(Timestamp(self.clock), Offset(self.durable)).inspect_err(|_| {
            // Some of what it was to drop may be gone.
            self.start_max = self.durable.max(self.start);
        })?;
        assert!(self.log.log_start().0 <= self.durable.max(self.start), "R27");
        self.start = self.log.log_start().0;
        for file in deletion.into_iter().flat_map(|deletion| deletion.paths) {
            self.disk.remove_file(&file).map_err(crate::DiskError::on("remove", &file))?;
        }
        Ok(())
    }

    /// Power is cut; perhaps once more while recovering.
    fn crash(&mut self, what: u16) {
        self.disk = self.disk.crash();
        if what.is_multiple_of(3) {
            self.disk.fail_after(Some(u64::from(what % 32)));
            drop(open(&self.disk, self.checkpoint, false));
            self.disk = self.disk.crash();
        }
        self.log = open(&self.disk, self.checkpoint, false).expect("recovery succeeds");
        self.batches.extend(self.doubtful.take());
        let end = self.log.log_end().0;
        assert!(end >= self.durable, "durable up to {}, found up to {end}", self.durable);
        assert!(end <= self.end(), "written up to {}, found up to {end}", self.end());
        let start_max = std::mem::take(&mut self.start_max).max(self.start);
        assert!(self.log.log_start().0 <= start_max, "a start that was not written yet goes back, never on");
        self.start = self.log.log_start().0;
        self.batches.retain(|batch| batch.end() <= end);
        assert_eq!(self.end().max(self.start), end, "the end is a batch's");
        self.durable = self.durable.min(end);
        self.disk.fail_after(None);
        self.log.begin_epoch(LeaderEpoch(self.epoch));
    }

    fn restart(&mut self) {
        self.log.close().unwrap();
        self.log = open(&self.disk, self.checkpoint, true).unwrap();
        self.log.delete_records(Offset(self.start), self.log.log_end()).unwrap();
        self.durable = self.end();
        self.checkpoint = self.log.recovery_point();
    }

    /// A step on a disk that fails somewhere in it, and the crash that follows.
    fn fault(&mut self, what: u16) {
        self.disk.fail_after(Some(u64::from(what % 9)));
        let failed = match what % 4 {
            0 => self.sync().is_err(),
            1 => self.log.roll().is_err(),
            2 => self.retain().is_err(),
            _ => self.append(what).is_err(),
        };
        if failed && what % 4 == 3 {
            let again = self.append(what);
            assert!(matches!(again, Err(AppendError::Offline(_))), "R21: nothing is taken after an error");
            self.doubtful.take();
            // The first attempt is the one that may turn up; its values were drawn before the second's.
            return self.crash_without_last(what);
        }
        self.crash(what);
    }

    /// As a crash after which the batch that failed may be found: any batch beyond the model's end is cut off again.
    fn crash_without_last(&mut self, what: u16) {
        let end = self.end();
        self.disk = self.disk.crash();
        self.log = open(&self.disk, self.checkpoint, false).expect("recovery succeeds");
        if self.log.log_end().0 > end {
            self.log.truncate_to(Offset(end)).unwrap();
        }
        self.checkpoint = self.checkpoint.min(self.log.recovery_point());
        self.sync().unwrap();
        self.durable = self.durable.min(self.log.log_end().0);
        self.batches.retain(|batch| batch.end() <= self.log.log_end().0);
        self.start = self.log.log_start().0;
        self.crash(what);
    }

    fn step(&mut self, kind: u8, what: u16) {
        match kind % 24 {
            0..=9 => self.append(what).unwrap(),
            10..=12 => self.sync().unwrap(),
            13 => self.log.roll().unwrap(),
            14 => self.truncate(what),
            15 => {
                let to = Offset((self.start + i64::from(what % 20)).min(self.durable.max(self.start)));
                self.start = self.log.delete_records(to, Offset(self.durable).max(to)).unwrap().0;
            }
            16 => self.retain().unwrap(),
            17 => self.crash(what),
            18 => self.restart(),
            19 => self.retry(what),
            20 => {
                self.epoch += 1;
                self.log.begin_epoch(LeaderEpoch(self.epoch));
            }
            21 => {
                self.log.flush().unwrap();
                // A flush leaves nothing for a commit to do, but the model only counts what a commit confirmed.
                self.checkpoint = self.log.recovery_point();
            }
            22 => self.fault(what),
            _ => self.log.release_files(),
        }
    }

    fn check(&mut self) {
        let (start, end) = (self.start, self.end());
        assert_eq!((self.log.log_start().0, self.log.log_end().0), (start, end.max(start)));
        let records: Vec<(i64, u64, i64, i32)> = self
            .batches
            .iter()
            .flat_map(|b| b.records.iter().enumerate().map(|(i, r)| (b.first + i as i64, r.0, r.1, b.epoch)))
            .filter(|record| record.0 >= start)
            .collect();
        for from in [start, start + (end - start) / 3, end - 1] {
            if (start..end).contains(&from) {
                let expected: Vec<_> = records.iter().filter(|record| record.0 >= from).copied().collect();
                assert_eq!(self.read(from), expected);
            }
        }
        for time in [0, self.clock - 9, self.clock - 4, self.clock - 1, self.clock, self.clock + 99] {
            let found = self.log.offset_for_time(Timestamp(time)).unwrap().map(|f| (f.offset.0, f.timestamp.0));
            let expected = records.iter().find(|record| record.2 >= time).map(|record| (record.0, record.2));
            assert_eq!(found, expected, "first record at {time}");
        }
        for record in &records {
            assert_eq!(self.log.epochs().epoch_of(Offset(record.0)), Some(LeaderEpoch(record.3)), "{}", record.0);
        }
        for id in [1, 2] {
            let last = self.batches.iter().rev().find(|batch| batch.producer.is_some_and(|p| p.0 == id));
            let found = self.log.producers().iter().find(|(known, _)| known.0 == id);
            let found = found.and_then(|(_, entry)| entry.batches.back().map(|b| (b.last_sequence, b.last_offset.0)));
            let expected = last.map(|batch| (self.next_sequence(id) - 1, batch.end() - 1));
            // What retention took need not be remembered.
            if found.is_some() || last.is_some_and(|batch| batch.first >= start) {
                assert_eq!(found, expected, "producer {id}");
            }
        }
    }

    /// Offset, value, timestamp and epoch of each record.
    fn read(&mut self, from: i64) -> Vec<(i64, u64, i64, i32)> {
        let (mut at, mut found) = (Offset(from), Vec::new());
        while at < self.log.log_end() {
            let slice = self.log.read(at, self.log.log_end(), 400, true).unwrap();
            let bytes = self.log.read_slice(&slice).unwrap();
            let before = at;
            for batch in Batches::new(&bytes).map_while(Result::ok) {
                let mut scratch = Vec::new();
                for record in batch.records(&mut scratch, 1 << 20).unwrap() {
                    let record = record.unwrap();
                    if record.offset.0 >= from {
                        let value = std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
                        found.push((record.offset.0, value, record.timestamp.0, batch.header.leader_epoch.0));
                    }
                }
                at = batch.header.next_offset();
            }
            assert!(at > before, "nothing is found at {at}, the log ends at {}", self.log.log_end());
        }
        found
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 3_000, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_log_is_what_the_model_says(seed in any::<u64>(), steps in proptest::collection::vec((any::<u8>(), any::<u16>()), 1..120)) {
        let mut run = Run::new(seed);
        for (kind, what) in steps {
            run.step(kind, what);
            run.check();
        }
        run.crash(1);
        run.check();
    }
}
