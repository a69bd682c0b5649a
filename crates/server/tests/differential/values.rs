//! Every config of a topic and of a group, and every one of a broker that can change while it runs, with values at and beyond each edge.
//!
//! Only tried (validate-only), so that nothing of it is in force for the steps after it.

use crate::configs::{BROKER, GROUP, SET, TOPIC, change};
use crate::script::Script;
use base::ErrorCode;
use config::{Honoured, Kind, Row, Update, group_rows, node_rows, topic_rows};
use protocol::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequest;

const NUMBERS: &[&str] = &[
    "",
    "x",
    "1.5",
    "-3",
    "-2",
    "-1",
    "0",
    "1",
    "2",
    "9",
    "10",
    "13",
    "14",
    "17",
    "18",
    "22",
    "23",
    "99",
    "100",
    "1023",
    "1024",
    "1048575",
    "1048576",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    " 7 ",
];
const FRACTIONS: &[&str] = &["", "x", "-0.1", "0", "0.5", "1", "1.1", "NaN"];
const WORDS: &[&str] = &[
    "",
    " ",
    "x",
    "true",
    "TRUE",
    "yes",
    "delete",
    "compact",
    "Compact",
    "delete,compact",
    "compact,compact",
    "delete,",
    "none",
    "producer",
    "uncompressed",
    "gzip",
    "GZIP",
    "lz4",
    "CreateTime",
    "createtime",
    "LogAppendTime",
    "latest",
    "earliest",
    "by_duration:PT1H",
    "by_duration:x",
    "by_duration:-PT1H",
    "read_committed",
    "*",
    "0:1,1:1",
    "0:x",
];

pub(crate) fn values(script: &mut Script) {
    script.topic("valued", 1, &[]);
    for row in topic_rows() {
        try_values(script, "topic", TOPIC, "valued", row);
    }
    for row in group_rows() {
        try_values(script, "group", GROUP, "valued", row);
    }
    // What protects is refused here whatever the value; the rest of what a broker can change is checked as Kafka does.
    let dynamic = |row: &&Row| row.update == Update::ClusterWide && row.honoured != Honoured::Protects;
    for row in node_rows().iter().filter(dynamic) {
        try_values(script, "broker", BROKER, "", row);
    }
}

fn try_values(script: &mut Script, label: &str, kind: i8, name: &str, row: &Row) {
    let values = match row.kind {
        Kind::Int | Kind::Short | Kind::Long => NUMBERS,
        Kind::Double => FRACTIONS,
        Kind::Boolean | Kind::String | Kind::List | Kind::Class | Kind::Password => WORDS,
    };
    let mut refused: Vec<String> = Vec::new();
    for value in values {
        let request = IncrementalAlterConfigsRequest {
            validate_only: true,
            ..change(kind, name, &[(row.name, SET, Some(value))])
        };
        let code = script.look(1, &request, |response| response.responses[0].error_code);
        if code != 0 {
            let code = ErrorCode::from_code(code).map_or(format!("{code}"), |code| format!("{code:?}"));
            refused.push(format!("{value:?}={code}"));
        }
    }
    script.note::<IncrementalAlterConfigsRequest<'_>>(
        &format!("values.{label}.{}", row.name),
        1,
        format!("refuses {}", refused.join(" ")),
    );
}
