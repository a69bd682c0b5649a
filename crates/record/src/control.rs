//! Control records: what a control batch's single record says. Keys are a version and a type, values are flat versioned messages.
//!
//! Written here, not in the protocol crate, because log formats outlive wire versions and raft reads them without knowing the wire.

use crate::builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::records::RecordView;
use base::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Timestamp, Uuid};

/// The type of a control record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum ControlType {
    /// A transaction's abort marker.
    Abort = 0,
    /// A transaction's commit marker.
    Commit = 1,
    /// The first record of a leader's epoch in the metadata log (KIP-595).
    LeaderChange = 2,
    /// The first record of a snapshot (KIP-630).
    SnapshotHeader = 3,
    /// The last record of a snapshot (KIP-630).
    SnapshotFooter = 4,
    /// The level of kraft.version (KIP-853).
    KRaftVersion = 5,
    /// The voters of the metadata quorum (KIP-853).
    KRaftVoters = 6,
}

impl ControlType {
    /// The type of a control record with this key; `None` for a key that is too short or a type that is unknown.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<ControlType> {
        let id = i16::from_be_bytes(key.get(2..4)?.try_into().ok()?);
        Some(match id {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KRaftVersion,
            6 => ControlType::KRaftVoters,
            _ => return None,
        })
    }

    /// The key of a control record of this type.
    #[must_use]
    pub fn key(self) -> [u8; 4] {
        let id = (self as i16).to_be_bytes();
        [0, 0, id[0], id[1]]
    }
}

/// A value that is cut off, too long or of an unknown version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of a {0:?} control record is malformed")]
pub struct MalformedControl(pub ControlType);

/// What a control record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// A transaction was aborted.
    Abort(EndTxnMarker),
    /// A transaction was committed.
    Commit(EndTxnMarker),
    /// A leader's epoch begins.
    LeaderChange(LeaderChange),
    /// A snapshot begins.
    SnapshotHeader(SnapshotHeader),
    /// A snapshot ends.
    SnapshotFooter(SnapshotFooter),
    /// kraft.version changes.
    KRaftVersion(KRaftVersion),
    /// The voters change.
    KRaftVoters(Voters),
}

impl ControlRecord {
    /// Its type.
    #[must_use]
    pub fn control_type(&self) -> ControlType {
        match self {
            ControlRecord::Abort(_) => ControlType::Abort,
            ControlRecord::Commit(_) => ControlType::Commit,
            ControlRecord::LeaderChange(_) => ControlType::LeaderChange,
            ControlRecord::SnapshotHeader(_) => ControlType::SnapshotHeader,
            ControlRecord::SnapshotFooter(_) => ControlType::SnapshotFooter,
            ControlRecord::KRaftVersion(_) => ControlType::KRaftVersion,
            ControlRecord::KRaftVoters(_) => ControlType::KRaftVoters,
        }
    }

    /// The bytes of its value.
    #[must_use]
    pub fn encode_value(&self) -> Vec<u8> {
        match self {
            ControlRecord::Abort(marker) | ControlRecord::Commit(marker) => marker.encode(),
            ControlRecord::LeaderChange(change) => change.encode(),
            ControlRecord::SnapshotHeader(header) => header.encode(),
            ControlRecord::SnapshotFooter(footer) => footer.encode(),
            ControlRecord::KRaftVersion(version) => version.encode(),
            ControlRecord::KRaftVoters(voters) => voters.encode(),
        }
    }

    /// What a record of a control batch says; `None` for a type that is not known, which a reader skips.
    ///
    /// # Errors
    /// When the value is malformed.
    pub fn decode(record: &RecordView<'_>) -> Result<Option<ControlRecord>, MalformedControl> {
        let Some(kind) = record.key.and_then(ControlType::from_key) else { return Ok(None) };
        let value = record.value.ok_or(MalformedControl(kind))?;
        let marker = || EndTxnMarker::decode(value).ok_or(MalformedControl(kind));
        Ok(Some(match kind {
            ControlType::Abort => ControlRecord::Abort(marker()?),
            ControlType::Commit => ControlRecord::Commit(marker()?),
            ControlType::LeaderChange => ControlRecord::LeaderChange(LeaderChange::decode(value)?),
            ControlType::SnapshotHeader => ControlRecord::SnapshotHeader(SnapshotHeader::decode(value)?),
            ControlType::SnapshotFooter => ControlRecord::SnapshotFooter(SnapshotFooter),
            ControlType::KRaftVersion => ControlRecord::KRaftVersion(KRaftVersion::decode(value)?),
            ControlType::KRaftVoters => ControlRecord::KRaftVoters(Voters::decode(value)?),
        }))
    }
}

