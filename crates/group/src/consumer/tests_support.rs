//! What the tests of this folder share: small images, and the text of testdata/kafka-consumer.txt.

use crate::consumer::OwnedPartitions;
use base::{NodeId, Uuid};
use metadata::{Changes, MetadataImage};
use protocol::messages::partition_record::PartitionRecord;
use protocol::messages::register_broker_record::RegisterBrokerRecord;
use protocol::messages::topic_record::TopicRecord;
use std::borrow::Cow;

/// Text as it was before the vectors were written.
pub(super) fn unescape(text: &str) -> String {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(hex) = rest.strip_prefix("\\u").and_then(|hex| hex.get(..4)) {
            units.push(u16::from_str_radix(hex, 16).expect("four hex digits"));
            rest = &rest[6..];
        } else {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            rest = &rest[c.len_utf8()..];
        }
    }
    String::from_utf16(&units).expect("whole characters")
}

/// Topics of this many partitions, with the ids 1, 2, ..
pub(crate) fn image(topics: &[(&str, i32)]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for ((name, partitions), id) in topics.iter().zip(1_u128..) {
        let replicas: Vec<Vec<i32>> = (0..*partitions).map(|_| vec![1]).collect();
        add_topic(&mut image, Uuid(id), name, &replicas);
    }
    image
}

/// Adds a topic, given the replicas of each partition.
pub(super) fn add_topic(image: &mut MetadataImage, id: Uuid, name: &str, replicas: &[Vec<i32>]) {
    let topic = TopicRecord { name: Cow::Owned(name.to_owned()), topic_id: id, ..TopicRecord::default() };
    image.apply(&topic.into(), &mut Changes::default());
    for (replicas, index) in replicas.iter().zip(0..) {
        let partition = PartitionRecord {
            partition_id: index,
            topic_id: id,
            isr: replicas.clone(),
            leader: replicas[0],
            replicas: replicas.clone(),
            ..PartitionRecord::default()
        };
        image.apply(&partition.into(), &mut Changes::default());
    }
}

/// Adds a broker.
pub(super) fn add_broker(image: &mut MetadataImage, id: i32, rack: Option<String>) {
    let broker = RegisterBrokerRecord { broker_id: id, rack: rack.map(Cow::Owned), ..RegisterBrokerRecord::default() };
    image.apply(&broker.into(), &mut Changes::default());
    assert!(image.broker(NodeId(id)).is_some());
}

/// `topic:partition@epoch,..;topic:..`, `-` for nothing; without epochs they are 0.
pub(super) fn owned(text: &str) -> OwnedPartitions {
    let topics = text.split(';').filter(|topic| *topic != "-").map(|topic| {
        let (id, partitions) = topic.split_once(':').expect("a topic and its partitions");
        let partitions = partitions.split(',').map(|one| {
            let (partition, epoch) = one.split_once('@').unwrap_or((one, "0"));
            (partition.parse().expect("a partition"), epoch.parse().expect("an epoch"))
        });
        (Uuid(id.parse().expect("a small id")), partitions.collect())
    });
    topics.collect()
}
