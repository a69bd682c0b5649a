//! `thalweg group`, against Kafka and against our node.

use super::commands::{Cli, contains};
use crate::members::{Ends, Member, has_reached, java};
use conformance::fault::{During, Fault, ensure};
use conformance::node::Kind;
use conformance::rig::Scene;
use conformance::wire;

/// Each group has a topic of its own with its name. Record i of it has the timestamp 1790000000000 + 10 i and stands at offset i / 2 of partition i % 2.
const RECORDS: &str = "1000";

/// Lists, describes, resets and deletes groups of a broker of this kind.
pub(super) fn work(scene: &Scene<'_>, cli: &Cli, kind: Kind) -> Result<(), Fault> {
    let at = cli.address.as_str();
    cli.refused(&["group", "describe", "absent"])?;
    let versions = wire::api_versions(&mut wire::connect(at)?)?;
    let mut flavours = vec![("java-range", "classic")];
    flavours.extend(versions.iter().any(|row| row.0 == 68).then_some(("java-consumer", "consumer")));
    for (name, group_type) in flavours {
        scene.java(|java| {
            java.peer(&["create", at, name, "2", "1"])?;
            java.peer(&["produce-rich", at, name, "2", RECORDS, "gzip"])
        })?;
        with_members(scene, cli, name, group_type).during(name)?;
        let why = cli.text(&["group", "describe", name, "--why"])?;
        match kind {
            Kind::Thalweg => {
                let moved = format!("{name}-0: nobody -> ");
                contains(&why, &["joins as a new member", &moved, "-> nobody", "took "])
            }
            Kind::Kafka => contains(&why, &["keeps no journal"]),
        }?;
        resets(scene, cli, name).during(name)?;
        cli.text(&["group", "delete", name])?;
        cli.refused(&["group", "delete", name])?;
        contains(&cli.text(&["group", "delete", name, "--if-exists"])?, &["there is no group"])?;
    }
    Ok(())
}

/// With a member: what it has, and that nobody takes it from it.
fn with_members(scene: &Scene<'_>, cli: &Cli, group: &'static str, group_type: &str) -> Result<(), Fault> {
    let member = Member::start(scene, &java(group), (&cli.address, group, group), 1, &[])?;
    let ends: Ends = [(0, 500), (1, 500)].into();
    member.until(scene, "commit of the end", |lines| has_reached(lines, &ends).then_some(()))?;
    let listed = cli.text(&["group", "list", "--state", "stable", "--output", "json"])?;
    contains(&listed, &[&format!("\"group\":\"{group}\",\"type\":\"{}", listed_type(&listed, group_type)), "Stable"])?;
    ensure(!cli.text(&["group", "list", "--state", "empty"])?.contains(group), || "it has a member".to_owned())?;
    let described = cli.text(&["group", "describe", group, "--output", "json"])?;
    let client = format!("\"client\":\"{group}-1\"");
    let partitions = format!("\"partitions\":{{\"{group}\":[0,1]}}");
    let wanted = [client.as_str(), &partitions, "\"state\":\"Stable\"", "\"lag\":0,\"lag_seconds\":0.0"];
    contains(&described, &wanted)?;
    contains(&described, &[&format!("\"type\":\"{group_type}\"")])?;
    cli.refused(&["group", "reset-offsets", group, "--all-topics", "--to-earliest", "--execute"])?;
    cli.refused(&["group", "delete", group])?;
    member.leave(scene)
}

/// Kafka writes a type as `Classic`, and so may we.
fn listed_type(listed: &str, group_type: &str) -> String {
    let capital = group_type[..1].to_uppercase() + &group_type[1..];
    if listed.contains(&format!("\"{capital}\"")) { capital } else { group_type.to_owned() }
}

/// Without members: offsets go where they are told to, and lag is what the records say.
fn resets(scene: &Scene<'_>, cli: &Cli, group: &str) -> Result<(), Fault> {
    let reset = |how: &[&str]| cli.text(&[&["group", "reset-offsets", group, "--output", "json"], how].concat());
    let row = |from: u32, to: u32| format!("\"topic\":\"{group}\",\"partition\":0,\"from\":{from},\"to\":{to}");
    let first = format!("{group}:0");
    let dry = reset(&["--topic", &first, "--to-earliest"])?;
    contains(&dry, &[&row(500, 0), "\"executed\":false"])?;
    // Nothing has moved: from 500 again.
    for (how, from, to) in [
        (&["--to-offset", "99999"][..], 500, 500),
        (&["--shift-by", "-40"], 500, 460),
        (&["--to-earliest"], 460, 0),
        (&["--to-latest"], 0, 500),
        (&["--by-duration", "P0D"], 500, 500),
        (&["--to-datetime", "@1790000002000"], 500, 100),
    ] {
        let done = reset(&[&["--topic", &first, "--execute"], how].concat())?;
        contains(&done, &[&row(from, to), "\"executed\":true"]).during(how.join(" "))?;
    }
    let described = cli.text(&["group", "describe", group, "--output", "json"])?;
    let next = "\"lag\":400,\"lag_seconds\":";
    contains(&described, &[next, "\"next\":{\"offset\":100,\"timestamp_ms\":1790000002000}", "\"deleted_unread\":0"])?;
    // What is deleted unread has no age any more.
    let cut = scene.path("cut-group.json");
    let json = format!(r#"{{"partitions": [{{"topic": "{group}", "partition": 0, "offset": 250}}], "version": 1}}"#);
    std::fs::write(&cut, json).during(cut.display())?;
    let cut = cut.display().to_string();
    scene.java(|java| {
        java.tool("DeleteRecordsCommand", &["--bootstrap-server", &cli.address, "--offset-json-file", &cut])
    })?;
    let described = cli.text(&["group", "describe", group, "--output", "json"])?;
    contains(&described, &["\"lag\":400,\"lag_seconds\":null,\"next\":null,\"deleted_unread\":150"])?;
    contains(&cli.text(&["group", "describe", group])?, &["the next 150 records were deleted unread"])
}
