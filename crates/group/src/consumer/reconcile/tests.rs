//! Steps against Kafka's own (testdata/ConsumerVectors.java), and whole groups of honest members: no partition has two owners, and all
//! get what they shall have.

use super::Reconciliation;
use crate::Record;
use crate::assignor::TopicPartitions;
use crate::consumer::tests_support::owned;
use crate::consumer::{ConsumerGroup, Member, MemberState, OwnedPartitions, records};
use base::{ErrorCode, SeededRng, Uuid};
use std::collections::{BTreeMap, BTreeSet};

const VECTORS: &str = include_str!("../../../testdata/kafka-consumer.txt");

fn plain(owned: &OwnedPartitions) -> TopicPartitions {
    owned.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}

fn state(name: &str) -> MemberState {
    match name {
        "STABLE" => MemberState::Stable,
        "UNREVOKED_PARTITIONS" => MemberState::UnrevokedPartitions,
        "UNRELEASED_PARTITIONS" => MemberState::UnreleasedPartitions,
        _ => MemberState::Unknown,
    }
}

fn member(words: &[&str]) -> Member {
    let [name, epoch, previous, assigned, revoking] = *words else { panic!("{words:?} is no member") };
    Member {
        state: state(name),
        epoch: epoch.parse().expect("an epoch"),
        previous_epoch: previous.parse().expect("an epoch"),
        assigned: owned(assigned),
        revoking: owned(revoking),
        ..Member::default()
    }
}

#[test]
fn every_step_is_the_one_that_kafka_takes() {
    let mut count = 0;
    for line in VECTORS.lines().filter_map(|line| line.strip_prefix("step ")) {
        let (given, expected) = line.split_once(" = ").expect("a step and what came of it");
        let parts: Vec<Vec<&str>> = given.split(" | ").map(|part| part.split(' ').collect()).collect();
        let [before, asked, owners] = &parts[..] else { panic!("{line}") };
        let [target_epoch, target, changed, subscribed, has] = asked[..] else { panic!("{line}") };
        let owners = owned(owners[0]);
        let owners = owners.iter().flat_map(|(topic, of)| of.iter().map(|(partition, at)| ((*topic, *partition), *at)));
        let group = ConsumerGroup { owners: owners.collect(), ..ConsumerGroup::default() };
        let subscribed = subscribed.split(',').filter(|id| *id != "-").map(|id| Uuid(id.parse().expect("an id")));
        let (target, subscribed) = (plain(&owned(target)), subscribed.collect());
        let has = (has != "~").then(|| plain(&owned(has)));
        let step = Reconciliation {
            group: &group,
            target_epoch: target_epoch.parse().expect("an epoch"),
            target: &target,
            subscribed: &subscribed,
            has_subscription_changed: changed == "true",
            owned: has.as_ref(),
        };
        match (step.step(&member(before)), expected) {
            (Err(refusal), "fenced") => assert_eq!(refusal.code, ErrorCode::FencedMemberEpoch),
            (got, _) => {
                let words: Vec<&str> = expected.split(' ').collect();
                assert_eq!(got, Ok(member(&words)), "{line}");
            }
        }
        count += 1;
    }
    assert!(count >= 2_000, "{count}");
}

/// A consumer that does what it is told, in its own time.
#[derive(Clone, Debug, Default)]
struct Client {
    epoch: i32,
    /// What it reads now.
    has: TopicPartitions,
    /// What the coordinator said last.
    told: TopicPartitions,
    subscribed: BTreeSet<Uuid>,
}

struct Play {
    rng: SeededRng,
    group: ConsumerGroup,
    folded: ConsumerGroup,
    clients: BTreeMap<String, Client>,
}

const TOPICS: u128 = 3;
const PARTITIONS: i32 = 4;

impl Play {
    fn append(&mut self, record: &Record) {
        self.group.apply(record);
        let (key, value) = record.encode();
        self.folded.apply(&Record::decode(&key, value.as_deref()).expect("what was written can be read"));
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.rng.below(one_in) == 0
    }

    /// A new epoch with a target at random, for the members that there are.
    fn assign(&mut self) {
        let ids: Vec<String> = self.clients.keys().cloned().collect();
        let mut targets: BTreeMap<String, TopicPartitions> =
            ids.iter().map(|id| (id.clone(), TopicPartitions::new())).collect();
        for topic in 1..=TOPICS {
            for partition in 0..PARTITIONS {
                let subscribers: Vec<&String> =
                    ids.iter().filter(|id| self.clients[*id].subscribed.contains(&Uuid(topic))).collect();
                if subscribers.is_empty() {
                    continue;
                }
                let at = usize::try_from(self.rng.below(subscribers.len() as u64)).expect("few");
                let target = targets.get_mut(subscribers[at]).expect("it is a member");
                target.entry(Uuid(topic)).or_default().insert(partition);
            }
        }
        let epoch = self.group.epoch() + 1;
        self.append(&records::epoch("g", epoch, 0));
        for (id, target) in &targets {
            self.append(&records::target("g", id, target));
        }
        self.append(&records::target_epoch("g", epoch, 0));
    }

