//! Every kind of metadata that clients can change survives a clean stop and a kill: topics, partitions, configs of topics, brokers and
//! groups, feature levels, producer ids; and a broker's config takes effect while it runs.

use crate::canon::canonical;
use crate::configs::{BROKER, DELETE, GROUP, SET, TOPIC, change, describe};
use crate::node::OwnNode;
use crate::script::Script;
use crate::wire::Wire;
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::delete_topics_request::DeleteTopicsRequest;
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use protocol::messages::metadata_request::MetadataRequest;

fn change_now(script: &mut Script, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) {
    let request = change(kind, name, changes);
    script.look(1, &request, |response| assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0]));
}

fn new_producer_id(script: &mut Script) -> i64 {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    script.look(4, &request, |response| {
        assert_eq!(response.error_code, 0);
        response.producer_id
    })
}

/// Everything that a client can see of the metadata, ids and all.
fn seen(address: &str) -> Vec<String> {
    let mut script = Script::new(address);
    let mut seen = Vec::new();
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    seen.push(script.look(13, &all, |response| {
        let mut topics = response.topics.clone();
        // A restart is an election, so epochs go on.
        topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(|partition| partition.leader_epoch = 0);
        format!("{topics:?}")
    }));
    for (kind, name) in [(TOPIC, "kept"), (TOPIC, "grown"), (BROKER, ""), (GROUP, "g")] {
        let request = describe(kind, name, None);
        seen.push(script.look(4, &request, |response| canonical(&format!("{:?}", response.results), 4)));
    }
    let dynamic = describe(BROKER, "1", Some(&["log.retention.ms", "max.connections.per.ip"]));
    seen.push(script.look(4, &dynamic, |response| canonical(&format!("{:?}", response.results), 4)));
    let resources = ListConfigResourcesRequest::default();
    seen.push(script.look(1, &resources, |response| format!("{:?}", response.config_resources)));
    let features = ApiVersionsRequest {
        client_software_name: "rig".into(),
        client_software_version: "1".into(),
        ..ApiVersionsRequest::default()
    };
    seen.push(script.look(4, &features, |response| format!("{:?}", response.finalized_features)));
    seen
}

fn fill(script: &mut Script) {
    script.topic("kept", 3, &[("retention.ms", "1234567"), ("cleanup.policy", "compact,delete")]);
    script.topic("grown", 1, &[]);
    script.topic("gone", 1, &[("retention.ms", "1")]);
    let topic =
        CreatePartitionsTopic { name: "grown".into(), count: 4, assignments: None, ..CreatePartitionsTopic::default() };
    let grow =
        CreatePartitionsRequest { topics: vec![topic], timeout_ms: 30_000, ..CreatePartitionsRequest::default() };
    script.look(3, &grow, |response| assert_eq!(response.results[0].error_code, 0));
    let delete =
        DeleteTopicsRequest { topic_names: vec!["gone".into()], timeout_ms: 30_000, ..DeleteTopicsRequest::default() };
    script.look(5, &delete, |response| assert_eq!(response.responses[0].error_code, 0));
    change_now(script, TOPIC, "grown", &[("segment.bytes", SET, Some("2000000"))]);
    change_now(script, TOPIC, "kept", &[("retention.ms", DELETE, None)]);
    change_now(script, BROKER, "", &[("log.retention.ms", SET, Some("70000"))]);
    change_now(script, BROKER, "1", &[("max.connections.per.ip", SET, Some("1000"))]);
    change_now(script, GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]);
}

#[test]
fn metadata_survives_a_stop_and_a_kill() {
    let mut node = OwnNode::start("restart");
    let mut script = Script::new(&node.address());
    fill(&mut script);
    let first = new_producer_id(&mut script);
    let before = seen(&node.address());
    assert!(before[0].contains("kept") && !before[0].contains("gone"), "{}", before[0]);
    node.restart();
    assert_eq!(seen(&node.address()), before, "after a clean stop");
    let second = new_producer_id(&mut Script::new(&node.address()));
    node.kill();
    assert_eq!(seen(&node.address()), before, "after a kill");
    let third = new_producer_id(&mut Script::new(&node.address()));
    assert!(first < second && second < third, "no producer id is given out twice: {first}, {second}, {third}");
}

#[test]
fn a_limit_of_connections_takes_effect_while_the_node_runs() {
    let mut node = OwnNode::start("limits");
    let mut script = Script::new(&node.address());
    change_now(&mut script, BROKER, "", &[("max.connections.per.ip", SET, Some("1"))]);
    assert!(!Wire::new(&node.address()).answers(), "the script has the one connection that may be");
    change_now(&mut script, BROKER, "1", &[("max.connections.per.ip", SET, Some("2"))]);
    assert!(Wire::new(&node.address()).answers(), "a broker's own value goes before that of all brokers");
    drop(script);
    node.restart();
    let mut open = [Wire::new(&node.address()), Wire::new(&node.address()), Wire::new(&node.address())];
    assert_eq!(open.each_mut().map(Wire::answers), [true, true, false], "also after a restart");
}

#[test]
fn defaults_of_topics_take_effect_while_the_node_runs() {
    let node = OwnNode::start("defaults");
    let mut script = Script::new(&node.address());
    script.topic("t", 1, &[]);
    change_now(&mut script, BROKER, "", &[("message.max.bytes", SET, Some("100"))]);
    assert_eq!(produced(&mut script), base::ErrorCode::MessageTooLarge.code());
    change_now(&mut script, BROKER, "1", &[("message.max.bytes", SET, Some("1000"))]);
    assert_eq!(produced(&mut script), 0);
    change_now(&mut script, TOPIC, "t", &[("max.message.bytes", SET, Some("100"))]);
    assert_eq!(produced(&mut script), base::ErrorCode::MessageTooLarge.code());
}

fn produced(script: &mut Script) -> i16 {
    let request = crate::produce::request(script, 9, "t", vec![(0, Some(crate::batches::plain(5)))]);
    script.look(9, &request, |response| response.responses[0].partition_responses[0].error_code)
}
