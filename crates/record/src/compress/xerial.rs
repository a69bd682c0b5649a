//! The framing that snappy-java puts around raw snappy blocks: a 16-byte header, then blocks of int32 length and bytes.

use super::CompressError;
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Uncompressed bytes of a block, as snappy-java's default and Kafka's.
const BLOCK: usize = 32 * 1024;
/// No block of a sound producer holds more; the block's own claim is checked against it before memory is taken.
const BLOCK_MAX: usize = 64 * 1024 * 1024;

/// Writes blocks as they fill.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(HEADER);
        Self { out, block: Vec::with_capacity(BLOCK), encoder: snap::raw::Encoder::new() }
    }

    fn flush_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let compressed = self.encoder.compress_vec(&self.block).map_err(io::Error::other)?;
        let len = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        self.out.extend_from_slice(&len.to_be_bytes());
        self.out.extend_from_slice(&compressed);
        self.block.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush_block()
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.flush_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream over framed or raw snappy.
pub(super) fn reader<'a>(input: &'a [u8]) -> Result<Box<dyn Read + 'a>, CompressError> {
    if input.starts_with(MAGIC) {
        let rest = input.get(HEADER.len()..).ok_or(CompressError::Corrupt("snappy"))?;
        return Ok(Box::new(Blocks { rest, block: Vec::new(), at: 0, decoder: snap::raw::Decoder::new() }));
    }
    let mut whole = Blocks { rest: &[], block: Vec::new(), at: 0, decoder: snap::raw::Decoder::new() };
    whole.decode(input).map_err(|_| CompressError::Corrupt("snappy"))?;
    Ok(Box::new(whole))
}

struct Blocks<'a> {
    rest: &'a [u8],
    block: Vec<u8>,
    at: usize,
    decoder: snap::raw::Decoder,
}

impl Blocks<'_> {
    fn decode(&mut self, compressed: &[u8]) -> io::Result<()> {
        let len = snap::raw::decompress_len(compressed).map_err(io::Error::other)?;
        // Snappy's format cannot shrink by more than about 1 to 21, so a larger claim is a lie.
        if len > BLOCK_MAX || len > compressed.len().saturating_mul(32).saturating_add(64) {
            return Err(io::Error::other("a snappy block claims an impossible length"));
        }
        self.block.resize(len, 0);
        self.decoder.decompress(compressed, &mut self.block).map_err(io::Error::other)?;
        self.at = 0;
        Ok(())
    }
}

impl Read for Blocks<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            let cut = || io::Error::other("a snappy block is cut off");
            let (len, rest) = self.rest.split_first_chunk::<4>().ok_or_else(cut)?;
            let (compressed, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(cut)?;
            self.rest = rest;
            self.decode(compressed)?;
        }
        let taken = out.len().min(self.block.len() - self.at);
        out[..taken].copy_from_slice(&self.block[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}
