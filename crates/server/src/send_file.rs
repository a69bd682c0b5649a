//! A segment as something that a connection can send.

use net::SendFile;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use storage::DiskFile;

/// A segment's file.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) file: Arc<dyn DiskFile>,
    /// From here on it was written lately.
    pub(crate) recent_from: u64,
}

impl SendFile for SegmentFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.fd()
    }

    fn is_in_memory(&self, position: u64, len: usize) -> bool {
        position >= self.recent_from || self.file.is_in_memory(position, len)
    }

    fn read_ahead(&self, position: u64, len: usize) {
        // The connection meets the same error when it sends, and tells it.
        let _met_again = self.file.read_ahead(position, len);
    }

    fn drop_behind(&self, position: u64, len: usize) {
        self.file.drop_behind(position, len);
    }

    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(buf, position)
    }
}
