use super::{Codec, CompressError, Compression, compress, decompress};
use proptest::prelude::*;

fn round_trip(compression: Compression, input: &[u8]) {
    let (mut packed, mut out) = (Vec::new(), Vec::new());
    compress(compression, input, &mut packed);
    decompress(compression.codec, &packed, input.len(), &mut out).unwrap();
    assert_eq!(out, input, "{compression:?}");
}

proptest! {
    #[test]
    fn every_codec_round_trips(input in proptest::collection::vec(0_u8..4, 0..100_000)) {
        for &codec in Codec::ALL {
            round_trip(Compression::of(codec), &input);
        }
    }

    #[test]
    fn damaged_input_is_an_error_or_other_bytes(input in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        for &codec in Codec::ALL {
            let mut out = Vec::new();
            let _ = decompress(codec, &input, 1 << 20, &mut out);
            prop_assert!(out.len() <= 1 << 20);
        }
    }
}

#[test]
fn levels_are_honoured() {
    let input: Vec<u8> = (0..60_000_u32).flat_map(|i| (i * i % 251).to_be_bytes()).collect();
    for level in [1, 9] {
        round_trip(Compression { codec: Codec::Gzip, level: Some(level) }, &input);
    }
    for level in [-5, 1, 22] {
        round_trip(Compression { codec: Codec::Zstd, level: Some(level) }, &input);
    }
}

#[test]
fn s16_a_bomb_stops_at_the_bound() {
    let zeros = vec![0_u8; 64 << 20];
    for &codec in &[Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let (mut packed, mut out) = (Vec::new(), Vec::new());
        compress(Compression::of(codec), &zeros, &mut packed);
        assert_eq!(decompress(codec, &packed, 1 << 20, &mut out), Err(CompressError::TooLarge(1 << 20)), "{codec:?}");
        assert!(out.capacity() <= 4 << 20, "{codec:?} took {}", out.capacity());
    }
}

#[test]
fn raw_snappy_is_read() {
    let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
    let mut out = Vec::new();
    decompress(Codec::Snappy, &raw, 100, &mut out).unwrap();
    assert_eq!(out, b"hello hello hello");
}

#[test]
fn names_are_kafkas() {
    for &codec in Codec::ALL {
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Codec::from_name("uncompressed"), Some(Codec::None));
    assert_eq!(Codec::from_name("producer"), None);
}
