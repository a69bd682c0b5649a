//! What is known of one partition's log.

use std::collections::{BTreeMap, BTreeSet};

/// A record that was sent.
#[derive(Clone, Debug)]
struct Written {
    /// The producer with the id that it had then, and where the record comes among its own.
    order: ((usize, i64), u64),
    /// Its producer asked for idempotence.
    idempotent: bool,
}

/// How far a log was known when a request was sent: an answer that says less contradicts it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    high_watermark: i64,
    log_start: i64,
}

/// A partition's log as its clients know it.
#[derive(Debug, Default)]
pub(crate) struct LogModel {
    written: BTreeMap<u64, Written>,
    /// Records that were seen or confirmed for good, by offset. They stay.
    known: BTreeMap<i64, u64>,
    offsets: BTreeMap<u64, i64>,
    /// Records confirmed with acks=all: they must be found.
    confirmed: BTreeMap<i64, u64>,
    /// Records confirmed with acks=1 since the last power cut.
    soft: BTreeMap<i64, u64>,
    /// Records that the log must hold since the last power cut, as far as it has dropped none: nobody was told of their offsets.
    assumed: BTreeSet<u64>,
    high_watermark: i64,
    log_start: i64,
    /// The high watermark and log start that the node itself held.
    inner_high_watermark: i64,
    inner_log_start: i64,
    /// The furthest that somebody asked to delete.
    pub(crate) deleted_to: i64,
    /// A config lets segments go.
    pub(crate) has_retention: bool,
    /// Its topic's removal was asked for.
    pub(crate) is_doomed: bool,
    /// A bit has flipped somewhere on the disk.
    pub(crate) is_damaged: bool,
}

impl LogModel {
    pub(crate) fn new(is_damaged: bool) -> LogModel {
        LogModel { is_damaged, ..LogModel::default() }
    }

    /// A producer is about to send a record.
    pub(crate) fn write(&mut self, value: u64, producer: (usize, i64), order: u64, idempotent: bool) {
        self.written.insert(value, Written { order: (producer, order), idempotent });
    }

    pub(crate) fn floor(&self) -> Floor {
        Floor { high_watermark: self.high_watermark, log_start: self.log_start }
    }

    /// The end of what consumers have seen.
    pub(crate) fn seen_end(&self) -> i64 {
        self.high_watermark
    }

    pub(crate) fn log_start(&self) -> i64 {
        self.log_start
    }

    /// A record has this offset for good.
    fn learn(&mut self, offset: i64, value: u64) -> Result<(), String> {
        if !self.written.contains_key(&value) {
            return Err(format!("offset {offset} holds {value}, which nobody has produced here"));
        }
        if self.is_damaged {
            return Ok(());
        }
        if let Some(known) = self.known.insert(offset, value).filter(|known| *known != value) {
            return Err(format!("offset {offset} held {known} and holds {value} now"));
        }
        match self.offsets.insert(value, offset).filter(|known| *known != offset) {
            Some(known) => Err(format!("{value} is at offset {known} and at {offset}")),
            None => Ok(()),
        }
    }

    /// A batch was confirmed with acks=all: it is on disk.
    pub(crate) fn confirm(&mut self, base_offset: i64, values: &[u64]) -> Result<(), String> {
        for (offset, value) in (base_offset..).zip(values) {
            self.learn(offset, *value)?;
            self.confirmed.insert(offset, *value);
        }
        self.high_watermark = self.high_watermark.max(base_offset + values.len() as i64);
        Ok(())
    }

    /// A batch was confirmed with acks=1: it is in the page cache.
    pub(crate) fn confirm_softly(&mut self, base_offset: i64, values: &[u64]) -> Result<(), String> {
        if self.is_damaged {
            return Ok(());
        }
        for (offset, value) in (base_offset..).zip(values) {
            if let Some(known) = self.known.get(&offset).filter(|known| *known != value) {
                return Err(format!("{value} was confirmed at offset {offset}, which holds {known}"));
            }
            self.soft.insert(offset, *value);
        }
        Ok(())
    }

