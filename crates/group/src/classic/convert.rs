//! A consumer group becomes a classic one when its last member of the consumer protocol has gone (KIP-848, downgrade), and a classic one
//! ends where a consumer group begins.

use super::rebalance::prepare_rebalance;
use super::refused::{join_error, sync_error};
use super::{CONSUMER_PROTOCOL_TYPE, ClassicGroup, Member, State, Step};
use crate::consumer::{self, ConsumerGroup};
use crate::embedded;
use base::{ErrorCode, Uuid};
use metadata::MetadataImage;
use protocol::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition};
use protocol::wire::{DecodeError, EncodeError};
use rsm::{Effects, Now};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Why members' own data cannot be carried over.
#[derive(Debug)]
pub(crate) enum Malformed {
    Read(DecodeError),
    Write(EncodeError),
}

impl From<DecodeError> for Malformed {
    fn from(error: DecodeError) -> Self {
        Self::Read(error)
    }
}

impl From<EncodeError> for Malformed {
    fn from(error: EncodeError) -> Self {
        Self::Write(error)
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Malformed::Read(error) => error.fmt(f),
            Malformed::Write(error) => error.fmt(f),
        }
    }
}

impl ClassicGroup {
    /// The classic group of a consumer group's members but those who leave; all who stay speak the classic protocol. Everybody has what it
    /// has now. Kafka writes down what it was to have; but should the coordinator move before the rebalance that follows has ended, whoever
    /// asks first would read what another one still has. In a group where all have arrived it is the same.
    ///
    /// # Errors
    /// When a subscription does not say its version.
    pub(crate) fn of_consumers(
        consumers: &ConsumerGroup,
        leaving: &BTreeSet<String>,
        image: &MetadataImage,
        now: Now,
    ) -> Result<Self, Malformed> {
        let mut group = Self {
            state: State::Stable,
            previous: State::Empty,
            state_timestamp: now.wall.0,
            generation: consumers.epoch(),
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            ..Self::simple()
        };
        for (id, member) in consumers.members().iter().filter(|(id, _)| !leaving.contains(*id)) {
            let Some(classic) = &member.classic else { continue };
            let protocols = classic.supported_protocols.iter();
            let member = Member {
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: classic.session_timeout_ms,
                protocols: protocols.map(|one| (one.name.to_string(), one.metadata.to_vec())).collect(),
                assignment: Vec::new(),
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                deadline: None,
            };
            group.insert(id.clone(), member);
        }
        group.protocol = group.select_protocol();
        group.subscribed = group.compute_subscribed();
        let protocol = group.protocol.clone().unwrap_or_default();
        for (id, member) in &mut group.members {
            let version = embedded::version(member.metadata(&protocol))?;
            let mut has: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
            let places = consumers.members().get(id).map(consumer::Member::all_partitions).unwrap_or_default();
            places.into_iter().for_each(|(topic, partition)| has.entry(topic).or_default().push(partition));
            member.assignment = assignment_bytes(has.into_iter(), image, version)?;
        }
        Ok(group)
    }

    /// Sessions begin, and a rebalance when there is a reason for one.
    pub(crate) fn begin(&mut self, step: &mut Step<'_>, rebalance: Option<String>) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in &ids {
            self.keep_alive(step, id);
        }
        if let Some(reason) = rebalance {
            prepare_rebalance(self, step, reason);
        }
    }

    /// Whoever waits for a join or an assignment is told to join again: the group goes on as one of consumers.
    pub(crate) fn dissolve(&mut self, effects: &mut Effects<crate::Groups>) {
        for (id, member) in &mut self.members {
            if let Some(ticket) = member.awaiting_join.take() {
                effects.reply(ticket, Ok(join_error(ErrorCode::RebalanceInProgress, id)));
            }
            if let Some(ticket) = member.awaiting_sync.take() {
                effects.reply(ticket, Ok(sync_error(ErrorCode::RebalanceInProgress)));
            }
        }
    }
}

/// Partitions as a classic consumer reads them. Topics that are gone are left out.
///
/// # Errors
/// When the version was never given.
pub(crate) fn assignment_bytes(
    topics: impl Iterator<Item = (Uuid, Vec<i32>)>,
    image: &MetadataImage,
    version: i16,
) -> Result<Vec<u8>, EncodeError> {
    let topics = topics.filter_map(|(id, partitions)| {
        let topic = Cow::Owned(image.topics().by_id(id)?.name().to_string());
        Some(TopicPartition { topic, partitions })
    });
    let assignment =
        ConsumerProtocolAssignment { assigned_partitions: topics.collect(), ..ConsumerProtocolAssignment::default() };
    embedded::assignment_bytes(&assignment, version)
}
