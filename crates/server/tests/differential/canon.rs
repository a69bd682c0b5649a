//! A response's Debug form as one canonical line: without struct names, with the names of error codes, and with
//! whatever differs from run to run (ids, times, ports) replaced.
//!
//! Works on the Debug text, so that every message is covered and no field can be forgotten.

use base::ErrorCode;

/// A value of a Debug text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Struct(Vec<(String, Value)>),
    Tuple(String, Vec<Value>),
    List(Vec<Value>),
    Text(String),
    Atom(String),
}

/// The canonical line of a Debug text.
pub(crate) fn canonical(debug: &str, version: i16) -> String {
    let mut parser = Parser { rest: debug };
    let mut value = parser.value();
    assert!(parser.rest.trim().is_empty(), "left over: {}", parser.rest);
    if !ORDERED.iter().any(|response| debug.starts_with(response)) {
        sort("", &mut value);
    }
    let mut out = String::new();
    render(&value, &mut out);
    without_version(&SILENT.iter().fold(out, |out, field| out.replace(field, "")), version)
}

/// Fields that say nothing, left out where they do.
const SILENT: &[&str] = &[
    "throttle_time_ms=0 ",
    " throttle_time_ms=0",
    " diverging_epoch={epoch=-1 end_offset=-1}",
    " current_leader={leader_id=-1 leader_epoch=-1}",
    " snapshot_id={end_offset=-1 epoch=-1}",
    " node_endpoints=[]",
    " preferred_read_replica=-1",
];

/// Names that a step made for this version are the same name in every version: `-v3` becomes `-vN`.
fn without_version(text: &str, version: i16) -> String {
    let tag = format!("-v{version}");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&tag) {
        let after = &rest[at + tag.len()..];
        out.push_str(&rest[..at]);
        out.push_str(if after.starts_with(|c: char| c.is_ascii_digit()) { &tag } else { "-vN" });
        rest = after;
    }
    out + rest
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn eat(&mut self, token: char) -> bool {
        self.rest = self.rest.trim_start();
        let eaten = self.rest.strip_prefix(token);
        self.rest = eaten.unwrap_or(self.rest);
        eaten.is_some()
    }

    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| "{}[]():,\" ".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn value(&mut self) -> Value {
        if self.eat('[') {
            return Value::List(self.values(']'));
        }
        if self.eat('"') {
            return Value::Text(self.text());
        }
        let name = self.word();
        if self.eat('(') {
            return Value::Tuple(name, self.values(')'));
        }
        if !self.eat('{') {
            return Value::Atom(name);
        }
        let mut fields = Vec::new();
        while !self.eat('}') {
            let field = self.word();
            assert!(self.eat(':'), "a field has a value: {field} {}", self.rest);
            fields.push((field, self.value()));
            self.eat(',');
        }
        Value::Struct(fields)
    }

    fn values(&mut self, end: char) -> Vec<Value> {
        let mut values = Vec::new();
        while !self.eat(end) {
            values.push(self.value());
            self.eat(',');
        }
        values
    }

    fn text(&mut self) -> String {
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let text = self.rest[..at].to_owned();
                    self.rest = &self.rest[at + 1..];
                    return text;
                }
                _ => {}
            }
        }
        panic!("a text that does not end")
    }
}

fn render(value: &Value, out: &mut String) {
    match value {
        Value::Struct(fields) => {
            out.push('{');
            let mut first = true;
            for (name, value) in fields.iter().filter(|field| !has_no_tags(field)) {
                out.push_str(if first { "" } else { " " });
                first = false;
                out.push_str(&shown(name, value).unwrap_or_else(|| plain(name, value)));
            }
            out.push('}');
        }
        Value::List(values) => list(values, out),
        Value::Tuple(name, values) if name == "Some" && values.len() == 1 => render(&values[0], out),
        Value::Tuple(name, values) if name == "Uuid" => {
            let zero = values == &[Value::Atom("AAAAAAAAAAAAAAAAAAAAAA".into())];
            out.push_str(if zero { "0" } else { "<id>" });
        }
        Value::Tuple(name, values) => {
            out.push_str(name);
            list(values, out);
        }
        Value::Text(text) => {
            out.push('"');
            out.push_str(text);
            out.push('"');
        }
        Value::Atom(atom) => out.push_str(if atom == "None" { "null" } else { atom }),
    }
}

