//! Figures of a round, and what is kept of all rounds: the values themselves, with median, best and spread made of them.

use serde::{Deserialize, Serialize};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Rates.
    Higher,
    /// Times, costs, memory.
    Lower,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Unique within a case.
    pub name: &'static str,
    /// Of its values.
    pub unit: &'static str,
    /// Which way.
    pub better: Better,
}

const fn higher(name: &'static str, unit: &'static str) -> Figure {
    Figure { name, unit, better: Better::Higher }
}

const fn lower(name: &'static str, unit: &'static str) -> Figure {
    Figure { name, unit, better: Better::Lower }
}

/// Bytes of batches.
pub const RATE: Figure = higher("rate", "MB/s");
/// Requests, or batches where each request has one.
pub const REQUESTS: Figure = higher("requests", "1/s");
/// Records.
pub const RECORDS: Figure = higher("records", "1/s");
/// The contestant's user and system time for a gigabyte (10^9 bytes).
pub const CPU_BYTES: Figure = lower("CPU per GB", "s");
/// The same for a request.
pub const CPU_REQUEST: Figure = lower("CPU per request", "us");
/// The same for a million records.
pub const CPU_RECORDS: Figure = lower("CPU per million records", "s");
/// From sending, or from the intended time of sending, to the answer.
pub const P50: Figure = lower("p50", "us");
/// The same.
pub const P99: Figure = lower("p99", "us");
/// The same.
pub const P999: Figure = lower("p99.9", "us");
/// Resident memory after the round.
pub const MEMORY: Figure = lower("memory", "MiB");
/// An append of 1 KiB and its fdatasync by the load itself, beside the round.
pub const FDATASYNC: Figure = lower("fdatasync p50", "us");
/// From the start of the process to its first answer.
pub const START: Figure = lower("first answer", "ms");
/// User and system time until then.
pub const START_CPU: Figure = lower("CPU to first answer", "s");
/// SIGTERM to exit.
pub const STOP: Figure = lower("stop", "ms");
/// From the first JoinGroup until every group has all its members.
pub const STABLE: Figure = lower("all groups stable", "ms");
/// Heartbeats answered.
pub const HEARTBEATS: Figure = higher("heartbeats", "1/s");
/// Commits answered.
pub const COMMITS: Figure = higher("commits", "1/s");
/// Bytes that a reader of an evicted log got.
pub const COLD_RATE: Figure = higher("cold read", "MB/s");

/// One round of one contestant.
#[derive(Default)]
pub struct Measure(pub Vec<(Figure, f64)>);

impl Measure {
    /// With one more figure; one that cannot be told (nothing was done) is left out.
    pub fn with(mut self, figure: Figure, value: f64) -> Measure {
        if value.is_finite() {
            self.0.push((figure, value));
        }
        self
    }
}

/// One figure over all rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// [`Figure::name`].
    pub name: String,
    /// [`Figure::unit`].
    pub unit: String,
    /// [`Figure::better`].
    pub better: Better,
    /// In the order of the rounds.
    pub rounds: Vec<f64>,
}

impl Series {
    /// The middle of the sorted rounds; of two middles the worse.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = match self.better {
            Better::Higher => sorted.len().saturating_sub(1) / 2,
            Better::Lower => sorted.len() / 2,
        };
        sorted.get(middle).copied().unwrap_or(f64::NAN)
    }

    /// The best round.
    pub fn best(&self) -> f64 {
        let (low, high) = self.range();
        if self.better == Better::Higher { high } else { low }
    }

    /// The lowest and the highest round.
    pub fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(f64::NAN), sorted.last().copied().unwrap_or(f64::NAN))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// All rounds of one contestant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contest {
    /// `ceiling`, `thalweg`, `thalweg pagecache` or `kafka`.
    pub contestant: String,
    /// Its figures.
    pub figures: Vec<Series>,
}

impl Contest {
    /// Without rounds.
    pub fn new(contestant: &str) -> Contest {
        Contest { contestant: contestant.to_owned(), figures: Vec::new() }
    }

    /// Takes in a round.
    pub fn add(&mut self, measure: Measure) {
        for (figure, value) in measure.0 {
            match self.figures.iter_mut().find(|series| series.name == figure.name) {
                Some(series) => series.rounds.push(value),
                None => self.figures.push(Series {
                    name: figure.name.to_owned(),
                    unit: figure.unit.to_owned(),
                    better: figure.better,
                    rounds: vec![value],
                }),
            }
        }
    }

    /// The figure of this name.
    pub fn figure(&self, name: &str) -> Option<&Series> {
        self.figures.iter().find(|series| series.name == name)
    }
}

/// One case: the same load on several contestants, in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What selects it on the command line.
    pub workload: String,
    /// Unique.
    pub case: String,
    /// The load in words.
    pub load: String,
    /// What an answer means on each side.
    pub promise: String,
    /// In the order in which they took turns.
    pub contests: Vec<Contest>,
    /// What the case took with everything around it.
    #[serde(default)]
    pub seconds: f64,
}

impl Row {
    /// A case of one round, in which each contestant had these figures.
    #[cfg(test)]
    pub fn of_one_round<const N: usize>(workload: &str, case: &str, round: [(&str, Measure); N]) -> Row {
        let contests = round.map(|(contestant, measure)| {
            let mut contest = Contest::new(contestant);
            contest.add(measure);
            contest
        });
        Row {
            workload: workload.to_owned(),
            case: case.to_owned(),
            load: String::new(),
            promise: String::new(),
            contests: contests.into(),
            seconds: 0.0,
        }
    }

    /// The rounds of a contestant.
    pub fn contest(&self, contestant: &str) -> Option<&Contest> {
        self.contests.iter().find(|contest| contest.contestant == contestant)
    }

    /// The best round of a contestant's figure.
    pub fn best(&self, contestant: &str, figure: &str) -> Option<f64> {
        self.contest(contestant)?.figure(figure).map(Series::best).filter(|best| best.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, Contest, Measure, P50, RATE, Series};

    #[test]
    fn median_best_and_range_are_of_the_sorted_rounds() {
        let series =
            |better| Series { name: String::new(), unit: String::new(), better, rounds: vec![3.0, 1.0, 2.0, 9.0] };
        assert_eq!((series(Better::Higher).median(), series(Better::Higher).best()), (2.0, 9.0));
        assert_eq!((series(Better::Lower).median(), series(Better::Lower).best()), (3.0, 1.0));
        assert_eq!(series(Better::Lower).range(), (1.0, 9.0));
    }

    #[test]
    fn rounds_add_up_by_figure_and_what_cannot_be_told_is_left_out() {
        let mut contest = Contest::new("x");
        contest.add(Measure::default().with(RATE, 5.0).with(P50, f64::NAN));
        contest.add(Measure::default().with(RATE, 7.0).with(P50, 1.0));
        assert_eq!(contest.figure("rate").expect("there").rounds, [5.0, 7.0]);
        assert_eq!(contest.figure("p50").expect("there").rounds, [1.0]);
    }
}
