use super::{BATCH_OVERHEAD, BatchError, BatchHeader, BatchView, Batches};
use crate::{BatchBuilder, BatchOptions, NewRecord};
use base::{Offset, Timestamp};

fn batch(values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(&NewRecord {
            timestamp: Timestamp(1_000),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        });
    }
    builder.build()
}

#[test]
fn a_buffer_is_walked_batch_by_batch() {
    let mut buffer = batch(&["a", "b"]);
    buffer.extend(batch(&["c"]));
    let counts: Vec<_> = Batches::new(&buffer).map(|batch| batch.unwrap().header.record_count).collect();
    assert_eq!(counts, [2, 1]);
    let cut = &buffer[..buffer.len() - 1];
    assert!(matches!(Batches::new(cut).last(), Some(Err(BatchError::Truncated { .. }))));
}

#[test]
fn headers_round_trip() {
    let bytes = batch(&["x"]);
    let header = BatchHeader::parse(&bytes).unwrap();
    assert_eq!(header.to_bytes(), bytes[..BATCH_OVERHEAD]);
    let moved = BatchHeader { base_offset: Offset(42), ..header };
    assert_eq!((moved.last_offset(), moved.next_offset()), (Offset(42), Offset(43)));
    assert_eq!(BatchHeader { base_sequence: i32::MAX, last_offset_delta: 2, ..header }.last_sequence(), 1);
}

#[test]
fn bad_headers_are_refused() {
    let good = batch(&["x"]);
    assert!(matches!(BatchHeader::parse(&good[..60]), Err(BatchError::Truncated { .. })));
    for magic in [0, 1, 3, 255] {
        let mut bad = good.clone();
        bad[16] = magic;
        assert_eq!(BatchHeader::parse(&bad), Err(BatchError::UnsupportedMagic(magic)));
    }
    for length in [-1, 0, 48, i32::MIN] {
        let mut bad = good.clone();
        bad[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(BatchHeader::parse(&bad), Err(BatchError::InvalidLength(length)));
    }
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    let (view, _) = BatchView::parse(&bad).unwrap();
    assert!(matches!(view.verify_crc(), Err(BatchError::Checksum { .. })));
}
