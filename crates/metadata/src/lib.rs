//! The cluster's metadata as one immutable image: a fold over the records of `__cluster_metadata`.
//!
//! Pure. An image is cheap to clone; a record changes only what it names. Every record of Kafka 4.4 is kept and comes back in
//! snapshots, also those whose APIs are not served yet, so that a data dir loses nothing. It knows what the metadata says, not who
//! may change it.

mod changes;
mod features;
mod image;
mod names;
mod snapshot;
mod topics;

pub use changes::Changes;
pub use features::{
    Feature, GROUP_VERSION, KRAFT_VERSION, METADATA_VERSION, MetadataVersion, SUPPORTED_FEATURES, UNSUPPORTED_FEATURES,
    supported_feature,
};
pub use image::{BrokerRegistration, ConfigResource, MetadataImage, Provenance, is_online_dir};
pub use names::{check_topic_name, has_collision, is_internal_topic};
pub use snapshot::partition_record;
pub use topics::{PartitionRegistration, TopicImage, Topics};
