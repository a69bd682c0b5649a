//! What stands in `__consumer_offsets`, and Kafka's own tool for groups.

use super::admin::GROUPS_TOOL;
use super::{disk, groups};
use crate::members::{Member, java};
use conformance::fault::{During, Fault, ensure};
use conformance::java::Java;
use conformance::node::{Kind, Plan};
use conformance::rig::Scene;

fn contains(text: &str, parts: &[&str]) -> Result<(), Fault> {
    parts.iter().try_for_each(|part| ensure(text.contains(part), || format!("no `{part}` in:\n{text}")))
}

/// The same session on both brokers: Kafka's decoder prints the same records, but for times, ids and what they are batched in.
pub(super) fn records_are_kafkas(scene: &Scene<'_>) -> Result<(), Fault> {
    let mut said = Vec::new();
    for kind in [Kind::Kafka, scene.rig.target] {
        let plan = scene
            .plan_of(kind)?
            .with("group.initial.rebalance.delay.ms", "100")
            .with("offsets.topic.num.partitions", "1")
            .with("group.consumer.min.heartbeat.interval.ms", "100")
            .with("group.consumer.heartbeat.interval.ms", "100")
            // When a target is computed must not depend on the clock.
            .with("group.consumer.assignment.interval.ms", "0");
        let node = plan.start(scene)?;
        scene.java(|java| java.peer(&["group-script", &node.address]))?;
        node.stop()?;
        said.push(decoded(scene, &plan)?);
    }
    let [kafkas, ours] = &said[..] else { return Err(Fault::Failed("two dumps are wanted".to_owned())) };
    for (number, (kafkas, ours)) in kafkas.iter().zip(ours).enumerate() {
        ensure(kafkas == ours, || format!("record {number}: Kafka writes\n    {kafkas}\n  and the node\n    {ours}"))?;
    }
    let dump = || format!("Kafka:\n{}\nthe node:\n{}", kafkas.join("\n"), ours.join("\n"));
    ensure(kafkas.len() == ours.len(), || format!("{} records and {}; {}", kafkas.len(), ours.len(), dump()))?;
    let all = kafkas.join("\n");
    ensure(kafkas.len() >= 15, dump)?;
    contains(&all, &["<DELETE>", "static-one", "\"first\"", "\"classicMemberMetadata\":{"])?;
    // Group metadata, offsets, and every kind of record of a consumer group that is written today.
    for kind in ["1", "2", "3", "5", "6", "7", "8", "16"] {
        contains(&all, &[&format!("{{\"type\":\"{kind}\"")])?;
    }
    scene.figure(&format!("{} records alike", ours.len()));
    Ok(())
}

/// The records of `__consumer_offsets` as Kafka's decoder prints them, without what differs between two sessions.
fn decoded(scene: &Scene<'_>, plan: &Plan) -> Result<Vec<String>, Fault> {
    let logs = disk::files(&plan.data, "__consumer_offsets-", ".log")?;
    let mut records: Vec<String> = Vec::new();
    for log in logs {
        let log = log.display().to_string();
        let dumped = scene.java(|java| java.tool("DumpLogSegments", &["--offsets-decoder", "--files", &log]))?;
        disk::without_complaint(&log, &dumped)?;
        // The sequence is the place in the batch: Kafka counts it although these batches have no producer.
        let lines = dumped.lines().filter_map(|line| line.strip_prefix("| offset: ")?.split_once(" headerKeys: "));
        records.extend(lines.map(|(head, record)| {
            let head = head.split_once(' ').map_or("", |(_offset, head)| head);
            normalised(&format!("{} {record}", head.split(" sequence: ").next().unwrap_or_default()))
        }));
    }
    // Whose heartbeat comes first in a migration depends on who is faster: of that group each kind of record is in order on its own, and
    // that a member waits for what another one holds is written only if it asks meanwhile.
    let (mut migration, mut records): (Vec<String>, Vec<String>) =
        records.into_iter().partition(|line| line.contains(MIGRATION));
    migration.retain(|line| !line.contains(WAITS));
    migration.sort_by(|a, b| kind(a).cmp(&kind(b)));
    records.append(&mut migration);
    // A target is written member by member, and a group of several removed so, in the order of a hash map.
    let is_one_kind = |a: &String, b: &String| kind(a).is_some_and(|of| OF_MEMBERS.contains(&of)) && kind(a) == kind(b);
    records.chunk_by_mut(is_one_kind).for_each(<[String]>::sort_unstable);
    Ok(records)
}

/// What the key of a record of the group that migrates holds, whatever its kind calls a group.
const MIGRATION: &str = ":\"migrating\"";

/// `UNRELEASED_PARTITIONS` in a member's current assignment.
const WAITS: &str = "\"state\":2";

/// Kinds of records that stand one after the other for several members: subscription, target and what each has.
const OF_MEMBERS: [&str; 3] = ["5", "7", "8"];

