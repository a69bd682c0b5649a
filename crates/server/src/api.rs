//! One file per API: each takes what it needs of the node and a decoded request, and gives a reply.

/// What may be done with a topic where no authorizer says otherwise, as a bit set of `AclOperation` codes (KIP-430): Read, Write, Create,
/// Delete, Alter, Describe, DescribeConfigs, AlterConfigs.
pub(crate) const TOPIC_OPERATIONS: i32 = 3576;
/// The same for the cluster: Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite.
pub(crate) const CLUSTER_OPERATIONS: i32 = 8096;

pub(crate) mod alter_configs;
pub(crate) mod api_versions;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_records;
pub(crate) mod delete_topics;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod describe_log_dirs;
pub(crate) mod describe_producers;
pub(crate) mod describe_quorum;
pub(crate) mod describe_topic_partitions;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod groups;
pub(crate) mod init_producer_id;
pub(crate) mod list_config_resources;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
pub(crate) mod update_features;
