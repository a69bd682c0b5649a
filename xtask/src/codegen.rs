//! Writes `crates/protocol/src/messages` from `schemas/`: one readable file a message, the module list and the API table.
//!
//! With `--check` nothing is written; a file that differs from what would be written is an error, so that generated code can
//! neither be stale nor edited by hand.

mod emit;
mod errors;
mod model;
mod names;
mod parse;
mod tables;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Generates everything below `root`, or checks it.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let mut messages = Vec::new();
    for file in ["rpc.txt", "metadata.txt", "log.txt"] {
        let path = root.join("schemas").join(file);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        messages.extend(parse::parse(&text).map_err(|why| format!("schemas/{file}: {why}"))?);
    }
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for message in &messages {
        files.insert(format!("messages/{}.rs", names::snake(&message.name)).into(), emit::message(message, &messages));
    }
    files.insert("messages.rs".into(), tables::module_list(&messages));
    files.insert("api_key.rs".into(), tables::api_keys(&messages));
    files.insert("metadata_record.rs".into(), tables::metadata_records(&messages));
    files.insert("codecs.rs".into(), tables::codecs(&messages));
    let target = root.join("crates/protocol/src");
    let mut stale = Vec::new();
    for (name, text) in &files {
        let path = target.join(name);
        let formatted = rustfmt(root, text)?;
        if std::fs::read_to_string(&path).is_ok_and(|old| old == formatted) {
            continue;
        }
        if check {
            stale.push(name.display().to_string());
        } else {
            write(&path, &formatted)?;
        }
    }
    stale.extend(strays(&target.join("messages"), &files, check)?);
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("generated files are stale, run `cargo xtask codegen`: {}", stale.join(", ")))
}

/// Files in the generated folder that no schema makes: removed, or reported by a check.
fn strays(folder: &Path, files: &BTreeMap<PathBuf, String>, check: bool) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        if files.contains_key(&Path::new("messages").join(&name)) {
            continue;
        }
        if check {
            found.push(format!("messages/{}", name.to_string_lossy()));
        } else {
            std::fs::remove_file(folder.join(&name)).map_err(|error| error.to_string())?;
        }
    }
    Ok(found)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().ok_or("a generated file has a folder")?;
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn rustfmt(root: &Path, text: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("rustfmt: {error}");
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // rustfmt reads all of its input before it writes, so this cannot block on a full pipe.
    child.stdin.take().ok_or("rustfmt has no input")?.write_all(text.as_bytes()).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(format!("rustfmt refused generated code:\n{text}"));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("rustfmt: {error}"))
}
