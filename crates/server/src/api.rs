//! One file per API: each takes what it needs of the node and a decoded request, and gives a reply.

/// What may be done with a topic where no authorizer says otherwise, as a bit set of `AclOperation` codes (KIP-430): Read, Write, Create,
/// Delete, Alter, Describe, DescribeConfigs, AlterConfigs.
pub(crate) const TOPIC_OPERATIONS: i32 = 3576;
/// The same for the cluster: Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite.
pub(crate) const CLUSTER_OPERATIONS: i32 = 8096;

/// Topics or partitions that one request may name. No client of a broker has as many; an answer of that size takes some hundred
/// bytes for each (S08).
pub(crate) const NAMED_MAX: usize = 200_000;

/// The request closes its connection when it names more than [`NAMED_MAX`].
///
/// # Errors
/// The reason, for the log.
pub(crate) fn check_named(named: usize) -> Result<(), String> {
    if named <= NAMED_MAX {
        return Ok(());
    }
    Err(format!("a request names {named} topics or partitions, {NAMED_MAX} are the limit"))
}

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

#[cfg(test)]
mod tests {
    use super::{NAMED_MAX, check_named};

    #[test]
    fn s08_a_request_names_no_more_than_a_broker_has() {
        assert_eq!(check_named(NAMED_MAX), Ok(()));
        assert!(check_named(NAMED_MAX + 1).is_err());
    }
}
