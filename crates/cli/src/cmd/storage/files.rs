//! What a file in a log dir is, by its name.

use std::path::Path;

/// The kinds of files that Kafka keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Record batches.
    Segment,
    /// Record batches of metadata: a snapshot of the metadata log.
    MetadataSnapshot,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    ProducerSnapshot,
    /// Text or JSON in lines.
    Text,
}

/// The kind, also of a file that is marked as deleted, swapped or not finished.
pub(super) fn kind_of(path: &Path) -> Option<Kind> {
    let mut name = path.file_name()?.to_str()?;
    for suffix in [".deleted", ".swap", ".cleaned", ".part"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    match name.rsplit_once('.').map_or(name, |(_, extension)| extension) {
        "log" => Some(Kind::Segment),
        "checkpoint" => Some(Kind::MetadataSnapshot),
        "index" => Some(Kind::OffsetIndex),
        "timeindex" => Some(Kind::TimeIndex),
        "txnindex" => Some(Kind::TxnIndex),
        "snapshot" => Some(Kind::ProducerSnapshot),
        "metadata" | "properties" | "quorum-state" | "leader-epoch-checkpoint" | "kafka_cleanshutdown" => {
            Some(Kind::Text)
        }
        other if other.ends_with("-checkpoint") => Some(Kind::Text),
        _ => None,
    }
}

/// The base offset in a segment file's name; 0 when there is none.
pub(super) fn base_offset(path: &Path) -> i64 {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Whether the batches in a file hold metadata records.
pub(super) fn is_metadata(path: &Path) -> bool {
    let of_metadata_log = |path: &Path| {
        path.parent()
            .and_then(Path::file_name)
            .is_some_and(|dir| dir.to_string_lossy().starts_with("__cluster_metadata-"))
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    of_metadata_log(&absolute) || kind_of(path) == Some(Kind::MetadataSnapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_file_is() {
        let kind = |name: &str| kind_of(Path::new(name));
        assert_eq!(kind("a-0/00000000000000000042.log"), Some(Kind::Segment));
        assert_eq!(kind("00000000000000000042.log.deleted"), Some(Kind::Segment));
        assert_eq!(kind("00000000000000000000-0000000000.checkpoint"), Some(Kind::MetadataSnapshot));
        assert_eq!(kind("leader-epoch-checkpoint"), Some(Kind::Text));
        assert_eq!(kind("recovery-point-offset-checkpoint"), Some(Kind::Text));
        assert_eq!(kind(".kafka_cleanshutdown"), Some(Kind::Text));
        assert_eq!(kind("quorum-state"), Some(Kind::Text));
        assert_eq!(kind("picture.png"), None);
        assert_eq!(base_offset(Path::new("x/00000000000000000042.index.deleted")), 42);
        assert!(is_metadata(Path::new("/d/__cluster_metadata-0/00000000000000000000.log")));
        assert!(!is_metadata(Path::new("/d/t-0/00000000000000000000.log")));
    }
}
