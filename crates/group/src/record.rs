//! The records of `__consumer_offsets` that concern classic and consumer groups, as keys and values of Kafka's own messages.
//!
//! A key starts with an int16 that says its kind, a value with one that says its version; a missing value is a tombstone. Kinds that
//! this coordinator does not serve (share and streams groups) are told apart from corrupt ones, so that a log of Kafka loads.

use protocol::messages as m;
use protocol::wire::{Decode, DecodeError, Encode, Message, Reader, Writer};
use std::fmt;

/// Bytes that a record may take. Whoever would need a larger one is refused, for a log must load again: Kafka refuses what is over the
/// topic's `max.message.bytes`, which is less.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The key has fewer than two bytes.
    NoKind,
    /// A kind that this coordinator does not keep; another of Kafka's coordinators does.
    OtherKind(i16),
    /// The bytes are not what their kind and version say.
    Corrupt {
        /// Which message.
        message: &'static str,
        /// What is wrong.
        why: DecodeError,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::NoKind => f.write_str("the key is too short to say its kind"),
            RecordError::OtherKind(kind) => write!(f, "records of kind {kind} are not kept"),
            RecordError::Corrupt { message, why } => write!(f, "{message} cannot be read: {why}"),
        }
    }
}

impl std::error::Error for RecordError {}

