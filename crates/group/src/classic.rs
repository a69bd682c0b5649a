//! A classic group: members elect a leader, and the leader shares the partitions out (JoinGroup, SyncGroup, Heartbeat, LeaveGroup).
//!
//! Invariants: at most one request of a member waits for a join and one for a sync; a generation is counted up each time all members
//! have joined; what SyncGroup hands out was in the log before; a static member's instance id belongs to one member at a time, and the
//! older one is fenced (KIP-345). A wake-up at or before the earliest deadline is always set.

mod convert;
mod join;
mod leave;
mod member;
mod rebalance;
mod refused;
mod sync;
mod timers;

pub(crate) use convert::assignment_bytes;
pub(crate) use join::{MEMBER_ID_REQUIRED_FROM, join};
pub(crate) use leave::leave;
pub use member::Member;
use member::Supported;
pub(crate) use member::protocols;
pub(crate) use refused::{join_error, sync_error};
pub(crate) use sync::{heartbeat, sync};
pub(crate) use timers::{on_loaded, on_timer};

use crate::group_id::GroupId;
use crate::groups::{Groups, Timer};
use crate::journal::{Journal, Owners};
use crate::record::RECORD_BYTES_MAX;
use crate::{Activity, Record, Settings, embedded, refuse};
use base::{ErrorCode, Monotonic, Refusal, SeededRng};
use protocol::messages::group_metadata_key::GroupMetadataKey;
use protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use rsm::{Effects, Now};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The protocol type of consumers.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No members; it may have offsets.
    Empty,
    /// Waiting for members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
}

impl State {
    /// All states.
    pub const ALL: [State; 4] = [State::Empty, State::PreparingRebalance, State::CompletingRebalance, State::Stable];

    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// The end of the wait for joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JoinWait {
    /// Of a group that was empty: new members may draw it out (KIP-134). How long this wait was and what is left of the whole, ms.
    Initial { delay_ms: i32, remaining_ms: i32 },
    /// Of a group with members: the rebalance timeout.
    Rebalance,
}

/// A group of the classic protocol.
#[derive(Debug)]
pub struct ClassicGroup {
    state: State,
    previous: State,
    /// When `state` was entered, ms; -1 when the log does not tell.
    state_timestamp: i64,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// How many of them support each protocol.
    supported: Supported,
    /// Member ids by instance id.
    static_members: BTreeMap<String, String>,
    /// Members that were given an id and have to come back with it, and until when (KIP-394).
    pending_joins: BTreeMap<String, Monotonic>,
    pending_syncs: BTreeSet<String>,
    join_deadline: Option<(Monotonic, JoinWait)>,
    sync_deadline: Option<Monotonic>,
    new_member_added: bool,
    /// The topics that members subscribe to, when they are consumers whose subscriptions can be read.
    subscribed: Option<BTreeSet<String>>,
}

/// What a step of a group has at hand besides the group.
pub(crate) struct Step<'a> {
    pub(crate) id: GroupId,
    pub(crate) now: Now,
    pub(crate) settings: &'a Settings,
    pub(crate) rng: &'a mut SeededRng,
    pub(crate) journal: &'a mut Journal,
    pub(crate) activity: &'a mut Activity,
    pub(crate) effects: &'a mut Effects<Groups>,
}

impl Step<'_> {
    fn wake(&mut self, at: Monotonic) {
        self.effects.wake(Timer::Group(GroupId::clone(&self.id)), at);
    }

    fn after_ms(&self, ms: i32) -> Monotonic {
        self.now.mono.plus_millis(i64::from(ms))
    }

    fn journal(&mut self, what: String) {
        self.journal.event(&self.id, self.now, what);
    }
}

impl ClassicGroup {
    /// A group of members' own, as the first JoinGroup makes it.
    pub(crate) fn new(now: Now) -> Self {
        Self { state_timestamp: now.wall.0, ..Self::simple() }
    }

