//! A whole batch over borrowed bytes, and walking a buffer batch by batch.

use crate::compress::{Codec, CompressError, Scratch, decompress};
use crate::crc::crc32c;
use crate::header::{BATCH_OVERHEAD, BatchError, BatchHeader, CRC_FROM};
use crate::records::{RecordIter, RecordView};
use base::{Offset, Timestamp};
use std::ops::ControlFlow;

/// One whole batch over borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    /// Its fixed fields.
    pub header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the front of `bytes`, and what follows it. The checksum is not looked at.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and when the batch is longer than `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<(BatchView<'a>, &'a [u8]), BatchError> {
        let header = BatchHeader::parse(bytes)?;
        match bytes.split_at_checked(header.size) {
            Some((bytes, rest)) => Ok((BatchView { header, bytes }, rest)),
            None => Err(BatchError::Truncated { needed: header.size, left: bytes.len() }),
        }
    }

    /// All bytes of the batch.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records' bytes, compressed or not.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[BATCH_OVERHEAD..]
    }

    /// Compares the stored checksum with the bytes.
    ///
    /// # Errors
    /// [`BatchError::Checksum`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(&self.bytes[CRC_FROM..]);
        let stored = self.header.crc;
        if computed == stored { Ok(()) } else { Err(BatchError::Checksum { stored, computed }) }
    }

    /// The records. Compressed ones are first decompressed into `scratch`, of which they then borrow. Who reads many batches keeps
    /// a [`Scratch`] and uses [`BatchView::records_in`]; who should not hold a whole batch, [`BatchView::for_each_record`].
    ///
    /// # Errors
    /// When the records cannot be decompressed, or into no more than `bytes_max` bytes. Malformed records are errors of the
    /// iterator.
    pub fn records<'s>(&self, scratch: &'s mut Vec<u8>, bytes_max: usize) -> Result<RecordIter<'s>, BatchError>
    where
        'a: 's,
    {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        let payload: &'s [u8] = match codec {
            Codec::None => self.payload(),
            codec => {
                scratch.clear();
                decompress(codec, self.payload(), bytes_max, scratch)?;
                scratch
            }
        };
        Ok(RecordIter::new(&self.header, payload))
    }

    /// As [`BatchView::records`], with codec contexts that are kept between batches.
    ///
    /// # Errors
    /// As [`BatchView::records`].
    pub fn records_in<'s>(&self, scratch: &'s mut Scratch, bytes_max: usize) -> Result<RecordIter<'s>, BatchError>
    where
        'a: 's,
    {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        if codec == Codec::None {
            return Ok(RecordIter::new(&self.header, self.payload()));
        }
        let mut records = std::mem::take(&mut scratch.records);
        records.clear();
        let done = scratch.decompress(codec, self.payload(), bytes_max, &mut records);
        scratch.records = records;
        done?;
        Ok(RecordIter::new(&self.header, &scratch.records))
    }

    /// Visits the records in order until `visit` breaks. Of a compressed batch one record at a time is held, of at most
    /// `record_bytes_max` bytes (`max.decompressed.message.bytes`), whatever the batch decompresses to (S23).
    ///
    /// # Errors
    /// When the records cannot be decompressed, one is malformed or over the limit; those before it were visited.
    pub fn for_each_record(
        &self,
        scratch: &mut Scratch,
        record_bytes_max: usize,
        visit: impl FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        let done = crate::records::visit(&self.header, codec, self.payload(), scratch, record_bytes_max, visit);
        scratch.trim();
        done
    }

    /// Visits timestamp and offset of the records in order until `visit` breaks. Nothing of a compressed batch is held, whatever its
    /// records decompress to; one over `record_bytes_max` bytes is an error all the same.
    ///
    /// # Errors
    /// As [`BatchView::for_each_record`], keys, values and headers aside, which are passed over.
    pub fn for_each_time(
        &self,
        scratch: &mut Scratch,
        record_bytes_max: usize,
        visit: impl FnMut(Timestamp, Offset) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let codec = self.header.codec().ok_or(CompressError::UnknownCodec)?;
        let done = crate::records::visit_times(&self.header, codec, self.payload(), scratch, record_bytes_max, visit);
        scratch.trim();
        done
    }

    /// The offset of the first record that has the batch's largest timestamp; `None` when none has, which only damage or another
    /// broker's mistake can cause.
    ///
    /// # Errors
    /// As [`BatchView::for_each_record`].
    pub fn offset_of_max_timestamp(
        &self,
        scratch: &mut Scratch,
        record_bytes_max: usize,
    ) -> Result<Option<Offset>, BatchError> {
        let mut found = None;
        self.for_each_time(scratch, record_bytes_max, |timestamp, offset| {
            if timestamp == self.header.max_timestamp {
                found = Some(offset);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}

/// The batches of a buffer, one after another; ends at the first error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// The batches of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not walked yet; where the bad batch begins after an error.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchView::parse(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