macro_rules! records {
    ($($(#[$doc:meta])* $kind:literal $name:ident: $key:ty, $value:ty, $decode_key:ident, $decode_value:ident, |$v:ident| $version:expr;)*) => {
        /// One change of a group or of a committed offset; `None` is a tombstone.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Record {
            $($(#[$doc])* $name($key, Option<$value>),)*
        }

        impl Record {
            /// Key and value as the log holds them.
            ///
            /// # Panics
            /// Never: what this coordinator makes fits the versions that it writes.
            #[must_use]
            pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
                match self {
                    $(Record::$name(key, value) => (
                        prefixed($kind, key, 0),
                        value.as_ref().map(|$v| {
                            let version: i16 = $version;
                            prefixed(version, $v, version)
                        }),
                    ),)*
                }
            }

            /// Bytes that [`Record::encode`] makes.
            ///
            /// # Panics
            /// Never, as there.
            #[must_use]
            pub fn encoded_len(&self) -> usize {
                match self {
                    $(Record::$name(key, value) => {
                        let value = value.as_ref().map_or(0, |$v| 2 + len($v, $version));
                        2 + len(key, 0) + value
                    })*
                }
            }

            /// Reads a key and its value.
            ///
            /// # Errors
            /// See [`RecordError`].
            pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Record, RecordError> {
                let mut reader = Reader::new(key);
                let kind = reader.i16().map_err(|_| RecordError::NoKind)?;
                match kind {
                    $($kind => {
                        let key: $key = $decode_key(&mut reader, Some(0))?;
                        let value: Option<$value> = match value {
                            Some(value) => Some($decode_value(&mut Reader::new(value), None)?),
                            None => None,
                        };
                        Ok(Record::$name(key, value))
                    })*
                    other => Err(RecordError::OtherKind(other)),
                }
            }
        }
    };
}

fn len(body: &impl Encode, version: i16) -> usize {
    body.encoded_len(version).expect("a record fits the version that it is written in")
}

fn prefixed(prefix: i16, body: &impl Encode, version: i16) -> Vec<u8> {
    let mut writer = Writer { buf: prefix.to_be_bytes().to_vec(), ..Writer::default() };
    body.encode(&mut writer, version).expect("a record fits the version that it is written in");
    writer.buf
}

fn plain<'a, T: Decode<'a> + Message>(reader: &mut Reader<'a>, version: Option<i16>) -> Result<T, RecordError> {
    let corrupt = |why| RecordError::Corrupt { message: T::NAME, why };
    let version = match version {
        Some(version) => version,
        None => reader.i16().map_err(corrupt)?,
    };
    T::decode(reader, version).map_err(corrupt)
}

macro_rules! owned {
    ($($function:ident: $module:ident::$message:ident;)*) => {
        $(fn $function(
            reader: &mut Reader<'_>,
            version: Option<i16>,
        ) -> Result<m::$module::$message<'static>, RecordError> {
            plain::<m::$module::$message<'_>>(reader, version).map(m::$module::$message::into_owned)
        })*
    };
}

owned! {
    offset_key: offset_commit_key::OffsetCommitKey;
    offset_value: offset_commit_value::OffsetCommitValue;
    classic_key: group_metadata_key::GroupMetadataKey;
    classic_value: group_metadata_value::GroupMetadataValue;
    consumer_key: consumer_group_metadata_key::ConsumerGroupMetadataKey;
    consumer_partition_key: consumer_group_partition_metadata_key::ConsumerGroupPartitionMetadataKey;
    consumer_partition_value: consumer_group_partition_metadata_value::ConsumerGroupPartitionMetadataValue;
    consumer_member_key: consumer_group_member_metadata_key::ConsumerGroupMemberMetadataKey;
    consumer_member_value: consumer_group_member_metadata_value::ConsumerGroupMemberMetadataValue;
    consumer_target_key: consumer_group_target_assignment_metadata_key::ConsumerGroupTargetAssignmentMetadataKey;
    consumer_target_member_key: consumer_group_target_assignment_member_key::ConsumerGroupTargetAssignmentMemberKey;
    consumer_current_key: consumer_group_current_member_assignment_key::ConsumerGroupCurrentMemberAssignmentKey;
    consumer_regex_key: consumer_group_regular_expression_key::ConsumerGroupRegularExpressionKey;
    consumer_regex_value: consumer_group_regular_expression_value::ConsumerGroupRegularExpressionValue;
}

records! {
    /// A committed offset in the form of Kafka before 0.9.
    0 LegacyOffset: m::offset_commit_key::OffsetCommitKey<'static>, m::offset_commit_value::OffsetCommitValue<'static>, offset_key, offset_value, |_value| 0;
    /// A committed offset. Version 1 carries an expiry of its own.
    1 Offset: m::offset_commit_key::OffsetCommitKey<'static>, m::offset_commit_value::OffsetCommitValue<'static>, offset_key, offset_value,
        |value| if value.expire_timestamp == -1 { 4 } else { 1 };
    /// A classic group with its members.
    2 Classic: m::group_metadata_key::GroupMetadataKey<'static>, m::group_metadata_value::GroupMetadataValue<'static>, classic_key, classic_value, |_value| 3;
    /// A consumer group's epoch.
    3 Consumer: m::consumer_group_metadata_key::ConsumerGroupMetadataKey<'static>, m::consumer_group_metadata_value::ConsumerGroupMetadataValue, consumer_key, plain, |_value| 0;
    /// What Kafka before 4.1 kept of the subscribed topics; only ever removed.
    4 ConsumerPartitions: m::consumer_group_partition_metadata_key::ConsumerGroupPartitionMetadataKey<'static>,
        m::consumer_group_partition_metadata_value::ConsumerGroupPartitionMetadataValue<'static>, consumer_partition_key, consumer_partition_value, |_value| 0;
    /// A consumer group's member and its subscription.
    5 ConsumerMember: m::consumer_group_member_metadata_key::ConsumerGroupMemberMetadataKey<'static>,
        m::consumer_group_member_metadata_value::ConsumerGroupMemberMetadataValue<'static>, consumer_member_key, consumer_member_value, |_value| 0;
    /// The epoch of a target assignment.
    6 ConsumerTarget: m::consumer_group_target_assignment_metadata_key::ConsumerGroupTargetAssignmentMetadataKey<'static>,
        m::consumer_group_target_assignment_metadata_value::ConsumerGroupTargetAssignmentMetadataValue, consumer_target_key, plain, |_value| 0;
    /// A member's target assignment.
    7 ConsumerTargetMember: m::consumer_group_target_assignment_member_key::ConsumerGroupTargetAssignmentMemberKey<'static>,
        m::consumer_group_target_assignment_member_value::ConsumerGroupTargetAssignmentMemberValue, consumer_target_member_key, plain, |_value| 0;
    /// What a member owns and has to give back.
    8 ConsumerCurrent: m::consumer_group_current_member_assignment_key::ConsumerGroupCurrentMemberAssignmentKey<'static>,
        m::consumer_group_current_member_assignment_value::ConsumerGroupCurrentMemberAssignmentValue, consumer_current_key, plain, |_value| 0;
    /// The topics that a regular expression stands for.
    16 ConsumerRegex: m::consumer_group_regular_expression_key::ConsumerGroupRegularExpressionKey<'static>,
        m::consumer_group_regular_expression_value::ConsumerGroupRegularExpressionValue<'static>, consumer_regex_key, consumer_regex_value, |_value| 0;
}

#[cfg(test)]
mod tests;
