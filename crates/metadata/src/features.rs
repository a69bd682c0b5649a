//! Feature levels (KIP-584, KIP-778): what this version supports, and which record versions each metadata.version writes.

/// The feature that gates record and request versions.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature of the quorum itself: 1 for a dynamic one (KIP-853). It lives in control records, not in feature records.
pub const KRAFT_VERSION: &str = "kraft.version";

/// A feature with the levels that this version runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// The feature of groups: 1 for the consumer protocol (KIP-848).
pub const GROUP_VERSION: &str = "group.version";

/// What this version supports. A feature is here only when all of its levels work: transactions, share and streams groups and
/// eligible leader replicas are not, yet, beyond their level 0, which needs no entry.
pub const SUPPORTED_FEATURES: &[Feature] = &[
    Feature { name: GROUP_VERSION, min: 0, max: 1 },
    Feature { name: KRAFT_VERSION, min: 0, max: 1 },
    Feature { name: METADATA_VERSION, min: 7, max: 33 },
];

/// The features that Kafka 4.4 has besides: here they are off, at level 0.
pub const UNSUPPORTED_FEATURES: &[&str] =
    &["eligible.leader.replicas.version", "share.version", "streams.version", "transaction.version"];

/// The levels of a feature; `None` when only its level 0 is supported.
#[must_use]
pub fn supported_feature(name: &str) -> Option<Feature> {
    SUPPORTED_FEATURES.iter().copied().find(|feature| feature.name == name)
}

/// All levels of metadata.version, with Kafka's names.
const LEVELS: &[(i16, &str)] = &[
    (7, "3.3-IV3"),
    (8, "3.4-IV0"),
    (9, "3.5-IV0"),
    (10, "3.5-IV1"),
    (11, "3.5-IV2"),
    (12, "3.6-IV0"),
    (13, "3.6-IV1"),
    (14, "3.6-IV2"),
    (15, "3.7-IV0"),
    (16, "3.7-IV1"),
    (17, "3.7-IV2"),
    (18, "3.7-IV3"),
    (19, "3.7-IV4"),
    (20, "3.8-IV0"),
    (21, "3.9-IV0"),
    (22, "4.0-IV0"),
    (23, "4.0-IV1"),
    (24, "4.0-IV2"),
    (25, "4.0-IV3"),
    (26, "4.1-IV0"),
    (27, "4.1-IV1"),
    (28, "4.2-IV0"),
    (29, "4.2-IV1"),
    (30, "4.3-IV0"),
    (31, "4.4-IV0"),
    (32, "4.4-IV1"),
    (33, "4.4-IV2"),
];

/// The levels that brought records, or fields of records, which the level before cannot write.
const CHANGED_RECORDS: &[i16] = &[7, 8, 11, 13, 14, 15, 17, 23, 30, 32, 33];

/// A level of metadata.version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataVersion(i16);

impl MetadataVersion {
    /// The oldest level, 3.3-IV3.
    pub const MINIMUM: MetadataVersion = MetadataVersion(7);
    /// The level of a new cluster, 4.4-IV2.
    pub const LATEST: MetadataVersion = MetadataVersion(33);

    /// The level of this number.
    #[must_use]
    pub fn from_level(level: i16) -> Option<MetadataVersion> {
        (Self::MINIMUM.0..=Self::LATEST.0).contains(&level).then_some(MetadataVersion(level))
    }

    /// The level of a name: a level's own (`4.1-IV1`), or a release's (`4.1`), which means its last level.
    #[must_use]
    pub fn from_name(name: &str) -> Option<MetadataVersion> {
        let release = |full: &str| full.split('-').next().unwrap_or(full).to_owned();
        // A patch release has its minor release's level.
        let minor: String = name.split('.').take(2).collect::<Vec<_>>().join(".");
        let found =
            LEVELS.iter().rev().find(|(_, full)| *full == name || release(full) == name || release(full) == minor);
        found.map(|(level, _)| MetadataVersion(*level))
    }

    /// Its number.
    #[must_use]
    pub const fn level(self) -> i16 {
        self.0
    }

    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|(level, _)| *level == self.0).map_or("?", |(_, name)| name)
    }

    /// Whether going down to `older` could lose what a record says.
    #[must_use]
    pub fn loses_records_at(self, older: MetadataVersion) -> bool {
        CHANGED_RECORDS.iter().any(|level| (older.0 + 1..=self.0).contains(level))
    }

    /// The level of group.version that a new cluster of this level begins with.
    #[must_use]
    pub const fn default_group_version(self) -> i16 {
        if self.0 >= 22 { 1 } else { 0 }
    }

    /// Whether controllers register (KIP-919).
    #[must_use]
    pub const fn has_controller_registration(self) -> bool {
        self.0 >= 15
    }

    /// Whether records may stand in metadata transactions (KIP-868).
    #[must_use]
    pub const fn has_transactions(self) -> bool {
        self.0 >= 13
    }

    /// Whether replicas are assigned to log dirs (KIP-858).
    #[must_use]
    pub const fn has_directories(self) -> bool {
        self.0 >= 17
    }

    /// Whether partitions keep eligible leader replicas (KIP-966).
    #[must_use]
    pub const fn has_elr(self) -> bool {
        self.0 >= 23
    }

    /// Whether log dirs can be cordoned (KIP-1066).
    #[must_use]
    pub const fn has_cordons(self) -> bool {
        self.0 >= 30
    }

    /// The version of a broker's registration record.
    #[must_use]
    pub const fn register_broker_version(self) -> i16 {
        match self.0 {
            30.. => 4,
            17.. => 3,
            8.. => 2,
            _ => 1,
        }
    }

    /// The version of a change to a broker's registration.
    #[must_use]
    pub const fn registration_change_version(self) -> i16 {
        match self.0 {
            30.. => 3,
            17.. => 2,
            _ => 1,
        }
    }

    /// The version of partition records and changes to them.
    #[must_use]
    pub const fn partition_version(self) -> i16 {
        match self.0 {
            23.. => 2,
            17.. => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEVELS, MetadataVersion};

    #[test]
    fn levels_and_releases_have_names() {
        for (level, name) in LEVELS {
            assert_eq!(MetadataVersion::from_level(*level).unwrap().name(), *name);
            assert_eq!(MetadataVersion::from_name(name).unwrap().level(), *level);
        }
        assert_eq!(MetadataVersion::from_name("4.0").unwrap().level(), 25);
        assert_eq!(MetadataVersion::from_name("4.1.2").unwrap().level(), 27);
        let loses = |from, to| MetadataVersion(from).loses_records_at(MetadataVersion(to));
        assert!(loses(33, 32) && loses(32, 31) && !loses(31, 30) && loses(31, 29) && !loses(29, 23) && !loses(20, 17));
        assert_eq!(MetadataVersion::from_name("9.9"), None);
        assert_eq!(MetadataVersion::from_level(34), None);
    }
}