    /// A consumer at `position` was given `records`, with these bounds.
    pub(crate) fn read(
        &mut self,
        floor: Floor,
        position: i64,
        bounds: (i64, i64),
        records: &[(i64, u64)],
    ) -> Result<(), String> {
        let (high_watermark, log_start) = bounds;
        self.bounds(floor, Some(high_watermark), Some(log_start))?;
        for (expected, (offset, value)) in (position..).zip(records) {
            if *offset != expected && !self.is_damaged {
                return Err(format!("a reader at offset {expected} was given offset {offset}"));
            }
            if *offset >= high_watermark && !self.is_damaged {
                return Err(format!("offset {offset} was shown above the high watermark {high_watermark}"));
            }
            self.learn(*offset, *value)?;
        }
        Ok(())
    }

    /// The node has told bounds, in an answer to a request that was sent when `floor` was known.
    pub(crate) fn bounds(
        &mut self,
        floor: Floor,
        high_watermark: Option<i64>,
        log_start: Option<i64>,
    ) -> Result<(), String> {
        if self.is_damaged {
            return Ok(());
        }
        if let Some(told) = high_watermark {
            if told < floor.high_watermark {
                return Err(format!("the high watermark was {} and is {told}", floor.high_watermark));
            }
            self.high_watermark = self.high_watermark.max(told);
        }
        if let Some(told) = log_start {
            // Where retention dropped segments a crash may bring them back for a while.
            if told < floor.log_start && !self.has_retention {
                return Err(format!("the log start was {} and is {told}", floor.log_start));
            }
            self.may_start_at(told)?;
            self.log_start = self.log_start.max(told);
        }
        Ok(())
    }

    /// DeleteRecords was confirmed.
    pub(crate) fn deleted(&mut self, low_watermark: i64) {
        self.log_start = self.log_start.max(low_watermark);
    }

    /// Nothing goes that nobody asked to go.
    fn may_start_at(&self, start: i64) -> Result<(), String> {
        if start > self.deleted_to && !self.has_retention {
            return Err(format!("the log starts at {start}, and records up to {} were to go", self.deleted_to));
        }
        Ok(())
    }

    /// A batch was refused as out of order, which after a restart is right only if it is in the log.
    pub(crate) fn assume_written(&mut self, values: &[u64]) {
        self.assumed.extend(values);
    }

    /// What the node itself holds.
    pub(crate) fn look_inside(&mut self, log_start: i64, high_watermark: i64) -> Result<(), String> {
        if high_watermark < self.inner_high_watermark {
            return Err(format!("the node's high watermark was {} and is {high_watermark}", self.inner_high_watermark));
        }
        if log_start < self.log_start && !self.has_retention {
            return Err(format!("clients know of log start {}, the node's is {log_start}", self.log_start));
        }
        self.may_start_at(log_start)?;
        self.inner_high_watermark = high_watermark;
        self.inner_log_start = log_start;
        Ok(())
    }

    /// What was not committed may be gone.
    pub(crate) fn power_cut(&mut self) {
        let committed = self.inner_high_watermark;
        self.soft.retain(|offset, _| *offset < committed);
        self.assumed.clear();
    }

    /// The whole log was read: everything that must be there is, once and in order.
    pub(crate) fn read_whole(&mut self, log_start: i64, records: &[(i64, u64)]) -> Result<(), String> {
        let found: BTreeMap<i64, u64> = records.iter().copied().collect();
        let must = self.confirmed.iter().map(|entry| (entry, "all")).chain(self.soft.iter().map(|entry| (entry, "1")));
        for ((offset, value), acks) in must.filter(|((offset, _), _)| **offset >= log_start) {
            match found.get(offset) {
                Some(there) if there == value => {}
                Some(there) => {
                    return Err(format!(
                        "{value} was confirmed with acks={acks} at offset {offset}, which holds {there}"
                    ));
                }
                None => return Err(format!("{value} was confirmed with acks={acks} at offset {offset} and is lost")),
            }
        }
        let there: BTreeSet<u64> = found.values().copied().collect();
        if let Some(value) = self.assumed.difference(&there).next().filter(|_| log_start == 0) {
            return Err(format!("{value} was refused as out of order, and is not in the log"));
        }
        let mut last: BTreeMap<(usize, i64), u64> = BTreeMap::new();
        for (offset, value) in &found {
            let Some(written) = self.written.get(value) else {
                return Err(format!("offset {offset} holds {value}, which nobody has produced here"));
            };
            let (producer, order) = written.order;
            let before = last.insert(producer, order);
            if written.idempotent && before.is_some_and(|before| before >= order) {
                return Err(format!("{value} at offset {offset} comes after a later record of its producer, or twice"));
            }
        }
        Ok(())
    }
}