/// A control batch of the metadata log or a snapshot. Kafka writes several records in one batch where they belong together, such
/// as a leader's first batch of a dynamic quorum: leader change, kraft.version, voters.
///
/// # Panics
/// When there is no record.
#[must_use]
pub fn batch(base_offset: Offset, leader_epoch: LeaderEpoch, now: Timestamp, records: &[ControlRecord]) -> Vec<u8> {
    let options = BatchOptions { base_offset, leader_epoch, control: true, ..BatchOptions::default() };
    build(options, now, records)
}

/// The batch that ends a transaction in a partition: [`ControlRecord::Abort`] or [`ControlRecord::Commit`].
#[must_use]
pub fn end_txn_batch(
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    now: Timestamp,
    record: &ControlRecord,
) -> Vec<u8> {
    let options =
        BatchOptions { producer_id, producer_epoch, transactional: true, control: true, ..BatchOptions::default() };
    build(options, now, std::slice::from_ref(record))
}

fn build(options: BatchOptions, timestamp: Timestamp, records: &[ControlRecord]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        let (key, value) = (record.control_type().key(), record.encode_value());
        builder.append(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] });
    }
    builder.build()
}

/// The value of a transaction marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Its bytes: version 0, not flexible.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut out = vec![0, 0];
        out.extend_from_slice(&self.coordinator_epoch.to_be_bytes());
        out
    }

    /// Reads a marker of version 0 or newer.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<EndTxnMarker> {
        let epoch = bytes.get(2..6)?.try_into().ok()?;
        Some(EndTxnMarker { coordinator_epoch: i32::from_be_bytes(epoch) })
    }
}

/// A voter in a [`LeaderChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderVoter {
    /// Its node.
    pub node: NodeId,
    /// Its directory; only since version 1.
    pub directory_id: Uuid,
}

/// The value of a leader change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderChange {
    /// 0, or 1 with directory ids. Kafka 4.4 writes and reads version 0 only, also under kraft.version 1: a log that it should be
    /// able to read has 0.
    pub version: i16,
    /// The new leader.
    pub leader: NodeId,
    /// All voters.
    pub voters: Vec<LeaderVoter>,
    /// Those that voted for the leader.
    pub granting: Vec<LeaderVoter>,
}

impl LeaderChange {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Flat::default();
        out.i16(self.version);
        out.i32(self.leader.0);
        for list in [&self.voters, &self.granting] {
            out.count(list.len());
            for voter in list {
                out.i32(voter.node.0);
                if self.version >= 1 {
                    out.uuid(voter.directory_id);
                }
                out.no_tags();
            }
        }
        out.no_tags();
        out.0
    }

    /// Reads a value of version 0 or 1.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<LeaderChange, MalformedControl> {
        Self::read(&mut Cursor(bytes)).ok_or(MalformedControl(ControlType::LeaderChange))
    }

    fn read(from: &mut Cursor<'_>) -> Option<LeaderChange> {
        let version = from.i16().filter(|version| (0..=1).contains(version))?;
        let leader = NodeId(from.i32()?);
        let mut list = || {
            let count = from.count()?;
            (0..count)
                .map(|_| {
                    let node = NodeId(from.i32()?);
                    let directory_id = if version >= 1 { from.uuid()? } else { Uuid::ZERO };
                    from.tags()?;
                    Some(LeaderVoter { node, directory_id })
                })
                .collect::<Option<Vec<_>>>()
        };
        Some(LeaderChange { version, leader, voters: list()?, granting: list()? })
    }
}

/// The value of a snapshot's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Append time of the last record that the snapshot contains.
    pub last_contained_log_timestamp: Timestamp,
}

impl SnapshotHeader {
    /// Its bytes, version 0.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut out = Flat::default();
        out.i16(0);
        out.i64(self.last_contained_log_timestamp.0);
        out.no_tags();
        out.0
    }

    /// Reads a value.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<SnapshotHeader, MalformedControl> {
        let mut from = Cursor(bytes);
        let read = from.i16().and_then(|_| from.i64());
        let timestamp = read.ok_or(MalformedControl(ControlType::SnapshotHeader))?;
        Ok(SnapshotHeader { last_contained_log_timestamp: Timestamp(timestamp) })
    }
}

