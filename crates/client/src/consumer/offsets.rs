//! Offsets by timestamp and by special name.

use super::Isolation;
use crate::client::{Client, Lane};
use crate::error::Error;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use std::borrow::Cow;

/// The log start.
pub(crate) const EARLIEST: i64 = -2;
/// The high watermark, or the last stable offset.
pub(crate) const LATEST: i64 = -1;

impl Client {
    /// The offset that `timestamp` stands for in a partition, and the timestamp of its record. `timestamp` is milliseconds
    /// since 1970 or one of Kafka's special values: -1 latest, -2 earliest, -3 the record with the largest timestamp
    /// (KIP-734). The offset is -1 when there is none.
    ///
    /// # Errors
    /// When the partition does not exist or its leader refuses.
    pub async fn list_offset(
        &self,
        topic: &str,
        partition: i32,
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<(i64, i64), Error> {
        let what = format!("cannot look up an offset of {topic}-{partition}");
        let partitions =
            vec![ListOffsetsPartition { partition_index: partition, timestamp, ..ListOffsetsPartition::default() }];
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(isolation == Isolation::ReadCommitted),
            topics: vec![ListOffsetsTopic { name: Cow::Borrowed(topic), partitions, ..ListOffsetsTopic::default() }],
            timeout_ms: i32::try_from(self.options().channel.request_timeout.as_millis()).unwrap_or(i32::MAX),
            ..ListOffsetsRequest::default()
        };
        let attempt = async || {
            let node = self.leader(topic, partition).await?;
            let channel = self.channel(Lane::COMMON, node).await?;
            let frame = self.send(&channel, &request).await?;
            let response = frame.decode()?;
            let result = response.topics.first().and_then(|topic| topic.partitions.first());
            let result = result.ok_or_else(|| Error::Invalid(format!("{what}: the answer is empty")))?;
            if let Err(error) = Error::check(&*what, result.error_code, None) {
                self.forget_topic(topic);
                return Err(error);
            }
            Ok((result.offset, result.timestamp))
        };
        self.with_retries(&what, attempt).await
    }

    /// Where a partition begins and ends for a reader of this isolation.
    ///
    /// # Errors
    /// As [`Client::list_offset`].
    pub async fn offset_range(&self, topic: &str, partition: i32, isolation: Isolation) -> Result<(i64, i64), Error> {
        let begin = self.list_offset(topic, partition, EARLIEST, isolation).await?.0;
        Ok((begin, self.list_offset(topic, partition, LATEST, isolation).await?.0))
    }
}
