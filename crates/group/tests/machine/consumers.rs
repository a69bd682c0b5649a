//! The same proof, played by members of the consumer protocol: a static one, one that reads by an expression, commits, topics that grow,
//! and a coordinator that moves in the middle of it. Nobody reads a partition that another one has (R40), and all of a group is in its log.

use base::{NodeId, Offset, Refusal, SeededRng, Uuid};
use group::consumer::State;
use group::{Group, Groups, Reply, RequestContext, Settings};
use metadata::{Changes, MetadataImage, Provenance};
use protocol::messages as m;
use rsm::testing::{Script, play};
use rsm::{Effects, Now, Ticket};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Partitions = BTreeSet<(Uuid, i32)>;

/// A consumer that does what it is told, in its own time.
#[derive(Clone, Debug, Default)]
struct Client {
    id: String,
    epoch: i32,
    /// What it reads now, and what it was told to.
    has: Partitions,
    told: Partitions,
    /// Its request that is on the way: a client has one at a time.
    waits: Option<Ticket>,
}

#[derive(Default)]
struct Consumers {
    clients: Vec<Client>,
    asked: BTreeMap<Ticket, usize>,
    partitions: i32,
    image: MetadataImage,
    born: u32,
}

const CLIENTS: usize = 5;
/// The one that is a static member, and the one that subscribes by an expression.
const FIXED: usize = 0;
const BY_REGEX: usize = 1;

fn topic(image: &mut MetadataImage, partitions: i32) {
    let topic = m::topic_record::TopicRecord { name: "t".into(), topic_id: Uuid(1), ..Default::default() };
    image.apply(&topic.into(), &mut Changes::default());
    for partition_id in 0..partitions {
        let partition = m::partition_record::PartitionRecord {
            partition_id,
            topic_id: Uuid(1),
            replicas: vec![1],
            isr: vec![1],
            leader: NodeId(1).0,
            ..Default::default()
        };
        image.apply(&partition.into(), &mut Changes::default());
    }
    let offset = Offset(image.provenance().offset.0 + 1);
    image.set_provenance(Provenance { offset, ..image.provenance() });
}

impl Consumers {
    /// What a client says; all of it when it joins, and now and then.
    fn says(
        &mut self,
        rng: &mut SeededRng,
        at: usize,
    ) -> m::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest<'static> {
        use m::consumer_group_heartbeat_request::{ConsumerGroupHeartbeatRequest, TopicPartitions};
        if self.clients[at].id.is_empty() {
            self.born += 1;
            self.clients[at].id = format!("m{at}-{}", self.born);
        }
        let client = &self.clients[at];
        let is_full = client.epoch == 0 || rng.below(3) == 0;
        let partitions: Vec<i32> = client.has.iter().map(|(_, partition)| *partition).collect();
        let owned = if partitions.is_empty() {
            Vec::new()
        } else {
            vec![TopicPartitions { topic_id: Uuid(1), partitions, ..Default::default() }]
        };
        ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: Cow::Owned(client.id.clone()),
            member_epoch: client.epoch,
            instance_id: (at == FIXED).then_some(Cow::Borrowed("fixed")),
            rebalance_timeout_ms: if is_full { 20_000 } else { -1 },
            subscribed_topic_names: (is_full && at != BY_REGEX).then(|| vec![Cow::Borrowed("t")]),
            subscribed_topic_regex: (is_full && at == BY_REGEX).then_some(Cow::Borrowed("t.*")),
            topic_partitions: is_full.then_some(owned),
            ..Default::default()
        }
    }

    fn commit(&self, at: usize, offset: i64) -> m::offset_commit_request::OffsetCommitRequest<'static> {
        use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
        let client = &self.clients[at];
        let partitions = client.has.iter().map(|(_, partition_index)| OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: offset,
            ..Default::default()
        });
        m::offset_commit_request::OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: client.epoch,
            member_id: Cow::Owned(client.id.clone()),
            retention_time_ms: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: "t".into(),
                topic_id: Uuid(1),
                partitions: partitions.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// Gives up what it was not told to keep, and only then takes what is new.
    fn obey(&mut self, at: usize, groups: &Groups) {
        let client = &mut self.clients[at];
        if client.has.is_subset(&client.told) {
            client.has.clone_from(&client.told);
        } else {
            client.has.retain(|place| client.told.contains(place));
        }
        // Who is out does not know it before it asks.
        let Some(Group::Consumer(group, _)) = groups.group("g") else { return };
        let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
        for (at, client) in
            self.clients.iter().enumerate().filter(|(_, client)| group.members().contains_key(&client.id))
        {
            for place in &client.has {
                assert_eq!(owners.insert(*place, at), None, "two members read {place:?}: {:?}", self.clients);
            }
        }
    }
}

