//! Consumer groups: members that come, go and die under load, a node that dies under them, and what a group keeps.

use crate::members::{Ends, Flavour, Member, flavours, has_reached, java, judge, partitions_read};
use conformance::fault::{During, Fault, ensure};
use conformance::node::{Kind, Node, Plan};
use conformance::process::now;
use conformance::rig::Scene;
use conformance::wire;

const TOPIC: &str = "load";
const PARTITIONS: usize = 6;
/// What the load adds in a second: slow enough for an interpreter on a machine that has other work.
const PER_SECOND: &str = "1000";
/// Kills of the node, each while a member joins.
const KILLS: usize = 6;
/// The API that KIP-848 begins with.
const CONSUMER_GROUP_HEARTBEAT: i16 = 68;

/// A node whose groups are made quickly, and whose members of KIP-848 time out as soon as those of the classic protocol.
pub(super) fn plan(scene: &Scene<'_>) -> Result<Plan, Fault> {
    let plan = scene.plan()?;
    Ok([
        ("group.initial.rebalance.delay.ms", "100"),
        ("offsets.topic.num.partitions", "5"),
        ("group.consumer.min.session.timeout.ms", "6000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.min.heartbeat.interval.ms", "200"),
        ("group.consumer.heartbeat.interval.ms", "200"),
    ]
    .into_iter()
    .fold(plan, |plan, (key, value)| plan.with(key, value)))
}

/// Whether KIP-848 is served.
pub(super) fn serves_consumer_protocol(node: &Node) -> Result<bool, Fault> {
    let versions = wire::api_versions(&mut wire::connect(&node.address)?)?;
    Ok(versions.iter().any(|row| row.0 == CONSUMER_GROUP_HEARTBEAT))
}

fn begin_load(scene: &Scene<'_>, node: &Node) -> Result<(), Fault> {
    scene.java(|java| {
        java.peer(&["create", &node.address, TOPIC, &PARTITIONS.to_string(), "1"])?;
        java.peer(&["load-start", &node.address, TOPIC, &PARTITIONS.to_string(), PER_SECOND]).map(|_| ())
    })
}

/// Ends the load; where each partition ends.
fn end_load(scene: &Scene<'_>, node: &Node) -> Result<Ends, Fault> {
    let said = scene.java(|java| {
        let stopped = java.peer(&["load-stop"])?;
        ensure(stopped.trim_end().ends_with("failed 0"), || format!("sends failed: {stopped}"))?;
        java.tool("GetOffsetShell", &["--bootstrap-server", &node.address, "--topic", TOPIC, "--time", "latest"])
    })?;
    let end = |line: &str| {
        let (partition, end) = line.strip_prefix(TOPIC)?.strip_prefix(':')?.split_once(':')?;
        Some((partition.parse().ok()?, end.parse().ok()?))
    };
    let ends: Ends = said.lines().filter_map(end).collect();
    ensure(ends.len() == PARTITIONS, || format!("the ends of {PARTITIONS} partitions: {said}"))?;
    Ok(ends)
}

/// A group and the members that it has or had.
struct Group {
    flavour: Flavour,
    members: Vec<Member>,
}

impl Group {
    fn new(flavour: Flavour) -> Group {
        Group { flavour, members: Vec::new() }
    }

    fn join(&mut self, scene: &Scene<'_>, node: &Node) -> Result<(), Fault> {
        let number = u32::try_from(self.members.len()).unwrap_or(0) + 1;
        let at = (node.address.as_str(), self.flavour.name, TOPIC);
        self.members.push(Member::start(scene, &self.flavour, at, number, &[])?);
        Ok(())
    }

    /// Until the member `index` has read from `partitions` partitions since `mark`.
    fn until_read(&self, scene: &Scene<'_>, index: usize, mark: usize, partitions: usize) -> Result<(), Fault> {
        let what = format!("reading of {partitions} partitions");
        self.members[index].until(scene, &what, |lines| (partitions_read(&lines[mark..]) >= partitions).then_some(()))
    }

    fn judged(&self, ends: &Ends) -> Result<(u64, Ends), Fault> {
        let lines: Vec<(String, Vec<String>)> = (1..)
            .zip(&self.members)
            .map(|(number, member)| (format!("{}-{number}", self.flavour.name), member.lines()))
            .collect();
        let verdict = judge(self.flavour.name, &lines, ends, self.flavour.commits_its_own)?;
        Ok((verdict.again, verdict.committed))
    }
}

