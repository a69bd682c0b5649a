//! `thalweg storage verify`: every batch, record and index entry of a log dir, read and checked. Changes nothing.

use super::files::{base_offset, is_metadata};
use super::{on, scan};
use crate::options::Format;
use crate::output::{Failure, grouped, line, size};
use protocol::metadata_record::MetadataRecord;
use record::BatchView;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use storage::{OffsetEntry, ProducerStates, TimeEntry, TxnEntry};

/// A batch that unpacks to more is refused.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

#[derive(Default)]
struct Found {
    segments: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    faults: Vec<String>,
}

pub(super) fn run(path: &Path, format: Format) -> Result<(), Failure> {
    let mut found = Found::default();
    for folder in folders(path)? {
        verify_folder(&folder, &mut found)?;
    }
    if path.is_file() {
        verify_segment(path, None, &mut found)?;
    }
    if found.segments == 0 {
        let what = "has no segment to check: name a log dir, a partition's folder or a segment";
        return Err(Failure::said(format!("{} {what}", path.display())));
    }
    match format {
        Format::Json => line(json!({
            "segments": found.segments, "batches": found.batches, "records": found.records, "bytes": found.bytes,
            "faults": found.faults,
        }))?,
        Format::Text => {
            found.faults.iter().try_for_each(line)?;
            line(format_args!(
                "{} segments, {} batches, {} records, {}",
                grouped(found.segments),
                grouped(found.batches),
                grouped(found.records),
                size(found.bytes)
            ))?;
        }
    }
    match found.faults.len() {
        0 => Ok(()),
        count => Err(Failure::said(format!("{} has {count} faults", path.display()))),
    }
}

/// The folders with segments: the path itself, or those in it.
fn folders(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(on(path))? {
        let entry = entry.map_err(on(path))?.path();
        if entry.is_dir() {
            folders.push(entry);
        } else if entry.extension().is_some_and(|extension| extension == "log") && !folders.contains(&path.to_owned()) {
            folders.push(path.to_owned());
        }
    }
    folders.sort();
    Ok(folders)
}

fn verify_folder(folder: &Path, found: &mut Found) -> Result<(), Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(on(folder))? {
        files.push(entry.map_err(on(folder))?.path());
    }
    files.sort();
    let mut next_offset = None;
    for file in &files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("log") => next_offset = verify_segment(file, next_offset, found)?,
            Some("checkpoint") => {
                verify_segment(file, None, found)?;
            }
            Some("snapshot") => {
                let bytes = std::fs::read(file).map_err(on(file))?;
                if ProducerStates::from_snapshot(&bytes).is_none() {
                    found.faults.push(format!("{}: its checksum or length is wrong", file.display()));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a segment and the indexes beside it; returns the offset after it.
fn verify_segment(path: &Path, previous_end: Option<i64>, found: &mut Found) -> Result<Option<i64>, Failure> {
    let metadata = is_metadata(path);
    let snapshot = path.extension().is_some_and(|extension| extension == "checkpoint");
    let mut next = if snapshot { 0 } else { base_offset(path).max(previous_end.unwrap_or(0)) };
    let mut positions = BTreeSet::new();
    let mut scratch = Vec::new();
    found.segments += 1;
    if !snapshot && previous_end.is_some_and(|end| end > base_offset(path)) {
        found.faults.push(format!("{}: its first offset was already in the segment before", path.display()));
    }
    let walked = scan::batches(path, |position, batch| {
        positions.insert((position, batch.header.last_offset().0));
        found.batches += 1;
        found.bytes += batch.header.size as u64;
        if batch.header.base_offset.0 < next {
            let offset = batch.header.base_offset;
            found.faults.push(format!(
                "{} at position {position}: offset {offset} comes after {}",
                path.display(),
                next - 1
            ));
        }
        next = next.max(batch.header.next_offset().0);
        match verify_batch(batch, metadata, &mut scratch) {
            Ok(records) => found.records += records,
            Err(fault) => found.faults.push(format!("{} at position {position}: {fault}", path.display())),
        }
        Ok::<(), Failure>(())
    });
    if let Some(broken) = walked.map_err(on(path))?? {
        found.faults.push(format!("{} at position {}: {}", path.display(), broken.position, broken.reason));
    }
    if !snapshot {
        verify_indexes(path, &positions, found)?;
    }
    Ok(Some(next))
}

fn verify_batch(batch: &BatchView<'_>, metadata: bool, scratch: &mut Vec<u8>) -> Result<u64, String> {
    batch.verify_crc().map_err(|error| error.to_string())?;
    let mut records = 0;
    let mut previous = batch.header.base_offset.0 - 1;
    for record in batch.records(scratch, DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        if record.offset.0 <= previous || record.offset.0 > batch.header.last_offset().0 {
            return Err(format!("record offset {} does not fit into its batch", record.offset));
        }
        previous = record.offset.0;
        records += 1;
        if metadata && !batch.header.is_control() {
            MetadataRecord::decode_frame(record.value.unwrap_or_default())
                .map_err(|error| format!("the metadata record at offset {} cannot be read: {error}", record.offset))?;
        }
    }
    Ok(records)
}

fn verify_indexes(log: &Path, positions: &BTreeSet<(u64, i64)>, found: &mut Found) -> Result<(), Failure> {
    let base = base_offset(log);
    let read = |extension: &str| {
        let path = log.with_extension(extension);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some((path, bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(on(&path)(error)),
        }
    };
    let mut cut = |path: &Path, bytes: &[u8], entry_bytes: usize| {
        let left = bytes.len() % entry_bytes;
        if left > 0 {
            found.faults.push(format!("{}: ends in {left} bytes of an entry of {entry_bytes}", path.display()));
        }
    };
    if let Some((path, bytes)) = read("txnindex")? {
        cut(&path, &bytes, TxnEntry::SIZE);
    }
    let (offsets, times) = (read("index")?, read("timeindex")?);
    offsets.iter().for_each(|(path, bytes)| cut(path, bytes, OffsetEntry::BYTES));
    times.iter().for_each(|(path, bytes)| cut(path, bytes, TimeEntry::BYTES));
    if let Some((path, bytes)) = offsets {
        for entry in OffsetEntry::all(&bytes) {
            // An index that was allocated ahead and never filled begins with zeros.
            let empty = entry.relative_offset == 0 && entry.position == 0;
            let at = u64::try_from(entry.position).unwrap_or(u64::MAX);
            let offset = base + i64::from(entry.relative_offset);
            let batch = positions.range((at, i64::MIN)..).next().filter(|(position, _)| *position == at);
            if !empty && batch.is_none_or(|(_, last)| *last < offset) {
                found.faults.push(format!("{}: offset {offset} is not in a batch at position {at}", path.display()));
            }
        }
    }
    if let Some((path, bytes)) = times {
        let end = positions.last().map_or(base - 1, |(_, last)| *last);
        for entry in TimeEntry::all(&bytes) {
            let offset = base + i64::from(entry.relative_offset);
            if entry.timestamp.0 > 0 && offset > end {
                found.faults.push(format!("{}: offset {offset} is after the end of its segment", path.display()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
