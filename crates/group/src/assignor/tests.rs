//! Balance, stickiness, completeness, on groups made at random.

mod kafka;

use super::{AssignError, AssignorKind, GroupAssignment, GroupSpec, MemberSpec, TopicPartitions};
use base::{SeededRng, Uuid};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
struct Member {
    instance: Option<String>,
    topics: BTreeSet<Uuid>,
    assigned: TopicPartitions,
}

#[derive(Clone, Debug, Default)]
struct World {
    members: BTreeMap<String, Member>,
    counts: BTreeMap<Uuid, i32>,
}

impl World {
    fn assign(&self, kind: AssignorKind) -> GroupAssignment {
        let members = self.members.iter().map(|(id, member)| {
            let spec = MemberSpec {
                instance_id: member.instance.as_deref(),
                topics: &member.topics,
                assigned: &member.assigned,
            };
            (id.as_str(), spec)
        });
        let spec = GroupSpec {
            members: members.collect(),
            partition_counts: self.counts.clone(),
            is_homogeneous: self.is_homogeneous(),
        };
        kind.assign(&spec).expect("every topic is known")
    }

    fn is_homogeneous(&self) -> bool {
        let mut subscriptions = self.members.values().map(|member| &member.topics);
        subscriptions.next().is_none_or(|first| subscriptions.all(|topics| topics == first))
    }

    fn take(&mut self, assignment: &GroupAssignment) {
        for (id, member) in &mut self.members {
            member.assigned = assignment.get(id).cloned().unwrap_or_default();
        }
    }

    /// Every partition of a subscribed topic has exactly one owner, who subscribes to it.
    fn check_complete(&self, assignment: &GroupAssignment, what: &str) {
        let mut seen: BTreeSet<(Uuid, i32)> = BTreeSet::new();
        for (id, topics) in assignment {
            for (topic, partitions) in topics {
                assert!(self.members[id].topics.contains(topic), "{what}: {id} does not subscribe to {topic}");
                assert!(!partitions.is_empty(), "{what}: an empty set is no assignment");
                for partition in partitions {
                    assert!(*partition < self.counts[topic], "{what}: {topic} has no partition {partition}");
                    assert!(seen.insert((*topic, *partition)), "{what}: two members own {topic}-{partition}");
                }
            }
        }
        let subscribed: BTreeSet<Uuid> = self.members.values().flat_map(|member| member.topics.clone()).collect();
        let wanted: i32 = subscribed.iter().map(|topic| self.counts[topic]).sum();
        assert_eq!(i32::try_from(seen.len()), Ok(wanted), "{what}: partitions are left over");
    }

    /// No partition could go to another subscriber of its topic and make both more even.
    fn check_no_move_helps(&self, assignment: &GroupAssignment, what: &str) {
        for (from, topics) in assignment {
            for topic in topics.keys() {
                let takers = self.members.iter().filter(|(_, member)| member.topics.contains(topic));
                let least = takers.map(|(id, _)| size(assignment, id)).min().expect("the owner subscribes");
                assert!(size(assignment, from) <= least + 1, "{what}: a partition of {topic} should leave {from}");
            }
        }
    }
}

fn size(assignment: &GroupAssignment, id: &str) -> usize {
    assignment.get(id).map_or(0, |topics| topics.values().map(BTreeSet::len).sum())
}

fn id(number: u64) -> String {
    format!("m{number:03}")
}

fn random_world(rng: &mut SeededRng, is_mixed: bool) -> World {
    let counts: BTreeMap<Uuid, i32> = (1..=1 + rng.below(6))
        .map(|topic| (Uuid(topic.into()), i32::try_from(1 + rng.below(20)).expect("few")))
        .collect();
    let mut world = World { members: BTreeMap::new(), counts };
    for number in 0..1 + rng.below(12) {
        let member = random_member(rng, &world.counts, is_mixed);
        world.members.insert(id(number), member);
    }
    world
}

