//! What ListGroups, DescribeGroups and DeleteGroups tell where their counterparts of Kafka's test scripts do not reach.

use crate::testing::{World, comes, joining};
use crate::{Reply, Settings};

/// A request of a few megabytes can name a group a million times; each answer tells of all members, and of the journal.
#[test]
fn a_group_is_described_once_however_often_it_is_named() {
    let mut world = World::new(Settings::default());
    world.join_new(&joining(""));
    let ids = ["g", "absent", "g", "absent", "g"];
    let ticket = world.ask(6, |groups, cx, effects| groups.describe(cx, &ids, true, effects));
    let Some(Ok(Reply::Describe(described))) = world.reply(ticket) else { panic!("it answers at once") };
    let told: Vec<&str> = described.iter().map(|group| &*group.group_id).collect();
    assert_eq!(told, ["g", "absent", "absent"], "what is not there is told as often as in Kafka");
    let mut world = World::new(Settings::default());
    world.beat(&comes("m")).expect("a new group");
    let ticket = world.ask(1, |groups, cx, effects| groups.describe_consumers(cx, &ids, true, effects));
    let Some(Ok(Reply::ConsumerDescribe(described))) = world.reply(ticket) else { panic!("it answers at once") };
    let told: Vec<&str> = described.iter().map(|group| &*group.group_id).collect();
    assert_eq!(told, ["g", "absent", "absent"]);
}
