//! Runs of the simulation: storms of many seeds, a few that are told step by step, and faults that it must find.

use super::{CALM, Chaos, STORM, Sabotage, Simulation};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn storm(seed: u64, sabotage: Option<Sabotage>) {
    let voters = [3, 3, 5, 4, 2][(seed % 5) as usize];
    let mut simulation = Simulation::new(seed, voters, (seed % 2) as i32, sabotage);
    simulation.chaos = STORM;
    simulation.run(1_200);
    simulation.heal();
}

/// Elections that overlap, since messages travel as long as candidates wait, and a voter that starts again and again.
fn contested_elections(seed: u64, sabotage: Option<Sabotage>) {
    let mut simulation = Simulation::new(seed, 3, 0, sabotage);
    simulation.chaos = Chaos { repeated: 300, delay_ns_max: 900_000_000, ..CALM };
    for _ in 0..400 {
        if simulation.chance(100) {
            simulation.crash(3);
            simulation.start(3);
        }
        simulation.advance();
    }
}

/// Leaders that fall soon after they were elected, their logs copied batch by batch.
fn falling_leaders(seed: u64, sabotage: Option<Sabotage>) {
    let mut simulation = Simulation::new(seed, 3, 0, sabotage);
    simulation.chaos = Chaos { crash: 40, delay_ns_max: 300_000_000, batches_max: 1, ..CALM };
    simulation.run(800);
}

/// Cuts a node off, lets it sync what it has, and takes it down.
fn isolate(simulation: &mut Simulation, id: i32) {
    simulation.cut.extend((1..=3).flat_map(|other| [(id, other), (other, id)]));
    simulation.run_for(100);
    simulation.crash(id);
}

/// Figure 8 of the Raft paper: the first leader, elected again, copies a batch of its first epoch to a majority and falls; the
/// leader of the epoch between comes back and replaces that batch, which therefore must not have been called committed.
fn figure_8(seed: u64, sabotage: Option<Sabotage>) {
    let mut simulation = Simulation::new(seed, 3, 0, sabotage);
    simulation.chaos = Chaos { batches_max: 1, ..CALM };
    simulation.run_for(10_000);
    let first = simulation.leader().unwrap();
    simulation.append(first);
    let length = simulation.nodes[&first].log.len();
    isolate(&mut simulation, first);
    while simulation.leader().is_none() {
        simulation.advance();
    }
    let second = simulation.leader().unwrap();
    let third = 6 - first - second;
    isolate(&mut simulation, second);
    simulation.cut.clear();
    simulation.start(first);
    // The third node holds the old batch, and it is counted or the next one is there too.
    loop {
        let counted = simulation.nodes[&first].quorum.as_ref().unwrap().high_watermark();
        let old = simulation.nodes[&first].log[length - 1].end;
        if counted >= old || simulation.nodes[&third].log.len() > length {
            break;
        }
        simulation.advance();
    }
    simulation.crash(first);
    simulation.queue.clear();
    simulation.start(second);
    simulation.run_for(10_000);
    simulation.heal();
}

/// What the simulation says of this fault, over the seeds.
fn found(sabotage: Sabotage, run: impl Fn(u64, Option<Sabotage>)) -> Option<String> {
    (0..1_000).find_map(|seed| {
        let failure = catch_unwind(AssertUnwindSafe(|| run(seed, Some(sabotage)))).err()?;
        Some(failure.downcast_ref::<String>().cloned().unwrap_or_else(|| "no text".into()))
    })
}

fn finds(sabotage: Sabotage, run: impl Fn(u64, Option<Sabotage>), said: &[&str]) {
    let text = found(sabotage, run).unwrap_or_else(|| panic!("{sabotage:?} was not found"));
    assert!(said.iter().any(|said| text.contains(said)), "{sabotage:?} was found by something else: {text}");
}

#[test]
fn safety_holds_in_storms_and_healed_quorums_go_on() {
    for seed in 0..150 {
        storm(seed, None);
    }
}

#[test]
fn safety_holds_in_contested_elections_and_when_leaders_fall() {
    for seed in 0..100 {
        contested_elections(seed, None);
        falling_leaders(seed, None);
    }
}

#[test]
fn r19_figure_8_of_the_raft_paper() {
    for seed in 0..20 {
        figure_8(seed, None);
    }
}

/// One follower and the leader do not hear each other; all others do. Without pre-votes the follower would depose the leader.
fn half_cut_follower(seed: u64, sabotage: Option<Sabotage>) {
    let mut simulation = Simulation::new(seed, 3, 0, sabotage);
    simulation.chaos = CALM;
    simulation.run_for(10_000);
    let leader = simulation.leader().unwrap();
    let epoch = simulation.nodes[&leader].epoch;
    let cut = (1..=3).find(|id| *id != leader).unwrap();
    simulation.cut.extend([(leader, cut), (cut, leader)]);
    simulation.run_for(30_000);
    let now = simulation.nodes[&leader].epoch;
    assert_eq!((simulation.leader(), now), (Some(leader), epoch), "seed {seed}: a leader with a majority was deposed");
}

#[test]
fn kip_996_a_leader_that_a_majority_hears_is_not_deposed() {
    for seed in 0..20 {
        half_cut_follower(seed, None);
    }
}

#[test]
fn a_leader_without_a_majority_resigns_and_the_others_elect_another() {
    for seed in 0..20 {
        let mut simulation = Simulation::new(seed, 3, 0, None);
        simulation.run_for(10_000);
        let leader = simulation.leader().unwrap();
        for other in (1..=3).filter(|id| *id != leader) {
            simulation.cut.extend([(leader, other), (other, leader)]);
        }
        simulation.run_for(10_000);
        assert!(!simulation.nodes[&leader].quorum.as_ref().unwrap().is_leader(), "seed {seed}");
        assert!(simulation.leader().is_some(), "seed {seed}");
        simulation.heal();
    }
}

#[test]
fn r15_a_vote_that_is_not_persisted_is_found() {
    finds(
        Sabotage::VoteNotPersisted,
        contested_elections,
        &["two leaders in epoch", "epoch went back", "log matching"],
    );
}

#[test]
fn r19_commits_of_earlier_epochs_by_counting_are_found() {
    finds(
        Sabotage::CommitOfEarlierEpochs,
        figure_8,
        &["leader completeness", "a committed batch changed", "committed records cut"],
    );
}

#[test]
fn counting_what_is_not_durable_is_found() {
    finds(Sabotage::UndurableCounts, storm, &["have it on disk"]);
}

#[test]
fn pre_votes_despite_a_leader_are_found() {
    finds(Sabotage::PreVoteDespiteLeader, half_cut_follower, &["was deposed"]);
}

#[test]
fn a_divergence_that_is_not_cut_is_found() {
    finds(
        Sabotage::DivergenceUnseen,
        storm,
        &["log matching", "state machine safety", "leader completeness", "liveness", "after epoch"],
    );
}
