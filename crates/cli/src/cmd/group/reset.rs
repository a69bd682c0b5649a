//! `thalweg group reset-offsets`.

use super::sentence;
use crate::options::{Connection, Format};
use crate::output::{self, Failure};
use crate::time::{parse_duration_millis, parse_millis};
use base::ErrorCode;
use clap::Args;
use client::{Admin, CommittedOffset, Isolation, Place};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Args)]
pub(crate) struct Reset {
    /// The group
    group: String,
    /// Which partitions: a topic, or some of its partitions; may be repeated
    #[arg(long, value_name = "TOPIC[:P,P..]", required_unless_present = "all_topics", value_parser = topic)]
    topic: Vec<Topic>,
    /// All partitions that the group has committed
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    #[command(flatten)]
    to: To,
    /// Change the offsets; without it is only shown what would change
    #[arg(long)]
    execute: bool,
    /// Only show what would change, as is done without --execute
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct To {
    /// To the first record there is
    #[arg(long)]
    to_earliest: bool,
    /// To the end
    #[arg(long)]
    to_latest: bool,
    /// To this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// To the first record of this time or a later one, such as 2026-11-24T10:00Z or @1795514400000
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_datetime: Option<i64>,
    /// By this many records, back when negative
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To the first record of the last 90s, 15m, 2h, 7d or P1DT2H
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    by_duration: Option<i64>,
}

/// A topic and which of its partitions; all when none are named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Topic {
    name: String,
    partitions: Vec<i32>,
}

fn topic(text: &str) -> Result<Topic, String> {
    let (name, partitions) = text.split_once(':').unwrap_or((text, ""));
    let number = |word: &str| word.trim().parse::<i32>().ok().filter(|number| *number >= 0);
    let read: Option<Vec<i32>> = match text.contains(':') {
        true => partitions.split(',').map(number).collect(),
        false => Some(Vec::new()),
    };
    match read {
        Some(partitions) if !name.is_empty() => Ok(Topic { name: name.to_owned(), partitions }),
        _ => Err(format!("`{text}` is not TOPIC or TOPIC:P,P..")),
    }
}

fn time(text: &str) -> Result<i64, String> {
    parse_millis(text).ok_or_else(|| "not a time such as 2026-11-24T10:00Z or @1795514400000".to_owned())
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration_millis(text).ok_or_else(|| "not a duration such as 90s, 15m, 2h, 7d or P1DT2H".to_owned())
}

/// A partition whose offset moves.
struct Moved {
    place: Place,
    from: Option<i64>,
    to: i64,
    /// Said when the log does not reach where the offset was to go.
    bounded: Option<i64>,
}

pub(super) async fn run(admin: &Admin, reset: &Reset, format: Format) -> Result<(), Failure> {
    let group = &reset.group;
    refuse_members(admin, group).await?;
    let committed = admin.group_offsets(group).await?;
    let places = places(admin, reset, &committed).await?;
    if places.is_empty() {
        return Err(Failure::said(format_args!("group {group} has committed no offsets: say which with --topic")));
    }
    let mut moved = Vec::new();
    for place in places {
        let from = committed.get(&place).map(|committed| committed.offset);
        moved.push(target(admin, &reset.to, place, from).await?);
    }
    if reset.execute {
        let offsets = moved.iter().map(|one| {
            let committed = CommittedOffset { offset: one.to, leader_epoch: -1, metadata: String::new() };
            (one.place.clone(), committed)
        });
        // A member may have joined since: then the coordinator refuses.
        admin.commit_group_offsets(group, &offsets.collect()).await.map_err(|error| sentence(group, error))?;
    }
    print(&moved, reset.execute, format)
}

async fn refuse_members(admin: &Admin, group: &str) -> Result<(), Failure> {
    match admin.describe_group(group, false).await {
        Ok(found) if found.state == "Empty" => Ok(()),
        Ok(found) => Err(Failure::said(format_args!(
            "group {group} is in state {} with {} members: stop them first, for what they commit would undo a reset",
            found.state,
            found.members.len()
        ))),
        // It begins with the offsets that are set here.
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn places(
    admin: &Admin,
    reset: &Reset,
    committed: &BTreeMap<Place, CommittedOffset>,
) -> Result<BTreeSet<Place>, Failure> {
    if reset.all_topics {
        return Ok(committed.keys().cloned().collect());
    }
    let mut places = BTreeSet::new();
    for Topic { name, partitions } in &reset.topic {
        let described = admin.describe_topic(name).await?;
        let all: Vec<i32> = described.partitions.iter().map(|partition| partition.partition).collect();
        if let Some(unknown) = partitions.iter().find(|partition| !all.contains(partition)) {
            let count = all.len();
            return Err(Failure::said(format_args!("topic {name} has {count} partitions, no partition {unknown}")));
        }
        let wanted = if partitions.is_empty() { &all } else { partitions };
        places.extend(wanted.iter().map(|partition| (name.clone(), *partition)));
    }
    Ok(places)
}

async fn target(admin: &Admin, to: &To, place: Place, from: Option<i64>) -> Result<Moved, Failure> {
    let (topic, partition) = (place.0.as_str(), place.1);
    let isolation = Isolation::ReadUncommitted;
    let (start, end) = admin.client().offset_range(topic, partition, isolation).await?;
    let wanted = if to.to_earliest {
        start
    } else if let Some(offset) = to.to_offset {
        offset
    } else if let Some(by) = to.shift_by {
        let Some(from) = from else {
            return Err(Failure::said(format_args!(
                "nothing is committed for {topic}-{partition}, so it cannot shift"
            )));
        };
        from.saturating_add(by)
    } else if let Some(millis) = to.to_datetime.or_else(|| Some(super::now_millis().saturating_sub(to.by_duration?))) {
        // What has no record of that time or later is at its end.
        match admin.client().list_offset(topic, partition, millis, isolation).await?.0 {
            -1 => end,
            found => found,
        }
    } else {
        end
    };
    let bounded = wanted.clamp(start, end);
    Ok(Moved { place, from, to: bounded, bounded: (bounded != wanted).then_some(wanted) })
}

fn print(moved: &[Moved], executed: bool, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return moved.iter().try_for_each(|one| {
            output::json(&json!({
                "topic": one.place.0, "partition": one.place.1, "from": one.from, "to": one.to, "executed": executed,
            }))
        });
    }
    let row = |one: &Moved| {
        let from = one.from.map_or("-".to_owned(), |from| from.to_string());
        vec![one.place.0.clone(), one.place.1.to_string(), from, one.to.to_string()]
    };
    output::table(&["TOPIC", "PARTITION", "FROM", "TO"], &moved.iter().map(row).collect::<Vec<_>>())?;
    for one in moved {
        if let Some(wanted) = one.bounded {
            let (topic, partition) = &one.place;
            eprintln!("thalweg: {topic}-{partition} has no offset {wanted}; {} is the nearest", one.to);
        }
    }
    if !executed {
        eprintln!("thalweg: nothing was changed; --execute does it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_with_and_without_partitions() {
        let of = |name: &str, partitions: &[i32]| Ok(Topic { name: name.to_owned(), partitions: partitions.to_vec() });
        assert_eq!(topic("rides"), of("rides", &[]));
        assert_eq!(topic("rides:0,2"), of("rides", &[0, 2]));
        for bad in ["", ":1", "rides:", "rides:x", "rides:-1", "rides:1,"] {
            assert!(topic(bad).is_err(), "{bad}");
        }
    }
}
