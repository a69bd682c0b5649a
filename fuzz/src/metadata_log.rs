//! The metadata log: frames of records, images made of them, snapshots.

use crate::heap::bounded;
use crate::records::mend;
use crate::take::Take;
use metadata::{Changes, MetadataImage};
use protocol::metadata_record::MetadataRecord;
use raft::{ElectionState, SnapshotReader};

/// What an image may hold beside the records' own bytes: maps with small nodes.
const IMAGE: usize = 4 << 20;

/// Frames of records, each behind its length: every one that can be read is applied, and the image's own records make it again.
pub fn metadata(data: &[u8]) {
    let mut take = Take(data);
    let (mut image, mut records) = (MetadataImage::default(), Vec::new());
    while !take.is_empty() {
        let frame = take.sized();
        let Ok((record, version)) = bounded(frame.len(), 0, || MetadataRecord::decode_frame(frame)) else { continue };
        let written = record.encode_frame(version).expect("what was decoded can be encoded");
        let (again, _) = MetadataRecord::decode_frame(&written).expect("what was encoded can be decoded");
        assert_eq!(again.encode_frame(version).as_ref(), Ok(&written));
        records.push(record);
    }
    bounded(data.len(), IMAGE + 64 * data.len(), || {
        records.iter().for_each(|record| image.apply(record, &mut Changes::default()));
    });
    if image.in_transaction() {
        return;
    }
    let frames = frames(&image);
    let mut copy = MetadataImage::default();
    for frame in &frames {
        let (record, _) = MetadataRecord::decode_frame(frame).expect("what was encoded can be decoded");
        copy.apply(&record, &mut Changes::default());
    }
    assert_eq!(self::frames(&copy), frames, "a snapshot's image makes the same snapshot");
}

fn frames(image: &MetadataImage) -> Vec<Vec<u8>> {
    let encode = |(record, version): (MetadataRecord<'static>, i16)| record.encode_frame(version);
    image.to_records().into_iter().map(|one| encode(one).expect("an image's records fit their versions")).collect()
}

/// A snapshot file. The first byte says whether its first batch is mended.
pub fn snapshot(data: &[u8]) {
    let mut take = Take(data);
    let mended = take.byte();
    let mut bytes = take.0.to_vec();
    let mut at = 0;
    while mended & 1 != 0 && bytes.len() - at > 12 {
        // Batch after batch, by the lengths that they have.
        let length = i32::from_be_bytes([bytes[at + 8], bytes[at + 9], bytes[at + 10], bytes[at + 11]]);
        at += mend(&mut bytes[at..], usize::try_from(length).unwrap_or(0).saturating_add(12)).max(1);
    }
    // A compressed snapshot is read batch by batch, of at most so much.
    let read = bounded(data.len(), 256 << 20, || SnapshotReader::read(&bytes));
    for frame in read.map(|read| read.frames).unwrap_or_default() {
        drop(MetadataRecord::decode_frame(&frame));
    }
    drop(ElectionState::from_json(&String::from_utf8_lossy(take.0)));
}
