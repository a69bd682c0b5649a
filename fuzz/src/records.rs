//! Record batches: parsing, walking, validation, every codec and its bounds.

use crate::heap::bounded;
use crate::take::Take;
use base::{LeaderEpoch, Offset, Timestamp};
use record::control::ControlRecord;
use record::{
    BATCH_OVERHEAD, BatchHeader, BatchView, Batches, Codec, Compression, DECOMPRESSED_BATCH_BYTES_MAX, ProducePolicy,
    Scratch, TimestampType, crc32c, decompress, validate,
};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// One block of lz4 or snappy, whatever the batch: the largest that their formats have.
const BLOCK: usize = 4 << 20;
/// What records may decompress to here.
const RECORDS_MAX: usize = 256 << 10;
/// Where the bytes begin that a batch's checksum covers.
const CHECKED_FROM: usize = 21;

thread_local! {
    /// Kept as a node's thread keeps it.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Gives the batch at the front of `bytes` the length and checksum that its header should have, so that what lies behind the
/// checksum is reached. Returns its size.
pub fn mend(bytes: &mut [u8], size: usize) -> usize {
    let size = size.clamp(BATCH_OVERHEAD.min(bytes.len()), bytes.len());
    if size >= BATCH_OVERHEAD {
        bytes[8..12].copy_from_slice(&(size as i32 - 12).to_be_bytes());
        bytes[16] = 2;
        let sum = crc32c(&bytes[CHECKED_FROM..size]);
        bytes[17..21].copy_from_slice(&sum.to_be_bytes());
    }
    size
}

fn codec(byte: u8) -> Codec {
    [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][usize::from(byte) % 5]
}

fn policy(byte: u8) -> ProducePolicy {
    ProducePolicy {
        batch_bytes_max: 1 << 20,
        decompressed_bytes_max: RECORDS_MAX,
        decompressed_total_max: DECOMPRESSED_BATCH_BYTES_MAX,
        timestamp_type: if byte & 1 == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime },
        timestamp_before_ms_max: if byte & 2 == 0 { i64::MAX } else { 3_600_000 },
        timestamp_after_ms_max: if byte & 2 == 0 { i64::MAX } else { 3_600_000 },
        compacted: byte & 4 != 0,
        compression: (byte & 8 != 0).then(|| Compression { codec: codec(byte >> 4), level: None }),
        now: Timestamp(1_700_000_000_000),
    }
}

/// Batches one after another, as a log or a produce request holds them. The first byte chooses a policy and whether the first batch
/// is mended.
pub fn batch(data: &[u8]) {
    let mut take = Take(data);
    let (choice, mended) = (take.byte(), take.byte());
    let mut bytes = take.0.to_vec();
    if mended & 1 != 0 {
        let size = bytes.len();
        mend(&mut bytes, size);
    }
    walk(&bytes);
    produce(&bytes, &policy(choice));
}

/// The payload of one batch, in front of which a right header is put: two bytes of choices, two of the count of records.
pub fn payload(data: &[u8]) {
    let mut take = Take(data);
    let (choice, codec) = (take.byte(), codec(take.byte()));
    let count = take.short() as i32;
    let header = BatchHeader {
        base_offset: Offset(0),
        size: BATCH_OVERHEAD + take.0.len(),
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: codec as i16,
        last_offset_delta: count - 1,
        base_timestamp: Timestamp(1_700_000_000_000),
        max_timestamp: Timestamp(1_700_000_000_000),
        producer_id: base::ProducerId(-1),
        producer_epoch: base::ProducerEpoch(-1),
        base_sequence: -1,
        record_count: count,
    };
    let mut bytes = [&header.to_bytes()[..], take.0].concat();
    let size = bytes.len();
    mend(&mut bytes, size);
    walk(&bytes);
    produce(&bytes, &policy(choice));
}

/// Every way in which a stored batch is read.
fn walk(bytes: &[u8]) {
    for batch in Batches::new(bytes) {
        let Ok(batch) = batch else { break };
        assert_eq!(BatchHeader::parse(&batch.header.to_bytes()).as_ref(), Ok(&batch.header));
        let whole = read_whole(&batch, bytes.len());
        let streamed = read_streamed(&batch, bytes.len());
        // Two readers of the same records: both may refuse, but what both read is the same.
        if let (Some(whole), Some(streamed)) = (whole, streamed) {
            assert_eq!(whole, streamed, "records read whole and one by one");
            let times: Vec<_> = whole.iter().map(|record| (record.0, record.1)).collect();
            assert_eq!(read_times(&batch, bytes.len()).as_ref(), Some(&times), "records read and their times");
        }
    }
}

