//! Writes how a response tells whether it holds an error: its own code, or that of anything in it.

use super::model::{Field, Kind, Message, Struct, Type};
use super::names;
use std::fmt::Write;

/// For a response: its `Response` implementation, and what that asks of the structures in it.
pub(super) fn response(out: &mut String, message: &Message, s: &Struct) {
    if message.kind != Kind::Response {
        return;
    }
    let is_message = s.name == message.name;
    if !is_message && !holds(message, &s.name) {
        return;
    }
    let lifetime = if message.struct_borrows(&s.name) { "<'_>" } else { "" };
    let terms: Vec<String> = s.fields.iter().filter_map(|field| term(message, field)).collect();
    let body = if terms.is_empty() { "false".to_owned() } else { terms.join(" || ") };
    let (head, visible) =
        if is_message { (format!("Response for {}", s.name), "") } else { (s.name.clone(), "pub(crate) ") };
    let _ = writeln!(
        out,
        "impl {head}{lifetime} {{
            {visible}fn has_error(&self) -> bool {{
                {body}
            }}
        }}\n"
    );
}

fn is_code(field: &Field) -> bool {
    field.name == "ErrorCode" && field.kind == Type::Int16
}

/// Whether a structure has an error code, or holds one that has.
fn holds(message: &Message, name: &str) -> bool {
    message
        .find(name)
        .fields
        .iter()
        .any(|field| is_code(field) || inner(&field.kind).is_some_and(|name| holds(message, name)))
}

fn inner(kind: &Type) -> Option<&str> {
    match kind {
        Type::Struct(name) => Some(name),
        Type::Array(element) => inner(element),
        _ => None,
    }
}

fn term(message: &Message, field: &Field) -> Option<String> {
    let name = names::field(&field.name);
    if is_code(field) {
        return Some(format!("self.{name} != 0"));
    }
    inner(&field.kind).filter(|name| holds(message, name))?;
    let is_array = matches!(field.kind, Type::Array(_));
    Some(match (is_array, field.is_option()) {
        (true, true) => format!("self.{name}.iter().flatten().any(|value| value.has_error())"),
        (false, true) | (true, false) => format!("self.{name}.iter().any(|value| value.has_error())"),
        (false, false) => format!("self.{name}.has_error()"),
    })
}
