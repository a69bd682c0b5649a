//! `thalweg.txt`: what this node answers where it differs from Kafka on purpose. A reason in `differences.rs` covers a step's label; that the
//! difference is still the one that was meant is seen here, version by version.

use crate::report::Lines;
use crate::script::{parse, transcript};
use std::collections::BTreeSet;
use std::path::PathBuf;

const HEADER: &str = "# What Thalweg answers where it differs from Kafka on purpose; written by \
    `THALWEG_DIFFERENTIAL_RENEW=1 cargo test -p server --test differential`, and read by who renews it.\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/differential/thalweg.txt")
}

/// Writes the file.
pub(crate) fn renew(wanted: &Lines) {
    let lines: Vec<_> = wanted.iter().map(|((label, version), line)| (label.clone(), *version, line.clone())).collect();
    std::fs::write(path(), HEADER.to_owned() + &transcript(&lines)).expect("the answers are written");
}

/// Fails when an answer that differs is not the one in the file, or one of the file's differs no more.
pub(crate) fn check(wanted: &Lines) {
    let pinned = parse(&std::fs::read_to_string(path()).expect("the answers are there"));
    let changed = changed(&pinned, wanted);
    assert!(changed.is_empty(), "answers differ from Kafka's, but not as they did:\n{}", changed.join("\n"));
}

fn changed(pinned: &Lines, wanted: &Lines) -> Vec<String> {
    let keys: BTreeSet<_> = pinned.keys().chain(wanted.keys()).collect();
    let differing = keys.into_iter().filter(|key| pinned.get(*key) != wanted.get(*key));
    let said = |line: Option<&String>| line.map_or("Kafka's", String::as_str).to_owned();
    let shown = differing
        .map(|key| format!("{} v{}\n  was {}\n  is  {}", key.0, key.1, said(pinned.get(key)), said(wanted.get(key))));
    shown.collect()
}

/// The negative control: a reason covers no other answer, and no version that answers as Kafka does by now.
#[test]
fn a_reason_covers_one_answer() {
    let lines = |lines: &[(&str, i16, &str)]| -> Lines {
        lines.iter().map(|(label, version, line)| (((*label).to_owned(), *version), (*line).to_owned())).collect()
    };
    let pinned = lines(&[("Produce.null", 8, "x"), ("Produce.null", 9, "x")]);
    assert!(changed(&pinned, &pinned).is_empty());
    assert_eq!(changed(&pinned, &lines(&[("Produce.null", 8, "x"), ("Produce.null", 9, "closed")])).len(), 1);
    assert_eq!(changed(&pinned, &lines(&[("Produce.null", 9, "x")])), ["Produce.null v8\n  was x\n  is  Kafka's"]);
    assert_eq!(
        changed(&pinned, &lines(&[("Produce.null", 7, "x"), ("Produce.null", 8, "x"), ("Produce.null", 9, "x")])).len(),
        1
    );
}
