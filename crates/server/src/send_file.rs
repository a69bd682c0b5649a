//! A segment as something that a connection can send.

use net::SendFile;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use storage::DiskFile;

/// A segment's file.
#[derive(Debug)]
pub(crate) struct SegmentFile(pub(crate) Arc<dyn DiskFile>);

impl SendFile for SegmentFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd()
    }

    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }
}