/// The value of a snapshot's footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFooter;

impl SnapshotFooter {
    /// Its bytes, version 0.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        vec![0, 0, 0]
    }
}

/// The value that sets kraft.version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KRaftVersion {
    /// The level: 1 for a dynamic quorum (KIP-853).
    pub level: i16,
}

impl KRaftVersion {
    /// Its bytes, version 0.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut out = Flat::default();
        out.i16(0);
        out.i16(self.level);
        out.no_tags();
        out.0
    }

    /// Reads a value.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<KRaftVersion, MalformedControl> {
        let mut from = Cursor(bytes);
        let level = from.i16().and_then(|_| from.i16());
        Ok(KRaftVersion { level: level.ok_or(MalformedControl(ControlType::KRaftVersion))? })
    }
}

/// Where a voter can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// The listener's name.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A voter of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its node.
    pub node: NodeId,
    /// Its metadata directory: with the node, its identity (KIP-853).
    pub directory_id: Uuid,
    /// Where it can be reached.
    pub endpoints: Vec<VoterEndpoint>,
    /// Lowest kraft.version that it can run.
    pub kraft_version_min: i16,
    /// Highest kraft.version that it can run.
    pub kraft_version_max: i16,
}

/// The value that sets the voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voters {
    /// All voters.
    pub voters: Vec<Voter>,
}

impl Voters {
    /// Its bytes, version 0.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Flat::default();
        out.i16(0);
        out.count(self.voters.len());
        for voter in &self.voters {
            out.i32(voter.node.0);
            out.uuid(voter.directory_id);
            out.count(voter.endpoints.len());
            for endpoint in &voter.endpoints {
                out.string(&endpoint.name);
                out.string(&endpoint.host);
                out.i16(endpoint.port as i16);
                out.no_tags();
            }
            out.i16(voter.kraft_version_min);
            out.i16(voter.kraft_version_max);
            out.no_tags();
            out.no_tags();
        }
        out.no_tags();
        out.0
    }

    /// Reads a value.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Voters, MalformedControl> {
        Self::read(&mut Cursor(bytes)).ok_or(MalformedControl(ControlType::KRaftVoters))
    }

    fn read(from: &mut Cursor<'_>) -> Option<Voters> {
        from.i16()?;
        let count = from.count()?;
        let mut voters = Vec::new();
        for _ in 0..count {
            let (node, directory_id) = (NodeId(from.i32()?), from.uuid()?);
            let mut endpoints = Vec::new();
            for _ in 0..from.count()? {
                endpoints.push(VoterEndpoint { name: from.string()?, host: from.string()?, port: from.i16()? as u16 });
                from.tags()?;
            }
            let (kraft_version_min, kraft_version_max) = (from.i16()?, from.i16()?);
            from.tags()?;
            from.tags()?;
            voters.push(Voter { node, directory_id, endpoints, kraft_version_min, kraft_version_max });
        }
        Some(Voters { voters })
    }
}

/// Flexible encoding of the few types that control records have.
#[derive(Default)]
struct Flat(Vec<u8>);

impl Flat {
    fn i16(&mut self, value: i16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    fn uuid(&mut self, value: Uuid) {
        self.0.extend_from_slice(&value.to_bytes());
    }
    fn count(&mut self, len: usize) {
        let mut rest = len + 1;
        while rest >= 0x80 {
            self.0.push((rest as u8) | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }
    fn string(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }
    fn no_tags(&mut self) {
        self.0.push(0);
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }
    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }
    fn uuid(&mut self) -> Option<Uuid> {
        Some(Uuid::from_bytes(self.take(16)?.try_into().ok()?))
    }
    fn uvarint(&mut self) -> Option<usize> {
        let mut value = 0_usize;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    /// An array's length; every element takes at least a byte, so a larger claim is a lie.
    fn count(&mut self) -> Option<usize> {
        self.uvarint()?.checked_sub(1).filter(|&count| count <= self.0.len())
    }
    fn string(&mut self) -> Option<String> {
        let len = self.count()?;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }
    fn tags(&mut self) -> Option<()> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let size = self.uvarint()?;
            self.take(size)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
