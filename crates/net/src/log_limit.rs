//! At most a few lines a second about bad connections, so that a flood of them cannot fill a disk.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

const LINES_PER_WINDOW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// Text from a peer is cut here.
const TEXT_CHARS_MAX: usize = 256;

#[derive(Debug)]
struct Window {
    start: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

/// Counts lines of one listener.
#[derive(Debug)]
pub(crate) struct LogLimit(Mutex<Window>);

impl LogLimit {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Window { start: None, lines: 0, suppressed: 0 }))
    }

    /// Whether a line may be written now; if so, how many were not written since the last one.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.start.is_none_or(|start| now.duration_since(start) >= WINDOW) {
            window.start = Some(now);
            window.lines = 0;
        }
        if window.lines >= LINES_PER_WINDOW {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

/// Text that may hold a peer's bytes, made safe for a log: escaped and cut (S15).
pub(crate) fn safe(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s14_a_flood_of_bad_connections_writes_few_lines_and_counts_the_rest() {
        let limit = LogLimit::new();
        let start = Instant::now();
        let written = (0..1000).filter(|_| limit.admit(start).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(limit.admit(start + WINDOW), Some(990));
    }

    #[test]
    fn s15_text_of_a_peer_cannot_forge_a_line_or_fill_one() {
        assert_eq!(safe("a\nb\u{1b}[31m\0"), "a\\nb\\u{1b}[31m\\0");
        assert_eq!(safe(&"x".repeat(40_000)).len(), TEXT_CHARS_MAX);
    }
}
