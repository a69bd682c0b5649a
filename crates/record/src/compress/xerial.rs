//! The framing that snappy-java puts around raw snappy blocks: a 16-byte header, then blocks of int32 length and bytes. A frame
//! may follow a frame.

use super::CompressError;
use super::blocks::{Blocks, copy};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Uncompressed bytes of a block, as snappy-java's default and Kafka's.
const BLOCK: usize = 32 * 1024;
/// Snappy cannot shrink by more than about 1 to 21, so a larger claim is a lie and memory follows the bytes received.
const RATIO_MAX: usize = 32;
const CORRUPT: CompressError = CompressError::Corrupt("snappy");

pub(crate) struct Writer<'a> {
    encoder: &'a mut Encoder,
    blocks: Blocks<'a>,
    packed: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        encoder: &'a mut Encoder,
        block: &'a mut Vec<u8>,
        packed: &'a mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Self {
        out.extend_from_slice(HEADER);
        packed.resize(packed.len().max(max_compress_len(BLOCK)), 0);
        Self { encoder, blocks: Blocks::new(BLOCK, block), packed }
    }

    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let (encoder, packed) = (&mut *self.encoder, &mut *self.packed);
        self.blocks.write(input, |block| put_block(encoder, block, packed, out));
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        self.blocks.finish(|block| put_block(self.encoder, block, self.packed, out));
    }
}

fn put_block(encoder: &mut Encoder, block: &[u8], packed: &mut [u8], out: &mut Vec<u8>) {
    let len = encoder.compress(block, packed).expect("the buffer has room for any block");
    out.extend_from_slice(&(len as u32).to_be_bytes());
    out.extend_from_slice(&packed[..len]);
}

/// A stream over framed or raw snappy.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    bytes_max: usize,
    block: &'a mut Vec<u8>,
    from: usize,
    to: usize,
    decoder: Decoder,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], bytes_max: usize, block: &'a mut Vec<u8>) -> Result<Self, CompressError> {
        let mut reader = Self { rest: &[], bytes_max, block, from: 0, to: 0, decoder: Decoder::new() };
        if input.starts_with(MAGIC) {
            reader.rest = input.get(HEADER.len()..).ok_or(CORRUPT)?;
        } else {
            reader.decode(input)?;
        }
        Ok(reader)
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, CompressError> {
        while self.from == self.to {
            if self.rest.is_empty() {
                return Ok(0);
            }
            // Four bytes of the magic are no possible length, so a further frame cannot be taken for a block.
            if self.rest.starts_with(MAGIC) {
                self.rest = self.rest.get(HEADER.len()..).ok_or(CORRUPT)?;
                continue;
            }
            let (len, rest) = self.rest.split_first_chunk::<4>().ok_or(CORRUPT)?;
            let (compressed, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(CORRUPT)?;
            self.rest = rest;
            self.decode(compressed)?;
        }
        let n = copy(&mut &self.block[self.from..self.to], out);
        self.from += n;
        Ok(n)
    }

    fn decode(&mut self, compressed: &[u8]) -> Result<(), CompressError> {
        let len = decompress_len(compressed).map_err(|_| CORRUPT)?;
        if len > compressed.len().saturating_mul(RATIO_MAX).saturating_add(64) {
            return Err(CORRUPT);
        }
        if len > self.bytes_max {
            return Err(CompressError::TooLarge(self.bytes_max));
        }
        if self.block.len() < len {
            self.block.resize(len, 0);
        }
        self.to = self.decoder.decompress(compressed, &mut self.block[..len]).map_err(|_| CORRUPT)?;
        self.from = 0;
        Ok(())
    }
}
