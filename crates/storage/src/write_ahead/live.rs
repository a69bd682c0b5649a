//! The live blocks of the write-ahead file, in the order of writing; and what a power cut may leave told from damage (R26).
//!
//! A power cut tears the block that was being written, which is the last of all and was told to nobody, or one of the two control
//! slots. So these are damage: a block where nothing can be written yet, behind one that is not whole; a generation that has fewer blocks than
//! the next one says; blocks without any control. Damage of the very last block cannot be told from a torn one.

use super::block::{self, Change, Control};
use super::{ALIGN, AREAS_AT};
use crate::error::LogError;
use std::path::Path;

/// Larger areas are not made; what says so is damaged.
const AREA_BYTES_MAX: u64 = 1 << 30;
/// Headers of live blocks in an area that are not whole: a power cut leaves one. More are not looked at, since a checksum each may take a
/// pass over all that follows.
const TORN_MAX: usize = 16;

/// The live blocks of an area.
pub(super) struct Run<'a> {
    generation: u64,
    /// Where each begins in the file, and its records.
    pub(super) blocks: Vec<(usize, &'a [u8])>,
    /// Where the next one would begin.
    end: usize,
}

impl Run<'_> {
    /// How many blocks its first one says that the generation before has.
    fn follows(&self) -> Option<u64> {
        let (_, first) = self.blocks.first()?;
        let first = block::records(first)?.into_iter().next()?;
        (first.change == Change::Follows).then_some(first.position)
    }
}

/// What is live in a file with these `bytes`, the older generation first. Without `verify`, for a negative control, checksums do not count.
pub(super) fn runs<'a>(file: &Path, bytes: &'a [u8], verify: bool) -> Result<Vec<Run<'a>>, LogError> {
    let Some(control) = Control::read(bytes) else {
        // It was durable before the first byte of a block was written.
        let has_blocks = bytes.iter().skip(AREAS_AT as usize).any(|byte| *byte != 0);
        let what = "blocks were written, and neither slot that tells which of them count is whole";
        return if has_blocks { Err(damaged(file, 0, what)) } else { Ok(Vec::new()) };
    };
    let area_len = usize::try_from(control.area_bytes.min(AREA_BYTES_MAX)).unwrap_or(usize::MAX);
    let mut runs = Vec::new();
    for area_at in [AREAS_AT as usize, AREAS_AT as usize + area_len] {
        let area = bytes.get(area_at..bytes.len().min(area_at + area_len)).unwrap_or_default();
        let run = run(area, area_at, control.live_from, verify);
        if verify {
            expect_nothing_behind(file, area, area_at, &run, control.live_from)?;
        }
        runs.push(run);
    }
    if verify {
        expect_all_before(file, &runs[0], &runs[1], control.live_from)?;
        expect_all_before(file, &runs[1], &runs[0], control.live_from)?;
    }
    runs.sort_by_key(|run| run.generation);
    Ok(runs)
}

/// The blocks from the start of an area on, as long as they are whole and follow each other.
fn run(area: &[u8], area_at: usize, live_from: u64, verify: bool) -> Run<'_> {
    let generation = block::peek(area).map_or(0, |(generation, _)| generation);
    let mut run = Run { generation, blocks: Vec::new(), end: area_at };
    if generation < live_from {
        return run;
    }
    while let Some((body, len)) =
        area.get(run.end - area_at..).and_then(|rest| block::read(rest, generation, run.blocks.len() as u64, verify))
    {
        run.blocks.push((run.end, body));
        run.end += len;
    }
    run
}

/// A block is written once those before it are durable: a whole one behind the run's end says that the one there was, and is damaged.
fn expect_nothing_behind(
    file: &Path,
    area: &[u8],
    area_at: usize,
    run: &Run<'_>,
    live_from: u64,
) -> Result<(), LogError> {
    let mut torn = 0;
    for at in (run.end - area_at..area.len()).step_by(ALIGN as usize) {
        let rest = &area[at..];
        let Some((generation, number)) = block::peek(rest).filter(|(generation, _)| *generation >= live_from) else {
            continue;
        };
        torn += 1;
        if block::read(rest, generation, number, true).is_some() {
            let (count, later) = (run.blocks.len(), area_at + at);
            let what = format!("block {count} is not whole, though one that was written after it is, at byte {later}");
            return Err(damaged(file, run.end, &what));
        }
        if torn > TORN_MAX {
            return Err(damaged(file, run.end, "more blocks are not whole than a power cut leaves"));
        }
    }
    Ok(())
}

/// A generation begins once the blocks of the one `before` are durable, and says how many they are.
fn expect_all_before(file: &Path, run: &Run<'_>, before: &Run<'_>, live_from: u64) -> Result<(), LogError> {
    let Some(wanted) = run.follows().filter(|_| run.generation > live_from) else { return Ok(()) };
    let found = if before.generation == run.generation - 1 { before.blocks.len() as u64 } else { 0 };
    if found == wanted {
        return Ok(());
    }
    let what = format!("{found} blocks are whole here, and the blocks that were written later say that {wanted} were");
    Err(damaged(file, before.end, &what))
}

pub(super) fn damaged(file: &Path, at: usize, what: &str) -> LogError {
    let what = format!(
        "{what}: put the file back from a copy, or move it away to go on without those of its records that are not in the segments"
    );
    LogError::Corrupt { path: file.to_owned(), position: at as u64, what }
}
