//! `thalweg topic`.

use crate::options::{Connection, Format, name_and_value};
use crate::output::{self, Failure};
use base::ErrorCode;
use clap::Subcommand;
use client::{Admin, ConfigResource, NewTopic, TopicMetadata};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub(crate) enum Topic {
    /// Create a topic
    Create {
        /// Its name
        topic: String,
        /// How many partitions [default: the broker's]
        #[arg(long, short)]
        partitions: Option<i32>,
        /// How many replicas [default: the broker's]
        #[arg(long, short)]
        replication_factor: Option<i16>,
        /// A config of the topic; may be repeated
        #[arg(long, short, value_name = "NAME=VALUE", value_parser = name_and_value)]
        config: Vec<(String, String)>,
        /// Succeed when it is there already
        #[arg(long)]
        if_not_exists: bool,
        /// Only check whether it could be created
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// List topics
    List {
        /// Also those that belong to Kafka itself
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Describe topics: partitions, leaders, replicas, configs
    Describe {
        /// Their names [default: all]
        topic: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Change a topic: more partitions, other configs
    Alter {
        /// Its name
        topic: String,
        /// How many partitions it shall have; they can only grow
        #[arg(long, short)]
        partitions: Option<i32>,
        /// Set a config; may be repeated
        #[arg(long, short, value_name = "NAME=VALUE", value_parser = name_and_value)]
        config: Vec<(String, String)>,
        /// Take a config back to its default; may be repeated
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete topics and all their records
    Delete {
        /// Their names
        #[arg(required = true)]
        topic: Vec<String>,
        /// Succeed when one is not there
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Topic {
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Topic::Create { connection, .. }
            | Topic::List { connection, .. }
            | Topic::Describe { connection, .. }
            | Topic::Alter { connection, .. }
            | Topic::Delete { connection, .. } => connection,
        }
    }
}

pub(crate) async fn run(command: Topic) -> Result<(), Failure> {
    let format = command.connection().output;
    let admin = Admin::new(command.connection().connect().await?);
    match command {
        Topic::Create { topic, partitions, replication_factor, config, if_not_exists, validate_only, .. } => {
            let configs = config.into_iter().collect();
            let new = NewTopic { name: topic, partitions, replication_factor, configs, ..NewTopic::default() };
            create(&admin, &new, if_not_exists, validate_only, format).await
        }
        Topic::List { internal, .. } => list(&admin, internal, format).await,
        Topic::Describe { topic, .. } => describe(&admin, &topic, format).await,
        Topic::Alter { topic, partitions, config, unset, .. } => {
            let mut changes: BTreeMap<String, Option<String>> =
                config.into_iter().map(|(name, value)| (name, Some(value))).collect();
            changes.extend(unset.into_iter().map(|name| (name, None)));
            alter(&admin, &topic, partitions, &changes, format).await
        }
        Topic::Delete { topic, if_exists, .. } => delete(&admin, &topic, if_exists, format).await,
    }
}

async fn create(
    admin: &Admin,
    new: &NewTopic,
    lenient: bool,
    validate_only: bool,
    format: Format,
) -> Result<(), Failure> {
    let created = match admin.create_topic(new, validate_only).await {
        Ok(created) => created,
        Err(error) if lenient && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
            return done(format, json!({"topic": new.name, "created": false}), &format!("topic {} exists", new.name));
        }
        Err(error) => return Err(error.into()),
    };
    if !validate_only {
        warn_of_no_effect(admin, &new.name, new.configs.iter().map(|(name, value)| (&**name, &**value))).await?;
    }
    let value = json!({
        "topic": new.name, "created": !validate_only, "id": created.id.to_string(),
        "partitions": created.partitions, "replication_factor": created.replication_factor,
    });
    let verb = if validate_only { "could create" } else { "created" };
    let shape = match created.partitions {
        0.. => format!(" with {} partitions, {} replicas each", created.partitions, created.replication_factor),
        _ => String::new(),
    };
    done(format, value, &format!("{verb} topic {}{shape}", new.name))
}

/// Says which of a topic's configs have no effect, where the broker is Thalweg: it has a config that Kafka has not.
async fn warn_of_no_effect<'c>(
    admin: &Admin,
    topic: &str,
    configs: impl Iterator<Item = (&'c str, &'c str)>,
) -> Result<(), Failure> {
    let idle: Vec<String> = configs.filter_map(|(name, value)| no_effect(name, value)).collect();
    if idle.is_empty() {
        return Ok(());
    }
    let all = admin.describe_configs(&ConfigResource::Topic(topic.to_owned())).await?;
    if all.iter().any(|entry| entry.name == "durability") {
        idle.iter().for_each(|sentence| eprintln!("thalweg: {sentence}"));
    }
    Ok(())
}

/// What is to be said of a topic's config whose value has no effect yet.
fn no_effect(name: &str, value: &str) -> Option<String> {
    let row = config::topic_row(name)?;
    if name == "cleanup.policy" && config::words(value).any(|word| word == "compact") {
        return Some(format!("{name}={value} is kept, but logs are not compacted yet"));
    }
    let is_idle = row.honoured == config::Honoured::NotYet && row.default != Some(value.trim());
    is_idle.then(|| format!("{name} is not honoured yet: it has no effect"))
}

fn done(format: Format, value: Value, sentence: &str) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(&value),
        Format::Text => output::line(sentence),
    }
}

