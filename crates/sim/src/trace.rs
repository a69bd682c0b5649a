//! What happened: a hash over all of it, and the last events for whoever reads a failure.

use std::collections::VecDeque;
use std::fmt::Write;

/// Events that are kept.
const KEPT: usize = 200;

/// One event: the step, its name and its numbers.
type Event = (u64, &'static str, [i64; 4]);

/// The trace of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    step: u64,
    last: VecDeque<Event>,
}

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, step: 0, last: VecDeque::with_capacity(KEPT) }
    }

    /// A new step begins.
    pub(crate) fn step(&mut self) {
        self.step += 1;
    }

    pub(crate) fn steps(&self) -> u64 {
        self.step
    }

    /// Notes an event.
    pub(crate) fn note(&mut self, name: &'static str, numbers: [i64; 4]) {
        for byte in name.bytes() {
            self.mix(u64::from(byte));
        }
        for number in numbers {
            self.mix(number.cast_unsigned());
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back((self.step, name, numbers));
    }

    /// Takes bytes into the hash that no event shows.
    pub(crate) fn absorb(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// FNV-1a, a word at a time.
    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash ^= self.hash >> 29;
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last events as text, one a line.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (step, name, numbers) in &self.last {
            let last = numbers.iter().rposition(|number| *number != 0).map_or(0, |at| at + 1);
            let written = writeln!(text, "{step:>7}  {name} {:?}", &numbers[..last]);
            written.expect("writing to a string cannot fail");
        }
        text
    }
}
