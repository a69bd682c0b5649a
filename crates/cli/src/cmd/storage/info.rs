//! `thalweg storage info`.

use super::{load_config, on};
use crate::options::Format;
use crate::output::{Failure, grouped, json, line, size, table};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use storage::{MetaProperties, PartitionDir, RealDisk, parse_partition_dir};

/// What is in one log dir.
struct Dir {
    path: PathBuf,
    meta: Option<MetaProperties>,
    /// Partitions and their bytes, by folder name.
    partitions: BTreeMap<String, u64>,
    /// Folders that wait to be deleted, moved or looked at.
    marked: usize,
    clean: bool,
}

pub(super) fn run(config: Option<&Path>, dir: Option<&Path>, format: Format) -> Result<(), Failure> {
    let paths = match (config, dir) {
        (Some(config), _) => {
            let config = load_config(config)?;
            let mut paths = config.log_dirs;
            paths.push(config.metadata_log_dir);
            paths.sort();
            paths.dedup();
            paths
        }
        (None, Some(dir)) => vec![dir.to_owned()],
        (None, None) => return Err(Failure::said("which log dirs? give --config or a log dir")),
    };
    let mut problems = Vec::new();
    let mut dirs = Vec::new();
    for path in paths {
        if path.is_dir() {
            dirs.push(look(&path)?);
        } else {
            problems.push(format!("{} is not a folder", path.display()));
        }
    }
    problems.extend(disagreements(&dirs));
    match format {
        Format::Json => print_json(&dirs, &problems)?,
        Format::Text => print_text(&dirs, &problems)?,
    }
    match problems.len() {
        0 => Ok(()),
        count => Err(Failure::said(format!("{count} problems were found"))),
    }
}

fn look(path: &Path) -> Result<Dir, Failure> {
    let meta = MetaProperties::load(&RealDisk::new(), path).map_err(Failure::said)?;
    let mut dir = Dir {
        path: path.to_owned(),
        meta,
        partitions: BTreeMap::new(),
        marked: 0,
        clean: path.join(".kafka_cleanshutdown").exists(),
    };
    for entry in std::fs::read_dir(path).map_err(on(path))? {
        let entry = entry.map_err(on(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.path().is_dir() {
            continue;
        }
        match parse_partition_dir(&name) {
            Some(PartitionDir::Live(_)) => {
                dir.partitions.insert(name, folder_bytes(&entry.path())?);
            }
            Some(_) => dir.marked += 1,
            None => {}
        }
    }
    Ok(dir)
}

fn folder_bytes(path: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).map_err(on(path))? {
        let entry = entry.map_err(on(path))?;
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            bytes += entry.metadata().map_err(on(path))?.len();
        }
    }
    Ok(bytes)
}

/// What makes log dirs unfit for one node.
fn disagreements(dirs: &[Dir]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut first: Option<(&Path, &MetaProperties)> = None;
    for dir in dirs {
        let Some(meta) = &dir.meta else {
            problems.push(format!("{} is not formatted", dir.path.display()));
            continue;
        };
        let (other, known) = *first.get_or_insert((&dir.path, meta));
        if (&known.cluster_id, known.node_id) != (&meta.cluster_id, meta.node_id) {
            problems.push(format!(
                "{} belongs to another node or cluster than {}",
                dir.path.display(),
                other.display()
            ));
        }
    }
    problems
}

fn print_json(dirs: &[Dir], problems: &[String]) -> Result<(), Failure> {
    let dirs: Vec<_> = dirs
        .iter()
        .map(|dir| {
            let meta = dir.meta.as_ref().map(|meta| {
                json!({
                    "cluster_id": meta.cluster_id, "node_id": meta.node_id,
                    "directory_id": meta.directory_id.map(|id| id.to_string()),
                })
            });
            json!({
                "path": dir.path, "meta": meta, "clean_shutdown": dir.clean, "marked_folders": dir.marked,
                "partitions": dir.partitions.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes})).collect::<Vec<_>>(),
            })
        })
        .collect();
    json(&json!({"log_dirs": dirs, "problems": problems}))
}

fn print_text(dirs: &[Dir], problems: &[String]) -> Result<(), Failure> {
    for dir in dirs {
        line(dir.path.display())?;
        if let Some(meta) = &dir.meta {
            line(format_args!("  cluster {}, node {}", meta.cluster_id, meta.node_id))?;
            if let Some(id) = meta.directory_id {
                line(format_args!("  directory {id}"))?;
            }
        }
        let total: u64 = dir.partitions.values().sum();
        line(format_args!("  {} partitions, {}", grouped(dir.partitions.len() as u64), size(total)))?;
        line(if dir.clean { "  stopped cleanly" } else { "  in use, or not stopped cleanly" })?;
        if dir.marked > 0 {
            line(format_args!("  {} folders wait to be deleted, moved or looked at", dir.marked))?;
        }
        let rows: Vec<Vec<String>> =
            dir.partitions.iter().map(|(name, bytes)| vec![format!("  {name}"), size(*bytes)]).collect();
        if !rows.is_empty() {
            table(&["  PARTITION", "SIZE"], &rows)?;
        }
    }
    problems.iter().try_for_each(|problem| line(format_args!("problem: {problem}")))
}
