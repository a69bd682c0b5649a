//! The codecs of a batch's records: gzip, snappy in xerial framing, lz4 frames, zstd.
//!
//! Every decompression is a stream with a bound: nothing that a batch says about its size is believed, and memory grows with the
//! bytes received, not with a claim. What one codec's stream looks like is the business of its own file.

mod blocks;
mod gzip;
mod lz4;
mod stream;
mod xerial;
mod zstandard;

pub(crate) use stream::Reader;
pub use stream::Scratch;

use std::ops::RangeInclusive;

/// The most that all records of a batch may decompress to: what a Java consumer could count. Only time is at stake, the walk
/// keeps nothing.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// How records are compressed: the low three bits of a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// gzip (RFC 1952).
    Gzip = 1,
    /// Snappy blocks in xerial framing; raw snappy is read too, as librdkafka sends it.
    Snappy = 2,
    /// An lz4 frame of independent blocks.
    Lz4 = 3,
    /// zstd (KIP-110).
    Zstd = 4,
}

impl Codec {
    /// Every codec.
    pub const ALL: &'static [Codec] = &[Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    pub(crate) const fn from_id(id: i16) -> Option<Codec> {
        match id {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Its name in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// The codec of this name, `uncompressed` included.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Codec> {
        if name == "uncompressed" {
            return Some(Codec::None);
        }
        Codec::ALL.iter().copied().find(|codec| codec.name() == name)
    }

    /// The levels it has, as `compression.<codec>.level` takes them (KIP-780), gzip's default of -1 aside; `None` without levels.
    #[must_use]
    pub const fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Codec::None | Codec::Snappy => None,
            Codec::Gzip => Some(1..=9),
            Codec::Lz4 => Some(1..=17),
            Codec::Zstd => Some(-131_072..=22),
        }
    }
}

/// A codec with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// Its level, see [`Codec::levels`]; `None`, and -1 for gzip, is the codec's own default. A level out of range counts as the
    /// nearest.
    /// As in Kafka, lz4's default of 9 means its fast compressor and every other level the high-compression one.
    pub level: Option<i32>,
}

impl Compression {
    /// No compression.
    pub const NONE: Compression = Compression { codec: Codec::None, level: None };

    /// A codec at its default level.
    #[must_use]
    pub const fn of(codec: Codec) -> Compression {
        Compression { codec, level: None }
    }

    /// The level, brought into the codec's range. gzip's -1 is its name for the default.
    fn level_or(self, default: i32) -> i32 {
        match (self.level, self.codec.levels()) {
            (Some(-1), _) if self.codec == Codec::Gzip => default,
            (Some(level), Some(range)) => level.clamp(*range.start(), *range.end()),
            _ => default,
        }
    }
}

/// Why records cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// The attributes name a codec that does not exist.
    #[error("the compression codec is unknown")]
    UnknownCodec,
    /// The compressed bytes are damaged.
    #[error("the {0} bytes cannot be decompressed")]
    Corrupt(&'static str),
    /// More would come out than is allowed (S16).
    #[error("the records decompress to more than {0} bytes")]
    TooLarge(usize),
}

/// Appends the compressed form of `input` to `out`. A caller that compresses often keeps a [`Scratch`] and uses
/// [`Scratch::compress`].
pub fn compress(compression: Compression, input: &[u8], out: &mut Vec<u8>) {
    Scratch::default().compress(compression, input, out);
}

/// Appends the decompressed form of `input` to `out`, which takes at most `bytes_max` bytes. A caller that decompresses often
/// keeps a [`Scratch`] and uses [`Scratch::decompress`].
///
/// # Errors
/// When the bytes are damaged or more than `bytes_max` would come out.
pub fn decompress(codec: Codec, input: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), CompressError> {
    Scratch::default().decompress(codec, input, bytes_max, out)
}

#[cfg(test)]
mod tests;