    fn join(&mut self, id: &str) {
        let all = (1..=TOPICS).map(Uuid);
        let subscribed: BTreeSet<Uuid> = all.filter(|_| self.rng.below(3) > 0).collect();
        self.clients.insert(id.to_owned(), Client { subscribed, ..Client::default() });
        self.append(&records::member("g", id, &Member::default()));
        self.assign();
    }

    /// Says goodbye, or falls silent and is fenced: what it had is free at once.
    fn leave(&mut self, id: &str) {
        self.clients.remove(id);
        for record in [records::no_current("g", id), records::no_target("g", id), records::no_member("g", id)] {
            self.append(&record);
        }
        self.assign();
    }

    fn heartbeat(&mut self, id: &str, has_subscription_changed: bool) {
        let client = self.clients[id].clone();
        let is_full = has_subscription_changed || self.rng.below(3) > 0;
        let member = self.group.members()[id].clone();
        let none = TopicPartitions::new();
        let next = Reconciliation {
            group: &self.group,
            target_epoch: self.group.target_epoch(),
            target: self.group.target(id).unwrap_or(&none),
            subscribed: &client.subscribed,
            has_subscription_changed,
            owned: is_full.then_some(&client.has),
        };
        let next = next.step(&member).expect("its state is known");
        if next != member {
            self.append(&records::current("g", id, &next));
        }
        if is_full {
            // What it said that it has not it does not take any more, unless it is told again: the coordinator may have given it on.
            let client = self.clients.get_mut(id).expect("it is a member");
            let has = client.has.clone();
            client.told.retain(|topic, of| {
                of.retain(|partition| has.get(topic).is_some_and(|has| has.contains(partition)));
                !of.is_empty()
            });
        }
        // The answer may be lost; the member asks again.
        if self.chance(5) {
            return;
        }
        let client = self.clients.get_mut(id).expect("it is a member");
        (client.epoch, client.told) = (next.epoch, plain(&next.assigned));
    }

    /// A client gives up what it was not told to keep, and only then takes what is new.
    fn obey(&mut self, id: &str) {
        let client = self.clients.get_mut(id).expect("it is a member");
        let keeps = |topic: &Uuid, partition: &i32| client.told.get(topic).is_some_and(|told| told.contains(partition));
        let has_more = client.has.iter().any(|(topic, of)| of.iter().any(|partition| !keeps(topic, partition)));
        if has_more {
            let told = client.told.clone();
            client.has.retain(|topic, of| {
                of.retain(|partition| told.get(topic).is_some_and(|told| told.contains(partition)));
                !of.is_empty()
            });
        } else {
            client.has.clone_from(&client.told);
        }
    }

    fn check(&self) {
        let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for (id, client) in &self.clients {
            for (topic, partitions) in &client.has {
                for partition in partitions {
                    let other = owners.insert((*topic, *partition), id);
                    assert_eq!(other, None, "{topic}-{partition} is read by {id} too: {:#?}", self.group);
                }
            }
        }
        let mut given: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for (id, member) in self.group.members() {
            for place in member.all_partitions() {
                assert_eq!(given.insert(place, id), None, "{place:?} is given to {id} too");
                assert_eq!(self.group.owner_epoch(place.0, place.1), member.epoch);
            }
        }
        assert_eq!(given.len(), self.group.owners.len(), "owners that own nothing");
        assert_eq!(self.group, self.folded, "the log says something else");
    }
}

fn play(seed: u64) {
    let (group, folded) = Default::default();
    let mut play = Play { rng: SeededRng::new(seed), group, folded, clients: BTreeMap::new() };
    for at in 0..300 {
        let id = format!("m{}", play.rng.below(5));
        match (play.clients.contains_key(&id), play.rng.below(20)) {
            (false, 0..10) => play.join(&id),
            (false, _) => continue,
            (true, 0) => play.leave(&id),
            (true, 1) => {
                let topic = Uuid(1 + u128::from(play.rng.below(3)));
                let client = play.clients.get_mut(&id).expect("it is a member");
                if !client.subscribed.remove(&topic) {
                    client.subscribed.insert(topic);
                }
                // With assignments put off (group.consumer.assignment.interval.ms) the target may be an old one.
                if at % 2 == 0 {
                    play.assign();
                }
                play.heartbeat(&id, true);
            }
            (true, 2..10) => play.obey(&id),
            (true, _) => play.heartbeat(&id, false),
        }
        play.check();
    }
    play.assign();
    for _ in 0..60 {
        let ids: Vec<String> = play.clients.keys().cloned().collect();
        for id in ids {
            play.heartbeat(&id, false);
            play.obey(&id);
            play.obey(&id);
            play.check();
        }
    }
    let epoch = play.group.target_epoch();
    for (id, client) in &play.clients {
        assert!(play.group.members()[id].has_reached(epoch), "seed {seed}: {id} is not there: {:#?}", play.group);
        assert_eq!(play.group.target(id), Some(&client.has), "seed {seed}: {id} has something else");
    }
}

#[test]
fn no_partition_has_two_owners_and_honest_members_reach_their_targets() {
    for seed in 0..300 {
        play(seed);
    }
}