impl Script for Consumers {
    type Machine = Groups;

    fn machine(&mut self) -> Groups {
        self.clients.resize(CLIENTS, Client::default());
        if self.partitions == 0 {
            self.partitions = 6;
            topic(&mut self.image, self.partitions);
        }
        let mut settings = Settings::default();
        settings.consumer.assignment_interval.default_ms = 100;
        Groups::new(Arc::new(settings), self.image.clone(), SeededRng::new(1))
    }

    fn act(
        &mut self,
        rng: &mut SeededRng,
        groups: &mut Groups,
        now: Now,
        ticket: Ticket,
        effects: &mut Effects<Groups>,
    ) {
        let at = usize::try_from(rng.below(CLIENTS as u64)).expect("few");
        let cx = RequestContext { now, ticket, version: 9, client_id: "c", client_host: "/::1" };
        if self.clients[at].waits.is_some() || rng.below(40) == 0 {
            // Somebody from outside.
            match rng.below(4) {
                0 => groups.delete(cx, &["g"], effects),
                1 => groups.describe_consumers(cx, &["g"], true, effects),
                2 if self.partitions < 12 => {
                    self.partitions += 1;
                    topic(&mut self.image, self.partitions);
                    groups.on_metadata(now, self.image.clone(), &[Uuid(1)], effects);
                    effects.reply(ticket, Ok(Reply::Done));
                }
                _ => groups.list(cx, &group::Filter::default(), effects),
            }
            return;
        }
        self.asked.insert(ticket, at);
        match rng.below(12) {
            0..3 => self.obey(at, groups),
            3 => self.clients[at].has.retain(|_| rng.below(2) == 0),
            _ => {}
        }
        if rng.below(5) == 0 && self.clients[at].epoch > 0 {
            groups.commit_offsets(cx, &self.commit(at, i64::try_from(rng.below(1_000)).expect("small")), effects);
            return;
        }
        let mut says = self.says(rng, at);
        if self.clients[at].epoch > 0 && rng.below(15) == 0 {
            says.member_epoch = if at == FIXED && rng.below(2) == 0 { -2 } else { -1 };
            // It reads nothing any more, and comes back as another one.
            self.clients[at] = Client::default();
            self.asked.remove(&ticket);
        } else {
            self.clients[at].waits = Some(ticket);
        }
        groups.consumer_heartbeat(cx, &says, effects);
    }

    fn hear(&mut self, ticket: Ticket, reply: Result<Reply, Refusal>) {
        let Some(at) = self.asked.remove(&ticket) else { return };
        let client = &mut self.clients[at];
        if client.waits == Some(ticket) {
            client.waits = None;
        }
        match reply {
            Ok(Reply::ConsumerHeartbeat(answer)) => {
                client.epoch = answer.member_epoch;
                if let Some(assignment) = answer.assignment {
                    let topics = assignment.topic_partitions.into_iter();
                    client.told =
                        topics.flat_map(|of| of.partitions.into_iter().map(move |one| (of.topic_id, one))).collect();
                }
            }
            Ok(_) => {}
            // Fenced, unknown, or the group is gone: it gives everything up and begins anew. A refused commit changes nothing.
            Err(refusal) if refusal.code == base::ErrorCode::StaleMemberEpoch => {}
            Err(_) => *client = Client::default(),
        }
    }

    fn restarted(&mut self) {
        self.asked.clear();
        self.clients.iter_mut().for_each(|client| client.waits = None);
    }

    fn compare(&self, live: &Groups, folded: &Groups) -> Result<(), String> {
        if live.offsets() != folded.offsets() {
            return Err(format!("offsets are {:?}, in the log {:?}", live.offsets(), folded.offsets()));
        }
        match (live.group("g"), folded.group("g")) {
            (None, None) => Ok(()),
            (Some(Group::Consumer(live, _)), Some(Group::Consumer(folded, _))) if live == folded => {
                let is_true = match live.state() {
                    State::Empty => live.members().is_empty(),
                    State::Assigning => live.epoch() > live.target_epoch(),
                    State::Reconciling | State::Stable => live.epoch() == live.target_epoch(),
                };
                is_true.then_some(()).ok_or_else(|| format!("{live:?} is {:?}", live.state()))
            }
            (live, folded) => Err(format!("the group is {live:?}, in the log {folded:?}")),
        }
    }
}

#[test]
fn consumer_groups_keep_the_rules_of_a_machine() {
    for seed in 0..300 {
        play(&mut Consumers::default(), seed, 600);
    }
}
