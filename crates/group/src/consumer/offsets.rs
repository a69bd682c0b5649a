//! Whose commits and fetches of offsets count (KIP-848, KIP-1251).

use super::admit::unknown_member;
use super::{ConsumerGroup, Member};
use base::{ErrorCode, Refusal, Uuid};

/// From this version on OffsetCommit carries member epochs.
const MEMBER_EPOCHS_FROM: i16 = 9;

/// A commit whose member is known.
#[derive(Debug)]
pub(crate) enum CommitCheck<'a> {
    /// All partitions may be committed.
    Any,
    /// The member has been told a newer epoch since: what it has had since the epoch that it says may be committed still.
    Held { member: &'a Member, epoch: i32 },
}

impl ConsumerGroup {
    /// Whether a commit counts (R43). From outside of the group it does while the group is empty.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH, and ILLEGAL_GENERATION for members of the classic protocol.
    pub(crate) fn check_commit(
        &self,
        id: &str,
        member_id: &str,
        epoch: i32,
        version: i16,
    ) -> Result<CommitCheck<'_>, Refusal> {
        if epoch < 0 && self.is_empty() {
            return Ok(CommitCheck::Any);
        }
        let member = self.members().get(member_id).ok_or_else(|| unknown_member(id, member_id))?;
        if member.classic.is_none() && version < MEMBER_EPOCHS_FROM {
            let why = "OffsetCommit version 9 or above must be used by members using the consumer group protocol";
            return Err(Refusal::new(ErrorCode::UnsupportedVersion, why));
        }
        match epoch.cmp(&member.epoch) {
            std::cmp::Ordering::Equal => Ok(CommitCheck::Any),
            std::cmp::Ordering::Less => Ok(CommitCheck::Held { member, epoch }),
            std::cmp::Ordering::Greater => {
                let known = member.epoch;
                Err(stale(member, format!("The commit says epoch {epoch}, the member's is {known}.")))
            }
        }
    }

    /// Whether a member's fetch of offsets counts. Without a member it is an operator's.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, and ILLEGAL_GENERATION for members of the classic protocol.
    pub(crate) fn check_fetch(&self, id: &str, member_id: Option<&str>, epoch: i32) -> Result<(), Refusal> {
        let member_id = match member_id {
            None if epoch < 0 => return Ok(()),
            member_id => member_id.unwrap_or_default(),
        };
        let member = self.members().get(member_id).ok_or_else(|| unknown_member(id, member_id))?;
        if epoch == member.epoch {
            return Ok(());
        }
        Err(stale(member, format!("The fetch says epoch {epoch}, the member's is {}.", member.epoch)))
    }
}

impl CommitCheck<'_> {
    /// Whether an offset of this partition may be committed.
    ///
    /// # Errors
    /// STALE_MEMBER_EPOCH or ILLEGAL_GENERATION; the whole commit is refused then.
    pub(crate) fn of(&self, topic: Uuid, partition: i32) -> Result<(), Refusal> {
        let CommitCheck::Held { member, epoch } = *self else { return Ok(()) };
        match member.epoch_of(topic, partition) {
            Some(since) if epoch >= since => Ok(()),
            Some(since) => {
                Err(stale(member, format!("The commit says epoch {epoch}, the partition is its since {since}.")))
            }
            None => Err(stale(member, format!("The member has not {topic}-{partition}."))),
        }
    }
}

fn stale(member: &Member, why: String) -> Refusal {
    let code = if member.classic.is_some() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch };
    Refusal::new(code, why)
}
