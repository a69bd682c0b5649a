//! The same proof, played by members of the consumer protocol and, in every second play, of both protocols in one group that is upgraded
//! and downgraded under them: a static one, one that reads by an expression, commits, topics that grow, and a coordinator that moves in the
//! middle of it. Nobody reads a partition that another one has, and all of a group is in its log.

use base::{NodeId, Offset, Refusal, SeededRng, Uuid};
use group::consumer::State;
use group::{Group, Groups, Reply, RequestContext, Settings, classic, embedded};
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
    /// It speaks the classic protocol.
    is_classic: bool,
    /// What it has to do next, when it does.
    next: Next,
    /// The members that it leads, when it does.
    leads: Vec<String>,
}

/// The next request of a classic member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Join,
    Sync,
    Heartbeat,
}

#[derive(Default)]
struct Consumers {
    clients: Vec<Client>,
    asked: BTreeMap<Ticket, usize>,
    partitions: i32,
    image: MetadataImage,
    born: u32,
    machines: u64,
    /// Members of the classic protocol play along.
    is_mixed: bool,
    /// Whether the group was classic when it was last seen with members, and how often that changed.
    was_classic: Option<bool>,
    migrations: u32,
}

const CLIENTS: usize = 5;
/// Error codes.
const REBALANCE_IN_PROGRESS: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;
/// The one that is a static member, and the one that subscribes by an expression.
const FIXED: usize = 0;
const BY_REGEX: usize = 1;

