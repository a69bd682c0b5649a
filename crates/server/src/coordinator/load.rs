//! Folds a partition's log into a shard.

use super::Hosted;
use crate::partition::Partition;
use base::Offset;
use record::control::{ControlType, EndTxnMarker};
use record::{BatchView, Batches, Scratch};
use rsm::{Origin, Outcome, Shard};
use std::ops::ControlFlow;

/// Bytes of the log that are read at a time.
const READ_BYTES: usize = 1 << 20;
/// No record of a coordinator is larger.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Folds everything in and returns the end of the log.
pub(super) fn fold<M: Hosted>(partition: &Partition, shard: &mut Shard<M>) -> Result<Offset, String> {
    let end = partition.log_end();
    let mut at = partition.log_start_offset();
    let mut scratch = Scratch::default();
    while at < end {
        let bytes = partition.read_own(at, READ_BYTES).map_err(|refusal| refusal.to_string())?;
        let before = at;
        // The last batch of a slice may be cut off; it is read whole in the next round.
        for batch in Batches::new(&bytes).map_while(Result::ok) {
            batch.verify_crc().map_err(|error| format!("at offset {at}: {error}"))?;
            if batch.header.last_offset() >= at {
                fold_batch(&batch, &mut scratch, shard).map_err(|error| format!("at offset {at}: {error}"))?;
            }
            at = batch.header.next_offset();
        }
        if at == before {
            return Err(format!("no whole batch at offset {at}"));
        }
    }
    Ok(end)
}

fn fold_batch<M: Hosted>(batch: &BatchView<'_>, scratch: &mut Scratch, shard: &mut Shard<M>) -> Result<(), String> {
    let header = &batch.header;
    let mut wrong = None;
    let is_control = header.is_control();
    let transaction = header.is_transactional().then_some((header.producer_id, header.producer_epoch));
    batch
        .for_each_record(scratch, RECORD_BYTES_MAX, |record| {
            let key = record.key.unwrap_or_default();
            if is_control {
                let outcome = match ControlType::from_key(key) {
                    Some(ControlType::Commit) => Outcome::Commit,
                    Some(ControlType::Abort) => Outcome::Abort,
                    _ => return ControlFlow::Continue(()),
                };
                if EndTxnMarker::decode(record.value.unwrap_or_default()).is_some() {
                    shard.load_transaction_end(header.producer_id, outcome);
                }
                return ControlFlow::Continue(());
            }
            match M::decode(key, record.value) {
                Ok(Some(decoded)) => shard.load(&decoded, Origin::Loaded { offset: record.offset, transaction }),
                Ok(None) => {}
                Err(why) => {
                    wrong = Some(format!("the record at {}: {why}", record.offset));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| error.to_string())?;
    wrong.map_or(Ok(()), Err)
}
