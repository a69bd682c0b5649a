use super::{Codec, CompressError, Compression, Scratch, compress, decompress};
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
    let mut rng = base::SeededRng::new(3);
    let input: Vec<u8> = (0..30_000).flat_map(|_| format!("zone {} ", rng.below(500)).into_bytes()).collect();
    let size = |codec, level| {
        let mut packed = Vec::new();
        compress(Compression { codec, level: Some(level) }, &input, &mut packed);
        round_trip(Compression { codec, level: Some(level) }, &input);
        packed.len()
    };
    assert!(size(Codec::Gzip, 9) < size(Codec::Gzip, 1));
    assert!(size(Codec::Zstd, 19) < size(Codec::Zstd, 1) && size(Codec::Zstd, 1) < size(Codec::Zstd, -7));
    assert!(size(Codec::Lz4, 12) < size(Codec::Lz4, 1));
    assert!(size(Codec::Lz4, 3) < size(Codec::Lz4, 9), "9 is the fast compressor, as in Kafka");
    assert_eq!(size(Codec::Gzip, -1), size(Codec::Gzip, 6), "-1 is gzip's default");
    // Out of range is the nearest in range.
    assert_eq!(size(Codec::Gzip, 99), size(Codec::Gzip, 9));
    assert_eq!(size(Codec::Lz4, 99), size(Codec::Lz4, 17));
    assert_eq!(size(Codec::Zstd, 99), size(Codec::Zstd, 22));
}

#[test]
fn contexts_serve_one_codec_after_another() {
    let mut scratch = Scratch::default();
    for round in 0..3_u8 {
        for &codec in Codec::ALL {
            for level in [None, Some(1), Some(i32::from(round) + 2)] {
                let input = vec![round; 100_000 + usize::from(round) * 7];
                let (mut packed, mut out) = (b"before".to_vec(), b"kept".to_vec());
                scratch.compress(Compression { codec, level }, &input, &mut packed);
                // What a reader abandons half-way, the next one must not see.
                let _ = scratch.decompress(codec, &packed[6..packed.len() - 3], 1 << 20, &mut Vec::new());
                let _ = scratch.decompress(codec, &packed[6..], 1_000, &mut Vec::new());
                scratch.decompress(codec, &packed[6..], 1 << 20, &mut out).unwrap();
                assert!(packed.starts_with(b"before") && out.starts_with(b"kept"));
                assert!(out[4..] == input, "{codec:?} {level:?}");
            }
        }
    }
}

#[test]
fn every_cut_of_a_stream_is_an_error() {
    let input: Vec<u8> = (0..70_000_u32).map(|i| (i % 251) as u8).collect();
    for &codec in &Codec::ALL[1..] {
        let mut packed = Vec::new();
        compress(Compression::of(codec), &input, &mut packed);
        for cut in (0..200.min(packed.len())).chain(packed.len() - 200..packed.len()) {
            let mut out = Vec::new();
            let done = decompress(codec, &packed[..cut], 1 << 20, &mut out);
            // A frame of snappy has no end mark: between two blocks it is whole.
            assert!(done.is_err() || codec == Codec::Snappy && out.len() % (32 * 1024) == 0, "{codec:?} {cut}");
        }
    }
}

/// gzip members and zstd frames may follow each other, as Java's readers allow.
#[test]
fn streams_that_follow_each_other_are_one() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Zstd] {
        let (mut packed, mut out) = (Vec::new(), Vec::new());
        compress(Compression::of(codec), b"first,", &mut packed);
        compress(Compression::of(codec), b"second", &mut packed);
        decompress(codec, &packed, 100, &mut out).unwrap();
        assert_eq!(out, b"first,second", "{codec:?}");
        packed.push(7);
        assert!(decompress(codec, &packed, 100, &mut out).is_err(), "{codec:?}: bytes behind the last");
    }
    let mut packed = Vec::new();
    compress(Compression::of(Codec::Lz4), b"first,", &mut packed);
    packed.extend_from_within(..);
    assert!(decompress(Codec::Lz4, &packed, 100, &mut Vec::new()).is_err(), "Kafka reads one lz4 frame");
}

#[test]
fn gzip_headers_with_every_field_are_read() {
    let mut packed = vec![0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3];
    packed.extend_from_slice(b"\x03\0abcname\0comment\0\x12\x34");
    let mut plain = Vec::new();
    compress(Compression::of(Codec::Gzip), b"hello", &mut plain);
    packed.extend_from_slice(&plain[10..]);
    let mut out = Vec::new();
    decompress(Codec::Gzip, &packed, 100, &mut out).unwrap();
    assert_eq!(out, b"hello");
    let last = packed.len() - 1;
    packed[last] ^= 1;
    assert!(decompress(Codec::Gzip, &packed, 100, &mut out).is_err(), "the size at the end is checked");
}

/// A frame of one stored block, with these flags and extra descriptor bytes.
fn lz4_frame(flags: u8, block: u8, extra: &[u8], after_block: &[u8], end: &[u8]) -> Vec<u8> {
    let mut descriptor = vec![flags, block];
    descriptor.extend_from_slice(extra);
    let sum = (twox_hash::XxHash32::oneshot(0, &descriptor) >> 8) as u8;
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18];
    frame.extend(descriptor);
    frame.push(sum);
    frame.extend_from_slice(&(5_u32 | 0x8000_0000).to_le_bytes());
    frame.extend_from_slice(b"hello");
    frame.extend_from_slice(after_block);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(end);
    frame
}

/// KIP-57: what Kafka's consumers cannot read is refused here already.
#[test]
fn lz4_frames_are_read_as_kafka_reads_them() {
    let sum = twox_hash::XxHash32::oneshot(0, b"hello").to_le_bytes();
    let read = |frame: &[u8]| {
        let mut out = Vec::new();
        decompress(Codec::Lz4, frame, 100, &mut out).map(|()| out)
    };
    for frame in [
        lz4_frame(0x60, 0x40, &[], &[], &[]),
        lz4_frame(0x60, 0x70, &[], &[], &[]),
        lz4_frame(0x68, 0x50, &[5, 0, 0, 0, 0, 0, 0, 0], &[], &[]),
        lz4_frame(0x70, 0x60, &[], &sum, &[]),
        lz4_frame(0x64, 0x40, &[], &[], &[1, 2, 3, 4]),
    ] {
        assert_eq!(read(&frame).as_deref(), Ok(&b"hello"[..]));
    }
    for frame in [
        lz4_frame(0x40, 0x40, &[], &[], &[]),
        lz4_frame(0x61, 0x40, &[0, 0, 0, 0], &[], &[]),
        lz4_frame(0xa0, 0x40, &[], &[], &[]),
        lz4_frame(0x60, 0x30, &[], &[], &[]),
        lz4_frame(0x70, 0x40, &[], &[0; 4], &[]),
        lz4_frame(0x64, 0x40, &[], &[], &[]),
    ] {
        assert_eq!(read(&frame), Err(CompressError::Corrupt("lz4")));
    }
    let mut wrong_sum = lz4_frame(0x60, 0x40, &[], &[], &[]);
    wrong_sum[6] ^= 1;
    assert!(read(&wrong_sum).is_err());
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