/// Whether this is the field for tags that the codec does not know, and there are none.
fn has_no_tags((name, value): &(String, Value)) -> bool {
    name == "unknown_tags" && matches!(value, Value::Tuple(_, tags) if tags == &[Value::Atom("None".into())])
}

fn plain(name: &str, value: &Value) -> String {
    let mut out = format!("{name}=");
    match value {
        Value::List(values) => list(values, &mut out),
        value => render(value, &mut out),
    }
    out
}

/// Lists whose order Kafka takes from a hash map.
const UNORDERED: &[&str] = &[
    "configs",
    "config_resources",
    "topics",
    "responses",
    "results",
    "partitions",
    "partition_responses",
    "supported_features",
    "finalized_features",
    "groups",
    "topic_partitions",
];

/// Responses whose lists Kafka orders.
const ORDERED: &[&str] = &["DescribeTopicPartitionsResponse "];

/// Puts what has no order into one.
fn sort(name: &str, value: &mut Value) {
    match value {
        Value::Struct(fields) => fields.iter_mut().for_each(|(name, value)| sort(name, value)),
        Value::Tuple(_, values) => values.iter_mut().for_each(|value| sort("", value)),
        Value::List(values) => {
            values.iter_mut().for_each(|value| sort("", value));
            if UNORDERED.contains(&name) {
                values.sort_by_cached_key(rendered);
            }
        }
        Value::Text(_) | Value::Atom(_) => {}
    }
}

fn rendered(value: &Value) -> String {
    let mut out = String::new();
    render(value, &mut out);
    out
}

fn list(values: &[Value], out: &mut String) {
    let mut rendered: Vec<String> = values.iter().map(rendered).collect();
    // A topic has one config more than Kafka's; the steps that look at a broker's single ones name ours.
    rendered.retain(|config| !config.starts_with("{name=\"durability\" value="));
    out.push('[');
    out.push_str(&rendered.join(" "));
    out.push(']');
}

/// Fields that are shown in a form of their own.
fn shown(name: &str, value: &Value) -> Option<String> {
    let number = match value {
        Value::Atom(atom) => atom.parse::<i64>().ok(),
        _ => None,
    };
    let hidden = |word: &str| Some(format!("{name}=<{word}>"));
    match (name, number) {
        ("error_code" | "topic_config_error_code", Some(code)) => {
            let code = ErrorCode::from_code(code as i16).map_or(format!("{code}"), |code| format!("{code:?}"));
            Some(format!("{name}={code}"))
        }
        // Times of this run.
        (_, Some(ms)) if (1_700_000_000_000..4_000_000_000_000).contains(&ms) && name != "timestamp" => hidden("time"),
        ("timestamp", Some(ms)) if ms > 1_780_000_000_000 => hidden("time"),
        ("port" | "producer_id" | "session_id", Some(n)) if n > 0 => hidden(name),
        ("producer_id", Some(0)) => hidden(name),
        ("total_bytes" | "usable_bytes" | "finalized_features_epoch", Some(n)) if n > 0 => hidden("number"),
        // What depends on where a broker stands.
        ("value", _) if matches!(value, Value::Tuple(_, inside) if matches!(&inside[..], [Value::Text(text)] if text.contains("127.0.0.1:") || text.starts_with('/'))) => {
            hidden("place")
        }
        ("host" | "cluster_id" | "log_dir", _) if matches!(value, Value::Text(text) if !text.is_empty()) => {
            hidden(name)
        }
        // Made up by the broker.
        ("member_id" | "leader", _) => match value {
            // A UUID in Base64, or behind the client's id in hexadecimals.
            Value::Text(text) if text.len() == 22 || text.len() > 36 => hidden("member"),
            _ => None,
        },
        // The words are ours; that there are some is Kafka's.
        ("error_message" | "batch_index_error_message" | "documentation", _) => match value {
            Value::Tuple(_, inside) if matches!(&inside[..], [Value::Text(text)] if text.is_empty()) => None,
            Value::Tuple(..) => Some(format!("{name}=<text>")),
            _ => Some(format!("{name}=null")),
        },
        ("records", _) => match value {
            Value::Tuple(..) => hidden("bytes"),
            _ => Some("records=null".to_owned()),
        },
        _ => None,
    }
}
