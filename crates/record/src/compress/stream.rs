//! One reader and one writer over all codecs, and the contexts that they reuse from batch to batch.

use super::blocks::{CHUNK, copy};
use super::{Codec, CompressError, Compression, gzip, lz4, xerial, zstandard};
use std::fmt;

/// A buffer or context that one batch made larger than this is let go after it, so that a single odd batch costs no memory for good.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Likewise for a zstd context: levels up to 19 have windows of up to 8 MiB.
const KEPT_ZSTD_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Codec contexts and buffers that are reused from batch to batch: keep one per thread. Making them anew costs more than most
/// batches do.
#[derive(Default)]
pub struct Scratch {
    pub(crate) contexts: Contexts,
    /// What a batch is recompressed into needs its own.
    pub(crate) target: Contexts,
    pub(crate) window: Vec<u8>,
    pub(crate) records: Vec<u8>,
    /// Bytes that validation has decompressed since it was asked last.
    pub(crate) decompressed: usize,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl Scratch {
    /// Bytes that [`validate`](crate::validate()) has decompressed since the last call, whatever came of it: what it cost.
    pub fn take_decompressed(&mut self) -> usize {
        std::mem::take(&mut self.decompressed)
    }

    /// Appends the compressed form of `input` to `out`.
    pub fn compress(&mut self, compression: Compression, input: &[u8], out: &mut Vec<u8>) {
        let mut writer = self.contexts.writer(compression, Some(input.len()), out);
        writer.write(input, out);
        writer.finish(out);
        self.trim();
    }

    /// Appends the decompressed form of `input` to `out`, which takes at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When the bytes are damaged or more than `bytes_max` would come out.
    pub fn decompress(
        &mut self,
        codec: Codec,
        input: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        let done = self.contexts.reader(codec, input, bytes_max).and_then(|source| drain(source, bytes_max, out));
        self.trim();
        done
    }

    /// Bytes that its buffers and zstd contexts hold.
    #[cfg(test)]
    pub(crate) fn retained(&self) -> usize {
        let contexts = self.contexts.retained() + self.target.retained();
        contexts + self.window.capacity() + self.records.capacity()
    }

    /// Lets go of what an unusually large batch left behind.
    pub(crate) fn trim(&mut self) {
        self.contexts.trim();
        self.target.trim();
        for buffer in [&mut self.window, &mut self.records] {
            if buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
    }
}

fn drain(mut source: Reader<'_>, bytes_max: usize, out: &mut Vec<u8>) -> Result<(), CompressError> {
    let start = out.len();
    let mut chunk = CHUNK;
    loop {
        let at = out.len();
        // Grows with what has come out, so a small batch costs little and a large one few steps.
        out.resize(at + chunk, 0);
        let read = source.read(&mut out[at..]);
        out.truncate(at + *read.as_ref().unwrap_or(&0));
        if read? == 0 {
            return Ok(());
        }
        if out.len() - start > bytes_max {
            return Err(CompressError::TooLarge(bytes_max));
        }
        chunk = (out.len() - start).clamp(CHUNK, 16 * CHUNK);
    }
}

/// The contexts of all codecs, made when first needed.
#[derive(Default)]
pub(crate) struct Contexts {
    /// A block before compression or after decompression.
    block: Vec<u8>,
    /// A block after compression.
    packed: Vec<u8>,
    gzip: gzip::Contexts,
    snappy: Option<Box<snap::raw::Encoder>>,
    zstd: zstandard::Contexts,
}

impl Contexts {
    /// A stream of the decompressed bytes of `input`. A block that claims more than `bytes_max` bytes is refused before memory
    /// is taken; counting the whole stream is its consumer's business.
    pub(crate) fn reader<'a>(
        &'a mut self,
        codec: Codec,
        input: &'a [u8],
        bytes_max: usize,
    ) -> Result<Reader<'a>, CompressError> {
        Ok(match codec {
            Codec::None => Reader::None(input),
            Codec::Gzip => Reader::Gzip(self.gzip.reader(input)),
            Codec::Snappy => Reader::Snappy(xerial::Reader::new(input, bytes_max, &mut self.block)?),
            Codec::Lz4 => Reader::Lz4(lz4::Reader::new(input, &mut self.block)?),
            Codec::Zstd => Reader::Zstd(self.zstd.reader(input)?),
        })
    }

    /// A compressing writer; `size`, where it is known, is exactly what will be written. The stream's head goes to `out` at once.
    pub(crate) fn writer(&mut self, compression: Compression, size: Option<usize>, out: &mut Vec<u8>) -> Writer<'_> {
        match compression.codec {
            Codec::None => Writer::None,
            Codec::Gzip => Writer::Gzip(self.gzip.writer(compression.level_or(gzip::LEVEL_DEFAULT), out)),
            Codec::Snappy => {
                let encoder = self.snappy.get_or_insert_with(|| Box::new(snap::raw::Encoder::new()));
                Writer::Snappy(xerial::Writer::new(encoder, &mut self.block, &mut self.packed, out))
            }
            Codec::Lz4 => {
                let level = compression.level_or(lz4::LEVEL_DEFAULT);
                Writer::Lz4(lz4::Writer::new(level, &mut self.block, &mut self.packed, out))
            }
            Codec::Zstd => Writer::Zstd(self.zstd.writer(compression.level_or(zstandard::LEVEL_DEFAULT), size)),
        }
    }

    #[cfg(test)]
    fn retained(&self) -> usize {
        self.block.capacity() + self.packed.capacity() + self.zstd.retained()
    }

    fn trim(&mut self) {
        for buffer in [&mut self.block, &mut self.packed] {
            if buffer.capacity() > KEPT_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
        self.zstd.trim(KEPT_ZSTD_BYTES_MAX);
    }
}

/// A stream of decompressed bytes.
pub(crate) enum Reader<'a> {
    None(&'a [u8]),
    Gzip(gzip::Reader<'a>),
    Snappy(xerial::Reader<'a>),
    Lz4(lz4::Reader<'a>),
    Zstd(zstandard::Reader<'a>),
}

impl Reader<'_> {
    /// Reads into `out`, which is not empty; 0 at the end of a stream that ended as it should.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, CompressError> {
        match self {
            Reader::None(input) => Ok(copy(input, out)),
            Reader::Gzip(reader) => reader.read(out),
            Reader::Snappy(reader) => reader.read(out),
            Reader::Lz4(reader) => reader.read(out),
            Reader::Zstd(reader) => reader.read(out),
        }
    }
}

/// A compressing writer. It appends to the buffer that each call is given, which must be the same one every time.
pub(crate) enum Writer<'a> {
    None,
    Gzip(gzip::Writer<'a>),
    Snappy(xerial::Writer<'a>),
    Lz4(lz4::Writer<'a>),
    Zstd(zstandard::Writer<'a>),
}

impl Writer<'_> {
    pub(crate) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Writer::None => out.extend_from_slice(input),
            Writer::Gzip(writer) => writer.write(input, out),
            Writer::Snappy(writer) => writer.write(input, out),
            Writer::Lz4(writer) => writer.write(input, out),
            Writer::Zstd(writer) => writer.write(input, out),
        }
    }

    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        match self {
            Writer::None => {}
            Writer::Gzip(writer) => writer.finish(out),
            Writer::Snappy(writer) => writer.finish(out),
            Writer::Lz4(writer) => writer.finish(out),
            Writer::Zstd(writer) => writer.finish(out),
        }
    }
}
