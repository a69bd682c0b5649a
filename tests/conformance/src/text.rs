//! Real text, as much as asked for: the repository's own, again and again, each round under another heading.
//!
//! Empty lines are left out, for kcat takes a line as a record and an empty one as none.

use conformance::fault::{During, Fault, ensure};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Folders and files whose text is taken, in this order.
const SOURCES: &[&str] =
    &["LICENSE", "ARCHITECTURE.md", "docs", "schemas", "crates", "xtask/src", "tests/conformance/src"];
/// Of the repository's text, no more than this is repeated.
const ROUND_BYTES_MAX: usize = 16 << 20;

/// The lines of a round, each without its line break and none empty.
pub(crate) fn lines() -> Result<Vec<String>, Fault> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    for source in SOURCES {
        take(&conformance::rig::workspace().join(source), &mut lines, &mut bytes)?;
    }
    ensure(lines.len() > 1_000, || format!("only {} lines of text found", lines.len()))?;
    Ok(lines)
}

fn take(path: &Path, lines: &mut Vec<String>, bytes: &mut usize) -> Result<(), Fault> {
    if path.is_dir() {
        let mut inside: Vec<_> =
            std::fs::read_dir(path).during(path.display())?.flatten().map(|entry| entry.path()).collect();
        inside.sort();
        return inside.iter().try_for_each(|path| take(path, lines, bytes));
    }
    let name = path.to_string_lossy();
    let is_text =
        ["rs", "md", "txt", "toml"].iter().any(|end| name.ends_with(&format!(".{end}"))) || name.ends_with("LICENSE");
    if !is_text || *bytes > ROUND_BYTES_MAX {
        return Ok(());
    }
    // Another process may be writing the tree; a file that is gone or half a character is no text for us.
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        *bytes += line.len() + 1;
        lines.push(line.to_owned());
    }
    Ok(())
}

/// Writes at least `bytes` of text to `path`, whole lines; the number of lines.
pub(crate) fn write(path: &Path, bytes: u64) -> Result<u64, Fault> {
    let lines = lines()?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).during(path.display())?);
    let (mut written, mut count, mut round) = (0, 0, 0_u32);
    while written < bytes {
        let heading = format!("round {round}");
        for line in std::iter::once(&heading).chain(&lines) {
            writeln!(file, "{line}").during(path.display())?;
            written += line.len() as u64 + 1;
            count += 1;
            if written >= bytes {
                break;
            }
        }
        round += 1;
    }
    file.flush().during(path.display())?;
    Ok(count)
}
