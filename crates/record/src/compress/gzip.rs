//! gzip (RFC 1952) around raw deflate: the framing is done here so that the deflate contexts, 40 KiB and 260 KiB, are reused.

use super::CompressError;
use super::blocks::CHUNK;
use crc_fast::{CrcAlgorithm, Digest};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

pub(super) const LEVEL_DEFAULT: i32 = 6;
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const FLAG_HEADER_CRC: u8 = 0x02;
const FLAG_EXTRA: u8 = 0x04;
const FLAG_NAME: u8 = 0x08;
const FLAG_COMMENT: u8 = 0x10;
const FLAGS_RESERVED: u8 = 0xe0;

#[derive(Default)]
pub(super) struct Contexts {
    inflate: Option<Decompress>,
    deflate: Option<(i32, Compress)>,
    sum: Sum,
}

impl Contexts {
    pub(super) fn reader<'a>(&'a mut self, input: &'a [u8]) -> Reader<'a> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
        Reader { rest: input, inflate, sum: &mut self.sum, in_member: false, members: 0 }
    }

    pub(super) fn writer(&mut self, level: i32, out: &mut Vec<u8>) -> Writer<'_> {
        out.extend_from_slice(&HEADER);
        if self.deflate.as_ref().is_some_and(|(made_for, _)| *made_for != level) {
            self.deflate = None;
        }
        let (_, deflate) = self.deflate.get_or_insert_with(|| {
            let level = Compression::new(u32::try_from(level).unwrap_or(LEVEL_DEFAULT as u32));
            (level.level() as i32, Compress::new(level, false))
        });
        deflate.reset();
        self.sum = Sum::default();
        Writer { deflate, sum: &mut self.sum }
    }
}

/// The checksum and size that end a member.
struct Sum {
    crc: Digest,
    size: u32,
}

impl Default for Sum {
    fn default() -> Self {
        Self { crc: Digest::new(CrcAlgorithm::Crc32IsoHdlc), size: 0 }
    }
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.size = self.size.wrapping_add(bytes.len() as u32);
    }

    fn trailer(&self) -> [u8; 8] {
        let crc = (self.crc.finalize() as u32).to_le_bytes();
        let size = self.size.to_le_bytes();
        [crc[0], crc[1], crc[2], crc[3], size[0], size[1], size[2], size[3]]
    }
}

/// One member after another; each is checked against its trailer.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    inflate: &'a mut Decompress,
    sum: &'a mut Sum,
    in_member: bool,
    members: u32,
}

const CORRUPT: CompressError = CompressError::Corrupt("gzip");

impl Reader<'_> {
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, CompressError> {
        loop {
            if !self.in_member {
                if self.rest.is_empty() && self.members > 0 {
                    return Ok(0);
                }
                self.rest = after_header(self.rest).ok_or(CORRUPT)?;
                self.inflate.reset(false);
                *self.sum = Sum::default();
                self.in_member = true;
            }
            let (read_before, made_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(self.rest, out, FlushDecompress::None).map_err(|_| CORRUPT)?;
            let read = (self.inflate.total_in() - read_before) as usize;
            let made = (self.inflate.total_out() - made_before) as usize;
            self.rest = &self.rest[read..];
            self.sum.add(&out[..made]);
            if status == Status::StreamEnd {
                let (trailer, rest) = self.rest.split_first_chunk::<8>().ok_or(CORRUPT)?;
                if *trailer != self.sum.trailer() {
                    return Err(CORRUPT);
                }
                self.rest = rest;
                self.in_member = false;
                self.members += 1;
            } else if read == 0 && made == 0 {
                return Err(CORRUPT);
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    let (fixed, mut rest) = bytes.split_first_chunk::<10>()?;
    let flags = fixed[3];
    if fixed[..3] != HEADER[..3] || flags & FLAGS_RESERVED != 0 {
        return None;
    }
    if flags & FLAG_EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & FLAG_HEADER_CRC != 0 { rest.get(2..) } else { Some(rest) }
}

pub(crate) struct Writer<'a> {
    deflate: &'a mut Compress,
    sum: &'a mut Sum,
}

impl Writer<'_> {
    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.sum.add(input);
        self.push(input, FlushCompress::None, out);
    }

    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.push(&[], FlushCompress::Finish, out);
        out.extend_from_slice(&self.sum.trailer());
    }

    fn push(&mut self, mut input: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        loop {
            out.reserve(CHUNK.min(input.len() / 2 + 64));
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(input, out, flush).expect("deflate takes any input");
            input = &input[(self.deflate.total_in() - before) as usize..];
            let full = out.len() == out.capacity();
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => input.is_empty() && !full,
            };
            if done {
                return;
            }
        }
    }
}
