//! zstd frames, one or several.

use super::CompressError;
use super::blocks::CHUNK;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

pub(super) const LEVEL_DEFAULT: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;
/// A frame's window may take this many bits: what Kafka's own decoder allows, and what level 22 makes.
const WINDOW_LOG_MAX: u32 = 27;
const CORRUPT: CompressError = CompressError::Corrupt("zstd");

#[derive(Default)]
pub(super) struct Contexts {
    unpack: Option<DCtx<'static>>,
    pack: Option<CCtx<'static>>,
}

impl Contexts {
    pub(super) fn reader<'a>(&'a mut self, input: &'a [u8]) -> Result<Reader<'a>, CompressError> {
        let context = self.unpack.get_or_insert_with(DCtx::create);
        context.reset(ResetDirective::SessionAndParameters).map_err(|_| CORRUPT)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(|_| CORRUPT)?;
        Ok(Reader { context, input: InBuffer::around(input), in_frame: true })
    }

    pub(super) fn writer(&mut self, level: i32, size: Option<usize>) -> Writer<'_> {
        let context = self.pack.get_or_insert_with(CCtx::create);
        sound(context.reset(ResetDirective::SessionAndParameters));
        sound(context.set_parameter(CParameter::CompressionLevel(level)));
        // Without the size, level 22 would take 700 MiB for a batch of any size.
        sound(context.set_pledged_src_size(size.map(|size| size as u64)));
        Writer { context }
    }

    #[cfg(test)]
    pub(super) fn retained(&self) -> usize {
        self.unpack.as_ref().map_or(0, DCtx::sizeof) + self.pack.as_ref().map_or(0, CCtx::sizeof)
    }

    /// Lets contexts go that have grown beyond what the lower levels need.
    pub(super) fn trim(&mut self, bytes_max: usize) {
        self.unpack.take_if(|context| context.sizeof() > bytes_max);
        self.pack.take_if(|context| context.sizeof() > bytes_max);
    }
}

pub(crate) struct Reader<'a> {
    context: &'a mut DCtx<'static>,
    input: InBuffer<'a>,
    in_frame: bool,
}

impl Reader<'_> {
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, CompressError> {
        loop {
            let exhausted = self.input.pos == self.input.src.len();
            if exhausted && !self.in_frame {
                return Ok(0);
            }
            let before = self.input.pos;
            let mut output = OutBuffer::around(&mut *out);
            let hint = self.context.decompress_stream(&mut output, &mut self.input).map_err(|_| CORRUPT)?;
            self.in_frame = hint != 0;
            let made = output.pos();
            if made > 0 {
                return Ok(made);
            }
            if self.in_frame && self.input.pos == before {
                return Err(CORRUPT);
            }
        }
    }
}

pub(crate) struct Writer<'a> {
    context: &'a mut CCtx<'static>,
}

impl Writer<'_> {
    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut input = InBuffer::around(input);
        while input.pos < input.src.len() {
            out.reserve(CHUNK.min((input.src.len() - input.pos) / 2 + 64));
            let at = out.len();
            sound(self.context.compress_stream(&mut OutBuffer::around_pos(out, at), &mut input));
        }
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        let mut left = 1;
        while left > 0 {
            out.reserve(left);
            let at = out.len();
            left = sound(self.context.end_stream(&mut OutBuffer::around_pos(out, at)));
        }
    }
}

/// The result of a call that only memory running out, or a size other than the one pledged, makes fail.
fn sound(result: Result<usize, usize>) -> usize {
    result.unwrap_or_else(|code| panic!("zstd refuses to compress: {}", get_error_name(code)))
}