type Read = Vec<(i64, i64, Option<usize>, Option<usize>, usize)>;

fn shape(record: &record::RecordView<'_>) -> (i64, i64, Option<usize>, Option<usize>, usize) {
    let headers = record.headers().count();
    // Whatever it says is skipped or refused.
    drop(ControlRecord::decode(record));
    (record.offset.0, record.timestamp.0, record.key.map(<[u8]>::len), record.value.map(<[u8]>::len), headers)
}

fn read_whole(batch: &BatchView<'_>, input: usize) -> Option<Read> {
    // The records, and the list that this target makes of them.
    bounded(input, BLOCK + 4 * RECORDS_MAX + 64 * input, || {
        let mut scratch = Vec::new();
        let records = batch.records(&mut scratch, RECORDS_MAX).ok()?;
        let mut read = Read::new();
        for record in records {
            if read.len() > input {
                return None;
            }
            read.push(shape(&record.ok()?));
        }
        Some(read)
    })
}

fn read_streamed(batch: &BatchView<'_>, input: usize) -> Option<Read> {
    bounded(input, BLOCK + RECORDS_MAX + 64 * input, || {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = Read::new();
            let mut full = false;
            let done = batch.for_each_record(scratch, RECORDS_MAX, |record| {
                full = read.len() > input;
                if full {
                    return ControlFlow::Break(());
                }
                read.push(shape(record));
                ControlFlow::Continue(())
            });
            (done.is_ok() && !full).then_some(read)
        })
    })
}

fn read_times(batch: &BatchView<'_>, input: usize) -> Option<Vec<(i64, i64)>> {
    bounded(input, BLOCK + 64 * input, || {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut times = Vec::new();
            let done = batch.for_each_time(scratch, RECORDS_MAX, |timestamp, offset| {
                times.push((offset.0, timestamp.0));
                ControlFlow::Continue(())
            });
            done.is_ok().then_some(times)
        })
    })
}

/// What validation lets pass is a batch that a consumer can read.
fn produce(bytes: &[u8], policy: &ProducePolicy) {
    bounded(bytes.len(), BLOCK + 2 * policy.batch_bytes_max, || {
        SCRATCH.with_borrow_mut(|scratch| {
            let Ok(valid) = validate(bytes, policy, scratch) else { return };
            let stored = [&valid.stamp(Offset(7), LeaderEpoch(3))[..], valid.payload()].concat();
            let (batch, rest) = BatchView::parse(&stored).expect("a valid batch can be parsed");
            assert!(rest.is_empty(), "a valid batch has nothing behind it");
            batch.verify_crc().expect("a stamped batch has a right checksum");
            assert_eq!(batch.header.base_offset, Offset(7));
            let mut count = 0;
            let walked = batch.for_each_record(scratch, policy.decompressed_bytes_max, |record| {
                assert_eq!(record.offset.0, 7 + i64::from(count), "offsets are dense");
                count += 1;
                ControlFlow::Continue(())
            });
            walked.expect("a valid batch can be read");
            assert_eq!(count, valid.record_count());
        });
    });
}

/// A codec's stream: a byte chooses the codec, one the bound. Never more comes out than the bound, give or take a chunk; and what
/// was compressed by us comes back.
pub fn compression(data: &[u8]) {
    let mut take = Take(data);
    let (codec, bound) = (codec(take.byte()), usize::from(take.byte()) << 10);
    let mut out = Vec::new();
    let done = bounded(data.len(), BLOCK + 4 * bound, || decompress(codec, take.0, bound, &mut out));
    assert!(done.is_err() || out.len() <= bound || codec == Codec::None, "{} bytes came out of {bound}", out.len());
    let mut packed = Vec::new();
    record::compress(Compression { codec, level: None }, take.0, &mut packed);
    let mut back = Vec::new();
    decompress(codec, &packed, take.0.len(), &mut back).expect("what was compressed can be decompressed");
    assert_eq!(back, take.0);
}
