//! `thalweg group describe`.

use super::{journal, now_millis, sentence};
use crate::options::Format;
use crate::output::{self, Failure};
use client::{Admin, CommittedOffset, GroupDescription, GroupLag, GroupMember, NextRecord, Place};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A partition that the group has committed or a member has.
struct Row {
    place: Place,
    lag: GroupLag,
    /// Its seconds of lag, where they are known.
    seconds: Option<f64>,
    metadata: String,
    member: Option<String>,
}

pub(super) async fn run(admin: &Admin, groups: &[String], why: bool, format: Format) -> Result<(), Failure> {
    for (number, id) in groups.iter().enumerate() {
        let group = admin.describe_group(id, why).await.map_err(|error| sentence(id, error))?;
        let committed = admin.group_offsets(id).await?;
        let rows = rows(admin, &group, committed).await?;
        match format {
            Format::Json => output::json(&as_json(&group, &rows, why)?)?,
            Format::Text => {
                if number > 0 {
                    output::line("")?;
                }
                print(&group, &rows)?;
                if why {
                    journal::print(&group)?;
                }
            }
        }
    }
    Ok(())
}

async fn rows(
    admin: &Admin,
    group: &GroupDescription,
    mut committed: BTreeMap<Place, CommittedOffset>,
) -> Result<Vec<Row>, Failure> {
    let mut wanted: BTreeMap<Place, Option<i64>> =
        committed.iter().map(|(place, committed)| (place.clone(), Some(committed.offset))).collect();
    let mut owners: BTreeMap<Place, String> = BTreeMap::new();
    for member in &group.members {
        for (topic, partitions) in member.assignment.iter().flatten() {
            for partition in partitions {
                let place = (topic.clone(), *partition);
                wanted.entry(place.clone()).or_default();
                owners.insert(place, member.id.clone());
            }
        }
    }
    let lags = admin.group_lag(&wanted).await?;
    let now = now_millis();
    let row = |(place, lag): (Place, GroupLag)| Row {
        seconds: seconds(&lag, now),
        metadata: committed.remove(&place).map(|committed| committed.metadata).unwrap_or_default(),
        member: owners.remove(&place),
        place,
        lag,
    };
    Ok(lags.into_iter().map(row).collect())
}

/// How old the next record is; negative when its producer's clock is ahead of ours.
fn seconds(lag: &GroupLag, now: i64) -> Option<f64> {
    lag.records()?;
    match lag.next {
        NextRecord::None => Some(0.0),
        NextRecord::At { timestamp_ms, .. } => Some(now.saturating_sub(timestamp_ms) as f64 / 1000.0),
        NextRecord::Deleted { .. } | NextRecord::Unreachable => None,
    }
}

