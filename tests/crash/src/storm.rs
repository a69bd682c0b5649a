//! Blow after blow on one node under load, and after each the verdict on everything that is left.
//!
//! A storm has lives of several blows on the same data; each life ends with every batch acked, a clean stop, a look at every byte and
//! one more start. What is judged is judged by the checker; this file only does things to the node.

use crate::checker::{Verdict, check};
use crate::history::{Event, Span};
use crate::load::{At, Cast, Load, read_log};
use crate::node::{Node, Plan};
use crate::rng::Rng;
use crate::volume::{Cut, Volume};
use conformance::fault::{During, Fault, fail};
use conformance::process::now;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a blow waits for is there by then.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(120);
/// Blows of one life. A longer one only has a longer history to judge.
const BLOWS_OF_A_LIFE: u32 = 6;
/// Ranges that are written back before a cut.
const RANGES_MAX: u64 = 12;

/// What is done to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The power goes; `stopped` nodes do not see it coming, others see their disk die first.
    Cut {
        /// How the journal is left.
        cut: Cut,
        /// SIGSTOP first.
        stopped: bool,
        /// Some of what was written is on disk without the node's doing.
        written_back: bool,
    },
    /// SIGKILL, after SIGSTOP or not; the page cache is kept.
    Kill {
        /// SIGSTOP first.
        stopped: bool,
    },
    /// SIGKILL, a start, a look at everything, and the power goes at once: what a recovered log shows must be on disk too.
    KillThenCut,
}

/// Which blows a storm draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Power cuts, on a volume of its own.
    Cuts,
    /// kill -9.
    Kills,
}

/// A storm.
pub struct Storm<'a> {
    /// Where its files go.
    pub folder: &'a Path,
    /// Which blows.
    pub kind: Kind,
    /// How many.
    pub blows: u32,
    /// The seed of every choice.
    pub seed: u64,
    /// Who takes part.
    pub cast: Cast,
    /// A program that runs the node.
    pub through: Vec<PathBuf>,
}

/// What a storm did.
#[derive(Debug, Default)]
pub struct Figures {
    /// Blows.
    pub blows: u32,
    /// Records acked with acks=all.
    pub acked_all: u64,
    /// Records acked with acks=1.
    pub acked_leader: u64,
    /// Records that were lost though they were acked.
    pub lost: u64,
    /// Records that are there twice.
    pub duplicated: u64,
    /// Records with acks=1 that a power cut took, as it may.
    pub given_up: u64,
    /// Confirmed commits of groups.
    pub commits: u64,
    /// The slowest start after a blow.
    pub slowest_start: Duration,
    /// The whole storm.
    pub took: Duration,
    /// What was wrong, with the seed of its life.
    pub anomalies: Vec<String>,
}

impl Figures {
    fn add(&mut self, verdict: &Verdict, what: &str) {
        self.acked_all += verdict.acked_all;
        self.acked_leader += verdict.acked_leader;
        self.lost += verdict.lost;
        self.duplicated += verdict.duplicated;
        self.given_up += verdict.given_up;
        self.commits += verdict.commits;
        self.anomalies.extend(verdict.anomalies.iter().map(|anomaly| format!("{what}: {anomaly}")));
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!(
            "{} blows, {} records acked with acks=all and {} with acks=1, {} commits: {} lost, {} duplicated, {} of acks=1 given up to \
             power cuts; {} ms per round, slowest start {} ms",
            self.blows,
            self.acked_all,
            self.acked_leader,
            self.commits,
            self.lost,
            self.duplicated,
            self.given_up,
            self.took.as_millis() / u128::from(self.blows.max(1)),
            self.slowest_start.as_millis(),
        )
    }
}

impl Storm<'_> {
    /// Runs until all blows have fallen, or a life had an anomaly.
    pub fn run(&self) -> Result<Figures, Fault> {
        let started = now();
        let mut figures = Figures::default();
        let mut rng = Rng::new(self.seed);
        while figures.blows < self.blows && figures.anomalies.is_empty() {
            let seed = rng.next();
            let blows = (self.blows - figures.blows).min(BLOWS_OF_A_LIFE);
            Life::new(self, seed)?.run(blows, &mut figures).during(format!("a life with seed {seed}"))?;
        }
        figures.took = now() - started;
        Ok(figures)
    }
}

/// A node's data from its making to its last clean stop.
struct Life {
    seed: u64,
    rng: Rng,
    kind: Kind,
    // Before the volume, so that the node is gone when the volume is unmounted.
    node: Option<Node>,
    load: Load,
    plan: Plan,
    volume: Option<Volume>,
    data: PathBuf,
}

