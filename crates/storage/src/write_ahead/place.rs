//! Where bytes of the write-ahead file belong in a segment, and whether they still do.
//!
//! After a crash of this program a segment holds, from where a durable write begins, that write or what is left of it, torn. Never another
//! batch that is whole: what is written in the place of something that was cut off is preceded by a note of the cut. So a whole batch that
//! differs, a batch across the place, a log that ends before it, or a later segment that begins within it says that another program went on
//! with the log, which did not know of the file. Its records were acknowledged later, and stay.

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{DiskError, LogError, ReadError};
use crate::file_names::path;
use crate::index::{Index, OffsetEntry};
use crate::segment::Segment;
use crate::sound::{BadBatch, Window};
use base::Offset;
use record::BatchHeader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment to which bytes go back.
pub(super) struct Place<'d> {
    disk: &'d dyn Disk,
    folder: PathBuf,
    log: PathBuf,
    base: Offset,
    /// Where the next segment begins, if there is one.
    next_base: Option<Offset>,
    file: Arc<dyn DiskFile>,
    len: u64,
    /// A place where a batch begins, and the least offset that it has.
    known: (u64, Offset),
}

/// What became of a write.
pub(super) enum Placed {
    /// So many bytes were written; the others were there.
    Written(u64),
    /// It does not belong there any more, and why.
    Refused(String),
}

/// What stands in a segment where a batch should begin.
enum Found {
    /// The batches before lead there, and the next one has this offset at least.
    Boundary(Offset),
    /// They do not.
    Elsewhere(String),
    /// They are damaged, so that nobody can say.
    Damaged,
}

impl<'d> Place<'d> {
    pub(super) fn open(
        disk: &'d dyn Disk,
        folder: &Path,
        base: Offset,
        next_base: Option<Offset>,
    ) -> Result<Self, LogError> {
        let log = path(folder, base, "log");
        let file = disk.open(&log, OpenMode::Write).map_err(DiskError::on("open", &log))?;
        // After a sync that failed, what memory holds is not what a power cut would leave (R25).
        file.drop_cache().map_err(DiskError::on("drop from memory", &log))?;
        let len = file.len().map_err(DiskError::on("measure", &log))?;
        Ok(Self { disk, folder: folder.to_owned(), log, base, next_base, file, len, known: (0, base) })
    }

    /// Writes whatever stands there: in a negative control only.
    pub(super) fn put_blindly(&mut self, position: u64, data: &[u8]) -> Result<Placed, LogError> {
        self.write(position, data).map(Placed::Written)
    }

    fn write(&mut self, position: u64, data: &[u8]) -> Result<u64, LogError> {
        if !data.is_empty() {
            self.file.write_all_at(&[data], position).map_err(DiskError::on("write", &self.log))?;
            self.len = self.len.max(position + data.len() as u64);
        }
        Ok(data.len() as u64)
    }

    /// Puts `data`, which begins with a batch, back at `position`.
    pub(super) fn put(&mut self, position: u64, data: &[u8]) -> Result<Placed, LogError> {
        let least = match self.look(position)? {
            Found::Boundary(offset) => Some(offset),
            Found::Elsewhere(why) => return Ok(Placed::Refused(why)),
            // The log is read up to the damage at most, whatever stands behind it.
            Found::Damaged => None,
        };
        if let Some(why) = self.contradiction(data, least) {
            return Ok(Placed::Refused(why));
        }
        let kept = match self.already_there(position, data, least.unwrap_or(self.base))? {
            Ok(kept) => kept,
            Err(header) => {
                let why =
                    format!("a whole batch at offset {} stands at byte {position} or behind it", header.base_offset);
                return Ok(Placed::Refused(why));
            }
        };
        self.write(position + kept as u64, &data[kept..]).map(Placed::Written)
    }

