//! What every layer shares: ids and newtypes, error codes, refusals, time as data, seeded randomness.
//!
//! Pure, dependency-free, and small on purpose: a thing belongs here only when at least three crates of different layers
//! need it. It knows nothing of wire or disk formats.

mod clock;
mod error_code;
mod ids;
mod refusal;
mod rng;
mod uuid;

pub use clock::{Clock, Monotonic, Timestamp};
pub use error_code::ErrorCode;
pub use ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId, TopicIdPartition, TopicPartition,
};
pub use refusal::Refusal;
pub use rng::SeededRng;
pub use uuid::{ParseUuidError, Uuid};