impl Life {
    fn new(storm: &Storm<'_>, seed: u64) -> Result<Life, Fault> {
        let mut rng = Rng::new(seed);
        // In writeback mode a file may have grown over blocks that were never written.
        let options = if rng.one_in(3) { ",data=writeback,nodelalloc" } else { "" };
        let volume = match Volume::ext4(storm.folder, "volume", 1024, options) {
            // A kill keeps the page cache: any file system will do.
            Err(Fault::Skipped(_)) if storm.kind == Kind::Kills => None,
            volume => Some(volume?),
        };
        let data = volume.as_ref().map_or(storm.folder, |volume| &volume.mounted).join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data).during(data.display())?;
        }
        let mut plan = Plan::new(std::slice::from_ref(&data), &storm.folder.join("node.log"))
            .with("log.flush.offset.checkpoint.interval.ms", if rng.one_in(2) { 300 } else { 60_000 })
            .with("replica.high.watermark.checkpoint.interval.ms", 500);
        let load = Load::start(storm.cast, seed)?;
        let node = plan.start()?;
        // A full index rolls a segment, so a small one gives small segments, below what segment.bytes allows.
        let index = [48, 240, 2_400, 10_485_760][usize::try_from(rng.below(4)).unwrap_or(0)].to_string();
        load.create_topic(&node.address, &[("segment.index.bytes", &index), ("retention.ms", "-1")])?;
        let node = if storm.through.is_empty() {
            node
        } else {
            // What the log dir is made of is on disk; what is at stake are records.
            node.stop()?;
            plan.through.clone_from(&storm.through);
            plan.start()?
        };
        Ok(Life { seed, rng, kind: storm.kind, node: Some(node), load, plan, volume, data })
    }

    fn run(mut self, blows: u32, figures: &mut Figures) -> Result<(), Fault> {
        for _ in 0..blows {
            let blow = self.draw();
            self.strike(blow).during(format!("{blow:?}"))?;
            figures.blows += 1;
            let node = self.start()?;
            figures.slowest_start = figures.slowest_start.max(node.ready_in);
            self.node = Some(node);
            self.look().during(format!("after {blow:?}"))?;
            let verdict = check(self.load.history());
            if !verdict.anomalies.is_empty() {
                figures.add(&verdict, &format!("seed {}, after {blow:?}", self.seed));
                return Ok(());
            }
        }
        self.open();
        self.load.drain()?;
        self.node.take().map_or(Ok(()), Node::stop)?;
        self.plan.verify()?;
        self.node = Some(self.start()?);
        self.look()?;
        figures.add(&check(self.load.history()), &format!("seed {}, at the end", self.seed));
        self.node.take().map_or(Ok(()), Node::stop)
    }

    fn draw(&mut self) -> Blow {
        let stopped = self.rng.one_in(3);
        match self.kind {
            Kind::Kills => Blow::Kill { stopped },
            Kind::Cuts if self.rng.one_in(6) => Blow::KillThenCut,
            Kind::Cuts => {
                let cut = if self.rng.one_in(2) { Cut::JournalKept } else { Cut::JournalLost };
                Blow::Cut { cut, stopped, written_back: self.rng.one_in(2) }
            }
        }
    }

    fn open(&self) {
        if let Some(node) = &self.node {
            self.load.open(&node.address);
        }
    }

    /// Loads the node and strikes it; when this returns it is gone, and its file system is sound again.
    fn strike(&mut self, blow: Blow) -> Result<(), Fault> {
        self.open();
        let more = 200 + self.rng.below(6_000);
        self.load.await_acks(more, PROGRESS_DEADLINE)?;
        match blow {
            Blow::Kill { stopped } => self.kill(stopped)?,
            Blow::Cut { cut, stopped, written_back } => {
                let ranges = if written_back { self.ranges()? } else { Vec::new() };
                if stopped && let Some(node) = &self.node {
                    node.running.pause()?;
                }
                self.cut(cut, &ranges)?;
            }
            Blow::KillThenCut => {
                self.kill(false)?;
                self.load.close()?;
                self.node = Some(self.start()?);
                self.look()?;
                self.cut(Cut::JournalLost, &[])?;
            }
        }
        self.load.close()?;
        match &self.volume {
            Some(volume) => volume.remount(),
            None => Ok(()),
        }
    }

    fn kill(&mut self, stopped: bool) -> Result<(), Fault> {
        let Some(node) = self.node.take() else { return fail("no node to kill") };
        if stopped {
            node.running.pause()?;
        }
        node.kill()
    }

    fn cut(&mut self, cut: Cut, ranges: &[(PathBuf, u64, u64)]) -> Result<(), Fault> {
        let Some(volume) = &self.volume else { return fail("a power cut needs a volume") };
        self.load.deafen();
        let invoked = self.load.world.tick();
        volume.cut(cut, ranges)?;
        self.kill(false)?;
        // Answers that were on their way when the power went are read by now.
        self.load.close()?;
        self.load.hear();
        let span = Span { invoked, completed: self.load.world.tick() };
        self.load.note(Event::PowerCut(span));
        Ok(())
    }

    /// Random ranges of the data's files. Small ones: the kernel joins neighbours to large writes.
    fn ranges(&mut self) -> Result<Vec<(PathBuf, u64, u64)>, Fault> {
        let mut files = Vec::new();
        for folder in std::fs::read_dir(&self.data).during(self.data.display())? {
            let folder = folder.during(self.data.display())?.path();
            // Folders and files come and go under the load.
            let Ok(inside) = std::fs::read_dir(&folder) else { continue };
            files.extend(inside.flatten().map(|entry| entry.path()));
        }
        files.sort();
        let mut ranges = Vec::new();
        for _ in 0..1 + self.rng.below(RANGES_MAX) {
            let at = usize::try_from(self.rng.below(files.len().max(1) as u64)).unwrap_or(0);
            let Some(path) = files.get(at) else { continue };
            let len = path.metadata().map_or(0, |meta| meta.len()).max(4096);
            let from = self.rng.below(len) / 4096 * 4096;
            ranges.push((path.clone(), from, 4096 * (1 + self.rng.below(4))));
        }
        Ok(ranges)
    }

    fn start(&self) -> Result<Node, Fault> {
        self.plan.start()
    }

    fn look(&mut self) -> Result<(), Fault> {
        let Some(node) = &self.node else { return fail("no node to look at") };
        read_log(&mut self.load, &node.address, At::Start)
    }
}
