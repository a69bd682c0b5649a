//! DescribeLogDirs (KIP-113, KIP-827): what each log dir holds and has room for.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::ErrorCode;
use net::Reply;
use protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &DescribeLogDirsRequest<'_>) -> Reply {
    let wanted: Option<BTreeSet<(&str, i32)>> = request
        .topics
        .as_ref()
        .map(|topics| topics.iter().flat_map(|t| t.partitions.iter().map(|index| (&*t.topic, *index))).collect());
    let results = broker.log_dirs.iter().enumerate().map(|(at, dir)| {
        let log_dir = Cow::Owned(dir.dir.path().display().to_string());
        if dir.is_offline() {
            let error_code = ErrorCode::KafkaStorageError.code();
            return DescribeLogDirsResult { error_code, log_dir, ..DescribeLogDirsResult::default() };
        }
        let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for partition in broker.partitions.in_dir(at) {
            let index = partition.tp.partition.0;
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&(&*partition.tp.topic, index))) {
                continue;
            }
            topics.entry(partition.tp.topic.to_string()).or_default().push(DescribeLogDirsPartition {
                partition_index: index,
                partition_size: i64::try_from(partition.size_bytes()).unwrap_or(i64::MAX),
                offset_lag: 0,
                is_future_key: false,
                ..DescribeLogDirsPartition::default()
            });
        }
        let space = dir.space();
        DescribeLogDirsResult {
            log_dir,
            topics: topics
                .into_iter()
                .map(|(name, partitions)| DescribeLogDirsTopic {
                    name: Cow::Owned(name),
                    partitions,
                    ..DescribeLogDirsTopic::default()
                })
                .collect(),
            total_bytes: space.map_or(-1, |space| i64::try_from(space.total_bytes).unwrap_or(i64::MAX)),
            usable_bytes: space.map_or(-1, |space| i64::try_from(space.usable_bytes).unwrap_or(i64::MAX)),
            ..DescribeLogDirsResult::default()
        }
    });
    to.now(&DescribeLogDirsResponse { results: results.collect(), ..DescribeLogDirsResponse::default() })
}
