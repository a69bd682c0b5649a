//! `thalweg config`.

use crate::options::{Connection, Format, name_and_value};
use crate::output::{self, Failure};
use clap::{Args, Subcommand};
use client::{Admin, ConfigResource};
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Show configs
    Get {
        #[command(flatten)]
        resource: Resource,
        /// Their names [default: those that are set]
        name: Vec<String>,
        /// Also those that have their default value
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Change configs
    Set {
        #[command(flatten)]
        resource: Resource,
        /// What to set
        #[arg(value_name = "NAME=VALUE", value_parser = name_and_value)]
        set: Vec<(String, String)>,
        /// Take a config back to its default; may be repeated
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Resource {
    /// Of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Of this broker, by id, or of all brokers: `default`
    #[arg(long, value_name = "ID|default", value_parser = broker)]
    broker: Option<Broker>,
    /// Of this group
    #[arg(long)]
    group: Option<String>,
}

#[derive(Clone, Copy)]
struct Broker(Option<i32>);

fn broker(text: &str) -> Result<Broker, String> {
    match text {
        "default" => Ok(Broker(None)),
        id => id
            .parse()
            .map(|id| Broker(Some(id)))
            .map_err(|_| format!("`{text}` is neither a broker's id nor `default`")),
    }
}

impl Resource {
    fn resource(&self) -> Result<ConfigResource, Failure> {
        match (&self.topic, self.broker, &self.group) {
            (Some(topic), _, _) => Ok(ConfigResource::Topic(topic.clone())),
            (_, Some(Broker(id)), _) => Ok(ConfigResource::Broker(id)),
            (_, _, Some(group)) => Ok(ConfigResource::Group(group.clone())),
            _ => Err(Failure::said("whose configs? give --topic, --broker or --group")),
        }
    }
}

impl Config {
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Config::Get { connection, .. } | Config::Set { connection, .. } => connection,
        }
    }
}

pub(crate) async fn run(command: Config) -> Result<(), Failure> {
    let format = command.connection().output;
    let admin = Admin::new(command.connection().connect().await?);
    match command {
        Config::Get { resource, name, all, .. } => get(&admin, &resource.resource()?, &name, all, format).await,
        Config::Set { resource, set, unset, .. } => {
            let resource = resource.resource()?;
            let mut changes: BTreeMap<String, Option<String>> =
                set.into_iter().map(|(name, value)| (name, Some(value))).collect();
            changes.extend(unset.into_iter().map(|name| (name, None)));
            if changes.is_empty() {
                return Err(Failure::said("nothing to change: give NAME=VALUE or --unset NAME"));
            }
            admin.alter_configs(&resource, &changes).await?;
            match format {
                Format::Json => output::json(&json!({"resource": resource.to_string(), "changed": changes.len()})),
                Format::Text => output::line(format_args!("changed {} configs of {resource}", changes.len())),
            }
        }
    }
}

async fn get(
    admin: &Admin,
    resource: &ConfigResource,
    names: &[String],
    all: bool,
    format: Format,
) -> Result<(), Failure> {
    let entries = admin.describe_configs(resource).await?;
    if let Some(unknown) = names.iter().find(|name| !entries.iter().any(|entry| entry.name == **name)) {
        return Err(Failure::said(format!("{resource} has no config {unknown}")));
    }
    let wanted = |entry: &&client::ConfigEntry| match names.is_empty() {
        true => all || !entry.source.is_default(),
        false => names.contains(&entry.name),
    };
    let entries: Vec<_> = entries.iter().filter(wanted).collect();
    if format == Format::Json {
        for entry in entries {
            output::json(&json!({
                "name": entry.name, "value": entry.value, "source": entry.source.name(),
                "read_only": entry.read_only, "sensitive": entry.sensitive,
            }))?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let value = if entry.sensitive { "(hidden)" } else { entry.value.as_deref().unwrap_or("(not set)") };
            vec![entry.name.clone(), value.to_owned(), entry.source.name().to_owned()]
        })
        .collect();
    output::table(&["NAME", "VALUE", "SOURCE"], &rows)
}
