//! The same groups through Kafka's own assignors: testdata/AssignorVectors.java says how the file was made and what its lines mean.

use super::{Member, World};
use crate::assignor::{AssignorKind, GroupAssignment, TopicPartitions};
use base::Uuid;
use std::collections::{BTreeMap, BTreeSet};

const VECTORS: &str = include_str!("../../../testdata/kafka-assignors.txt");

/// One step: the group as it is now, and what Kafka's assignor gives it.
struct Step<'a> {
    at: String,
    kind: AssignorKind,
    /// Kafka's result depends on the order of a hash set: only sizes and what was kept are determined.
    is_loose: bool,
    topics: Vec<(Uuid, i32)>,
    members: Vec<(&'a str, Option<&'a str>, Member)>,
    given: GroupAssignment,
}

fn topic(text: &str) -> Uuid {
    if text.len() == 22 { text.parse().expect("an id") } else { Uuid(text.parse().expect("a small id")) }
}

fn partitions(text: &str) -> BTreeSet<i32> {
    let ranges = text.split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<i32>().expect("a partition")..=last.parse().expect("a partition")
    });
    ranges.flatten().collect()
}

fn steps() -> Vec<Vec<Step<'static>>> {
    let mut scenarios: Vec<Vec<Step<'_>>> = Vec::new();
    let mut lines = VECTORS.lines();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["scenario", _] => scenarios.push(Vec::new()),
            ["step", name, ref loose @ ..] => {
                let at = format!("scenario {}, step {}", scenarios.len() - 1, scenarios.last().map_or(0, Vec::len));
                let topics = lines.next().expect("topics follow").split(' ').map(|word| {
                    let (id, count) = word.split_once(':').expect("a topic and its partitions");
                    (topic(id), count.parse().expect("a number"))
                });
                scenarios.last_mut().expect("a scenario came first").push(Step {
                    at,
                    kind: AssignorKind::from_name(name).expect("an assignor of ours"),
                    is_loose: !loose.is_empty(),
                    topics: topics.collect(),
                    members: Vec::new(),
                    given: GroupAssignment::new(),
                });
            }
            _ => member(scenarios.last_mut().and_then(|steps| steps.last_mut()).expect("a step came first"), &words),
        }
    }
    scenarios
}

/// `id[<replaced] instance|- topic,.. = [topic:partitions ..]`
fn member(step: &mut Step<'static>, words: &[&'static str]) {
    let &[id, instance, topics, "=", ref given @ ..] = words else { panic!("{}: {words:?}", step.at) };
    let (id, replaced) = id.split_once('<').map_or((id, None), |(id, old)| (id, Some(old)));
    let place = |text: &str| step.topics[text.parse::<usize>().expect("a place")].0;
    let given = given.iter().map(|word| {
        let (at, list) = word.split_once(':').expect("a topic and partitions");
        (place(at), partitions(list))
    });
    step.given.insert(id.to_owned(), given.collect());
    let member = Member {
        instance: (instance != "-").then(|| instance.to_owned()),
        topics: topics.split(',').filter(|text| !text.is_empty()).map(place).collect(),
        assigned: TopicPartitions::new(),
    };
    step.members.push((id, replaced, member));
}

/// Every member with how much it has, and how much of that it had before.
fn sizes(world: &World, assignment: &GroupAssignment) -> BTreeMap<String, (usize, usize)> {
    let one = |(id, member): (&String, &Member)| {
        let none = TopicPartitions::new();
        let now = assignment.get(id).unwrap_or(&none);
        let kept =
            now.iter().map(|(topic, now)| member.assigned.get(topic).map_or(0, |old| old.intersection(now).count()));
        (id.clone(), (now.values().map(BTreeSet::len).sum(), kept.sum()))
    };
    world.members.iter().map(one).collect()
}

/// Members without partitions may be left out or be there with none.
fn without_empty(assignment: &GroupAssignment) -> BTreeMap<&str, &TopicPartitions> {
    assignment.iter().filter(|(_, topics)| !topics.is_empty()).map(|(id, topics)| (id.as_str(), topics)).collect()
}

#[test]
fn every_step_ends_as_with_kafkas_own_assignors() {
    let (mut exact, mut loose) = (0, 0);
    for steps in steps() {
        let mut before = GroupAssignment::new();
        for step in steps {
            let mut world = World { counts: step.topics.iter().copied().collect(), ..World::default() };
            for (id, replaced, member) in step.members {
                let assigned = before.get(replaced.unwrap_or(id)).cloned().unwrap_or_default();
                world.members.insert(id.to_owned(), Member { assigned, ..member });
            }
            let ours = world.assign(step.kind);
            world.check_complete(&ours, &step.at);
            if step.is_loose {
                assert_eq!(sizes(&world, &ours), sizes(&world, &step.given), "{}", step.at);
                loose += 1;
            } else {
                assert_eq!(without_empty(&ours), without_empty(&step.given), "{}: {world:?}", step.at);
                exact += 1;
            }
            before = step.given;
        }
    }
    assert!(exact > 1_000 && loose > 50, "{exact} exact, {loose} loose: the file holds fewer steps than it should");
}