fn random_member(rng: &mut SeededRng, counts: &BTreeMap<Uuid, i32>, is_mixed: bool) -> Member {
    let mut topics: BTreeSet<Uuid> = counts.keys().copied().filter(|_| !is_mixed || rng.below(2) == 0).collect();
    if topics.is_empty() {
        topics.extend(counts.keys().next());
    }
    Member {
        instance: (rng.below(4) == 0).then(|| format!("i{}", rng.below(1_000_000))),
        topics,
        assigned: BTreeMap::new(),
    }
}

/// Something that happens to groups: a member leaves or comes, a topic grows.
fn change(rng: &mut SeededRng, world: &mut World, is_mixed: bool) {
    match rng.below(3) {
        0 if world.members.len() > 1 => {
            let at = usize::try_from(rng.below(world.members.len() as u64)).expect("few");
            let gone = world.members.keys().nth(at).cloned().expect("there are as many");
            world.members.remove(&gone);
        }
        1 => {
            let topic = world.counts.keys().next().copied().expect("there is one");
            *world.counts.get_mut(&topic).expect("it is there") += 1;
        }
        _ => {
            let member = random_member(rng, &world.counts, is_mixed);
            world.members.insert(id(100 + rng.below(800)), member);
        }
    }
}

#[test]
fn uniform_is_even_complete_and_sticky() {
    for seed in 0..300 {
        let mut rng = SeededRng::new(seed);
        let mut world = random_world(&mut rng, false);
        for step in 0..8 {
            let what = format!("seed {seed}, step {step}");
            let assignment = world.assign(AssignorKind::Uniform);
            world.check_complete(&assignment, &what);
            let sizes: Vec<usize> = world.members.keys().map(|id| size(&assignment, id)).collect();
            let (least, most) = (sizes.iter().min().expect("one"), sizes.iter().max().expect("one"));
            assert!(most - least <= 1, "{what}: {sizes:?}");
            for (id, member) in &world.members {
                let had: usize = member.assigned.values().map(BTreeSet::len).sum();
                let kept: usize = member
                    .assigned
                    .iter()
                    .map(|(topic, old)| assignment[id].get(topic).map_or(0, |new| old.intersection(new).count()))
                    .sum();
                assert!(kept >= had.min(*least), "{what}: {id} had {had}, keeps {kept}, may have {least}");
            }
            world.take(&assignment);
            assert_eq!(world.assign(AssignorKind::Uniform), assignment, "{what}: a second look moves nothing");
            change(&mut rng, &mut world, false);
        }
    }
}

#[test]
fn uniform_with_different_subscriptions_is_complete_and_no_single_move_evens_it_out_further() {
    for seed in 0..300 {
        let mut rng = SeededRng::new(seed);
        let mut world = random_world(&mut rng, true);
        for step in 0..8 {
            let what = format!("seed {seed}, step {step}");
            let assignment = world.assign(AssignorKind::Uniform);
            world.check_complete(&assignment, &what);
            world.check_no_move_helps(&assignment, &what);
            world.take(&assignment);
            assert_eq!(world.assign(AssignorKind::Uniform), assignment, "{what}: a second look moves nothing");
            change(&mut rng, &mut world, true);
        }
    }
}

#[test]
fn range_is_complete_and_gives_equal_topics_equal_owners() {
    for seed in 0..300 {
        let mut rng = SeededRng::new(seed);
        let is_mixed = seed % 2 == 1;
        let mut world = random_world(&mut rng, is_mixed);
        if !is_mixed {
            world.counts.values_mut().for_each(|count| *count = 7);
        }
        let assignment = world.assign(AssignorKind::Range);
        world.check_complete(&assignment, &format!("seed {seed}"));
        for topics in assignment.values().filter(|_| !is_mixed) {
            let distinct: BTreeSet<&BTreeSet<i32>> = topics.values().collect();
            assert!(distinct.len() <= 1, "seed {seed}: topics are not co-partitioned: {topics:?}");
        }
        for partitions in assignment.values().flat_map(BTreeMap::values) {
            let (first, last) = (partitions.first().expect("some"), partitions.last().expect("some"));
            assert_eq!(usize::try_from(last - first + 1), Ok(partitions.len()), "seed {seed}: no gaps");
        }
    }
}