/// A subscription of a classic member.
fn reads_t() -> Vec<u8> {
    let subscription = m::consumer_protocol_subscription::ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        ..Default::default()
    };
    embedded::subscription_bytes(&subscription, 3).expect("it fits")
}

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
        let client = &mut self.clients[at];
        let is_full = client.epoch == 0 || rng.below(3) == 0;
        if is_full {
            // What it says that it has not it does not take any more, unless it is told again: the coordinator may give it on.
            client.told.retain(|place| client.has.contains(place));
        }
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

    /// The next request of a member of the classic protocol.
    fn speak_classic(&mut self, at: usize, groups: &mut Groups, cx: RequestContext<'_>, effects: &mut Effects<Groups>) {
        let client = &mut self.clients[at];
        let member_id = || Cow::Owned(client.id.clone());
        match client.next {
            Next::Join => {
                let protocol = m::join_group_request::JoinGroupRequestProtocol {
                    name: "range".into(),
                    metadata: reads_t().into(),
                    ..Default::default()
                };
                let request = m::join_group_request::JoinGroupRequest {
                    group_id: "g".into(),
                    session_timeout_ms: 10_000,
                    rebalance_timeout_ms: 20_000,
                    member_id: member_id(),
                    group_instance_id: (at == FIXED).then_some(Cow::Borrowed("fixed")),
                    protocol_type: "consumer".into(),
                    protocols: vec![protocol],
                    ..Default::default()
                };
                // It gives everything up before it joins.
                client.has.clear();
                groups.join(cx, &request, effects);
            }
            Next::Sync => {
                let count = client.leads.len().max(1);
                let shares = client.leads.iter().enumerate().map(|(index, id)| {
                    let partitions =
                        (0..self.partitions).filter(|one| usize::try_from(*one).expect("few") % count == index);
                    let topic = m::consumer_protocol_assignment::TopicPartition {
                        topic: "t".into(),
                        partitions: partitions.collect(),
                    };
                    let assignment = m::consumer_protocol_assignment::ConsumerProtocolAssignment {
                        assigned_partitions: vec![topic],
                        ..Default::default()
                    };
                    m::sync_group_request::SyncGroupRequestAssignment {
                        member_id: Cow::Owned(id.clone()),
                        assignment: embedded::assignment_bytes(&assignment, 3).expect("it fits").into(),
                        ..Default::default()
                    }
                });
                let request = m::sync_group_request::SyncGroupRequest {
                    group_id: "g".into(),
                    generation_id: client.epoch,
                    member_id: member_id(),
                    assignments: shares.collect(),
                    ..Default::default()
                };
                groups.sync(cx, &request, effects);
            }
            Next::Heartbeat => groups.heartbeat(
                cx,
                &m::heartbeat_request::HeartbeatRequest {
                    group_id: "g".into(),
                    generation_id: client.epoch,
                    member_id: member_id(),
                    ..Default::default()
                },
                effects,
            ),
        }
    }

    /// What a classic member does about an answer.
    fn hear_classic(&mut self, at: usize, reply: Reply) {
        let client = &mut self.clients[at];
        let lost = Client { is_classic: true, ..Client::default() };
        match reply {
            Reply::Join(joined) => match joined.error_code {
                0 => {
                    client.id = joined.member_id.to_string();
                    client.epoch = joined.generation_id;
                    client.leads = joined.members.iter().map(|member| member.member_id.to_string()).collect();
                    client.next = Next::Sync;
                }
                MEMBER_ID_REQUIRED => client.id = joined.member_id.to_string(),
                REBALANCE_IN_PROGRESS => {}
                _ => *client = lost,
            },
            Reply::Sync(synced) => match synced.error_code {
                0 => {
                    let topics = embedded::assigned_partitions(&synced.assignment).expect("an assignment");
                    client.has = topics.into_iter().flat_map(|(_, of)| of).map(|one| (Uuid(1), one)).collect();
                    client.next = Next::Heartbeat;
                }
                REBALANCE_IN_PROGRESS => client.next = Next::Join,
                _ => *client = lost,
            },
            Reply::Heartbeat(heard) => match heard.error_code {
                0 => {}
                REBALANCE_IN_PROGRESS => client.next = Next::Join,
                _ => *client = lost,
            },
            _ => {}
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
        self.check_owners(groups);
    }

    fn watch(&mut self, groups: &Groups) {
        let is_classic = match groups.group("g") {
            Some(Group::Consumer(group, _)) if !group.is_empty() => false,
            Some(Group::Classic(group)) if !group.members().is_empty() => true,
            _ => return self.was_classic = None,
        };
        let before = self.was_classic.replace(is_classic);
        self.migrations += u32::from(before.is_some_and(|before| before != is_classic));
    }

    fn check_owners(&self, groups: &Groups) {
        // Who is out does not know it before it asks.
        let is_member = |id: &String| match groups.group("g") {
            Some(Group::Consumer(group, _)) => group.members().contains_key(id),
            Some(Group::Classic(group)) => group.members().contains_key(id),
            None => false,
        };
        let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
        for (at, client) in self.clients.iter().enumerate().filter(|(_, client)| is_member(&client.id)) {
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
        settings.classic_initial_rebalance_delay_ms = 100;
        // Ids that a coordinator gives do not come again after it has moved.
        self.machines += 1;
        Groups::new(Arc::new(settings), self.image.clone(), SeededRng::new(self.machines))
    }

    fn act(
        &mut self,
        rng: &mut SeededRng,
        groups: &mut Groups,
        now: Now,
        ticket: Ticket,
        effects: &mut Effects<Groups>,
    ) {
        self.watch(groups);
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
        if self.clients[at].id.is_empty() {
            self.clients[at].is_classic = self.is_mixed && rng.below(4) > 0;
        }
        if self.clients[at].is_classic {
            if self.clients[at].next == Next::Heartbeat && rng.below(15) == 0 {
                // It reads nothing any more.
                let leaving = m::leave_group_request::MemberIdentity {
                    member_id: std::mem::take(&mut self.clients[at]).id.into(),
                    ..Default::default()
                };
                self.asked.remove(&ticket);
                let request = m::leave_group_request::LeaveGroupRequest {
                    group_id: "g".into(),
                    members: vec![leaving],
                    ..Default::default()
                };
                return groups.leave(cx, &request, effects);
            }
            self.clients[at].waits = Some(ticket);
            self.speak_classic(at, groups, cx, effects);
            return self.check_owners(groups);
        }
        if rng.below(4) == 0 {
            self.obey(at, groups);
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
        if client.is_classic && matches!(reply, Ok(Reply::Join(_) | Reply::Sync(_) | Reply::Heartbeat(_))) {
            return reply.into_iter().for_each(|reply| self.hear_classic(at, reply));
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
            (Some(Group::Classic(live)), Some(Group::Classic(folded))) => {
                let shown = |group: &classic::ClassicGroup| {
                    let members = group.members().iter();
                    let members: Vec<_> = members.map(|(id, member)| (id.clone(), member.assignment.clone())).collect();
                    (group.state().name(), group.generation(), members)
                };
                // Between two generations the log has the last one.
                let is_settled = matches!(live.state(), classic::State::Stable | classic::State::Empty);
                let is_same = !is_settled || shown(live) == shown(folded);
                is_same.then_some(()).ok_or_else(|| format!("{:?}, in the log {:?}", shown(live), shown(folded)))
            }
            (live, folded) => Err(format!("the group is {live:?}, in the log {folded:?}")),
        }
    }
}

#[test]
fn consumer_groups_keep_the_rules_of_a_machine() {
    for seed in 0..150 {
        play(&mut Consumers::default(), seed, 600);
    }
}

#[test]
fn groups_of_both_protocols_keep_the_rules_of_a_machine() {
    let mut migrations = 0;
    for seed in 0..150 {
        let mut consumers = Consumers { is_mixed: true, ..Consumers::default() };
        play(&mut consumers, seed, 800);
        migrations += consumers.migrations;
    }
    assert!(migrations > 300, "{migrations} migrations under their members");
}
