//! The codecs of a batch's records: gzip, snappy in xerial framing, lz4 frames, zstd.
//!
//! Every decompression is a stream with a bound: nothing that a batch says about its size is believed.

mod xerial;

use std::io::{self, Read, Write};

/// How records are compressed: the low three bits of a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// gzip (RFC 1952).
    Gzip = 1,
    /// Snappy blocks in xerial framing; raw snappy is read too, as some producers send it.
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
}

/// A codec with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// Its level where it has levels (gzip 1 to 9, zstd -131072 to 22); `None` for the codec's own default.
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

/// zstd's window may take this many bits: what Kafka's own decoder allows.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes that go from a decompressor to its consumer at a time.
const CHUNK: usize = 16 * 1024;

/// Appends the compressed form of `input` to `out`.
///
/// # Panics
/// When writing to memory fails, which only a codec's broken invariant can cause.
pub fn compress(compression: Compression, input: &[u8], out: &mut Vec<u8>) {
    let mut writer = Compressor::new(compression, out);
    let done = writer.write_all(input).and_then(|()| writer.finish());
    done.expect("writing to memory cannot fail");
}

/// A compressing writer over a buffer.
pub(crate) enum Compressor<'a> {
    None(&'a mut Vec<u8>),
    Gzip(Box<flate2::write::GzEncoder<&'a mut Vec<u8>>>),
    Snappy(Box<xerial::Writer<'a>>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<&'a mut Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, &'a mut Vec<u8>>>),
}

impl<'a> Compressor<'a> {
    pub(crate) fn new(compression: Compression, out: &'a mut Vec<u8>) -> Self {
        match compression.codec {
            Codec::None => Compressor::None(out),
            Codec::Gzip => {
                let level = compression.level.and_then(|level| u32::try_from(level).ok());
                let level =
                    level.map_or(flate2::Compression::default(), |level| flate2::Compression::new(level.min(9)));
                Compressor::Gzip(Box::new(flate2::write::GzEncoder::new(out, level)))
            }
            Codec::Snappy => Compressor::Snappy(Box::new(xerial::Writer::new(out))),
            Codec::Lz4 => {
                // What Kafka writes: independent blocks of 64 KiB and no content checksum (the batch has its own).
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max64KB)
                    .block_mode(lz4_flex::frame::BlockMode::Independent);
                Compressor::Lz4(Box::new(lz4_flex::frame::FrameEncoder::with_frame_info(info, out)))
            }
            Codec::Zstd => {
                let level = compression.level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                let encoder = zstd::stream::write::Encoder::new(out, level);
                Compressor::Zstd(Box::new(encoder.expect("zstd clamps any level")))
            }
        }
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Compressor::None(_) => Ok(()),
            Compressor::Gzip(writer) => writer.finish().map(drop),
            Compressor::Snappy(writer) => writer.finish(),
            Compressor::Lz4(writer) => writer.finish().map(drop).map_err(io::Error::other),
            Compressor::Zstd(writer) => writer.finish().map(drop),
        }
    }
}

impl Write for Compressor<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::None(out) => out.write(bytes),
            Compressor::Gzip(writer) => writer.write(bytes),
            Compressor::Snappy(writer) => writer.write(bytes),
            Compressor::Lz4(writer) => writer.write(bytes),
            Compressor::Zstd(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream of the decompressed bytes of `input`.
pub(crate) fn reader<'a>(codec: Codec, input: &'a [u8]) -> Result<Box<dyn Read + 'a>, CompressError> {
    Ok(match codec {
        Codec::None => Box::new(input),
        Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Codec::Snappy => xerial::reader(input)?,
        Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(input)),
        Codec::Zstd => {
            let corrupt = |_| CompressError::Corrupt("zstd");
            let mut reader = zstd::stream::read::Decoder::with_buffer(input).map_err(corrupt)?;
            reader.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            Box::new(reader)
        }
    })
}

/// Appends the decompressed form of `input` to `out`, which takes at most `bytes_max` bytes.
///
/// # Errors
/// When the bytes are damaged or more than `bytes_max` would come out.
pub fn decompress(codec: Codec, input: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Result<(), CompressError> {
    let mut source = reader(codec, input)?;
    let mut chunk = [0_u8; CHUNK];
    let start = out.len();
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) if out.len() - start + n > bytes_max => return Err(CompressError::TooLarge(bytes_max)),
            Ok(n) => out.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(CompressError::Corrupt(codec.name())),
        }
    }
}

#[cfg(test)]
mod tests;