/// Three members of each client come one after the other, one leaves, one dies; every group reads everything on its own.
pub(super) fn join_and_leave(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = plan(scene)?.start(scene)?;
    let flavours = flavours(scene, serves_consumer_protocol(&node)?)?;
    let mut groups: Vec<Group> = flavours.into_iter().map(Group::new).collect();
    begin_load(scene, &node)?;
    for (index, partitions) in [(0, PARTITIONS), (1, 1), (2, 1)] {
        groups.iter_mut().try_for_each(|group| group.join(scene, &node))?;
        groups.iter().try_for_each(|group| group.until_read(scene, index, 0, partitions))?;
    }
    groups.iter().try_for_each(|group| group.members[0].leave(scene)).during("the first leaves")?;
    groups.iter().try_for_each(|group| group.members[1].vanish(scene)).during("the second dies")?;
    let gone = now();
    for group in &groups {
        let mark = group.members[2].mark(scene)?;
        group.until_read(scene, 2, mark, PARTITIONS)?;
    }
    let took = now() - gone;
    let ends = end_load(scene, &node)?;
    for group in &groups {
        group.members[2].until(scene, "commit of the end", |lines| has_reached(lines, &ends).then_some(()))?;
        group.members[2].leave(scene)?;
    }
    let total: u64 = ends.values().sum();
    for group in &groups {
        let (again, committed) = group.judged(&ends)?;
        ensure(committed == ends, || format!("{}: committed {committed:?}, ends {ends:?}", group.flavour.name))?;
        scene.figure(&format!("{}: {total} records, {again} read again", group.flavour.name));
    }
    scene.figure(&format!("the last member had everything {} ms after another one's death", took.as_millis()));
    node.stop()
}

/// The node dies while members join and commit; groups go on, and committed offsets never go back.
pub(super) fn node_killed(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = plan(scene)?;
    let mut node = plan.start(scene)?;
    let flavours = flavours(scene, serves_consumer_protocol(&node)?)?;
    let mut groups: Vec<Group> = flavours.into_iter().map(Group::new).collect();
    begin_load(scene, &node)?;
    for round in 0..KILLS {
        groups.iter_mut().try_for_each(|group| group.join(scene, &node))?;
        // The number of acks places the kill before, in and after the rebalance that the new member began.
        scene.java(|java| java.peer(&["load-await", &(40 + 130 * (round % 3)).to_string(), "60"]))?;
        node.kill()?;
        node = plan.start(scene)?;
        for group in &groups {
            let mark = group.members[round].mark(scene)?;
            group.until_read(scene, round, mark, 1)?;
        }
    }
    let ends = end_load(scene, &node)?;
    for group in &groups {
        let leaving = group.members.iter().rev().skip(1);
        leaving.into_iter().try_for_each(|member| member.leave(scene))?;
        let (last, group_id) = (&group.members[KILLS - 1], group.flavour.name);
        let committed = || committed(scene, &node.address, group_id);
        let until = now() + conformance::process::CLIENT_DEADLINE;
        while committed()? != ends {
            ensure(now() < until, || format!("{group_id} does not get to {ends:?}"))?;
        }
        last.leave(scene)?;
        let (again, confirmed) = group.judged(&ends)?;
        ensure(confirmed.iter().all(|(partition, offset)| ends[partition] >= *offset), || format!("{confirmed:?}"))?;
        scene.figure(&format!("{group_id}: {} records, {again} read again", ends.values().sum::<u64>()));
    }
    node.stop()
}

