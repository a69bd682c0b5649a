//! `thalweg storage dump`.

use super::files::{Kind, base_offset, is_metadata, kind_of};
use super::{on, scan};
use crate::options::Format;
use crate::output::{Failure, line, plain};
use crate::time::format_millis;
use protocol::metadata_record::MetadataRecord;
use record::control::{ControlType, EndTxnMarker, KRaftVersion, LeaderChange, SnapshotHeader, Voters};
use record::{BatchView, Codec, RecordView};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use storage::{OffsetEntry, ProducerStates, TimeEntry, TxnEntry};

/// A batch that unpacks to more is refused.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;

pub(super) fn run(files: &[PathBuf], records: bool, format: Format) -> Result<(), Failure> {
    for (i, file) in files.iter().enumerate() {
        if files.len() > 1 && format == Format::Text {
            line(format_args!("{}{}:", if i > 0 { "\n" } else { "" }, file.display()))?;
        }
        let kind = kind_of(file).ok_or_else(|| {
            Failure::said(format!(
                "{} is not a file of a log dir: its name has no ending that Kafka uses",
                file.display()
            ))
        })?;
        match kind {
            Kind::Segment | Kind::MetadataSnapshot => dump_batches(file, records, format)?,
            Kind::Text => text_lines(&read(file)?, format).iter().try_for_each(line)?,
            Kind::OffsetIndex => offset_index(file, format)?,
            Kind::TimeIndex => time_index(file, format)?,
            Kind::TxnIndex => txn_index(file, format)?,
            Kind::ProducerSnapshot => producer_snapshot(file, format)?,
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(on(path))
}

/// The lines of a text file, each as a terminal may show it, or as a JSON object: itself where it is one, as `quorum-state` is.
fn text_lines(bytes: &[u8], format: Format) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let object = |line: &str| serde_json::from_str::<Value>(line).ok().filter(Value::is_object);
    let shown = |line: &str| match format {
        Format::Text => plain(line).into_owned(),
        Format::Json => object(line).unwrap_or_else(|| json!({ "line": line })).to_string(),
    };
    text.lines().map(shown).collect()
}

/// What is left when a file ends in no whole entry, as one that was cut does.
fn check_whole(path: &Path, bytes: &[u8], entry_bytes: usize) -> Result<(), Failure> {
    match bytes.len() % entry_bytes {
        0 => Ok(()),
        left => Err(Failure::said(format!("{} ends in no whole entry: {left} bytes of {entry_bytes}", path.display()))),
    }
}

fn print(format: Format, text: &str, value: impl FnOnce() -> Value) -> Result<(), Failure> {
    match format {
        Format::Text => line(text),
        Format::Json => line(value()),
    }
}

fn dump_batches(path: &Path, records: bool, format: Format) -> Result<(), Failure> {
    let metadata = is_metadata(path);
    let mut scratch = Vec::new();
    let broken = scan::batches(path, |position, batch| {
        print_batch(position, batch, format)?;
        if !records && !metadata && !batch.header.is_control() {
            return Ok::<(), Failure>(());
        }
        let fault = |error| Failure::said(format!("{} at position {position}: {error}", path.display()));
        for record in batch.records(&mut scratch, DECOMPRESSED_BYTES_MAX).map_err(fault)? {
            print_record(&record.map_err(fault)?, batch, metadata, format)?;
        }
        Ok(())
    });
    match broken.map_err(on(path))?? {
        None => Ok(()),
        Some(broken) => Err(Failure::said(format!(
            "{} ends in no whole batch at position {}: {}",
            path.display(),
            broken.position,
            broken.reason
        ))),
    }
}

fn print_batch(position: u64, batch: &BatchView<'_>, format: Format) -> Result<(), Failure> {
    let header = &batch.header;
    let codec = header.codec().map_or("unknown", Codec::name);
    let valid = batch.verify_crc().is_ok();
    let mut flags = vec![codec];
    flags.extend(header.is_transactional().then_some("transactional"));
    flags.extend(header.is_control().then_some("control"));
    flags.extend((header.timestamp_type() == record::TimestampType::LogAppendTime).then_some("append-time"));
    flags.extend((!valid).then_some("CRC-MISMATCH"));
    let producer = match header.has_producer_id() {
        true => format!(
            ", producer {} epoch {} sequence {}..{}",
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.last_sequence()
        ),
        false => String::new(),
    };
    let text = format!(
        "batch at {position}: offsets {}..{}, {} records, {} bytes, epoch {}, {}, max time {}, crc {:08x}{producer}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.size,
        header.leader_epoch,
        flags.join(" "),
        time(header.max_timestamp.0),
        header.crc,
    );
    print(format, &text, || {
        json!({
            "batch": {
                "position": position, "base_offset": header.base_offset.0, "last_offset": header.last_offset().0,
                "records": header.record_count, "bytes": header.size, "leader_epoch": header.leader_epoch.0, "codec": codec,
                "transactional": header.is_transactional(), "control": header.is_control(),
                "max_timestamp": header.max_timestamp.0, "crc": header.crc, "crc_valid": valid,
                "producer_id": header.producer_id.0, "producer_epoch": header.producer_epoch.0,
                "base_sequence": header.base_sequence,
            }
        })
    })
}

fn time(millis: i64) -> String {
    if millis < 0 { "none".to_owned() } else { format_millis(millis) }
}

fn print_record(record: &RecordView<'_>, batch: &BatchView<'_>, metadata: bool, format: Format) -> Result<(), Failure> {
    let content = if batch.header.is_control() {
        control(record)
    } else if metadata {
        metadata_record(record.value.unwrap_or_default())
    } else {
        let headers: Vec<String> = record.headers().map(|(key, value)| format!("{key}={}", text(value))).collect();
        let headers = if headers.is_empty() { String::new() } else { format!(" headers [{}]", headers.join(", ")) };
        format!("key {} value {}{headers}", text(record.key), text(record.value))
    };
    print(
        format,
        &format!("  {} {}: {content}", record.offset, time(record.timestamp.0)),
        || json!({"record": {"offset": record.offset.0, "timestamp": record.timestamp.0, "content": content}}),
    )
}

/// Bytes as text where they are text, with everything that a terminal would act on escaped.
fn text(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("\"{}\"", text.escape_debug()),
            Err(_) => format!("0x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        },
    }
}

fn metadata_record(value: &[u8]) -> String {
    match MetadataRecord::decode_frame(value) {
        // Unknown tagged fields are worth a word only when there are any.
        Ok((record, version)) => {
            let record = format!("{record:?}").replace(", unknown_tags: UnknownTags(None)", "");
            format!("v{version} {}", record.replace("unknown_tags: UnknownTags(None)", ""))
        }
        Err(error) => format!("no metadata record ({error}): {}", text(Some(value))),
    }
}

fn control(record: &RecordView<'_>) -> String {
    let value = record.value.unwrap_or_default();
    let Some(kind) = record.key.and_then(ControlType::from_key) else {
        return format!("unknown control record {}", text(record.key));
    };
    let content = match kind {
        ControlType::Abort | ControlType::Commit => EndTxnMarker::decode(value).map(|marker| format!("{marker:?}")),
        ControlType::LeaderChange => LeaderChange::decode(value).ok().map(|change| format!("{change:?}")),
        ControlType::SnapshotHeader => SnapshotHeader::decode(value).ok().map(|header| format!("{header:?}")),
        ControlType::KRaftVersion => KRaftVersion::decode(value).ok().map(|version| format!("{version:?}")),
        ControlType::KRaftVoters => Voters::decode(value).ok().map(|voters| format!("{voters:?}")),
        ControlType::SnapshotFooter => Some(String::new()),
    };
    format!("{kind:?} {}", content.unwrap_or_else(|| format!("(malformed) {}", text(Some(value)))))
}

fn offset_index(path: &Path, format: Format) -> Result<(), Failure> {
    let (base, bytes) = (base_offset(path), read(path)?);
    for entry in OffsetEntry::all(&bytes) {
        let offset = base + i64::from(entry.relative_offset);
        print(
            format,
            &format!("offset {offset} position {}", entry.position),
            || json!({"offset": offset, "position": entry.position}),
        )?;
    }
    check_whole(path, &bytes, OffsetEntry::BYTES)
}

fn time_index(path: &Path, format: Format) -> Result<(), Failure> {
    let (base, bytes) = (base_offset(path), read(path)?);
    for entry in TimeEntry::all(&bytes) {
        let offset = base + i64::from(entry.relative_offset);
        print(
            format,
            &format!("time {} offset {offset}", time(entry.timestamp.0)),
            || json!({"timestamp": entry.timestamp.0, "offset": offset}),
        )?;
    }
    check_whole(path, &bytes, TimeEntry::BYTES)
}

fn txn_index(path: &Path, format: Format) -> Result<(), Failure> {
    let bytes = read(path)?;
    for entry in TxnEntry::all(&bytes) {
        let text = format!(
            "aborted transaction of producer {}: offsets {}..{}, last stable offset {}",
            entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset
        );
        print(format, &text, || {
            json!({
                "producer_id": entry.producer_id.0, "first_offset": entry.first_offset.0, "last_offset": entry.last_offset.0,
                "last_stable_offset": entry.last_stable_offset.0,
            })
        })?;
    }
    check_whole(path, &bytes, TxnEntry::SIZE)
}

fn producer_snapshot(path: &Path, format: Format) -> Result<(), Failure> {
    let states = ProducerStates::from_snapshot(&read(path)?)
        .ok_or_else(|| Failure::said(format!("{} is damaged: its checksum or length is wrong", path.display())))?;
    for (id, entry) in states.iter() {
        let last = entry.batches.back().map_or(-1, |batch| batch.last_offset.0);
        let open = entry.txn_first_offset.map_or("none".to_owned(), |offset| offset.to_string());
        let text = format!(
            "producer {id} epoch {}: last sequence {}, last offset {last}, last time {}, coordinator epoch {}, open transaction {open}",
            entry.epoch,
            entry.last_sequence(),
            time(entry.last_timestamp.0),
            entry.coordinator_epoch,
        );
        print(format, &text, || {
            json!({
                "producer_id": id.0, "producer_epoch": entry.epoch.0, "last_sequence": entry.last_sequence(),
                "last_offset": last, "last_timestamp": entry.last_timestamp.0, "coordinator_epoch": entry.coordinator_epoch,
                "open_transaction": entry.txn_first_offset.map(|offset| offset.0),
            })
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_text_file_is_an_object_of_json() {
        let lines = |bytes: &[u8]| text_lines(bytes, Format::Json);
        assert_eq!(lines(b"0\n1\nrides 0 17\n"), [r#"{"line":"0"}"#, r#"{"line":"1"}"#, r#"{"line":"rides 0 17"}"#]);
        assert_eq!(lines(br#"{"leaderId":2,"data_version":0}"#), [r#"{"leaderId":2,"data_version":0}"#]);
        assert_eq!(lines(b"#\nnode.id=1\xff\n")[1], "{\"line\":\"node.id=1\u{fffd}\"}");
        assert_eq!(lines(b""), Vec::<String>::new());
        assert_eq!(text_lines(b"version=1\n\x1b[2Jx", Format::Text), ["version=1", "\\u{1b}[2Jx"]);
    }

    #[test]
    fn an_index_that_was_cut_says_so() {
        let check = |len: usize| check_whole(Path::new("0.index"), &vec![0; len], OffsetEntry::BYTES);
        assert!(check(0).is_ok() && check(16).is_ok());
        assert!(
            matches!(check(13), Err(Failure::Said(why)) if why.contains("0.index ends in no whole entry: 5 bytes of 8"))
        );
    }
}
