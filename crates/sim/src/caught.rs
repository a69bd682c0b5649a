//! Whether a control is found out.

use crate::controls::Control;
use crate::options::Options;
use crate::world::{Outcome, run};

/// The first of `seeds` seeds whose run finds the node out, with what it found.
#[must_use]
pub fn caught_by(control: Control, seeds: u64, steps: u64) -> Option<(u64, Outcome)> {
    (0..seeds).find_map(|seed| {
        let mut options = Options { control: Some(control), ..Options::new(seed, steps) };
        // Only what an honest node must bear.
        options.faults.disk_errors = false;
        options.faults.bit_flips = false;
        let outcome = run(&options);
        outcome.breach.is_some().then_some((seed, outcome))
    })
}