    /// Follows the headers of batches up to `position`.
    fn look(&mut self, position: u64) -> Result<Found, LogError> {
        let mut segment = Segment::listed(self.base, self.len);
        if self.known.0 > position {
            self.known = (0, self.base);
        }
        if self.known.0 == 0 {
            self.known = self.indexed_before(&mut segment, position)?;
        }
        let (mut at, mut offset) = self.known;
        let walked = segment.scan(self.disk, &self.folder, at, |header| {
            if at >= position || header.base_offset < offset {
                return true;
            }
            at += header.size as u64;
            offset = header.next_offset();
            false
        });
        match walked {
            Err(ReadError::Disk(error)) => Err(error.into()),
            Ok(Some(found)) if at < position => Ok(Found::Elsewhere(format!(
                "offset {} follows offset {offset} at byte {at}",
                found.header.base_offset
            ))),
            Err(_) if at < position => Ok(Found::Damaged),
            Ok(_) | Err(_) if at == position => {
                self.known = (at, offset);
                Ok(Found::Boundary(offset))
            }
            Ok(_) | Err(_) => Ok(Found::Elsewhere(if at < position {
                format!("the log ends at byte {at}, before byte {position}")
            } else {
                format!("no batch begins at byte {position}")
            })),
        }
    }

    /// The last batch that begins before `position` according to the index, if one does begin there; else the segment's start.
    fn indexed_before(&self, segment: &mut Segment, position: u64) -> Result<(u64, Offset), LogError> {
        let start = (0, self.base);
        let index = path(&self.folder, self.base, "index");
        let Some(bytes) = self.disk.read(&index).map_err(DiskError::on("read", &index))? else { return Ok(start) };
        let begins = |entry: OffsetEntry| u64::try_from(entry.position).unwrap_or(0);
        let before = Index::load_while(self.disk, &index, bytes.len() as u64, |entry| begins(entry) < position)?;
        let Some(entry) = before.last() else { return Ok(start) };
        let offset = segment.at(entry.relative_offset);
        let found = segment.scan(self.disk, &self.folder, begins(entry), |_| true);
        match found {
            Err(ReadError::Disk(error)) => Err(error.into()),
            Ok(Some(found)) if found.header.last_offset() == offset => Ok((found.position, found.header.base_offset)),
            _ => Ok(start),
        }
    }

    /// What the batches of `data` say against standing behind offset `least` and before the next segment.
    fn contradiction(&self, data: &[u8], least: Option<Offset>) -> Option<String> {
        let batches: Vec<BatchHeader> = headers(data);
        let (first, last) = (batches.first()?.base_offset, batches.last()?.last_offset());
        if least.is_some_and(|least| first < least) {
            return Some(format!("offset {first} cannot follow what ends at offset {}", least.unwrap_or(first)));
        }
        let next = self.next_base.filter(|next| last >= *next)?;
        Some(format!("offset {last} is in the segment that begins at offset {next}"))
    }

    /// How many bytes of `data`, whole batches, stand at `position` as they should; or the header of a whole batch that is another one.
    fn already_there(
        &self,
        position: u64,
        data: &[u8],
        mut least: Offset,
    ) -> Result<Result<usize, BatchHeader>, LogError> {
        let (mut window, mut there) = (Window::default(), Vec::new());
        let mut kept = 0;
        while kept < data.len() {
            let at = position + kept as u64;
            if at >= self.len {
                break;
            }
            let header = match window.batch(self.file.as_ref(), &self.log, at, self.len) {
                Ok(header) => header,
                Err(BadBatch::Disk(error)) => return Err(error.into()),
                // What is left of a torn write: all that comes is unreachable without it.
                Err(BadBatch::Bytes(_)) => break,
            };
            // The checksum leaves the offset out, and a sector may end just behind it: that is torn, too.
            if header.base_offset < least {
                break;
            }
            least = header.next_offset();
            // The last batch of a write may be cut off, when a cut came between.
            let len = header.size.min(data.len() - kept);
            there.resize(len, 0);
            let read = self.file.read_at(&mut there, at).map_err(DiskError::on("read", &self.log))?;
            if there[..read] != data[kept..kept + len] {
                return Ok(Err(header));
            }
            kept += len;
        }
        Ok(Ok(kept))
    }
}

/// The headers of the batches that begin in `data`, of which the last may be cut off.
fn headers(mut data: &[u8]) -> Vec<BatchHeader> {
    let mut found = Vec::new();
    while let Ok(header) = BatchHeader::parse(data) {
        found.push(header);
        data = data.get(header.size..).unwrap_or_default();
    }
    found
}
