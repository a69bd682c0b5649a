//! A case: one load on each contestant in turn, A/B/C A/B/C, so that the machine's moods hit all of them.

use crate::figures::{Contest, Measure, Row};
use crate::lab::Contestant;
use crate::options::Options;
use conformance::fault::{During, Fault};
use conformance::process::now;
use std::rc::Rc;
use std::time::Duration;

/// A contestant may take so many times the length of all rounds.
const PATIENCE: f64 = 3.0;
/// And so long for what is around each of its rounds.
const AROUND: Duration = Duration::from_secs(1);

/// What a case says about itself.
pub struct Case {
    /// What selects it on the command line.
    pub workload: &'static str,
    /// Unique.
    pub name: String,
    /// The load in words.
    pub load: String,
    /// What an answer means on each side.
    pub promise: &'static str,
}

/// Which round of a case.
#[derive(Clone, Copy)]
pub struct Round {
    /// 0 is the warm-up, which is not counted.
    pub number: usize,
    /// The one after which a second reader checks what was written: the first that counts.
    pub checked: bool,
}

/// Runs a warm-up and the rounds. A contestant that needs several times the asked time gets fewer rounds, but one at least.
pub fn interleave(
    options: &Options,
    case: Case,
    contestants: &[Rc<Contestant>],
    mut round: impl FnMut(&Contestant, Round) -> Result<Measure, Fault>,
) -> Result<Row, Fault> {
    // One that is much slower than asked for must not take the time of the others' next workloads.
    let patience = (options.time.mul_f64(PATIENCE) + AROUND) * (options.rounds as u32 + 1);
    let mut spent = vec![Duration::ZERO; contestants.len()];
    let mut contests: Vec<Contest> = contestants.iter().map(|one| Contest::new(one.name)).collect();
    for number in 0..=options.rounds {
        let at = Round { number, checked: number == 1 };
        for ((one, contest), spent) in contestants.iter().zip(&mut contests).zip(&mut spent) {
            if number > 1 && *spent > patience {
                continue;
            }
            let started = now();
            let measure = round(one, at).during(format!("{}, round {number} of {}", case.name, one.name))?;
            *spent += now() - started;
            if number > 0 {
                contest.add(measure);
            }
        }
    }
    Ok(case.row(contests))
}

impl Case {
    /// The case with its rounds.
    pub fn row(self, contests: Vec<Contest>) -> Row {
        Row {
            workload: self.workload.to_owned(),
            case: self.name,
            load: self.load,
            promise: self.promise.to_owned(),
            contests,
            seconds: 0.0,
        }
    }
}