    /// A group that only holds offsets: whoever commits them shares partitions out by other means.
    pub(crate) fn simple() -> Self {
        Self {
            state: State::Empty,
            previous: State::Empty,
            state_timestamp: -1,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            supported: Supported::default(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            join_deadline: None,
            sync_deadline: None,
            new_member_added: false,
            subscribed: None,
        }
    }

    /// The group as the log has it.
    pub(crate) fn loaded(value: &GroupMetadataValue<'_>) -> Self {
        let mut group = Self {
            state: if value.members.is_empty() { State::Empty } else { State::Stable },
            state_timestamp: value.current_state_timestamp,
            generation: value.generation,
            protocol_type: Some(value.protocol_type.to_string()).filter(|name| !name.is_empty()),
            protocol: value.protocol.as_deref().map(str::to_owned),
            leader: value.leader.as_deref().map(str::to_owned),
            ..Self::simple()
        };
        for member in &value.members {
            group.insert(member.member_id.to_string(), Member::loaded(member, value.protocol.as_deref()));
        }
        group.subscribed = group.compute_subscribed();
        group
    }

    fn insert(&mut self, id: String, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), id.clone());
        }
        self.pending_joins.remove(&id);
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.supported.add(&member);
        if let Some(before) = self.members.insert(id, member) {
            self.supported.remove(&before);
        }
    }

    /// Takes a member out; another one becomes leader when it led.
    fn take_out(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id);
        member.iter().for_each(|member| self.supported.remove(member));
        if let Some(instance) = member.as_ref().and_then(|member| member.instance_id.as_ref()) {
            self.static_members.remove(instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(id);
        self.pending_syncs.remove(id);
        member
    }

    fn transition(&mut self, to: State, now: Now) {
        self.previous = self.state;
        self.state = to;
        self.state_timestamp = now.wall.0;
    }

    fn joined(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    fn has_all_joined(&self) -> bool {
        self.pending_joins.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Whether a member with these protocols could take part.
    fn supports(&self, protocol_type: &str, protocols: &[(String, Vec<u8>)]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.is_candidate(name))
    }

    fn is_candidate(&self, protocol: &str) -> bool {
        self.supported.by(protocol) == self.members.len()
    }

    /// The protocol that all members support and most of them prefer; of equals the first by name.
    fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().map(|(name, _)| name.as_str()).find(|name| self.is_candidate(name));
            *votes.entry(vote?).or_default() += 1;
        }
        let most = votes.values().max().copied()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    fn compute_subscribed(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER_PROTOCOL_TYPE) {
            return None;
        }
        let Some(protocol) = &self.protocol else { return self.members.is_empty().then(BTreeSet::new) };
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(embedded::subscribed_topics(member.metadata(protocol)).ok()?);
        }
        Some(topics)
    }

    /// Who has which partition, when the members are consumers whose assignments can be read.
    fn owners(&self) -> Owners {
        let mut owners = Owners::new();
        for (id, member) in self.members.iter().filter(|_| self.is_consumers()) {
            let id: Arc<str> = id.as_str().into();
            let Ok(assigned) = embedded::assigned_partitions(&member.assignment) else { return Owners::new() };
            for (topic, partitions) in assigned {
                let topic: Arc<str> = topic.into();
                owners.extend(partitions.into_iter().map(|of| ((Arc::clone(&topic), of), Arc::clone(&id))));
            }
        }
        owners
    }

    /// That the member exists and is not fenced by another one of its instance id.
    fn check_member(&self, id: &str, instance: Option<&str>) -> Result<(), Refusal> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(refuse(ErrorCode::UnknownMemberId)),
                Some(known) if known != id => return Err(refuse(ErrorCode::FencedInstanceId)),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(refuse(ErrorCode::UnknownMemberId)) }
    }

    /// The group as a record.
    pub(crate) fn record(&self, id: &str) -> Record {
        let members = self.members.iter().map(|(id, member)| MemberMetadata {
            member_id: Cow::Owned(id.clone()),
            group_instance_id: member.instance_id.clone().map(Cow::Owned),
            client_id: Cow::Owned(member.client_id.clone()),
            client_host: Cow::Owned(member.client_host.clone()),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: Cow::Owned(
                self.protocol.as_deref().map_or_else(Vec::new, |name| member.metadata(name).to_vec()),
            ),
            assignment: Cow::Owned(member.assignment.clone()),
            ..MemberMetadata::default()
        });
        let value = GroupMetadataValue {
            protocol_type: Cow::Owned(self.protocol_type.clone().unwrap_or_default()),
            generation: self.generation,
            protocol: self.protocol.clone().map(Cow::Owned),
            leader: self.leader.clone().map(Cow::Owned),
            current_state_timestamp: self.state_timestamp,
            members: members.collect(),
            ..GroupMetadataValue::default()
        };
        Record::Classic(GroupMetadataKey { group: Cow::Owned(id.to_owned()) }, Some(value))
    }

    /// Whether the group can be written down as it is.
    fn fits_record(&self, id: &str) -> bool {
        self.record(id).encoded_len() <= RECORD_BYTES_MAX
    }

    /// The record that a group begins with: it has no protocol, generation or member yet.
    fn first_record(&self, id: &str) -> Record {
        let value = GroupMetadataValue {
            protocol: None,
            leader: None,
            current_state_timestamp: self.state_timestamp,
            ..GroupMetadataValue::default()
        };
        Record::Classic(GroupMetadataKey { group: Cow::Owned(id.to_owned()) }, Some(value))
    }

    /// The record that removes the group.
    pub(crate) fn tombstone(id: &str) -> Record {
        Record::Classic(GroupMetadataKey { group: Cow::Owned(id.to_owned()) }, None)
    }
}

