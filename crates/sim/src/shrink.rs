//! Makes a failing run smaller: fewer steps, clients and faults, as long as something still does not hold.

use crate::options::{Faults, Options};
use crate::world::{Outcome, run};

/// Runs that may be spent on it.
const RUNS_MAX: u32 = 60;

/// The smallest failing run that was found, with its outcome. `options` must fail.
#[must_use]
pub fn shrink(options: &Options, outcome: Outcome) -> (Options, Outcome) {
    let mut best = (Options { steps: outcome.steps.min(options.steps), ..options.clone() }, outcome);
    let mut runs = 0;
    let mut attempt = |candidate: Options, best: &mut (Options, Outcome)| {
        if runs == RUNS_MAX {
            return false;
        }
        runs += 1;
        let outcome = run(&candidate);
        let fails = outcome.breach.is_some();
        if fails {
            *best = (candidate, outcome);
        }
        fails
    };
    for client in 0..9 {
        let clients = best.0.clients & !(1 << client);
        attempt(Options { clients, ..best.0.clone() }, &mut best);
    }
    for leave_out in LEAVE_OUT {
        let mut faults = best.0.faults;
        leave_out(&mut faults);
        if faults != best.0.faults {
            attempt(Options { faults, ..best.0.clone() }, &mut best);
        }
    }
    let mut cut = best.0.steps / 2;
    while cut > 0 {
        let steps = best.0.steps.saturating_sub(cut);
        if steps == 0 || !attempt(Options { steps, ..best.0.clone() }, &mut best) {
            cut /= 2;
        }
    }
    best
}

const LEAVE_OUT: [fn(&mut Faults); 7] = [
    |faults| faults.absences = false,
    |faults| faults.bit_flips = false,
    |faults| faults.disk_errors = false,
    |faults| faults.disconnects = false,
    |faults| faults.kills = false,
    |faults| faults.restarts = false,
    |faults| faults.power_cuts = false,
];
