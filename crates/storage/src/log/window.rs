//! The windows of producers whose state came from a snapshot.
//!
//! Kafka's snapshot keeps the last batch of each producer, while its retries may repeat any of the last five. A retry of an earlier
//! one after a restart would be answered OUT_OF_ORDER_SEQUENCE_NUMBER, upon which a client bumps its epoch and writes the records
//! again (R31). So the rest of the window is read back from the log when the first batch arrives that it may matter for.

use super::Log;
use crate::error::{AppendError, ReadError};
use crate::producers::{ProducerBatch, ProducerRefusal};
use base::{Offset, ProducerEpoch, ProducerId};
use record::BatchHeader;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of the log before a producer's last batch that are looked through. What was in flight together lies close together.
const LOOKBACK_BYTES_MAX: u64 = 32 << 20;

impl Log {
    /// As [`crate::ProducerStates::check`], with the producer's whole window.
    pub(super) fn check_producer(&mut self, header: &BatchHeader) -> Result<Option<ProducerBatch>, AppendError> {
        match self.producers.check(header) {
            Err(ProducerRefusal::OutOfOrder { id, .. }) if self.complete_window(id)? => {
                Ok(self.producers.check(header)?)
            }
            checked => Ok(checked?),
        }
    }

    /// Reads back what is missing of a producer's window; false when nothing is. Done once for each producer.
    fn complete_window(&mut self, id: ProducerId) -> Result<bool, AppendError> {
        let Some((epoch, upper, missing)) = self.producers.partial(id) else { return Ok(false) };
        let earlier = self.batches_before(id, epoch, upper, missing).map_err(|error| match error {
            ReadError::Disk(error) => {
                self.fail(error.clone());
                AppendError::Offline(error)
            }
            ReadError::Corrupt(error) => AppendError::Damaged(error),
            ReadError::OutOfRange { .. } => unreachable!("batches are looked up by position"),
        })?;
        self.producers.complete(id, earlier.into_iter());
        Ok(true)
    }

    /// The last batches of a producer's epoch before `upper`, oldest first.
    fn batches_before(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        upper: Offset,
        missing: usize,
    ) -> Result<VecDeque<BatchHeader>, ReadError> {
        let disk = Arc::clone(&self.disk);
        let mut found: VecDeque<BatchHeader> = VecDeque::new();
        let mut budget = LOOKBACK_BYTES_MAX;
        let last = self.segments.partition_point(|segment| segment.base < upper);
        for segment in self.segments[..last].iter_mut().rev() {
            let end = segment.end_before(disk.as_ref(), &self.dir, upper)?;
            let from = segment.batch_before(disk.as_ref(), &self.dir, end.saturating_sub(budget))?;
            budget = budget.saturating_sub(end - from);
            let mut here = VecDeque::new();
            let is_one = |header: &BatchHeader| {
                header.producer_id == id && header.producer_epoch == epoch && !header.is_control()
            };
            let mut position = from;
            while let Some(batch) = segment
                .scan(disk.as_ref(), &self.dir, position, |header| header.base_offset >= upper || is_one(header))?
            {
                if batch.header.base_offset >= upper {
                    break;
                }
                position = batch.position + batch.header.size as u64;
                here.push_back(batch.header);
                if here.len() + found.len() > missing {
                    here.pop_front();
                }
            }
            here.extend(found);
            found = here;
            if found.len() >= missing || budget == 0 {
                break;
            }
        }
        Ok(found)
    }
}
