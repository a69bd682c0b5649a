//! The last rebalances of a group, as its coordinator told them.

use crate::output::{self, Failure};
use crate::time::format_millis;
use client::GroupDescription;
use serde_json::Value;

/// The journal; null when the coordinator keeps none.
pub(super) fn value(group: &GroupDescription) -> Result<Value, Failure> {
    let Some(json) = &group.journal else { return Ok(Value::Null) };
    serde_json::from_str(json).map_err(|error| {
        Failure::said(format_args!("broker {} sent a journal that cannot be read: {error}", group.coordinator))
    })
}

/// Prints it for people, the oldest rebalance first.
pub(super) fn print(group: &GroupDescription) -> Result<(), Failure> {
    lines(group)?.into_iter().try_for_each(output::line)
}

fn lines(group: &GroupDescription) -> Result<Vec<String>, Failure> {
    let value = value(group)?;
    let coordinator = group.coordinator;
    Ok(match value.as_array().map(Vec::as_slice) {
        None => vec![
            String::new(),
            format!("broker {coordinator}, the coordinator, keeps no journal of rebalances: Apache Kafka has none"),
        ],
        Some([]) => {
            vec![String::new(), format!("no rebalance since broker {coordinator} coordinates the group")]
        }
        Some(rebalances) => rebalances.iter().flat_map(rebalance_lines).collect(),
    })
}

fn rebalance_lines(rebalance: &Value) -> Vec<String> {
    let number = |name: &str| rebalance[name].as_i64().unwrap_or(0);
    let began = format_millis(number("began_ms"));
    let mut lines = vec![String::new()];
    lines.push(match rebalance["took_ms"].as_u64() {
        Some(_) if rebalance["is_rebalance"] == false => {
            format!(
                "{began}  no rebalance, generation {} with {} members goes on",
                number("generation"),
                number("members")
            )
        }
        Some(took) => format!(
            "{began}  rebalance to generation {} with {} members, took {took} ms",
            number("generation"),
            number("members")
        ),
        None => format!("{began}  rebalance that has not ended"),
    });
    for event in rebalance["events"].as_array().into_iter().flatten() {
        let at = format_millis(event["at_ms"].as_i64().unwrap_or(0));
        let clock = at.split_once('T').map_or("", |(_, clock)| clock);
        lines.push(format!("  {clock}  {}", output::plain(event["what"].as_str().unwrap_or_default())));
    }
    dropped(&mut lines, number("events_dropped"), "events");
    for one in rebalance["moves"].as_array().into_iter().flatten() {
        let whose = |name: &str| one[name].as_str().unwrap_or("nobody").to_owned();
        let (topic, partition) = (one["topic"].as_str().unwrap_or_default(), &one["partition"]);
        let (from, to) = (whose("from"), whose("to"));
        lines.push(format!(
            "  {}-{partition}: {} -> {}",
            output::plain(topic),
            output::plain(&from),
            output::plain(&to)
        ));
    }
    dropped(&mut lines, number("moves_dropped"), "moves");
    lines
}

fn dropped(lines: &mut Vec<String>, count: i64, what: &str) {
    if count > 0 {
        lines.push(format!("  and {count} more {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(journal: Option<&str>) -> GroupDescription {
        GroupDescription {
            id: "g".to_owned(),
            group_type: "classic",
            state: "Stable".to_owned(),
            assignor: "range".to_owned(),
            epoch: None,
            coordinator: 1,
            members: Vec::new(),
            journal: journal.map(str::to_owned),
        }
    }

    #[test]
    fn a_journal_reads_as_a_story() {
        let json = r#"[{"began_ms":0,"ended_ms":20,"took_ms":20,"generation":3,"members":2,
            "events":[{"at_ms":5,"what":"b joins"}],"events_dropped":2,
            "moves":[{"topic":"t","partition":1,"from":null,"to":"b"}],"moves_dropped":0},
            {"began_ms":0,"ended_ms":null,"took_ms":null,"generation":-1,"members":0,"events":[],"events_dropped":0,"moves":[],
            "moves_dropped":0},
            {"began_ms":0,"ended_ms":0,"took_ms":0,"is_rebalance":false,"generation":3,"members":2,"events":[],"events_dropped":0,
            "moves":[],"moves_dropped":0}]"#;
        let told = lines(&group(Some(json))).expect("is read");
        let want = [
            "",
            "1970-01-01T00:00:00.000Z  rebalance to generation 3 with 2 members, took 20 ms",
            "  00:00:00.005Z  b joins",
            "  and 2 more events",
            "  t-1: nobody -> b",
            "",
            "1970-01-01T00:00:00.000Z  rebalance that has not ended",
            "",
            "1970-01-01T00:00:00.000Z  no rebalance, generation 3 with 2 members goes on",
        ];
        assert_eq!(told, want);
    }

    #[test]
    fn what_a_client_says_neither_begins_a_line_nor_moves_the_cursor() {
        let json = r#"[{"began_ms":0,"ended_ms":0,"took_ms":0,"generation":1,"members":1,"events":[{"at_ms":0,
            "what":"b joins; its reason: \u001b[2J\n00:00:00.000Z  forged \u202eback"}],"events_dropped":0,
            "moves":[{"topic":"t","partition":0,"from":null,"to":"b\r"}],"moves_dropped":0}]"#;
        let told = lines(&group(Some(json))).expect("is read");
        let want = r"  00:00:00.000Z  b joins; its reason: \u{1b}[2J\n00:00:00.000Z  forged \u{202e}back";
        assert_eq!(told[2..], [want, r"  t-0: nobody -> b\r"]);
    }

    #[test]
    fn no_journal_is_said_and_a_broken_one_is_a_failure() {
        assert!(lines(&group(None)).expect("is said")[1].contains("keeps no journal"));
        assert!(lines(&group(Some("[]"))).expect("is said")[1].contains("no rebalance"));
        assert!(lines(&group(Some("{"))).is_err());
    }
}
