//! The proof that every machine has to pass, played by members that join, sync, heartbeat, commit, leave and fall silent.

mod consumers;

use base::{Refusal, SeededRng};
use group::classic::State;
use group::{Group, Groups, Reply, RequestContext, Settings};
use metadata::MetadataImage;
use protocol::messages as m;
use rsm::testing::{Script, play};
use rsm::{Effects, Now, Ticket};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
struct Client {
    id: String,
    generation: i32,
    leads: Vec<String>,
    must_sync: bool,
}

/// Six clients in two groups.
#[derive(Default)]
struct Clients {
    clients: Vec<Client>,
    /// The client of a request and the id that it had then.
    asked: BTreeMap<Ticket, (usize, String)>,
}

const CLIENTS: usize = 6;
/// The one that is a static member.
const FIXED: usize = 5;

fn group_of(client: usize) -> &'static str {
    if client.is_multiple_of(2) { "even" } else { "odd" }
}

impl Clients {
    fn join(&self, client: usize) -> m::join_group_request::JoinGroupRequest<'static> {
        m::join_group_request::JoinGroupRequest {
            group_id: Cow::Borrowed(group_of(client)),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            member_id: Cow::Owned(self.clients[client].id.clone()),
            group_instance_id: (client == FIXED).then_some(Cow::Borrowed("fixed")),
            protocol_type: Cow::Borrowed("consumer"),
            protocols: vec![m::join_group_request::JoinGroupRequestProtocol {
                name: Cow::Borrowed("range"),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn sync(&self, client: usize) -> m::sync_group_request::SyncGroupRequest<'static> {
        let one = &self.clients[client];
        let assignments = one.leads.iter().map(|id| m::sync_group_request::SyncGroupRequestAssignment {
            member_id: Cow::Owned(id.clone()),
            assignment: Cow::Owned(id.clone().into_bytes()),
            ..Default::default()
        });
        m::sync_group_request::SyncGroupRequest {
            group_id: Cow::Borrowed(group_of(client)),
            generation_id: one.generation,
            member_id: Cow::Owned(one.id.clone()),
            assignments: assignments.collect(),
            ..Default::default()
        }
    }

    fn commit(&self, client: usize, offset: i64) -> m::offset_commit_request::OffsetCommitRequest<'static> {
        use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
        m::offset_commit_request::OffsetCommitRequest {
            group_id: Cow::Borrowed(group_of(client)),
            generation_id_or_member_epoch: self.clients[client].generation,
            member_id: Cow::Owned(self.clients[client].id.clone()),
            retention_time_ms: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: Cow::Borrowed("t"),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: i32::try_from(client).expect("few"),
                    committed_offset: offset,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}

impl Script for Clients {
    type Machine = Groups;

    fn machine(&mut self) -> Groups {
        self.clients.resize(CLIENTS, Client::default());
        let settings = Settings { classic_initial_rebalance_delay_ms: 100, ..Settings::default() };
        Groups::new(Arc::new(settings), MetadataImage::default(), SeededRng::new(1))
    }

    fn act(
        &mut self,
        rng: &mut SeededRng,
        groups: &mut Groups,
        now: Now,
        ticket: Ticket,
        effects: &mut Effects<Groups>,
    ) {
        let client = usize::try_from(rng.below(CLIENTS as u64)).expect("few");
        self.asked.insert(ticket, (client, self.clients[client].id.clone()));
        let cx = RequestContext { now, ticket, version: 5, client_id: "c", client_host: "/::1" };
        let one = &self.clients[client];
        match rng.below(20) {
            0 => groups.leave(
                cx,
                &m::leave_group_request::LeaveGroupRequest {
                    group_id: Cow::Borrowed(group_of(client)),
                    members: vec![m::leave_group_request::MemberIdentity {
                        member_id: Cow::Owned(one.id.clone()),
                        ..Default::default()
                    }],
                    ..Default::default()
                },
                effects,
            ),
            1 => groups.delete(cx, &[group_of(client)], effects),
            2..6 => groups.commit_offsets(
                cx,
                &self.commit(client, i64::try_from(rng.below(1_000)).expect("small")),
                effects,
            ),
            6..10 => groups.heartbeat(
                cx,
                &m::heartbeat_request::HeartbeatRequest {
                    group_id: Cow::Borrowed(group_of(client)),
                    generation_id: one.generation,
                    member_id: Cow::Owned(one.id.clone()),
                    ..Default::default()
                },
                effects,
            ),
            _ if one.must_sync => groups.sync(cx, &self.sync(client), effects),
            _ => groups.join(cx, &self.join(client), effects),
        }
    }

    fn hear(&mut self, ticket: Ticket, reply: Result<Reply, Refusal>) {
        let Some((client, id)) = self.asked.remove(&ticket) else { panic!("{ticket:?} was never asked") };
        let one = &mut self.clients[client];
        match reply {
            Ok(Reply::Join(joined)) => match joined.error_code {
                0 => {
                    let leads = joined.members.iter().map(|member| member.member_id.to_string()).collect();
                    *one = Client {
                        id: joined.member_id.to_string(),
                        generation: joined.generation_id,
                        leads,
                        must_sync: true,
                    };
                }
                79 => one.id = joined.member_id.to_string(),
                _ => *one = Client::default(),
            },
            Ok(Reply::Sync(synced)) => {
                one.must_sync = false;
                // A static member that came back under a new id has what its old one was given.
                let is_its = synced.assignment.is_empty() || &*synced.assignment == id.as_bytes() || client == FIXED;
                assert!(is_its, "a member got another one's assignment");
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn restarted(&mut self) {
        self.asked.clear();
    }

    fn compare(&self, live: &Groups, folded: &Groups) -> Result<(), String> {
        if live.offsets() != folded.offsets() {
            return Err(format!("offsets are {:?}, in the log {:?}", live.offsets(), folded.offsets()));
        }
        for id in live.ids() {
            let (Some(Group::Classic(live)), Some(Group::Classic(folded))) = (live.group(id), folded.group(id)) else {
                return Err(format!("{id} is not in the log"));
            };
            // Between two generations the log has the last one.
            if !matches!(live.state(), State::Stable | State::Empty) {
                continue;
            }
            let shown = |group: &group::ClassicGroup| {
                let members: Vec<_> = group
                    .members()
                    .iter()
                    .map(|(id, member)| (id.clone(), member.assignment.clone(), member.instance_id.clone()))
                    .collect();
                (group.state().name(), group.generation(), members)
            };
            if shown(live) != shown(folded) {
                return Err(format!("{id} is {:?}, in the log {:?}", shown(live), shown(folded)));
            }
        }
        let gone = folded.ids().find(|id| live.group(id).is_none());
        gone.map_or(Ok(()), |id| Err(format!("{id} is only in the log")))
    }
}

#[test]
fn groups_keep_the_rules_of_a_machine() {
    for seed in 0..200 {
        play(&mut Clients::default(), seed, 600);
    }
}
