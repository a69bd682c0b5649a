use super::{BatchBuilder, BatchOptions, NewRecord};
use base::Timestamp;

#[test]
fn the_announced_size_is_the_built_one() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for i in 0..200_i64 {
        let value = vec![7_u8; usize::try_from(i * 3).unwrap()];
        let record =
            NewRecord { timestamp: Timestamp(1_000 - i * 17), key: Some(b"key"), value: Some(&value), headers: &[] };
        let announced = builder.size_with(&record);
        assert_eq!(builder.append(&record), i32::try_from(i).unwrap());
        assert_eq!(builder.uncompressed_size(), announced);
    }
    assert_eq!(builder.build().len(), builder.uncompressed_size());
}
