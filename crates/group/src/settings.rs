//! What a coordinator is told once, in the units of the configs.

/// The group coordinator's configs.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// node.id: a dynamic config may be set for this broker alone.
    pub node_id: i32,
    /// group.min.session.timeout.ms.
    pub classic_session_timeout_min_ms: i32,
    /// group.max.session.timeout.ms.
    pub classic_session_timeout_max_ms: i32,
    /// group.initial.rebalance.delay.ms.
    pub classic_initial_rebalance_delay_ms: i32,
    /// group.max.size.
    pub classic_size_max: usize,
    /// offset.metadata.max.bytes, counted in UTF-16 units as Kafka does.
    pub offset_metadata_max: usize,
    /// offsets.retention.minutes, in ms.
    pub offsets_retention_ms: i64,
    /// offsets.retention.check.interval.ms.
    pub offsets_retention_check_ms: i64,
    /// What concerns groups of KIP-848.
    pub consumer: ConsumerSettings,
}

/// A default and the bounds that a group's own config must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounded {
    /// The broker's default, ms.
    pub default_ms: i32,
    /// The least that a group may set, ms.
    pub min_ms: i32,
    /// The most that a group may set, ms.
    pub max_ms: i32,
}

impl Bounded {
    /// A group's own value brought into the bounds (KIP-1191), or the default.
    #[must_use]
    pub fn effective(&self, own: Option<i32>) -> i32 {
        own.map_or(self.default_ms, |own| own.max(self.min_ms).min(self.max_ms))
    }
}

/// Which way a group may change its protocol while it has members (KIP-848, group.consumer.migration.policy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Neither.
    Disabled,
    /// Consumer to classic.
    Downgrade,
    /// Classic to consumer.
    Upgrade,
    /// Both.
    Bidirectional,
}

impl MigrationPolicy {
    /// By its config value, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "disabled" => Some(Self::Disabled),
            "downgrade" => Some(Self::Downgrade),
            "upgrade" => Some(Self::Upgrade),
            "bidirectional" => Some(Self::Bidirectional),
            _ => None,
        }
    }

    /// Whether a classic group with members may become a consumer group.
    #[must_use]
    pub fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a consumer group with members may become a classic group.
    #[must_use]
    pub fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// The configs of consumer groups (KIP-848).
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerSettings {
    /// group.consumer.session.timeout.ms and its bounds.
    pub session_timeout: Bounded,
    /// group.consumer.heartbeat.interval.ms and its bounds.
    pub heartbeat_interval: Bounded,
    /// group.consumer.assignment.interval.ms and its bounds.
    pub assignment_interval: Bounded,
    /// group.consumer.max.size.
    pub size_max: usize,
    /// group.consumer.assignors, by name; the first is the default.
    pub assignors: Vec<String>,
    /// group.consumer.migration.policy.
    pub migration: MigrationPolicy,
    /// group.consumer.regex.refresh.interval.ms.
    pub regex_refresh_ms: i64,
}

impl Default for Settings {
    /// Kafka 4.4's defaults.
    fn default() -> Self {
        Self {
            node_id: 1,
            classic_session_timeout_min_ms: 6_000,
            classic_session_timeout_max_ms: 1_800_000,
            classic_initial_rebalance_delay_ms: 3_000,
            classic_size_max: usize::MAX,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            offsets_retention_check_ms: 600_000,
            consumer: ConsumerSettings::default(),
        }
    }
}

impl Default for ConsumerSettings {
    /// Kafka 4.4's defaults.
    fn default() -> Self {
        Self {
            session_timeout: Bounded { default_ms: 45_000, min_ms: 45_000, max_ms: 60_000 },
            heartbeat_interval: Bounded { default_ms: 5_000, min_ms: 5_000, max_ms: 15_000 },
            assignment_interval: Bounded { default_ms: 1_000, min_ms: 0, max_ms: 15_000 },
            size_max: usize::MAX,
            assignors: vec!["uniform".to_owned(), "range".to_owned()],
            migration: MigrationPolicy::Bidirectional,
            regex_refresh_ms: 600_000,
        }
    }
}
