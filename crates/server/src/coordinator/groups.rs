//! The group coordinator: [`group::Groups`] on `__consumer_offsets`.

use super::{Answer, Coordinator, Hosted};
use base::{Clock, ErrorCode, NodeId, Refusal, SeededRng, Uuid};
use config::NodeConfig;
use group::settings::{Bounded, ConsumerSettings, MigrationPolicy};
use group::{Census, Groups, Record, RequestContext, Settings};
use metadata::MetadataImage;
use parking_lot::Mutex;
use rsm::{Effects, Now, Ticket};
use std::sync::Arc;
use telemetry::{CoordinatorMetrics, Metrics};

use crate::partitions::Partitions;

impl Hosted for Groups {
    const TOPIC: &'static str = "__consumer_offsets";

    fn encode(record: &Record) -> (Vec<u8>, Option<Vec<u8>>) {
        record.encode()
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, String> {
        match Record::decode(key, value) {
            Ok(record) => Ok(Some(record)),
            // Share and streams groups live in the same topic.
            Err(group::record::RecordError::OtherKind(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn on_metadata(&mut self, now: Now, image: &MetadataImage, topics: &[Uuid], effects: &mut Effects<Self>) {
        Groups::on_metadata(self, now, image.clone(), topics, effects);
    }

    fn coordinator_metrics(metrics: &Metrics) -> &CoordinatorMetrics {
        &metrics.groups.coordinator
    }

    fn tell(&mut self, metrics: &Metrics) {
        let (done, metrics) = (self.take_activity(), &metrics.groups);
        metrics.classic_rebalances.add(done.classic_rebalances);
        metrics.consumer_rebalances.add(done.consumer_rebalances);
        metrics.offset_commits.add(done.offset_commits);
        metrics.offset_expirations.add(done.offset_expirations);
        metrics.offset_deletions.add(done.offset_deletions);
    }
}

/// The group coordinator of this node.
pub(crate) type GroupCoordinator = Coordinator<Groups>;

impl GroupCoordinator {
    /// The coordinator of a node with these settings.
    pub(crate) fn for_groups(
        node: NodeId,
        clock: Arc<dyn Clock>,
        partitions: Arc<Partitions>,
        metrics: Arc<Metrics>,
        settings: Settings,
        rng: SeededRng,
    ) -> Arc<Self> {
        let (settings, rng) = (Arc::new(settings), Mutex::new(rng));
        let make = move |image: &MetadataImage| {
            let seed = rng.lock().next_u64();
            Groups::new(Arc::clone(&settings), image.clone(), SeededRng::new(seed))
        };
        Coordinator::new(node, clock, partitions, metrics, Box::new(make))
    }

    /// Brings the metrics of groups up to date. Looks at every group.
    pub(crate) fn measure(&self) {
        let mut census = Census::default();
        self.look(|groups| groups.count(&mut census));
        let metrics = &self.metrics.groups;
        census.classic.into_iter().for_each(|(state, count)| metrics.classic_groups.set(state, count));
        census.consumer.into_iter().for_each(|(state, count)| metrics.consumer_groups.set(state, count));
        metrics.offsets.set(i64::try_from(census.offsets).unwrap_or(i64::MAX));
    }

    /// Asks the shard that a group belongs to.
    pub(crate) fn ask_group(
        &self,
        image: &MetadataImage,
        asker: Asker<'_>,
        group: &str,
        decide: impl FnOnce(&mut Groups, RequestContext<'_>, &mut Effects<Groups>),
    ) -> Result<Answer<Groups>, Refusal> {
        let index = shard_of(image, group)
            .ok_or_else(|| Refusal::new(ErrorCode::NotCoordinator, format!("{} does not exist yet", Groups::TOPIC)))?;
        self.ask_shard(index, asker, decide)
    }

    /// Asks one shard.
    pub(crate) fn ask_shard(
        &self,
        index: i32,
        asker: Asker<'_>,
        decide: impl FnOnce(&mut Groups, RequestContext<'_>, &mut Effects<Groups>),
    ) -> Result<Answer<Groups>, Refusal> {
        self.ask(index, |groups, now: Now, ticket: Ticket, effects| {
            let Asker { version, client_id, client_host } = asker;
            decide(groups, RequestContext { now, ticket, version, client_id, client_host }, effects);
        })
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) version: i16,
    pub(crate) client_id: &'a str,
    pub(crate) client_host: &'a str,
}

/// The partition of `__consumer_offsets` that a group belongs to: Java's hash of its id, as Kafka has it.
pub(crate) fn shard_of(image: &MetadataImage, group: &str) -> Option<i32> {
    let count = image.topics().by_name(Groups::TOPIC)?.partition_count();
    // Java's abs, but for the one number that has none.
    let hash = java_hash(group).checked_abs().unwrap_or(0);
    Some(hash % i32::try_from(count).ok()?)
}

/// `String.hashCode`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The coordinator's settings out of a node's.
pub(crate) fn group_settings(config: &NodeConfig) -> Settings {
    let ms = |name: &str| i32::try_from(config.number(name)).unwrap_or(i32::MAX);
    let count = |name: &str| usize::try_from(config.number(name)).unwrap_or(usize::MAX);
    let bounded = |what: &str| Bounded {
        default_ms: ms(&format!("group.consumer.{what}.ms")),
        min_ms: ms(&format!("group.consumer.min.{what}.ms")),
        max_ms: ms(&format!("group.consumer.max.{what}.ms")),
    };
    let text = |name: &str| config.value(name).unwrap_or_default().to_owned();
    Settings {
        node_id: config.node_id,
        classic_session_timeout_min_ms: ms("group.min.session.timeout.ms"),
        classic_session_timeout_max_ms: ms("group.max.session.timeout.ms"),
        classic_initial_rebalance_delay_ms: ms("group.initial.rebalance.delay.ms"),
        classic_size_max: count("group.max.size"),
        offset_metadata_max: count("offset.metadata.max.bytes"),
        offsets_retention_ms: config.number("offsets.retention.minutes").saturating_mul(60_000),
        offsets_retention_check_ms: config.number("offsets.retention.check.interval.ms"),
        consumer: ConsumerSettings {
            session_timeout: bounded("session.timeout"),
            heartbeat_interval: bounded("heartbeat.interval"),
            assignment_interval: bounded("assignment.interval"),
            size_max: count("group.consumer.max.size"),
            assignors: config::consumer_assignor_names(&text("group.consumer.assignors")).map(str::to_owned).collect(),
            migration: MigrationPolicy::from_name(&text("group.consumer.migration.policy"))
                .unwrap_or(MigrationPolicy::Bidirectional),
            ..ConsumerSettings::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::java_hash;

    #[test]
    fn ids_hash_as_in_java() {
        // Values of java.lang.String.hashCode.
        assert_eq!(java_hash("group"), 98_629_247);
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
    }

    #[test]
    fn an_assignor_named_by_its_class_is_the_one_that_groups_get() {
        let class = "org.apache.kafka.coordinator.group.assignor.RangeAssignor";
        let lines = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\nlog.dirs=/d\n\
             controller.quorum.bootstrap.servers=localhost:9093\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
             group.consumer.assignors={class}\n"
        );
        let config = config::NodeConfig::from_properties(&config::Properties::parse(&lines)).unwrap().config;
        assert_eq!(super::group_settings(&config).consumer.assignors, ["range"]);
    }
}