/// The kind of a record as its decoded key tells it.
fn kind(line: &str) -> Option<&str> {
    line.split_once("key: {\"type\":\"")?.1.split('"').next()
}

/// Times as T, ids as I, a group's members sorted: Kafka writes them in the order of a hash map.
fn normalised(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = next_varying(rest) {
        let (before, after) = rest.split_at(at.0);
        out.push_str(before);
        out.push_str(at.2);
        rest = &after[at.1..];
    }
    out.push_str(rest);
    let Some((head, tail)) = out.split_once("\"members\":[") else { return out };
    let (mut members, tail) = elements(tail);
    members.sort_unstable();
    format!("{head}\"members\":[{}{tail}", members.join(","))
}

/// The elements of a JSON array whose opening bracket was just read, and what begins with its closing one. Strings that hold brackets
/// do not occur in these records.
fn elements(text: &str) -> (Vec<&str>, &str) {
    let (mut elements, mut from, mut depth) = (Vec::new(), 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b']' if depth == 0 => {
                elements.extend((at > from).then(|| &text[from..at]));
                return (elements, &text[at..]);
            }
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => {
                elements.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    (elements, "")
}

/// Place, length and replacement of the next time or id.
fn next_varying(text: &str) -> Option<(usize, usize, &'static str)> {
    // A hash may be negative, and its sign is as random as its digits; the -1 of a time that is not there is too short to be taken.
    let number = |at: usize| {
        let sign = usize::from(text[at..].starts_with('-'));
        sign + text[at + sign..].bytes().take_while(u8::is_ascii_digit).count()
    };
    // Times, hashes over topic ids, and places in the metadata log.
    let numbers = [("CreateTime: ", 3), ("imestamp\":", 3), ("\"metadataHash\":", 3), ("\"version\":", 1)];
    let times = numbers.into_iter().filter_map(|(name, digits)| {
        let found = text.match_indices(name).map(|(at, _)| at + name.len()).find(|at| number(*at) >= digits)?;
        Some((found, number(found), "T"))
    });
    let uuid = (0..text.len().saturating_sub(35)).find(|at| is_uuid(&text.as_bytes()[*at..*at + 36]));
    let topic = "\"topicId\":\"";
    let topic_id = text.match_indices(topic).map(|(at, _)| at + topic.len()).find(|at| !text[*at..].starts_with("I\""));
    let topic_id = topic_id.map(|at| (at, text[at..].find('"').unwrap_or(0), "I"));
    // Members of KIP-848 have ids without dashes.
    let member = "\"memberId\":\"";
    let quoted = |at: usize| text[at..].find('"').unwrap_or(0);
    let member_id = text.match_indices(member).map(|(at, _)| at + member.len()).find(|at| quoted(*at) == 22);
    let member_id = member_id.map(|at| (at, 22, "I"));
    times.chain(uuid.map(|at| (at, 36, "I"))).chain(topic_id).chain(member_id).min()
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

fn ask(java: &mut Java, address: &str, args: &[&str]) -> Result<String, Fault> {
    java.tool(GROUPS_TOOL, &[&["--bootstrap-server", address], args].concat())
}

/// kafka-consumer-groups: list, describe, reset-offsets, delete-offsets, delete.
pub(super) fn tool(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = groups::plan(scene)?.start(scene)?;
    scene.java(|java| {
        java.peer(&["create", &node.address, "t", "2", "1"])?;
        java.peer(&["produce-rich", &node.address, "t", "2", "1000", "none"])
    })?;
    for (flavour, group_type, assignor) in
        [("java-range", "Classic", "range"), ("java-consumer", "Consumer", "uniform")]
    {
        tool_on(scene, &node.address, flavour, [group_type, assignor]).during(flavour)?;
    }
    node.stop()
}

/// The tool on the group `readers` of this client, which it deletes in the end.
fn tool_on(scene: &Scene<'_>, at: &str, flavour: &'static str, kind: [&str; 2]) -> Result<(), Fault> {
    let [group_type, assignor] = kind;
    let member = Member::start(scene, &java(flavour), (at, "readers", "t"), 1, &[])?;
    let ends = [(0, 500), (1, 500)].into();
    member.until(scene, "commit of the end", |lines| crate::members::has_reached(lines, &ends).then_some(()))?;
    scene.java(|java| {
        let listed = ask(java, at, &["--list", "--state", "--type"])?;
        ensure(listed.lines().any(|line| words(line) == ["readers", group_type, "Stable"]), || listed.clone())?;
        ensure(ask(java, at, &["--list", "--state", "Empty"])?.lines().all(|line| !line.contains("readers")), || {
            "a group with members is listed as empty".to_owned()
        })?;
        let described = ask(java, at, &["--describe", "--group", "readers"])?;
        let row = described.lines().map(words).find(|row| row.get(1..3) == Some(&["t", "1"]));
        let row = row.ok_or_else(|| Fault::Failed(described.clone()))?;
        ensure(row[3..6] == ["500", "500", "0"], || described.clone())?;
        let members = ask(java, at, &["--describe", "--group", "readers", "--members", "--verbose"])?;
        contains(&members, &["readers-1", "/127.0.0.1", "t:0,1"]).or_else(|_| contains(&members, &["t(0,1)"]))?;
        let state = ask(java, at, &["--describe", "--group", "readers", "--state"])?;
        contains(&state, &[assignor, "Stable"])?;
        refused(java, at, &["--delete", "--group", "readers"], "GroupNotEmptyException")?;
        let reset = ["--reset-offsets", "--group", "readers", "--topic", "t", "--to-earliest", "--execute"];
        let answer = java.tool_any(GROUPS_TOOL, None, &[&["--bootstrap-server", at], &reset[..]].concat())?;
        contains(&format!("{}{}", answer.stdout, answer.stderr), &["is inactive", "Stable"])
    })?;
    member.leave(scene)?;
    scene.java(|java| resets(java, at))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn refused(java: &mut Java, address: &str, args: &[&str], why: &str) -> Result<(), Fault> {
    let answer = java.tool_any(GROUPS_TOOL, None, &[&["--bootstrap-server", address], args].concat())?;
    contains(&format!("{}{}", answer.stdout, answer.stderr), &[why]).during(args.join(" "))
}

/// Offsets of a group without members: moved by every rule, deleted, and the group with them.
fn resets(java: &mut Java, at: &str) -> Result<(), Fault> {
    let reset = |java: &mut Java, how: &[&str], want: &str| {
        let args = [&["--reset-offsets", "--group", "readers", "--topic", "t:0", "--execute"], how].concat();
        let said = ask(java, at, &args)?;
        let moved = said.lines().any(|line| words(line) == ["readers", "t", "0", want]);
        ensure(moved, || format!("{how:?} to {want}: {said}"))?;
        let described = ask(java, at, &["--describe", "--group", "readers", "--offsets"])?;
        let is_there = described.lines().any(|line| words(line).get(..4) == Some(&["readers", "t", "0", want]));
        ensure(is_there, || format!("after {how:?}: {described}"))
    };
    reset(java, &["--to-earliest"], "0")?;
    reset(java, &["--to-latest"], "500")?;
    reset(java, &["--shift-by", "-40"], "460")?;
    reset(java, &["--to-offset", "17"], "17")?;
    // Record i of partition 0 stands at offset i / 2 and has the timestamp 1790000000000 + 10 i; this is record 200's.
    reset(java, &["--to-datetime", "2026-09-21T14:13:22.000+00:00"], "100")?;
    let deleted = ask(java, at, &["--delete-offsets", "--group", "readers", "--topic", "t:1"])?;
    contains(&deleted, &["Successful"])?;
    let described = ask(java, at, &["--describe", "--group", "readers", "--offsets"])?;
    let still =
        described.lines().any(|line| words(line).get(..3) == Some(&["readers", "t", "1"]) && words(line)[3] != "-");
    ensure(!still, || format!("a deleted offset is there: {described}"))?;
    ask(java, at, &["--delete", "--group", "readers"])?;
    let left = ask(java, at, &["--list"])?;
    ensure(!left.contains("readers"), || format!("a deleted group is listed: {left}"))
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn times_and_ids_are_taken_out() {
        let line = r#"0 CreateTime: 1790 key: {"group":"g"} payload: {"commitTimestamp":1790,"expireTimestamp":-1,"topicId":"abc_-1"}"#;
        let want =
            r#"0 CreateTime: T key: {"group":"g"} payload: {"commitTimestamp":T,"expireTimestamp":-1,"topicId":"I"}"#;
        assert_eq!(normalised(line), want);
        // An id may itself begin with the letter that stands for ids.
        assert_eq!(normalised(r#"{"topicId":"I042W2uEToKgiPnbgu9xAA"}"#), r#"{"topicId":"I"}"#);
        let ids = "one-0b1f7f2e-1111-2222-3333-444455556666 two-0b1f7f2e-1111-2222-3333-444455556666";
        assert_eq!(normalised(ids), "one-I two-I");
        let modern =
            r#"{"memberId":"abcdefghijklmnopqrstuv","metadataHash":-12345,"version":"0","data":{"version":7}}"#;
        assert_eq!(normalised(modern), r#"{"memberId":"I","metadataHash":T,"version":"0","data":{"version":T}}"#);
        assert_eq!(super::kind(r#"x key: {"type":"16","data":{}}"#), Some("16"));
        let members = |order: &str| normalised(&format!(r#"{{"members":[{order}],"x":1}}"#));
        assert_eq!(members(r#"{"b":[1,[2]]},{"a":{"c":[]}}"#), r#"{"members":[{"a":{"c":[]}},{"b":[1,[2]]}],"x":1}"#);
        assert_eq!(members(""), r#"{"members":[],"x":1}"#);
    }
}
