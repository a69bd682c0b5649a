//! The names of a log's files.

use base::Offset;
use std::path::{Path, PathBuf};

/// A file of the segment that begins at `base`.
pub(crate) fn path(dir: &Path, base: Offset, suffix: &str) -> PathBuf {
    dir.join(format!("{:020}.{suffix}", base.0))
}

/// The base offset that a segment's file name tells, and its suffix.
#[must_use]
pub fn offset_of_file(name: &str) -> Option<(Offset, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    Some((Offset(digits.parse().ok()?), suffix))
}