#[test]
fn range_deals_static_members_first_by_instance() {
    let topic = Uuid(1);
    let member = |instance: Option<&str>| Member {
        instance: instance.map(str::to_owned),
        topics: BTreeSet::from([topic]),
        assigned: BTreeMap::new(),
    };
    let world = World {
        members: BTreeMap::from([
            ("a".to_owned(), member(None)),
            ("b".to_owned(), member(Some("z"))),
            ("c".to_owned(), member(Some("y"))),
        ]),
        counts: BTreeMap::from([(topic, 7)]),
    };
    let assignment = world.assign(AssignorKind::Range);
    let of = |id: &str| assignment[id][&topic].iter().copied().collect::<Vec<_>>();
    assert_eq!((of("c"), of("b"), of("a")), (vec![0, 1, 2], vec![3, 4], vec![5, 6]));
}

#[test]
fn a_topic_that_nobody_knows_is_an_error() {
    let topics = BTreeSet::from([Uuid(1)]);
    let member = MemberSpec { instance_id: None, topics: &topics, assigned: &BTreeMap::new() };
    let spec =
        GroupSpec { members: BTreeMap::from([("a", member)]), partition_counts: BTreeMap::new(), is_homogeneous: true };
    assert_eq!(AssignorKind::Uniform.assign(&spec), Err(AssignError::UnknownTopic(Uuid(1))));
    assert_eq!(AssignorKind::Range.assign(&spec), Err(AssignError::UnknownTopic(Uuid(1))));
}

#[test]
fn five_hundred_members_share_many_partitions_evenly() {
    let counts: BTreeMap<Uuid, i32> = (1..=10).map(|topic| (Uuid(topic), 100)).collect();
    let topics: BTreeSet<Uuid> = counts.keys().copied().collect();
    let member = Member { instance: None, topics, assigned: BTreeMap::new() };
    let mut world = World { members: (0..500).map(|number| (id(number), member.clone())).collect(), counts };
    let assignment = world.assign(AssignorKind::Uniform);
    assert!(world.members.keys().all(|id| size(&assignment, id) == 2));
    world.take(&assignment);
    world.members.remove(&id(7));
    let after = world.assign(AssignorKind::Uniform);
    let moved: usize = world.members.keys().map(|id| size(&after, id)).sum::<usize>()
        - world
            .members
            .iter()
            .map(|(id, member)| {
                member.assigned.iter().map(|(topic, old)| old.intersection(&after[id][topic]).count()).sum::<usize>()
            })
            .sum::<usize>();
    assert_eq!(moved, 2, "only what the one that left had");
}

/// What an upgraded classic group may bring: its leader assigned what it liked.
#[test]
fn partitions_held_twice_or_not_there_end_with_one_owner() {
    for seed in 0..200 {
        let mut rng = SeededRng::new(seed);
        let is_mixed = seed % 2 == 1;
        let mut world = random_world(&mut rng, is_mixed);
        let topics: Vec<Uuid> = world.counts.keys().copied().collect();
        for member in world.members.values_mut() {
            for topic in topics.iter().copied().chain([Uuid(99)]) {
                let wild = (0..rng.below(30)).map(|_| i32::try_from(rng.below(40)).expect("few") - 5);
                member.assigned.insert(topic, wild.chain([i32::MIN, i32::MAX]).collect());
            }
        }
        let assignment = world.assign(AssignorKind::Uniform);
        world.check_complete(&assignment, &format!("seed {seed}"));
        world.check_no_move_helps(&assignment, &format!("seed {seed}"));
    }
}
