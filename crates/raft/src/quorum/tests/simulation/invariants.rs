//! What must hold after every step of a simulation.

use super::{Entry, Quorum, Simulation};
use base::Offset;
use std::collections::BTreeMap;

/// What was seen so far and may not be contradicted.
#[derive(Default)]
pub(super) struct Seen {
    /// Leaders by epoch.
    leaders: BTreeMap<i32, i32>,
    /// All that any node called committed.
    committed: Vec<Entry>,
    /// High watermarks since each node's last start.
    high_watermarks: BTreeMap<i32, Offset>,
}

impl Seen {
    pub(super) fn restarted(&mut self, id: i32) {
        self.high_watermarks.remove(&id);
    }

    fn end(&self) -> Offset {
        self.committed.last().map_or(Offset(0), |entry| entry.end)
    }
}

impl Simulation {
    /// A node says that everything below `offset` is committed.
    pub(super) fn committed(&mut self, id: i32, offset: Offset) {
        let seed = self.seed;
        let before = self.seen.high_watermarks.insert(id, offset).unwrap_or(Offset(0));
        assert!(offset >= before, "seed {seed}: node {id}: the high watermark went back from {before} to {offset}");
        let log = &self.nodes[&id].log;
        for (at, entry) in log.iter().take_while(|entry| entry.end <= offset).enumerate() {
            match self.seen.committed.get(at) {
                Some(known) => {
                    assert_eq!(known, entry, "seed {seed}: node {id}: state machine safety: a committed batch changed");
                }
                None => self.seen.committed.push(entry.clone()),
            }
        }
        let held = |voter: &i32| {
            let node = &self.nodes[voter];
            node.log[..node.synced].last().is_some_and(|entry| entry.end >= offset)
        };
        let durable = (1..=self.voters).filter(held).count();
        assert!(
            durable > self.voters as usize / 2,
            "seed {seed}: node {id}: {offset} is called committed, and only {durable} voters have it on disk"
        );
    }

    pub(super) fn check(&mut self) {
        let seed = self.seed;
        for (id, node) in &mut self.nodes {
            let Some(quorum) = &node.quorum else { continue };
            let epoch = quorum.epoch();
            assert!(epoch >= node.epoch, "seed {seed}: node {id}: epoch went back from {} to {epoch}", node.epoch);
            node.epoch = epoch;
            assert_eq!(
                quorum.log_end(),
                node.log.last().map_or(Offset(0), |entry| entry.end),
                "seed {seed}: node {id}: the core's log end"
            );
            assert!(quorum.high_watermark() <= quorum.log_end(), "seed {seed}: node {id}: watermark beyond the log");
            if quorum.is_leader() {
                let first = *self.seen.leaders.entry(epoch.0).or_insert(*id);
                assert_eq!(first, *id, "seed {seed}: election safety: two leaders in epoch {epoch}");
            }
        }
        self.check_logs();
    }

    /// Log matching, and leader completeness: a leader of the newest epoch holds all that was committed.
    fn check_logs(&self) {
        let seed = self.seed;
        let newest = self.nodes.values().map(|node| node.epoch).max();
        for (id, node) in &self.nodes {
            let leads = node.quorum.as_ref().is_some_and(Quorum::is_leader) && Some(node.epoch) == newest;
            if leads {
                let all = node.log.get(..self.seen.committed.len());
                assert!(
                    all == Some(&self.seen.committed[..]),
                    "seed {seed}: leader completeness: node {id} lacks what is committed below {}",
                    self.seen.end()
                );
            }
            for (other_id, other) in self.nodes.range(id + 1..) {
                // The last batch that both logs hold in the same epoch at the same place: before it they must be the same.
                let same = |(mine, theirs): (&Entry, &Entry)| mine.epoch == theirs.epoch && mine.base == theirs.base;
                let pairs = node.log.iter().zip(&other.log);
                let Some(last) = pairs.clone().rposition(same) else { continue };
                assert!(
                    node.log[..=last] == other.log[..=last],
                    "seed {seed}: log matching: nodes {id} and {other_id} differ before their batch {last}"
                );
            }
        }
    }
}
