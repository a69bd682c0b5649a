//! Reads the notation of `schemas/README.md`.

use super::model::{Field, Kind, Message, Struct, Type, Versions};

/// All messages of one file, or the line that is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<Message>, String> {
    let mut messages: Vec<Message> = Vec::new();
    // Structures that are open: their index in the message and the indentation of their fields.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |why: String| format!("line {}: {why}: `{line}`", number + 1);
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let indent = line.len() - body.len();
        if indent == 0 {
            messages.push(head(body).map_err(wrong)?);
            open = vec![(0, 2)];
            continue;
        }
        let message = messages.last_mut().ok_or_else(|| wrong("a field before any message".into()))?;
        while open.last().is_some_and(|(_, level)| *level > indent) {
            open.pop();
        }
        let words: Vec<&str> = body.split_whitespace().collect();
        let opened = if words[0] == "struct" {
            shared_struct(message, &words)
        } else {
            let (owner, _) = *open.last().ok_or_else(|| wrong("bad indentation".into()))?;
            field(message, owner, &words)
        };
        if let Some(index) = opened.map_err(wrong)? {
            open.push((index, indent + 2));
        }
    }
    for message in &mut messages {
        drop_missing(message)?;
    }
    Ok(messages)
}

fn head(line: &str) -> Result<Message, String> {
    let mut words = line.split_whitespace();
    let kind = match words.next() {
        Some("request") => Kind::Request,
        Some("response") => Kind::Response,
        Some("metadata") => Kind::Metadata,
        Some("remote-log") => Kind::RemoteLog,
        Some("coordinator-key") => Kind::CoordinatorKey,
        Some("coordinator-value") => Kind::CoordinatorValue,
        Some("header") => Kind::Header,
        Some("data") => Kind::Data,
        other => return Err(format!("{other:?} is not a kind of message")),
    };
    let name = words.next().ok_or("a message needs a name")?.to_owned();
    let mut message = Message {
        kind,
        name: name.clone(),
        key: None,
        versions: Versions::NONE,
        flexible: Versions::NONE,
        unstable: false,
        on_broker: false,
        on_controller: false,
        forwardable: false,
        cluster_action: false,
        structs: vec![],
    };
    while let Some(word) = words.next() {
        match word {
            "unstable" => message.unstable = true,
            "forwardable" => message.forwardable = true,
            "cluster-action" => message.cluster_action = true,
            "on" => {
                let listeners = words.next().unwrap_or_default();
                message.on_broker = listeners.split(',').any(|listener| listener == "broker");
                message.on_controller = listeners.split(',').any(|listener| listener == "controller");
            }
            "fx-" => {}
            _ if word.starts_with("fx") => message.flexible = versions(&word[2..])?,
            _ if word.starts_with('v') => message.versions = versions(&word[1..])?,
            _ => message.key = Some(word.parse().map_err(|_| format!("`{word}` is not understood"))?),
        }
    }
    if message.versions.is_empty() {
        return Err("a message needs versions".into());
    }
    message.structs.push(Struct { name, versions: message.versions, fields: vec![] });
    Ok(message)
}

fn versions(text: &str) -> Result<Versions, String> {
    let number = |text: &str| text.parse::<i16>().map_err(|_| format!("`{text}` is not a version"));
    if let Some(low) = text.strip_suffix('+') {
        return Ok(Versions { low: number(low)?, high: Versions::OPEN });
    }
    match text.split_once('-') {
        Some((low, high)) => Ok(Versions { low: number(low)?, high: number(high)? }),
        None => number(text).map(|only| Versions { low: only, high: only }),
    }
}

fn shared_struct(message: &mut Message, words: &[&str]) -> Result<Option<usize>, String> {
    let [_, name, range] = words else { return Err("a structure needs a name and versions".into()) };
    // A structure may be used by a field above its definition.
    let index = message.structs.iter().position(|known| known.name == **name).unwrap_or_else(|| {
        message.structs.push(Struct { name: (*name).to_owned(), versions: Versions::NONE, fields: vec![] });
        message.structs.len() - 1
    });
    message.structs[index].versions = versions(range)?;
    Ok(Some(index))
}

fn field(message: &mut Message, owner: usize, words: &[&str]) -> Result<Option<usize>, String> {
    let [name, kind, range, flags @ ..] = words else { return Err("a field needs a name, a type and versions".into()) };
    let kind = parse_type(kind);
    let mut field = Field {
        name: (*name).to_owned(),
        kind,
        versions: versions(range)?,
        nullable: Versions::NONE,
        tag: None,
        default: None,
        ignorable: false,
        never_compact: false,
    };
    for flag in flags {
        match flag.split_at(1) {
            ("!", "") => field.ignorable = true,
            ("?", range) => field.nullable = versions(range)?,
            ("=", value) => field.default = Some(value.to_owned()),
            (":", _) => {}
            ("#", tag) => {
                let (tag, range) = tag.split_once('@').ok_or("a tag needs @versions")?;
                let number = tag.parse().map_err(|_| format!("`{tag}` is not a tag"))?;
                field.tag = Some((number, versions(range)?));
            }
            _ if *flag == "key" => {}
            _ if *flag == "fxnone" => field.never_compact = true,
            _ => return Err(format!("`{flag}` is not understood")),
        }
    }
    let opened = inline_struct(message, &field);
    message.structs[owner].fields.push(field);
    Ok(opened)
}

/// Opens the structure that a field defines in place, when it is not a shared one.
fn inline_struct(message: &mut Message, field: &Field) -> Option<usize> {
    let mut kind = &field.kind;
    while let Type::Array(element) = kind {
        kind = element;
    }
    let Type::Struct(name) = kind else { return None };
    if message.structs.iter().any(|known| known.name == *name) {
        return None;
    }
    message.structs.push(Struct { name: name.clone(), versions: field.versions, fields: vec![] });
    Some(message.structs.len() - 1)
}

fn parse_type(text: &str) -> Type {
    if let Some(element) = text.strip_prefix("[]") {
        return Type::Array(Box::new(parse_type(element)));
    }
    match text {
        "bool" => Type::Bool,
        "int8" => Type::Int8,
        "int16" => Type::Int16,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "uint16" => Type::Uint16,
        "uint32" => Type::Uint32,
        "float64" => Type::Float64,
        "uuid" => Type::Uuid,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        name => Type::Struct(name.to_owned()),
    }
}

/// Drops fields that exist in no version of the message, and checks that every structure has a definition.
fn drop_missing(message: &mut Message) -> Result<(), String> {
    let all = message.versions;
    for s in &mut message.structs {
        s.fields.retain(|field| !field.versions.and(all).is_empty());
        if s.fields.is_empty() && s.name != message.name {
            return Err(format!("{}: structure {} has no fields", message.name, s.name));
        }
    }
    Ok(())
}
