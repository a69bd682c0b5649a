//! CRC-32C (Castagnoli), which guards every batch and several files.

use crc_fast::{CrcAlgorithm, Digest, checksum};

/// The CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    narrow(checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// The CRC-32C of two pieces that follow each other.
pub(crate) fn crc32c_of_two(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    narrow(digest.finalize())
}

fn narrow(sum: u64) -> u32 {
    u32::try_from(sum).expect("a 32-bit checksum has 32 bits")
}

#[cfg(test)]
mod tests;
