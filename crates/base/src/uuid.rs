//! Kafka's 128-bit ids (topics, directories, clusters, incarnations) and their URL-safe base64 text form.

use crate::SeededRng;
use std::fmt;
use std::str::FromStr;

/// A 128-bit id, written as 22 characters of unpadded URL-safe base64, as `org.apache.kafka.common.Uuid` does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub u128);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// "No id".
    pub const ZERO: Uuid = Uuid(0);
    /// The topic id of `__cluster_metadata`, and the directory id of a replica whose directory is lost (KIP-858).
    pub const ONE: Uuid = Uuid(1);
    /// The topic id of `__cluster_metadata`.
    pub const METADATA_TOPIC: Uuid = Uuid(1);
    /// Directory id of a replica not assigned to a directory yet (KIP-858, `DirectoryId.UNASSIGNED`).
    pub const UNASSIGNED_DIR: Uuid = Uuid(0);
    /// Directory id of a replica on a directory that went offline (KIP-858, `DirectoryId.LOST`).
    pub const LOST_DIR: Uuid = Uuid(1);

    /// Whether the id of a directory names none: the first 100 are reserved (KIP-858).
    #[must_use]
    pub const fn is_reserved_dir(self) -> bool {
        self.0 < 100
    }

    /// A random (version 4) id that is none of Kafka's reserved ones (the first 100) and whose text does not begin with `-`,
    /// which command lines would take for an option.
    #[must_use]
    pub fn random(rng: &mut SeededRng) -> Uuid {
        loop {
            let raw = (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64());
            let id = Uuid((raw & !(0xf_u128 << 76) & !(0b11_u128 << 62)) | (0x4_u128 << 76) | (0b10_u128 << 62));
            if id.0 >= 100 && !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    /// Big-endian bytes, as on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id with these big-endian bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Uuid {
        Uuid(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 22];
        for (i, slot) in text.iter_mut().enumerate() {
            // 22 six-bit groups are 132 bits: the last group holds only 2 bits of the id, shifted to its top.
            let group = if i < 21 { self.0 >> (122 - 6 * i) } else { self.0 << 4 };
            *slot = ALPHABET[(group & 0x3f) as usize];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// The text is not an id: 22 characters of URL-safe base64 (24 with padding) are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUuidError(String);

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an id: 22 characters of URL-safe base64 are needed", self.0.escape_debug())
    }
}

impl std::error::Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseUuidError(text.chars().take(64).collect());
        let digits = text.strip_suffix("==").unwrap_or(text).as_bytes();
        if digits.len() != 22 {
            return Err(refuse());
        }
        let mut value = 0_u128;
        for (i, digit) in digits.iter().enumerate() {
            let group = ALPHABET.iter().position(|c| c == digit).ok_or_else(refuse)? as u128;
            value |= if i < 21 { group << (122 - 6 * i) } else { group >> 4 };
        }
        Ok(Uuid(value))
    }
}

#[cfg(test)]
mod tests;
