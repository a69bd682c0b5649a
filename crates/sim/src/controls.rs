//! Negative controls: safety measures that are left out on purpose. A simulator that does not find a node without one of them would not
//! find it out of order either. None of them is in the product's way: a disk lies, a configuration says what it must not, a client asks
//! for less than it believes, or the environment leaves out a measure of recovery by name.

use crate::disk::Lie;
use storage::LeftOut;

/// A measure that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Files are never synced.
    SyncLeftOut,
    /// The names in folders are never synced.
    DirectorySyncLeftOut,
    /// The high watermark follows the page cache instead of the disk.
    WatermarkFromPageCache,
    /// acks=all is answered when the batch is appended.
    AckBeforeCommit,
    /// After a crash the indexes of a segment are taken as they are found.
    IndexTrusted,
    /// After a crash the end of a log is taken as it is found.
    TornTailAccepted,
    /// After a crash the producers are what the last snapshot says.
    ProducersNotRebuilt,
}

/// All of them.
pub const CONTROLS: [Control; 7] = [
    Control::SyncLeftOut,
    Control::DirectorySyncLeftOut,
    Control::WatermarkFromPageCache,
    Control::AckBeforeCommit,
    Control::IndexTrusted,
    Control::TornTailAccepted,
    Control::ProducersNotRebuilt,
];

impl Control {
    /// What the disk leaves out.
    pub(crate) fn lie(self) -> Option<Lie> {
        match self {
            Control::SyncLeftOut => Some(Lie::Sync),
            Control::DirectorySyncLeftOut => Some(Lie::SyncDir),
            _ => None,
        }
    }

    /// What recovery leaves out.
    pub(crate) fn left_out(self) -> LeftOut {
        LeftOut {
            index_rebuild: self == Control::IndexTrusted,
            torn_tail_cut: self == Control::TornTailAccepted,
            producer_replay: self == Control::ProducersNotRebuilt,
        }
    }
}