/// Members of different clients and of both protocols share one group under load: it is upgraded when the first of KIP-848 joins, and
/// downgraded when the last of those has gone; one of them dies in between.
pub(super) fn clients_share(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = plan(scene)?.start(scene)?;
    let all = flavours(scene, true)?;
    let flavour = |name: &str| all.iter().find(|flavour| flavour.name == name).cloned();
    let Some(confluent) = flavour("confluent-consumer") else {
        return Err(Fault::Skipped("confluent-kafka cannot be had".to_owned()));
    };
    begin_load(scene, &node)?;
    let mut group = Group::new(java("java-range"));
    group.join(scene, &node)?;
    group.until_read(scene, 0, 0, PARTITIONS)?;
    for (index, joins) in [(1, java("java-consumer")), (2, confluent)] {
        let mark = group.members[0].mark(scene)?;
        let at = (node.address.as_str(), group.flavour.name, TOPIC);
        group.members.push(Member::start(scene, &joins, at, u32::try_from(index).unwrap_or(0) + 1, &[])?);
        group.until_read(scene, index, 0, 2)?;
        group.until_read(scene, 0, mark, 2)?;
    }
    let listed = groups_of_type(scene, &node.address, "consumer")?;
    ensure(listed.contains(group.flavour.name), || format!("it is no consumer group: {listed}"))?;
    let mark = group.members[2].mark(scene)?;
    group.members[1].vanish(scene).during("the Java member of KIP-848 dies")?;
    group.until_read(scene, 2, mark, 3)?;
    let mark = group.members[0].mark(scene)?;
    group.members[2].leave(scene).during("the last member of KIP-848 leaves")?;
    group.until_read(scene, 0, mark, PARTITIONS)?;
    let listed = groups_of_type(scene, &node.address, "classic")?;
    ensure(listed.contains(group.flavour.name), || format!("it is no classic group: {listed}"))?;
    let ends = end_load(scene, &node)?;
    group.members[0].until(scene, "commit of the end", |lines| has_reached(lines, &ends).then_some(()))?;
    group.members[0].leave(scene)?;
    let (again, committed) = group.judged(&ends)?;
    ensure(committed == ends, || format!("committed {committed:?}, ends {ends:?}"))?;
    scene.figure(&format!("{} records, {again} read again", ends.values().sum::<u64>()));
    node.stop()
}

fn groups_of_type(scene: &Scene<'_>, address: &str, kind: &str) -> Result<String, Fault> {
    let args = ["--bootstrap-server", address, "--list", "--type", kind];
    scene.java(|java| java.tool(super::admin::GROUPS_TOOL, &args))
}

/// Kafka takes the data dir over under living members of KIP-848, and gives it back: the log tells either broker what members have, so that
/// they keep their partitions and read on.
pub(super) fn brokers_change(scene: &Scene<'_>) -> Result<(), Fault> {
    let first = plan(scene)?;
    // It formats its folder by itself, and from then on has the ports that both brokers share.
    first.start(scene)?.stop()?;
    let first = first.configured();
    let other = if first.kind == Kind::Thalweg { Kind::Kafka } else { Kind::Thalweg };
    let mut node = first.start(scene)?;
    begin_load(scene, &node)?;
    let mut group = Group::new(java("java-consumer"));
    for (index, partitions) in [(0, PARTITIONS), (1, 1)] {
        group.join(scene, &node)?;
        group.until_read(scene, index, 0, partitions)?;
    }
    for kind in [other, first.kind] {
        let marks = [group.members[0].mark(scene)?, group.members[1].mark(scene)?];
        node.stop()?;
        node = first.taken_over_by(kind).start(scene).during(format!("{kind:?} takes over"))?;
        for (index, mark) in marks.into_iter().enumerate() {
            group.until_read(scene, index, mark, PARTITIONS / 2)?;
            let since = group.members[index].lines().split_off(mark);
            let noticed = ["lost", "revoked", "assigned"].map(|kind| of_kind(&since, kind).len());
            ensure(noticed == [0; 3], || format!("with {kind:?} a member had to begin anew: {since:?}"))?;
        }
    }
    let ends = end_load(scene, &node)?;
    for member in &group.members {
        let of_its = |lines: &[String]| {
            let has: Vec<u32> = of_kind(lines, "assigned").iter().filter_map(|line| line[9..].parse().ok()).collect();
            let gone: Vec<u32> = of_kind(lines, "revoked").iter().filter_map(|line| line[8..].parse().ok()).collect();
            let its = ends.iter().filter(|(of, _)| has.contains(of) && !gone.contains(of));
            has_reached(lines, &its.map(|(of, end)| (*of, *end)).collect()).then_some(())
        };
        member.until(scene, "commit of the end", of_its)?;
    }
    group.members.iter().try_for_each(|member| member.leave(scene))?;
    let (again, committed) = group.judged(&ends)?;
    ensure(committed == ends, || format!("committed {committed:?}, ends {ends:?}"))?;
    scene.figure(&format!("{} records, {again} read again", ends.values().sum::<u64>()));
    node.stop()
}

