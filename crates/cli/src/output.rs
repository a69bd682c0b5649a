//! Sentences, tables, JSON lines, and progress on a terminal.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use tokio::time::{Duration, Instant};

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One sentence for the user.
    Said(String),
    /// Nobody reads our output any more.
    ReaderGone,
}

impl Failure {
    pub(crate) fn said(sentence: impl Display) -> Failure {
        Failure::Said(sentence.to_string())
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Failure::said(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::said(format!("cannot write the output: {error}")),
        }
    }
}

/// Prints one line of text.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::from)
}

/// Prints one JSON value in one line.
pub(crate) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    line(value)
}

/// Words of others, such as a client's id or its reasons, as a terminal may show them: what would move the cursor, begin a line or turn
/// the text around is spelled out.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| if acts(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Prints rows under headings, in columns as wide as they must be. Cells may hold words of others.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let rows: Vec<Vec<Cow<'_, str>>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(headings[column].len())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let print = |cells: &[&str]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count().min(width + 1)));
        }
        line(text.trim_end())
    };
    print(headings)?;
    for row in &rows {
        print(&row.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// A line on a terminal that says how far a bulk command is; silent when stderr is none.
pub(crate) struct Progress {
    what: &'static str,
    visible: bool,
    begun: Instant,
    shown: Instant,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

const SHOW_EVERY: Duration = Duration::from_millis(200);

impl Progress {
    pub(crate) fn new(what: &'static str, wanted: bool) -> Progress {
        let now = Instant::now();
        Progress { what, visible: wanted && io::stderr().is_terminal(), begun: now, shown: now, records: 0, bytes: 0 }
    }

    /// Counts; call it for each batch of records rather than each record.
    pub(crate) fn add(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        if self.visible && self.shown.elapsed() >= SHOW_EVERY {
            self.shown = Instant::now();
            eprint!("\r{}\x1b[K", self.sentence());
        }
    }

    /// Takes the line away and leaves a summary.
    pub(crate) fn end(&self) {
        if self.visible {
            eprintln!("\r{}\x1b[K", self.sentence());
        }
    }

    pub(crate) fn sentence(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let per_second = |n: u64| (n as f64 / seconds) as u64;
        format!(
            "{} {} records, {} ({} records/s, {}/s)",
            self.what,
            grouped(self.records),
            size(self.bytes),
            grouped(per_second(self.records)),
            size(per_second(self.bytes))
        )
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes for people, in powers of 1024.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 40), "3.0 TiB");
    }
}
