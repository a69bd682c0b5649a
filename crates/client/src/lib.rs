//! Kafka's client side: producer, consumer, admin; for the command line, streams, SQL and the console.
//!
//! Speaks only the wire, to any Kafka cluster since 2.1: versions are negotiated for every request, leaders are found in a
//! metadata cache, errors that Kafka calls retriable are retried until a deadline. Nothing here knows the server.

mod admin;
mod client;
mod consumer;
mod error;
mod metadata;
mod producer;
#[cfg(test)]
mod testing;

pub use admin::{
    Admin, ClusterDescription, CommittedOffset, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym, CreatedTopic,
    FeatureLevel, GroupDescription, GroupLag, GroupMember, ListedGroup, LogDirDescription, LogDirReplica, NewTopic,
    NextRecord, Place, ProducerDescription, QuorumDescription, QuorumReplica,
};
pub use client::{Client, ClientOptions, Lane};
pub use consumer::{Consumer, ConsumerOptions, Isolation, OutOfRange, PartitionRecords, Start};
pub use error::Error;
pub use metadata::{BrokerNode, ClusterMetadata, PartitionMetadata, TopicMetadata};
pub use producer::{Acks, Delivery, Producer, ProducerOptions, RecordMetadata, ToSend, partition_for_key};