/// A static member comes back to what it had, and nobody else notices (KIP-345); a cooperative one gives away only what moves
/// (KIP-429); every client can begin at a time.
pub(super) fn come_back(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = plan(scene)?.start(scene)?;
    scene.java(|java| {
        java.peer(&["create", &node.address, TOPIC, &PARTITIONS.to_string(), "1"])?;
        java.peer(&["produce-rich", &node.address, TOPIC, &PARTITIONS.to_string(), "1200", "none"])
    })?;
    static_member(scene, &node)?;
    cooperative_member(scene, &node)?;
    for flavour in flavours(scene, serves_consumer_protocol(&node)?)? {
        // Record i has the timestamp 1790000000000 + 10 i and stands at offset i / 6 of partition i % 6: this is record 600's.
        let group = format!("{}-seeks", flavour.name);
        let at = (node.address.as_str(), group.as_str(), TOPIC);
        let member = Member::start(scene, &flavour, at, 1, &["seek=1790000006000"])?;
        let ends: Ends = (0..6).map(|partition| (partition, 200)).collect();
        member.until(scene, "commit of the end", |lines| has_reached(lines, &ends).then_some(()))?;
        let lines = member.lines();
        for partition in 0..PARTITIONS {
            let first = lines.iter().find(|line| line.starts_with(&format!("read {partition} ")));
            ensure(first.is_some_and(|line| line.starts_with(&format!("read {partition} 100 "))), || {
                format!("{}: {first:?} of partition {partition}, not from 100", flavour.name)
            })?;
        }
        member.leave(scene)?;
    }
    node.stop()
}

/// The lines of a kind: `assigned`, `revoked`, `generation`.
fn of_kind<'a>(lines: &'a [String], kind: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.starts_with(kind)).collect();
    found.sort_unstable();
    found
}

fn static_member(scene: &Scene<'_>, node: &Node) -> Result<(), Fault> {
    let at = (node.address.as_str(), "static", TOPIC);
    let start = |number: u32, instance: &str| Member::start(scene, &java("java-range"), at, number, &[instance]);
    let has = |member: &Member, mark: usize, count: usize| {
        member.until(scene, &format!("{count} partitions"), |lines| {
            (of_kind(&lines[mark..], "assigned").len() == count).then_some(())
        })
    };
    let stays = start(1, "group.instance.id=stays")?;
    has(&stays, 0, PARTITIONS)?;
    let mark = stays.mark(scene)?;
    let goes = start(2, "group.instance.id=goes")?;
    has(&goes, 0, PARTITIONS / 2)?;
    has(&stays, mark, PARTITIONS / 2)?;
    let mark = stays.mark(scene)?;
    // Its client says no goodbye for a static member.
    goes.leave(scene)?;
    let back = start(3, "group.instance.id=goes")?;
    has(&back, 0, PARTITIONS / 2)?;
    ensure(of_kind(&back.lines(), "assigned") == of_kind(&goes.lines(), "assigned"), || {
        format!("it had {:?} and came back to {:?}", goes.lines(), back.lines())
    })?;
    ensure(of_kind(&back.lines(), "generation") == of_kind(&goes.lines(), "generation"), || {
        format!("a rebalance for a static member: {:?}", back.lines())
    })?;
    stays.leave(scene)?;
    let since = &stays.lines()[mark..];
    ensure(of_kind(since, "generation").is_empty() && of_kind(since, "lost").is_empty(), || {
        format!("the other one noticed: {since:?}")
    })?;
    back.leave(scene)
}

fn cooperative_member(scene: &Scene<'_>, node: &Node) -> Result<(), Fault> {
    let at = (node.address.as_str(), "cooperative", TOPIC);
    let first = Member::start(scene, &java("java-cooperative"), at, 1, &[])?;
    let count =
        |kind: &'static str, want: usize| move |lines: &[String]| (of_kind(lines, kind).len() == want).then_some(());
    first.until(scene, "all partitions", count("assigned", PARTITIONS))?;
    let second = Member::start(scene, &java("java-cooperative"), at, 2, &[])?;
    second.until(scene, "half of the partitions", count("assigned", PARTITIONS / 2))?;
    first.until(scene, "half of them revoked", count("revoked", PARTITIONS / 2))?;
    first.mark(scene)?;
    ensure(of_kind(&first.lines(), "assigned").len() == PARTITIONS, || format!("{:?}", first.lines()))?;
    second.leave(scene)?;
    first.leave(scene)
}

/// What a group has committed, as Kafka's tool says.
fn committed(scene: &Scene<'_>, address: &str, group: &str) -> Result<Ends, Fault> {
    let args = ["--bootstrap-server", address, "--describe", "--offsets", "--group", group];
    let said = scene.java(|java| java.tool(super::admin::GROUPS_TOOL, &args))?;
    let offset = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == TOPIC)?;
        Some((words.get(at + 1)?.parse().ok()?, words.get(at + 2)?.parse().ok()?))
    };
    Ok(said.lines().filter_map(offset).collect())
}
