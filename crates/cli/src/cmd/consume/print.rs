//! How a record becomes bytes on stdout.

use record::RecordView;
use serde_json::{Value, json};

enum Part {
    Literal(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Timestamp,
    Headers,
}

/// Prints records, each in the same way.
pub(super) struct Printer {
    json: bool,
    parts: Vec<Part>,
}

impl Printer {
    pub(super) fn value() -> Printer {
        Printer { json: false, parts: vec![Part::Value, Part::Literal(b"\n".to_vec())] }
    }

    pub(super) fn key_and_value(separator: &str) -> Printer {
        let separator = Part::Literal(separator.as_bytes().to_vec());
        Printer { json: false, parts: vec![Part::Key, separator, Part::Value, Part::Literal(b"\n".to_vec())] }
    }

    pub(super) fn json() -> Printer {
        Printer { json: true, parts: Vec::new() }
    }

    /// Reads a format such as `%k %s\n`.
    pub(super) fn parse(format: &str) -> Result<Printer, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c == '\\' {
                // Escapes are two characters; what they mean is decided at one place.
                literal.push_str(&crate::cmd::produce::unescape(&format!("\\{}", chars.next().unwrap_or('\\'))));
                continue;
            }
            if c != '%' {
                literal.push(c);
                continue;
            }
            let part = match chars.next() {
                Some('t') => Part::Topic,
                Some('p') => Part::Partition,
                Some('o') => Part::Offset,
                Some('k') => Part::Key,
                Some('s') => Part::Value,
                Some('T') => Part::Timestamp,
                Some('h') => Part::Headers,
                Some('%') => {
                    literal.push('%');
                    continue;
                }
                other => {
                    return Err(format!("the format has an unknown %{}", other.map(String::from).unwrap_or_default()));
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into_bytes()));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into_bytes()));
        }
        Ok(Printer { json: false, parts })
    }

    pub(super) fn print(&self, topic: &str, partition: i32, record: &RecordView<'_>, out: &mut Vec<u8>) {
        if self.json {
            out.extend_from_slice(as_json(topic, partition, record).to_string().as_bytes());
            out.push(b'\n');
            return;
        }
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Topic => out.extend_from_slice(topic.as_bytes()),
                Part::Partition => out.extend_from_slice(partition.to_string().as_bytes()),
                Part::Offset => out.extend_from_slice(record.offset.to_string().as_bytes()),
                Part::Key => out.extend_from_slice(record.key.unwrap_or_default()),
                Part::Value => out.extend_from_slice(record.value.unwrap_or_default()),
                Part::Timestamp => out.extend_from_slice(record.timestamp.0.to_string().as_bytes()),
                Part::Headers => put_headers(record, out),
            }
        }
    }
}

fn put_headers(record: &RecordView<'_>, out: &mut Vec<u8>) {
    for (i, (key, value)) in record.headers().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.unwrap_or(b"NULL"));
    }
}

fn as_json(topic: &str, partition: i32, record: &RecordView<'_>) -> Value {
    let headers: Vec<Value> = record.headers().map(|(key, value)| json!({"key": key, "value": text(value)})).collect();
    json!({
        "topic": topic, "partition": partition, "offset": record.offset.0, "timestamp": record.timestamp.0,
        "key": text(record.key), "value": text(record.value), "headers": headers,
    })
}

/// UTF-8 as a string, other bytes as `{"hex": ".."}`, so that nothing is lost or guessed.
fn text(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()}),
    }
}
