//! How far a group is behind, in records and by the clock.
//!
//! By the clock it is exact: the timestamp of the first record that the group has not read is read from that record.

use super::super::Admin;
use super::Place;
use crate::consumer::{Consumer, ConsumerOptions, EARLIEST, Isolation, LATEST, OutOfRange, Start};
use crate::error::Error;
use base::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// One record of each partition is wanted: room for a usual batch. A larger one comes all the same.
const BATCH_BYTES: i32 = 64 << 10;

/// The record that a group reads next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRecord {
    /// There is none: it has read everything.
    None,
    /// This one.
    At {
        /// Its offset: that of the commit, or a later one where a record was compacted away.
        offset: i64,
        /// Milliseconds since 1970.
        timestamp_ms: i64,
    },
    /// It was deleted, so nobody can tell how old it was; this is the first that is left.
    Deleted {
        /// Where the log begins.
        first_kept: i64,
    },
    /// The partition has no leader, so there is nobody to ask.
    Unreachable,
}

/// Whether a partition can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Led,
    Leaderless,
    Gone,
}

/// Where a group stands in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// What it has committed.
    pub committed: Option<i64>,
    /// The log start; -1 when the partition does not exist any more, or has no leader.
    pub log_start: i64,
    /// The high watermark; -1 when the partition does not exist any more, or has no leader.
    pub log_end: i64,
    /// What it reads next; [`NextRecord::None`] also when it has committed nothing.
    pub next: NextRecord,
}

impl GroupLag {
    /// How many records it has not read; none when it has committed nothing or the partition cannot be asked.
    #[must_use]
    pub fn records(&self) -> Option<i64> {
        (self.log_end >= 0).then_some(())?;
        Some((self.log_end - self.committed?).max(0))
    }

    /// With the record that comes next called deleted when the log begins after it.
    fn from(self, log_start: i64) -> GroupLag {
        match self.committed {
            Some(offset) if offset < log_start => {
                GroupLag { log_start, next: NextRecord::Deleted { first_kept: log_start }, ..self }
            }
            _ => self,
        }
    }
}

impl Admin {
    /// Where a group that has committed these offsets stands; `None` for a partition without a commit.
    ///
    /// # Errors
    /// When a partition cannot be read.
    pub async fn group_lag(
        &self,
        committed: &BTreeMap<Place, Option<i64>>,
    ) -> Result<BTreeMap<Place, GroupLag>, Error> {
        let (mut known, mut leaderless): (Vec<(&str, i32)>, BTreeSet<&Place>) = Default::default();
        for place in committed.keys() {
            match self.find(place).await? {
                Found::Led => known.push((&place.0, place.1)),
                Found::Leaderless => drop(leaderless.insert(place)),
                Found::Gone => {}
            }
        }
        let starts = self.client.list_offsets(&known, EARLIEST, Isolation::ReadUncommitted).await?;
        let ends = self.client.list_offsets(&known, LATEST, Isolation::ReadUncommitted).await?;
        let lag = |(place, committed): (&Place, &Option<i64>)| {
            let of =
                |offsets: &BTreeMap<(&str, i32), i64>| offsets.get(&(place.0.as_str(), place.1)).copied().unwrap_or(-1);
            let (log_start, log_end) = (of(&starts), of(&ends));
            let next = if leaderless.contains(place) { NextRecord::Unreachable } else { NextRecord::None };
            let lag = GroupLag { committed: *committed, log_start, log_end, next };
            (place.clone(), lag.from(log_start))
        };
        let mut lags: BTreeMap<Place, GroupLag> = committed.iter().map(lag).collect();
        let within = self.client.options().api_timeout;
        let read = tokio::time::timeout(within, self.read_next(&mut lags)).await;
        read.unwrap_or_else(|_| {
            let what = "cannot read the records that the group reads next".to_owned();
            Err(Error::Deadline { what, millis: within.as_millis(), last: "no answer".to_owned() })
        })?;
        for ((topic, partition), lag) in &mut lags {
            // Compacted away, or deleted since the look at the log's range?
            if matches!(lag.next, NextRecord::At { offset, .. } if Some(offset) != lag.committed) {
                let log_start =
                    self.client.list_offset(topic, *partition, EARLIEST, Isolation::ReadUncommitted).await?.0;
                *lag = lag.from(log_start);
            }
        }
        Ok(lags)
    }

    /// Nobody waits for a leader here: who looks at a group while a part of its topics is offline wants to see the rest.
    async fn find(&self, place: &Place) -> Result<Found, Error> {
        if self.client.metadata().partition(&place.0, place.1).is_some_and(|known| known.leader >= 0) {
            return Ok(Found::Led);
        }
        match self.client.refresh_topic(&place.0, false).await {
            Ok(topic) => Ok(match topic.partitions.iter().find(|known| known.partition == place.1) {
                Some(known) if known.leader >= 0 => Found::Led,
                Some(_) => Found::Leaderless,
                None => Found::Gone,
            }),
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => Ok(Found::Gone),
            Err(error) => Err(error),
        }
    }

    /// Reads one record of each partition that has one for the group.
    async fn read_next(&self, lags: &mut BTreeMap<Place, GroupLag>) -> Result<(), Error> {
        let options = ConsumerOptions {
            partition_bytes: BATCH_BYTES,
            out_of_range: OutOfRange::Earliest,
            ..ConsumerOptions::default()
        };
        let mut consumer = Consumer::new(self.client.clone(), options);
        for ((topic, partition), lag) in &*lags {
            if let Some(offset) = lag.committed.filter(|offset| (lag.log_start..lag.log_end).contains(offset)) {
                consumer.assign(topic, *partition, Start::Offset(offset)).await?;
            }
        }
        while !consumer.is_idle() {
            for records in consumer.poll().await? {
                let place = (records.topic.to_string(), records.partition);
                let Some(lag) = lags.get_mut(&place) else { continue };
                records.for_each(&mut |record| {
                    lag.next = NextRecord::At { offset: record.offset.0, timestamp_ms: record.timestamp.0 };
                    ControlFlow::Break(())
                })?;
                // Between the look at the log's range and the read the log may have begun anew.
                let position = consumer.position(&place.0, place.1).unwrap_or(i64::MAX);
                if lag.next != NextRecord::None || position >= lag.log_end {
                    consumer.unassign(&place.0, place.1);
                }
            }
        }
        Ok(())
    }
}
