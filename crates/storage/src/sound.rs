//! Reads whole batches of a segment's file one by one and checks each: what recovery goes by.

use crate::disk::DiskFile;
use crate::error::DiskError;
use record::{BATCH_OVERHEAD, BatchHeader, BatchView};
use std::path::Path;

/// Bytes of a segment that are read at a time, unless a batch is larger.
const WINDOW_BYTES: usize = 256 << 10;

/// Why there is no batch to go by.
pub(crate) enum BadBatch {
    Disk(DiskError),
    /// What is wrong with the bytes.
    Bytes(String),
}

/// The bytes of a file around where it is walked.
#[derive(Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// At least `len` bytes from `position` on, of the `left` that the file should have there; fewer when it has not.
    fn at(&mut self, file: &dyn DiskFile, position: u64, len: usize, left: usize) -> std::io::Result<&[u8]> {
        let inside = |window: &Self| {
            let skipped = usize::try_from(position.checked_sub(window.start)?).ok()?;
            (skipped + len <= window.bytes.len()).then_some(skipped)
        };
        if let Some(skipped) = inside(self) {
            return Ok(&self.bytes[skipped..]);
        }
        self.bytes.resize(left.min(len.max(WINDOW_BYTES)), 0);
        self.start = position;
        let read = file.read_at(&mut self.bytes, position);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| &self.bytes[..])
    }

    /// Reads and checks the whole batch at `position` of a file of `size` bytes.
    pub(crate) fn batch(
        &mut self,
        file: &dyn DiskFile,
        log: &Path,
        position: u64,
        size: u64,
    ) -> Result<BatchHeader, BadBatch> {
        let left = usize::try_from(size - position).unwrap_or(usize::MAX);
        let on_disk = |error| BadBatch::Disk(DiskError::on("read", log)(error));
        let head = self.at(file, position, left.min(BATCH_OVERHEAD), left).map_err(on_disk)?;
        let header = BatchHeader::parse(head).map_err(|error| BadBatch::Bytes(error.to_string()))?;
        if header.size > left {
            return Err(BadBatch::Bytes(format!("a batch of {} bytes is cut off after {left}", header.size)));
        }
        let whole = self.at(file, position, header.size, left).map_err(on_disk)?;
        let (batch, _) = BatchView::parse(whole).map_err(|error| BadBatch::Bytes(error.to_string()))?;
        batch.verify_crc().map_err(|error| BadBatch::Bytes(error.to_string()))?;
        if header.last_offset_delta < 0 {
            return Err(BadBatch::Bytes(format!("a last offset delta of {}", header.last_offset_delta)));
        }
        Ok(header)
    }
}
