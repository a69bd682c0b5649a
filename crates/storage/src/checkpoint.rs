//! Kafka's checkpoint files: a version, a count, then that many lines; and the four of them at the top of a log dir.

use crate::disk::Disk;
use crate::error::{DiskError, LogError};
use base::{Offset, TopicPartition};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Names of the offset checkpoints at the top of a log dir.
pub mod checkpoint_name {
    /// Up to where each log is known to be on disk.
    pub const RECOVERY_POINT: &str = "recovery-point-offset-checkpoint";
    /// Each log's high watermark.
    pub const HIGH_WATERMARK: &str = "replication-offset-checkpoint";
    /// Log starts that no segment's name tells.
    pub const LOG_START: &str = "log-start-offset-checkpoint";
    /// Up to where each log is compacted.
    pub const CLEANER: &str = "cleaner-offset-checkpoint";
}

/// Offsets by partition, as one of the top-level files holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCheckpoint(pub BTreeMap<TopicPartition, Offset>);

impl OffsetCheckpoint {
    /// Reads a file; a missing one is empty.
    ///
    /// # Errors
    /// Disk errors, and a malformed file.
    pub fn load(disk: &dyn Disk, path: &Path) -> Result<OffsetCheckpoint, LogError> {
        let mut offsets = BTreeMap::new();
        for [topic, partition, offset] in read::<3>(disk, path)? {
            let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse()) else {
                let what = "a partition or offset is no number".into();
                return Err(LogError::Malformed { path: path.to_owned(), what });
            };
            offsets.insert(TopicPartition::new(topic.as_str(), partition), Offset(offset));
        }
        Ok(OffsetCheckpoint(offsets))
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// Disk errors.
    pub fn store(&self, disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
        let mut lines = Lines::new(0);
        for (tp, offset) in &self.0 {
            lines.add(format_args!("{} {} {offset}", tp.topic, tp.partition));
        }
        disk.replace(path, lines.finish().as_bytes()).map_err(DiskError::on("write", path))
    }
}

/// The text of a checkpoint file.
pub(crate) struct Lines {
    version: u32,
    count: usize,
    body: String,
}

impl Lines {
    pub(crate) fn new(version: u32) -> Self {
        Self { version, count: 0, body: String::new() }
    }

    pub(crate) fn add(&mut self, line: std::fmt::Arguments<'_>) {
        self.count += 1;
        let written = writeln!(self.body, "{line}");
        written.expect("writing to a string cannot fail");
    }

    pub(crate) fn finish(self) -> String {
        format!("{}\n{}\n{}", self.version, self.count, self.body)
    }
}

/// The words of each line of a checkpoint file of version 0; no lines when the file is missing, or as empty as Kafka makes it: what it holds is
/// written later, and replaces the file as a whole, so that no torn one is empty.
pub(crate) fn read<const WORDS: usize>(disk: &dyn Disk, path: &Path) -> Result<Vec<[String; WORDS]>, LogError> {
    let Some(bytes) = disk.read(path).map_err(DiskError::on("read", path))? else { return Ok(Vec::new()) };
    let wrong = |what: &str| LogError::Malformed { path: path.to_owned(), what: what.to_owned() };
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some("0") {
        return Err(wrong("its version is not 0"));
    }
    let count: usize = lines.next().and_then(|line| line.parse().ok()).ok_or_else(|| wrong("it has no count"))?;
    let mut rows = Vec::new();
    for line in lines {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        rows.push(words.try_into().map_err(|_| wrong("a line has the wrong number of words"))?);
    }
    if rows.len() != count {
        return Err(wrong("it does not hold as many lines as it says"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::{OffsetCheckpoint, checkpoint_name};
    use crate::{Disk, FaultyMemDisk, LogError, OpenMode};
    use base::{Offset, TopicPartition};
    use std::path::Path;

    #[test]
    fn the_file_is_kafkas() {
        let disk = FaultyMemDisk::new(1);
        let path = Path::new("/").join(checkpoint_name::HIGH_WATERMARK);
        let mut checkpoint = OffsetCheckpoint::default();
        checkpoint.0.insert(TopicPartition::new("b", 1), Offset(7));
        checkpoint.0.insert(TopicPartition::new("a", 0), Offset(0));
        checkpoint.store(&disk, &path).unwrap();
        assert_eq!(disk.read(&path).unwrap().unwrap(), b"0\n2\na 0 0\nb 1 7\n");
        assert_eq!(OffsetCheckpoint::load(&disk, &path).unwrap(), checkpoint);
    }

    /// Kafka 4.4.0 that was killed in its first minute leaves three of its four files so.
    #[test]
    fn a_file_that_kafka_has_made_and_not_written_yet_is_empty() {
        let disk = FaultyMemDisk::new(1);
        let path = Path::new("/").join(checkpoint_name::RECOVERY_POINT);
        disk.open(&path, OpenMode::Write).unwrap();
        assert_eq!(OffsetCheckpoint::load(&disk, &path).unwrap(), OffsetCheckpoint::default());
    }

    #[test]
    fn r22_a_torn_or_foreign_file_is_an_error_that_names_it() {
        let disk = FaultyMemDisk::new(1);
        let path = Path::new("/c");
        for text in ["\n", "1\n0\n", "0\n", "0\n2\na 0 0\n", "0\n1\na 0\n", "0\n1\na x 0\n", "\u{1}\u{2}"] {
            let file = disk.open(path, OpenMode::Truncate).unwrap();
            file.write_all_at(&[text.as_bytes()], 0).unwrap();
            assert!(matches!(OffsetCheckpoint::load(&disk, path), Err(LogError::Malformed { .. })), "{text:?}");
        }
    }
}
