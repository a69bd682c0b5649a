//! Walking the batches of a file, one at a time, in memory bounded by the largest batch.

use record::{BATCH_OVERHEAD, BatchHeader, BatchView};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Bytes that a batch's first fields take, and which Kafka writes before it knows the format: offset and length.
const READ_BYTES: usize = 256 * 1024;

/// Why a walk ended before the end of its file.
#[derive(Debug)]
pub(super) struct Broken {
    /// Where the batch begins.
    pub(super) position: u64,
    pub(super) reason: String,
}

/// Visits each batch with its position. `Ok(Some(broken))` says that the file does not end after its last whole batch.
pub(super) fn batches<E>(
    path: &Path,
    mut visit: impl FnMut(u64, &BatchView<'_>) -> Result<(), E>,
) -> io::Result<Result<Option<Broken>, E>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(READ_BYTES, file);
    let mut position = 0;
    let mut batch = Vec::new();
    while position < len {
        let left = len - position;
        if left < BATCH_OVERHEAD as u64 {
            let reason = format!("{left} bytes are fewer than the header of a batch");
            return Ok(Ok(Some(Broken { position, reason })));
        }
        batch.resize(BATCH_OVERHEAD, 0);
        reader.read_exact(&mut batch)?;
        let header = match BatchHeader::parse(&batch) {
            Ok(header) => header,
            Err(error) => return Ok(Ok(Some(Broken { position, reason: error.to_string() }))),
        };
        if header.size as u64 > left {
            let reason = format!("a batch of {} bytes is longer than the {left} bytes that are left", header.size);
            return Ok(Ok(Some(Broken { position, reason })));
        }
        batch.resize(header.size, 0);
        reader.read_exact(&mut batch[BATCH_OVERHEAD..])?;
        match BatchView::parse(&batch) {
            Ok((view, _)) => {
                if let Err(stop) = visit(position, &view) {
                    return Ok(Err(stop));
                }
            }
            Err(error) => return Ok(Ok(Some(Broken { position, reason: error.to_string() }))),
        }
        position += header.size as u64;
    }
    Ok(Ok(None))
}
