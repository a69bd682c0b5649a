//! What a run consists of. Everything else follows from the seed, drawn from a generator of each subject, so that leaving one thing out
//! changes the others as little as can be.

use crate::controls::Control;
use base::SeededRng;

/// Which faults a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Power cuts, at any operation of the disk.
    pub power_cuts: bool,
    /// Ends of the process alone: what it wrote stays in the page cache.
    pub kills: bool,
    /// Clean stops.
    pub restarts: bool,
    /// Connections that break.
    pub disconnects: bool,
    /// Reads, writes and syncs that fail, and a full disk.
    pub disk_errors: bool,
    /// Bits that flip.
    pub bit_flips: bool,
    /// Starts without one of several log dirs, which is whole and comes back.
    pub absences: bool,
}

impl Faults {
    /// Those of a seed: every run restarts and disconnects, few lose more than power.
    fn of(rng: &mut SeededRng) -> Faults {
        let kind = rng.below(20);
        Faults {
            power_cuts: kind != 0,
            kills: kind != 1,
            restarts: kind != 2,
            disconnects: kind != 3,
            disk_errors: kind >= 16,
            bit_flips: kind == 15,
            absences: true,
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What everything is drawn from.
    pub seed: u64,
    /// Steps before the run is brought to its end.
    pub steps: u64,
    /// Faults that may happen.
    pub faults: Faults,
    /// Clients that take part, as a bit each.
    pub clients: u32,
    /// A safety measure that is left out, for a negative control.
    pub control: Option<Control>,
}

impl Options {
    /// The run of a seed.
    #[must_use]
    pub fn new(seed: u64, steps: u64) -> Options {
        let faults = Faults::of(&mut generator(seed, Subject::Faults));
        Options { seed, steps, faults, clients: u32::MAX, control: None }
    }
}

/// What has a generator of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Faults = 1,
    Configuration,
    Disk,
    Node,
    Scheduler,
    Clock,
    Network,
    /// The first client; the others follow.
    Client,
    /// Starts without one of the log dirs.
    Absences = 100,
}

/// The generator of a subject.
pub(crate) fn generator(seed: u64, subject: Subject) -> SeededRng {
    numbered(seed, subject, 0)
}

/// The generator of the subject's `number`-th.
pub(crate) fn numbered(seed: u64, subject: Subject, number: u64) -> SeededRng {
    SeededRng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (((subject as u64) << 32) + number))
}
