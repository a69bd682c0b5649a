use crate::{BatchBuilder, BatchOptions, BatchView, Codec, Compression, Header, NewRecord, Scratch};
use base::{Offset, Timestamp};
use std::ops::ControlFlow;

#[test]
fn keys_values_headers_and_nulls_come_back() {
    let headers = [Header { key: "a", value: Some(b"1") }, Header { key: "a", value: None }];
    for &codec in Codec::ALL {
        let options =
            BatchOptions { base_offset: Offset(10), compression: Compression::of(codec), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        builder.append(&NewRecord { timestamp: Timestamp(100), key: Some(b"k"), value: None, headers: &headers });
        builder.append(&NewRecord { timestamp: Timestamp(90), key: None, value: Some(b""), headers: &[] });
        let bytes = builder.build();
        let (batch, rest) = BatchView::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert!(rest.is_empty());
        assert_eq!((batch.header.max_timestamp, batch.header.base_timestamp), (Timestamp(100), Timestamp(100)));
        let mut times = Vec::new();
        let visited = batch.for_each_time(&mut Scratch::default(), 1 << 20, |timestamp, offset| {
            times.push((timestamp.0, offset.0));
            ControlFlow::Continue(())
        });
        assert_eq!((visited, times), (Ok(()), vec![(100, 10), (90, 11)]), "{codec:?}");
        let mut scratch = Vec::new();
        let records: Vec<_> = batch.records(&mut scratch, 1 << 20).unwrap().map(Result::unwrap).collect();
        assert_eq!(records.len(), 2, "{codec:?}");
        assert_eq!(
            (records[0].offset, records[0].timestamp, records[0].key, records[0].value),
            (Offset(10), Timestamp(100), Some(&b"k"[..]), None)
        );
        assert_eq!(records[0].headers().collect::<Vec<_>>(), [("a".into(), Some(&b"1"[..])), ("a".into(), None)]);
        assert_eq!(
            (records[1].offset, records[1].timestamp, records[1].key, records[1].value),
            (Offset(11), Timestamp(90), None, Some(&b""[..]))
        );
    }
}
