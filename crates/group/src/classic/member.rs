//! A member of a classic group.

use base::Monotonic;
use protocol::messages::group_metadata_value::MemberMetadata;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use rsm::Ticket;
use std::collections::{BTreeMap, BTreeSet};

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// group.instance.id of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address as Kafka writes it, `/127.0.0.1`.
    pub client_host: String,
    /// How long it may take to join, ms.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, ms.
    pub session_timeout_ms: i32,
    /// The protocols that it supports, best first, with what it tells the leader by each.
    pub protocols: Vec<(String, Vec<u8>)>,
    /// What the leader gave it.
    pub assignment: Vec<u8>,
    /// Its JoinGroup that waits.
    pub(super) awaiting_join: Option<Ticket>,
    /// Its SyncGroup that waits.
    pub(super) awaiting_sync: Option<Ticket>,
    /// It has not seen an answer to its first join, so it cannot heartbeat.
    pub(super) is_new: bool,
    /// When its session ends; none while a request of its waits and the end was already passed over.
    pub(super) deadline: Option<Monotonic>,
}

impl Member {
    pub(super) fn loaded(member: &MemberMetadata<'_>, protocol: Option<&str>) -> Self {
        Self {
            instance_id: member.group_instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            rebalance_timeout_ms: if member.rebalance_timeout == -1 {
                member.session_timeout
            } else {
                member.rebalance_timeout
            },
            session_timeout_ms: member.session_timeout,
            protocols: protocol.map(|name| (name.to_owned(), member.subscription.to_vec())).into_iter().collect(),
            assignment: member.assignment.to_vec(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            deadline: None,
        }
    }

    /// What it tells the leader by `protocol`; empty when it does not support it.
    #[must_use]
    pub fn metadata(&self, protocol: &str) -> &[u8] {
        self.protocols.iter().find(|(name, _)| name == protocol).map_or(&[], |(_, metadata)| metadata)
    }

    fn names(&self) -> BTreeSet<&str> {
        self.protocols.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn has_protocols(&self, protocols: &[(String, Vec<u8>)]) -> bool {
        self.protocols == protocols
    }

    /// Whether silence is no sign of death: a request of its waits here. A new member cannot heartbeat, so its first join may time out.
    pub(super) fn is_heard(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}

/// How many members of a group support each protocol: a member may name a million, and every join asks.
#[derive(Debug, Default)]
pub(super) struct Supported(BTreeMap<Box<str>, usize>);

impl Supported {
    pub(super) fn add(&mut self, member: &Member) {
        for name in member.names() {
            match self.0.get_mut(name) {
                Some(count) => *count += 1,
                None => drop(self.0.insert(name.into(), 1)),
            }
        }
    }

    pub(super) fn remove(&mut self, member: &Member) {
        for name in member.names() {
            match self.0.get_mut(name) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.0.remove(name)),
            }
        }
    }

    pub(super) fn by(&self, protocol: &str) -> usize {
        self.0.get(protocol).copied().unwrap_or(0)
    }
}

/// The protocols of a request.
pub(crate) fn protocols(of: &[JoinGroupRequestProtocol<'_>]) -> Vec<(String, Vec<u8>)> {
    of.iter().map(|protocol| (protocol.name.to_string(), protocol.metadata.to_vec())).collect()
}
