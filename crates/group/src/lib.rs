//! The group coordinator. [`Groups`] is all groups of one partition of `__consumer_offsets`: an rsm [`Machine`](rsm::Machine) whose
//! records are Kafka's own.
//!
//! Invariants: everything that a record holds changes only by records; sessions, members that wait and deadlines are beside it and
//! are rebuilt by clients after a move of the coordinator; a reply never tells of an offset that is not committed.
//!
//! Pure: it does not know sockets, logs, threads or clocks.

pub mod assignor;
pub mod classic;
pub mod consumer;
mod counts;
pub mod embedded;
mod fetch;
mod group_id;
mod groups;
pub mod journal;
mod list;
pub mod offsets;
pub mod record;
pub mod settings;
#[cfg(test)]
mod testing;

pub use classic::ClassicGroup;
pub use consumer::ConsumerGroup;
pub use counts::{Activity, Census};
pub use group_id::GroupId;
pub use groups::{Group, Groups, Reply, RequestContext, Timer};
pub use list::Filter;
pub use record::Record;
pub use settings::Settings;

use base::{ErrorCode, Refusal};
use protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use protocol::messages::heartbeat_request::HeartbeatRequest;
use protocol::messages::join_group_request::JoinGroupRequest;
use protocol::messages::leave_group_request::LeaveGroupRequest;
use protocol::messages::sync_group_request::SyncGroupRequest;
use rsm::Effects;

/// The classic protocol's requests.
impl Groups {
    /// Answers a JoinGroup, now or when all members have joined.
    pub fn join(&mut self, cx: RequestContext<'_>, request: &JoinGroupRequest<'_>, effects: &mut Effects<Groups>) {
        classic::join(self, cx, request, effects);
    }

    /// Answers a SyncGroup, now or when the leader has assigned.
    pub fn sync(&mut self, cx: RequestContext<'_>, request: &SyncGroupRequest<'_>, effects: &mut Effects<Groups>) {
        classic::sync(self, cx, request, effects);
    }

    /// Answers a Heartbeat.
    pub fn heartbeat(&mut self, cx: RequestContext<'_>, request: &HeartbeatRequest<'_>, effects: &mut Effects<Groups>) {
        classic::heartbeat(self, cx, request, effects);
    }

    /// Answers a LeaveGroup.
    pub fn leave(&mut self, cx: RequestContext<'_>, request: &LeaveGroupRequest<'_>, effects: &mut Effects<Groups>) {
        classic::leave(self, cx, request, effects);
    }
}

/// The consumer protocol's request (KIP-848).
impl Groups {
    /// Answers a ConsumerGroupHeartbeat.
    ///
    /// # Errors
    /// Through the reply: what the response tells as code and message.
    pub fn consumer_heartbeat(
        &mut self,
        cx: RequestContext<'_>,
        request: &ConsumerGroupHeartbeatRequest<'_>,
        effects: &mut Effects<Groups>,
    ) {
        consumer::heartbeat(self, cx, request, effects);
    }
}

/// A refusal without more words than the code's own.
pub(crate) fn refuse(code: ErrorCode) -> Refusal {
    Refusal::new(code, code.name())
}