async fn list(admin: &Admin, internal: bool, format: Format) -> Result<(), Failure> {
    let topics = admin.list_topics().await?;
    for topic in topics.iter().filter(|topic| internal || !topic.internal) {
        match format {
            Format::Text => output::line(&topic.name)?,
            Format::Json => output::json(&json!({
                "topic": topic.name, "id": topic.id.to_string(), "internal": topic.internal, "partitions": topic.partitions.len(),
            }))?,
        }
    }
    Ok(())
}

async fn describe(admin: &Admin, names: &[String], format: Format) -> Result<(), Failure> {
    let topics = if names.is_empty() {
        admin.list_topics().await?.into_iter().filter(|topic| !topic.internal).collect()
    } else {
        let mut topics = Vec::new();
        for name in names {
            topics.push(admin.describe_topic(name).await?);
        }
        topics
    };
    for (i, topic) in topics.iter().enumerate() {
        let configs = admin.describe_configs(&ConfigResource::Topic(topic.name.clone())).await?;
        let set: Vec<(String, String)> = configs
            .into_iter()
            .filter(|entry| entry.source.0 == 1)
            .map(|entry| (entry.name, entry.value.unwrap_or_default()))
            .collect();
        match format {
            Format::Json => output::json(&described(topic, &set))?,
            Format::Text => {
                if i > 0 {
                    output::line("")?;
                }
                print_topic(topic, &set)?;
            }
        }
    }
    Ok(())
}

fn described(topic: &TopicMetadata, configs: &[(String, String)]) -> Value {
    let partition = |partition: &client::PartitionMetadata| {
        json!({
            "partition": partition.partition, "leader": partition.leader, "leader_epoch": partition.leader_epoch,
            "replicas": partition.replicas, "isr": partition.isr, "offline": partition.offline,
        })
    };
    let configs: serde_json::Map<String, Value> =
        configs.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    json!({
        "topic": topic.name, "id": topic.id.to_string(), "internal": topic.internal, "configs": configs,
        "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

fn print_topic(topic: &TopicMetadata, configs: &[(String, String)]) -> Result<(), Failure> {
    let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    output::line(format_args!(
        "topic {}, id {}, {} partitions, {replicas} replicas each",
        topic.name,
        topic.id,
        topic.partitions.len()
    ))?;
    for (name, value) in configs {
        output::line(format_args!("  {name}={value}"))?;
    }
    let list = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let rows: Vec<Vec<String>> = topic
        .partitions
        .iter()
        .map(|partition| {
            let leader = if partition.leader < 0 { "none".to_owned() } else { partition.leader.to_string() };
            vec![
                partition.partition.to_string(),
                leader,
                partition.leader_epoch.to_string(),
                list(&partition.replicas),
                list(&partition.isr),
                list(&partition.offline),
            ]
        })
        .collect();
    output::table(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "OFFLINE"], &rows)
}

async fn alter(
    admin: &Admin,
    topic: &str,
    partitions: Option<i32>,
    changes: &BTreeMap<String, Option<String>>,
    format: Format,
) -> Result<(), Failure> {
    if partitions.is_none() && changes.is_empty() {
        return Err(Failure::said("nothing to change: give --partitions, --config or --unset"));
    }
    if !changes.is_empty() {
        admin.alter_configs(&ConfigResource::Topic(topic.to_owned()), changes).await?;
        let set = changes.iter().filter_map(|(name, value)| Some((&**name, value.as_deref()?)));
        warn_of_no_effect(admin, topic, set).await?;
    }
    if let Some(count) = partitions {
        admin.create_partitions(topic, count, false).await?;
    }
    done(format, json!({"topic": topic, "altered": true}), &format!("altered topic {topic}"))
}

async fn delete(admin: &Admin, topics: &[String], lenient: bool, format: Format) -> Result<(), Failure> {
    for topic in topics {
        match admin.delete_topic(topic).await {
            Ok(()) => done(format, json!({"topic": topic, "deleted": true}), &format!("deleted topic {topic}"))?,
            Err(error) if lenient && error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                done(format, json!({"topic": topic, "deleted": false}), &format!("there is no topic {topic}"))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::no_effect;

    #[test]
    fn configs_without_effect_are_told() {
        for (name, value) in
            [("cleanup.policy", "compact"), ("cleanup.policy", "delete, compact"), ("preallocate", "true")]
        {
            assert!(no_effect(name, value).is_some_and(|sentence| sentence.contains(name)), "{name}={value}");
        }
        for (name, value) in
            [("cleanup.policy", "delete"), ("preallocate", "false"), ("retention.ms", "7"), ("no.such", "1")]
        {
            assert_eq!(no_effect(name, value), None, "{name}={value}");
        }
    }
}
