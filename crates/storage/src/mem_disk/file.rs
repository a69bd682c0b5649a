//! The bytes of one file: what a process reads, what is on the platter, and what lies between.

use base::{SeededRng, Timestamp};

/// Something that was done to a file and not synced.
#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What a process sees: the page cache.
    pub(super) live: Vec<u8>,
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// In order, what was done since.
    unsynced: Vec<Change>,
    /// When it was last written to.
    pub(super) modified: Timestamp,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Len(len) => bytes.resize(*len, 0),
        Change::Write { at, bytes: new } => {
            if bytes.len() < at + new.len() {
                bytes.resize(at + new.len(), 0);
            }
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
    }
}

impl File {
    /// A file that is on the platter with these bytes.
    pub(super) fn synced_with(bytes: Vec<u8>, modified: Timestamp) -> File {
        File { live: bytes.clone(), durable: bytes, unsynced: Vec::new(), modified }
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.change(Change::Write { at, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.change(Change::Len(len));
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &change);
        }
    }

    /// A sync that failed as ext4's does: some of it may be on the platter, the rest is taken for written from now on, and the next sync
    /// says that all is well.
    pub(super) fn fail_sync(&mut self, rng: &mut SeededRng) {
        self.durable = self.after_power_cut(rng, 4_096);
        self.unsynced.clear();
    }

    /// Forgets what is in memory and taken for written: a failed sync's bytes are gone then.
    pub(super) fn drop_cache(&mut self) {
        self.live.clone_from(&self.durable);
        self.unsynced.iter().for_each(|change| apply(&mut self.live, change));
    }

    /// Flips one bit on the platter and in memory.
    pub(super) fn flip(&mut self, at: usize, bit: u32) {
        for bytes in [&mut self.live, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// What a power cut leaves: of what was not synced nothing, all, a beginning, or any sectors of `sector` bytes, in any order; the
    /// length may have grown over what was never written, which then reads as zeros.
    pub(super) fn after_power_cut(&self, rng: &mut SeededRng, sector: usize) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        if self.unsynced.is_empty() {
            return bytes;
        }
        match rng.below(8) {
            0 | 1 => {}
            2 => self.unsynced.iter().for_each(|change| apply(&mut bytes, change)),
            3 | 4 => self.beginning(&mut bytes, rng, sector),
            _ => self.sectors(&mut bytes, rng, sector),
        }
        bytes
    }

    fn beginning(&self, bytes: &mut Vec<u8>, rng: &mut SeededRng, sector: usize) {
        let whole = rng.below(self.unsynced.len() as u64 + 1) as usize;
        self.unsynced[..whole].iter().for_each(|change| apply(bytes, change));
        if let Some(Change::Write { at, bytes: torn }) = self.unsynced.get(whole) {
            let mut kept = rng.below(torn.len() as u64 + 1) as usize;
            if rng.below(2) == 0 {
                // Sectors are whole: the cut is at a boundary of the file, not of the write.
                kept = ((at + kept) / sector * sector).saturating_sub(*at);
            }
            apply(bytes, &Change::Write { at: *at, bytes: torn[..kept].to_vec() });
        }
    }

    fn sectors(&self, bytes: &mut Vec<u8>, rng: &mut SeededRng, sector: usize) {
        let durable_len = bytes.len();
        let odds = [1, 4, 7][rng.below(3) as usize];
        let mut cache = bytes.clone();
        for change in &self.unsynced {
            apply(&mut cache, change);
            match change {
                Change::Len(len) => {
                    if rng.below(8) < odds {
                        bytes.truncate(*len);
                    }
                }
                Change::Write { at, bytes: new } => {
                    for from in (at / sector * sector..at + new.len()).step_by(sector) {
                        let to = (from + sector).min(cache.len());
                        // A sector is written as it is in memory then, with what was written to it before.
                        if from < to && rng.below(8) < odds {
                            apply(bytes, &Change::Write { at: from, bytes: cache[from..to].to_vec() });
                        }
                    }
                }
            }
        }
        match rng.below(3) {
            0 => bytes.resize(durable_len, 0),
            1 => bytes.resize(cache.len(), 0),
            _ => {}
        }
    }
}
