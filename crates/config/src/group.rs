//! Configs of a group. One row a config; facts are Kafka 4.4's.

use crate::row::{Honoured, Kind, Row, Update};

/// Every config of this scope, in order of name.
#[rustfmt::skip] // one line a config
pub const ROWS: &[Row] = &[
    Row { name: "consumer.assignment.interval.ms", kind: Kind::Int, default: Some("1000"), valid: "[0,...]", update: Update::ReadOnly, honoured: Honoured::Yes },
    Row { name: "consumer.heartbeat.interval.ms", kind: Kind::Int, default: Some("5000"), valid: "[1,...]", update: Update::ReadOnly, honoured: Honoured::Yes },
    Row { name: "consumer.session.timeout.ms", kind: Kind::Int, default: Some("45000"), valid: "[1,...]", update: Update::ReadOnly, honoured: Honoured::Yes },
    Row { name: "errors.deadletterqueue.copy.record.enable", kind: Kind::Boolean, default: Some("false"), valid: "", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "errors.deadletterqueue.topic.name", kind: Kind::String, default: None, valid: "", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.assignment.interval.ms", kind: Kind::Int, default: Some("1000"), valid: "[0,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.auto.offset.reset", kind: Kind::String, default: Some("latest"), valid: "[latest, earliest, by_duration:PnDTnHnMn.nS]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.delivery.count.limit", kind: Kind::Int, default: Some("5"), valid: "[2,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.heartbeat.interval.ms", kind: Kind::Int, default: Some("5000"), valid: "[1,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.isolation.level", kind: Kind::String, default: Some("read_uncommitted"), valid: "[read_committed, read_uncommitted]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.partition.max.record.locks", kind: Kind::Int, default: Some("2000"), valid: "[100,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.record.lock.duration.ms", kind: Kind::Int, default: Some("30000"), valid: "[1000,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.renew.acknowledge.enable", kind: Kind::Boolean, default: Some("true"), valid: "", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "share.session.timeout.ms", kind: Kind::Int, default: Some("45000"), valid: "[1,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "streams.assignment.interval.ms", kind: Kind::Int, default: Some("1000"), valid: "[0,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "streams.assignor.name", kind: Kind::String, default: Some("sticky"), valid: "", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "streams.heartbeat.interval.ms", kind: Kind::Int, default: Some("5000"), valid: "[1,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "streams.initial.rebalance.delay.ms", kind: Kind::Int, default: Some("3000"), valid: "[0,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "streams.num.standby.replicas", kind: Kind::Int, default: Some("0"), valid: "[0,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "streams.rack.aware.assignment.tags", kind: Kind::List, default: None, valid: "", update: Update::ReadOnly, honoured: Honoured::NotYet },
    Row { name: "streams.session.timeout.ms", kind: Kind::Int, default: Some("45000"), valid: "[1,...]", update: Update::ReadOnly, honoured: Honoured::NotYet },
];
