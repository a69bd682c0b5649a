//! The records of one partition in one fetch response.

use super::{ConsumerOptions, Isolation, Key};
use crate::error::Error;
use net::ResponseFrame;
use protocol::messages::fetch_request::FetchRequest;
use protocol::messages::fetch_response::PartitionData;
use record::control::ControlType;
use record::{BatchHeader, BatchView, RecordView};
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// Where records come from.
pub(super) struct Fetched<'a, 'r> {
    pub(super) frame: &'a Arc<ResponseFrame<FetchRequest<'static>>>,
    pub(super) key: &'a Key,
    pub(super) data: &'a PartitionData<'r>,
    pub(super) bytes: &'a [u8],
    pub(super) position: i64,
}

/// Records of one partition, in offset order, still as the broker sent them.
pub struct PartitionRecords {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The high watermark.
    pub high_watermark: i64,
    frame: Arc<ResponseFrame<FetchRequest<'static>>>,
    /// Of the frame's body.
    range: Range<usize>,
    position: i64,
    next_offset: i64,
    aborted: Vec<(i64, i64)>,
    decompressed_bytes_max: usize,
    check_crcs: bool,
}

impl PartitionRecords {
    /// Finds the whole batches; the last one of a response may be cut off.
    pub(super) fn new(fetched: &Fetched<'_, '_>, options: &ConsumerOptions) -> Result<PartitionRecords, Error> {
        let mut rest = fetched.bytes;
        let mut next_offset = fetched.position;
        while let Ok((batch, after)) = BatchView::parse(rest) {
            next_offset = next_offset.max(batch.header.next_offset().0);
            rest = after;
        }
        let whole = fetched.bytes.len() - rest.len();
        if whole == 0 && !rest.is_empty() {
            // Since KIP-74 the first batch is always whole, so these bytes are something else.
            let reason = BatchHeader::parse(rest).err().map_or("it is cut off".to_owned(), |error| error.to_string());
            return Err(corrupt(fetched.key, fetched.position, reason));
        }
        let body = fetched.frame.body().as_ptr() as usize;
        let start = if whole == 0 { 0 } else { fetched.bytes.as_ptr() as usize - body };
        let aborted = match options.isolation {
            Isolation::ReadUncommitted => Vec::new(),
            Isolation::ReadCommitted => {
                let aborted = fetched.data.aborted_transactions.iter().flatten();
                let mut aborted: Vec<_> = aborted.map(|txn| (txn.first_offset, txn.producer_id)).collect();
                aborted.sort_unstable();
                aborted
            }
        };
        Ok(PartitionRecords {
            topic: Arc::clone(&fetched.key.0),
            partition: fetched.key.1,
            high_watermark: fetched.data.high_watermark,
            frame: Arc::clone(fetched.frame),
            range: start..start + whole,
            position: fetched.position,
            next_offset,
            aborted,
            decompressed_bytes_max: options.decompressed_bytes_max,
            check_crcs: options.check_crcs,
        })
    }

    /// The offset after the last batch: where reading goes on.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The raw batches, the first of which may begin before the position.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.frame.body()[self.range.clone()]
    }

    /// Visits the records from the position on, until `visit` breaks. Control records and, under read_committed, those of
    /// aborted transactions are left out.
    ///
    /// # Errors
    /// When a batch is damaged.
    pub fn for_each(&self, visit: &mut impl FnMut(&RecordView<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let key = (Arc::clone(&self.topic), self.partition);
        let mut scratch = Vec::new();
        let mut rest = self.bytes();
        let mut aborted = self.aborted.iter().peekable();
        let mut aborting = BTreeSet::new();
        while !rest.is_empty() {
            let (batch, after) =
                BatchView::parse(rest).map_err(|error| corrupt(&key, self.position, error.to_string()))?;
            rest = after;
            let header = &batch.header;
            let damaged = |error: record::BatchError| corrupt(&key, header.base_offset.0, error.to_string());
            if self.check_crcs {
                batch.verify_crc().map_err(damaged)?;
            }
            while let Some((_, producer)) = aborted.next_if(|(first, _)| *first <= header.last_offset().0) {
                aborting.insert(*producer);
            }
            if header.is_control() {
                if is_abort(&batch, &mut scratch, self.decompressed_bytes_max).map_err(damaged)? {
                    aborting.remove(&header.producer_id.0);
                }
                continue;
            }
            if header.is_transactional() && aborting.contains(&header.producer_id.0) {
                continue;
            }
            for record in batch.records(&mut scratch, self.decompressed_bytes_max).map_err(damaged)? {
                let record = record.map_err(damaged)?;
                if record.offset.0 >= self.position && visit(&record).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn is_abort(batch: &BatchView<'_>, scratch: &mut Vec<u8>, bytes_max: usize) -> Result<bool, record::BatchError> {
    let first = batch.records(scratch, bytes_max)?.next().transpose()?;
    Ok(first.and_then(|record| ControlType::from_key(record.key?)) == Some(ControlType::Abort))
}

fn corrupt(key: &Key, offset: i64, reason: String) -> Error {
    Error::Corrupt { topic: key.0.to_string(), partition: key.1, offset, reason }
}
