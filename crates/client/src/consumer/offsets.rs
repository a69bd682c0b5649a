//! Offsets by timestamp and by special name.

use super::Isolation;
use crate::client::{Client, Lane};
use crate::error::Error;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use std::borrow::Cow;
use std::collections::BTreeMap;

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
        let topics = vec![ListOffsetsTopic { name: Cow::Borrowed(topic), partitions, ..ListOffsetsTopic::default() }];
        let request = self.list_offsets_request(topics, isolation);
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

    /// As [`Client::list_offset`] for many partitions: one request to each leader. What is missing in the answer, or refused, is asked
    /// for again by itself.
    ///
    /// # Errors
    /// When a partition does not exist or its leader refuses.
    pub async fn list_offsets<'p>(
        &self,
        partitions: &[(&'p str, i32)],
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<BTreeMap<(&'p str, i32), i64>, Error> {
        let mut by_leader: BTreeMap<i32, Vec<(&'p str, i32)>> = BTreeMap::new();
        for place in partitions {
            by_leader.entry(self.leader(place.0, place.1).await?).or_default().push(*place);
        }
        let mut found = BTreeMap::new();
        for (node, mut places) in by_leader {
            places.sort_unstable();
            match self.ask_offsets(node, &places, timestamp, isolation).await {
                Ok(offsets) => found.extend(offsets),
                Err(error) if error.is_retriable() => tracing::debug!(%error, "offsets are asked for one by one"),
                Err(error) => return Err(error),
            }
        }
        for place in partitions {
            if !found.contains_key(place) {
                found.insert(*place, self.list_offset(place.0, place.1, timestamp, isolation).await?.0);
            }
        }
        Ok(found)
    }

    /// What one leader says of these partitions, which are sorted; those that it refuses are left out.
    async fn ask_offsets<'p>(
        &self,
        node: i32,
        places: &[(&'p str, i32)],
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<Vec<((&'p str, i32), i64)>, Error> {
        let mut topics: Vec<ListOffsetsTopic<'_>> = Vec::new();
        for (topic, partition) in places {
            let asked =
                ListOffsetsPartition { partition_index: *partition, timestamp, ..ListOffsetsPartition::default() };
            match topics.last_mut().filter(|last| last.name == *topic) {
                Some(last) => last.partitions.push(asked),
                None => topics.push(ListOffsetsTopic {
                    name: Cow::Borrowed(topic),
                    partitions: vec![asked],
                    ..ListOffsetsTopic::default()
                }),
            }
        }
        let request = self.list_offsets_request(topics, isolation);
        let channel = self.channel(Lane::COMMON, node).await?;
        let frame = self.send(&channel, &request).await?;
        let response = frame.decode()?;
        let mut found = Vec::new();
        for topic in &response.topics {
            for one in topic.partitions.iter().filter(|one| one.error_code == 0) {
                let asked = places.binary_search_by(|known| known.cmp(&(&*topic.name, one.partition_index)));
                found.extend(asked.ok().map(|at| (places[at], one.offset)));
            }
        }
        Ok(found)
    }

    fn list_offsets_request<'t>(
        &self,
        topics: Vec<ListOffsetsTopic<'t>>,
        isolation: Isolation,
    ) -> ListOffsetsRequest<'t> {
        ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(isolation == Isolation::ReadCommitted),
            topics,
            timeout_ms: i32::try_from(self.options().channel.request_timeout.as_millis()).unwrap_or(i32::MAX),
            ..ListOffsetsRequest::default()
        }
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
