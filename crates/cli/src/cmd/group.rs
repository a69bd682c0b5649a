//! `thalweg group`.

mod describe;
mod journal;
mod reset;

use crate::options::{Connection, Format};
use crate::output::{self, Failure};
use base::ErrorCode;
use clap::Subcommand;
use client::Admin;
use serde_json::json;

#[derive(Subcommand)]
pub(crate) enum Group {
    /// List groups
    List {
        /// Only those in one of these states, such as stable or empty; may be repeated
        #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
        state: Vec<String>,
        /// Only those of one of these types, such as classic or consumer; may be repeated
        #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = group_type)]
        types: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Describe groups: members and their partitions, offsets, lag in records and in seconds
    Describe {
        /// Their names
        #[arg(required = true)]
        group: Vec<String>,
        /// Also the last rebalances: who joined, left or was fenced, why, how long it took, which partitions moved
        #[arg(long)]
        why: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Move the offsets of a group that has no members
    ResetOffsets(Box<reset::Reset>),
    /// Delete groups that have no members, and their offsets
    Delete {
        /// Their names
        #[arg(required = true)]
        group: Vec<String>,
        /// Succeed when one is not there
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

/// States of groups of all types, of any Kafka. A broker shows no group of a state that there is none of, which is how a slip looks.
const STATES: [&str; 8] =
    ["Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Assigning", "Reconciling", "NotReady", "Dead"];
const TYPES: [&str; 4] = ["classic", "consumer", "share", "streams"];

fn one_of(known: &[&str], text: &str) -> Result<String, String> {
    let found = known.iter().find(|name| name.eq_ignore_ascii_case(text.trim()));
    found.map(|name| (*name).to_owned()).ok_or_else(|| format!("not one of {}", known.join(", ")))
}

fn state(text: &str) -> Result<String, String> {
    one_of(&STATES, text)
}

fn group_type(text: &str) -> Result<String, String> {
    one_of(&TYPES, text)
}

impl Group {
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Group::List { connection, .. } | Group::Describe { connection, .. } | Group::Delete { connection, .. } => {
                connection
            }
            Group::ResetOffsets(reset) => &reset.connection,
        }
    }
}

pub(crate) async fn run(command: Group) -> Result<(), Failure> {
    let format = command.connection().output;
    let admin = Admin::new(command.connection().connect().await?);
    match command {
        Group::List { state, types, .. } => list(&admin, &state, &types, format).await,
        Group::Describe { group, why, .. } => describe::run(&admin, &group, why, format).await,
        Group::ResetOffsets(reset) => reset::run(&admin, &reset, format).await,
        Group::Delete { group, if_exists, .. } => delete(&admin, &group, if_exists, format).await,
    }
}

async fn list(admin: &Admin, states: &[String], types: &[String], format: Format) -> Result<(), Failure> {
    let groups = admin.list_groups(states, types).await?;
    if format == Format::Json {
        return groups.iter().try_for_each(|group| {
            output::json(&json!({
                "group": group.id, "type": group.group_type, "protocol": group.protocol_type, "state": group.state,
            }))
        });
    }
    let known = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| vec![group.id.clone(), known(&group.group_type), known(&group.protocol_type), known(&group.state)])
        .collect();
    output::table(&["GROUP", "TYPE", "PROTOCOL", "STATE"], &rows)
}

async fn delete(admin: &Admin, groups: &[String], lenient: bool, format: Format) -> Result<(), Failure> {
    for group in groups {
        let deleted = match admin.delete_group(group).await {
            Ok(()) => true,
            Err(error) if lenient && error.code() == Some(ErrorCode::GroupIdNotFound) => false,
            Err(error) => return Err(sentence(group, error)),
        };
        match (format, deleted) {
            (Format::Json, _) => output::json(&json!({"group": group, "deleted": deleted}))?,
            (Format::Text, true) => output::line(format_args!("deleted group {group}"))?,
            (Format::Text, false) => output::line(format_args!("there is no group {group}"))?,
        }
    }
    Ok(())
}

/// What an operator can do about a coordinator's refusal.
fn sentence(group: &str, error: client::Error) -> Failure {
    match error.code() {
        Some(ErrorCode::GroupIdNotFound) => Failure::said(format_args!("there is no group {group}")),
        Some(ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId) => {
            Failure::said(format_args!("group {group} has members: stop them first, or wait until their sessions end"))
        }
        _ => error.into(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the age of a record is counted to the wall clock of the one who asks")]
fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{group_type, state};

    #[test]
    fn a_state_or_type_that_there_is_none_of_is_refused() {
        assert_eq!((state("stable"), group_type("Consumer")), (Ok("Stable".to_owned()), Ok("consumer".to_owned())));
        assert!(state("stabel").is_err_and(|why| why.contains("Stable")));
        assert!(group_type("clasic").is_err_and(|why| why.contains("classic")));
    }
}