fn print(group: &GroupDescription, rows: &[Row]) -> Result<(), Failure> {
    let assignor = if group.assignor.is_empty() { String::new() } else { format!(", assignor {}", group.assignor) };
    let epoch = group.epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    output::line(format_args!(
        "group {}, {}, {}{}{epoch}, {} members, coordinator {}",
        output::plain(&group.id),
        group.group_type,
        output::plain(&group.state),
        output::plain(&assignor),
        group.members.len(),
        group.coordinator
    ))?;
    if !group.members.is_empty() {
        output::line("")?;
        let members: Vec<Vec<String>> = group.members.iter().map(member_row).collect();
        output::table(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"], &members)?;
    }
    if rows.is_empty() {
        return output::line("\nno offsets are committed");
    }
    output::line("")?;
    let cells: Vec<Vec<String>> = rows.iter().map(offset_row).collect();
    output::table(&["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "LAG SECONDS", "MEMBER"], &cells)?;
    for row in rows {
        if let Some(note) = note(row) {
            output::line(note)?;
        }
    }
    Ok(())
}

fn member_row(member: &GroupMember) -> Vec<String> {
    let partitions = match &member.assignment {
        None => "cannot be read".to_owned(),
        Some(none) if none.is_empty() => "-".to_owned(),
        Some(topics) => topics
            .iter()
            .map(|(topic, of)| format!("{topic}:{}", of.iter().map(i32::to_string).collect::<Vec<_>>().join(",")))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let host = member.client_host.trim_start_matches('/').to_owned();
    let instance = member.instance_id.clone().unwrap_or_else(|| "-".to_owned());
    vec![member.id.clone(), instance, member.client_id.clone(), host, partitions]
}

fn offset_row(row: &Row) -> Vec<String> {
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    let seconds = match (row.seconds, row.lag.next) {
        (Some(seconds), _) => format!("{seconds:.3}"),
        (None, NextRecord::Deleted { .. }) => "deleted".to_owned(),
        (None, _) => "-".to_owned(),
    };
    vec![
        row.place.0.clone(),
        row.place.1.to_string(),
        number(row.lag.committed),
        number((row.lag.log_end >= 0).then_some(row.lag.log_end)),
        number(row.lag.records()),
        seconds,
        row.member.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

/// What the numbers do not say.
fn note(row: &Row) -> Option<String> {
    let ((topic, partition), lag) = (&row.place, &row.lag);
    if lag.next == NextRecord::Unreachable {
        return Some(format!("{topic}-{partition}: has no leader, so how far the group is behind is not known"));
    }
    let committed = lag.committed?;
    if lag.log_end < 0 {
        return Some(format!("{topic}-{partition}: does not exist any more"));
    }
    if let NextRecord::Deleted { first_kept } = lag.next {
        let gone = first_kept - committed;
        return Some(format!(
            "{topic}-{partition}: the next {gone} records were deleted unread, so how old they were is not known; the log \
             begins at {first_kept}"
        ));
    }
    (committed > lag.log_end)
        .then(|| format!("{topic}-{partition}: {committed} was committed, after the end {}", lag.log_end))
}

fn as_json(group: &GroupDescription, rows: &[Row], why: bool) -> Result<Value, Failure> {
    let member = |member: &GroupMember| {
        json!({
            "member": member.id, "instance": member.instance_id, "client": member.client_id, "host": member.client_host,
            "epoch": member.epoch, "partitions": member.assignment,
        })
    };
    let offset = |row: &Row| {
        let next = match row.lag.next {
            NextRecord::At { offset, timestamp_ms } => json!({"offset": offset, "timestamp_ms": timestamp_ms}),
            NextRecord::None | NextRecord::Deleted { .. } | NextRecord::Unreachable => Value::Null,
        };
        json!({
            "topic": row.place.0, "partition": row.place.1, "committed": row.lag.committed, "metadata": row.metadata,
            "log_start": row.lag.log_start, "log_end": row.lag.log_end, "lag": row.lag.records(),
            "lag_seconds": row.seconds, "next": next, "deleted_unread": deleted(&row.lag),
            "has_leader": row.lag.next != NextRecord::Unreachable, "member": row.member,
        })
    };
    let mut value = json!({
        "group": group.id, "type": group.group_type, "state": group.state, "assignor": group.assignor,
        "epoch": group.epoch, "coordinator": group.coordinator,
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "offsets": rows.iter().map(offset).collect::<Vec<_>>(),
    });
    if why {
        value["rebalances"] = journal::value(group)?;
    }
    Ok(value)
}

/// How many records were deleted before the group read them.
fn deleted(lag: &GroupLag) -> i64 {
    match (lag.next, lag.committed) {
        (NextRecord::Deleted { first_kept }, Some(committed)) => first_kept - committed,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(committed: Option<i64>, log: (i64, i64), next: NextRecord) -> Row {
        let lag = GroupLag { committed, log_start: log.0, log_end: log.1, next };
        let seconds = seconds(&lag, 10_500);
        Row { place: ("t".to_owned(), 3), lag, seconds, metadata: String::new(), member: None }
    }

    #[test]
    fn lag_is_told_exactly_or_not_at_all() {
        let behind = row(Some(4), (0, 9), NextRecord::At { offset: 4, timestamp_ms: 10_000 });
        assert_eq!(offset_row(&behind)[2..6], ["4", "9", "5", "0.500"]);
        let ahead = row(Some(4), (0, 9), NextRecord::At { offset: 4, timestamp_ms: 11_000 });
        assert_eq!(offset_row(&ahead)[5], "-0.500", "a producer's clock may be ahead");
        assert_eq!(offset_row(&row(Some(9), (0, 9), NextRecord::None))[2..6], ["9", "9", "0", "0.000"]);
        assert_eq!(offset_row(&row(None, (0, 9), NextRecord::None))[2..6], ["-", "9", "-", "-"]);
        let deleted = row(Some(4), (6, 9), NextRecord::Deleted { first_kept: 6 });
        assert_eq!(offset_row(&deleted)[2..6], ["4", "9", "5", "deleted"]);
        assert!(note(&deleted).is_some_and(|note| note.contains("next 2 records were deleted")));
        let gone = row(Some(4), (-1, -1), NextRecord::None);
        assert_eq!(offset_row(&gone)[2..6], ["4", "-", "-", "-"]);
        assert!(note(&gone).is_some_and(|note| note.contains("does not exist")));
        let offline = row(Some(4), (-1, -1), NextRecord::Unreachable);
        assert_eq!(offset_row(&offline)[2..6], ["4", "-", "-", "-"]);
        assert!(note(&offline).is_some_and(|note| note.contains("has no leader")));
        assert!(note(&row(Some(12), (0, 9), NextRecord::None)).is_some_and(|note| note.contains("after the end 9")));
    }
}