/// What others see of a group.
impl ClassicGroup {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// How often it has rebalanced.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Such as `consumer`; none for a group that only holds offsets.
    #[must_use]
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The assignor that the members agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Its members by id.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Whether its members are consumers.
    #[must_use]
    pub fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether members read `topic`. Consumers whose subscriptions cannot be read count as reading every topic.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or(self.is_consumers(), |topics| topics.contains(topic))
    }

    /// Since when an offset may expire: `None` when it may not, else the time that its age is counted from (KIP-211).
    #[must_use]
    pub fn offset_age_from(&self, commit_timestamp: i64) -> Option<i64> {
        if self.protocol_type.is_none() {
            return Some(commit_timestamp);
        }
        match self.state {
            State::Empty if self.state_timestamp >= 0 => Some(self.state_timestamp),
            State::Empty => Some(commit_timestamp),
            State::Stable if self.is_consumers() && self.subscribed.is_some() => Some(commit_timestamp),
            _ => None,
        }
    }

    /// Whether an offset commit of this member and generation counts; it keeps the member's session alive.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS as Kafka gives them.
    pub(crate) fn check_commit(
        &mut self,
        step: &mut Step<'_>,
        member_id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), Refusal> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance.is_some() {
            self.check_member(member_id, instance)?;
            if generation != self.generation {
                return Err(refuse(ErrorCode::IllegalGeneration));
            }
        } else if self.state != State::Empty {
            return Err(refuse(ErrorCode::UnknownMemberId));
        }
        match self.state {
            State::CompletingRebalance => Err(refuse(ErrorCode::RebalanceInProgress)),
            State::Stable | State::PreparingRebalance => {
                self.keep_alive(step, member_id);
                Ok(())
            }
            State::Empty => Ok(()),
        }
    }

    /// Whether the group may be deleted.
    pub(crate) fn check_delete(&self) -> Result<(), Refusal> {
        if self.is_empty() { Ok(()) } else { Err(refuse(ErrorCode::NonEmptyGroup)) }
    }

    /// Whether offsets of topics that nobody reads may be deleted.
    pub(crate) fn check_delete_offsets(&self) -> Result<(), Refusal> {
        if self.is_empty() || self.is_consumers() { Ok(()) } else { Err(refuse(ErrorCode::NonEmptyGroup)) }
    }
}

#[cfg(test)]
mod tests;
