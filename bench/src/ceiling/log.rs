//! The ceiling's topics: a file a partition, and in memory where each batch starts.
//!
//! A partition has one producer at a time: what is reserved is written in order by the connection that reserved it.

use super::Disk;
use crate::wire::batch;
use conformance::fault::{During, Fault};
use rustix::io::pwritev;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::IoSlice;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More in one append costs a VM's page cache several times as much.
const APPEND_BYTES_MAX: usize = 64 << 10;
/// IOV_MAX.
const SLICES_MAX: usize = 1024;
/// The write-ahead file starts again from its beginning.
const WAL_BYTES_MAX: u64 = 256 << 20;

/// All topics.
pub struct Broker {
    /// What happens to batches.
    pub disk: Disk,
    /// For Metadata.
    pub port: u16,
    data: PathBuf,
    topics: Mutex<BTreeMap<Vec<u8>, Arc<Topic>>>,
    wal: Mutex<(File, u64)>,
}

/// The partitions of a topic.
pub struct Topic {
    /// In order of their ids.
    pub partitions: Vec<Arc<Partition>>,
}

/// A log.
pub struct Partition {
    /// All batches one after the other.
    pub file: File,
    inner: Mutex<Inner>,
    grown: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Reserved bytes and offsets.
    bytes: u64,
    next: i64,
    /// Written ones: what a reader may see.
    written: u64,
    visible: i64,
    /// The first offset and the position of each batch.
    batches: Vec<(i64, u64)>,
}

/// A batch in a connection's buffer that has its place in a file.
pub struct Placed {
    partition: Arc<Partition>,
    position: u64,
    next: i64,
    /// In the buffer.
    pub range: Range<usize>,
}

impl Broker {
    /// Without topics.
    pub fn new(disk: Disk, port: u16, data: PathBuf) -> Result<Broker, Fault> {
        std::fs::create_dir_all(&data).during(data.display())?;
        let wal = File::options().create(true).truncate(true).write(true).open(data.join("wal")).during("the WAL")?;
        Ok(Broker { disk, port, data, topics: Mutex::default(), wal: Mutex::new((wal, 0)) })
    }

    /// Makes the files of a topic, or of the partitions that it shall have beside those that it has.
    pub fn create(&self, name: &[u8], partitions: i32) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(name);
        let mut made = self.topic(name).map(|topic| topic.partitions.clone()).unwrap_or_default();
        for index in made.len()..usize::try_from(partitions).unwrap_or(0) {
            let folder = self.data.join(format!("{text}-{index}"));
            std::fs::create_dir_all(&folder).during(folder.display())?;
            let path = folder.join("00000000000000000000.log");
            let file = File::options().create(true).truncate(true).read(true).write(true).open(&path);
            let file = file.during(path.display())?;
            made.push(Arc::new(Partition { file, inner: Mutex::default(), grown: Condvar::new() }));
        }
        lock(&self.topics).insert(name.to_vec(), Arc::new(Topic { partitions: made }));
        Ok(())
    }

    /// Removes the topic's files.
    pub fn delete(&self, name: &[u8]) -> Result<(), Fault> {
        let removed = lock(&self.topics).remove(name);
        let text = String::from_utf8_lossy(name);
        for index in 0..removed.map_or(0, |topic| topic.partitions.len()) {
            let folder = self.data.join(format!("{text}-{index}"));
            std::fs::remove_dir_all(&folder).during(folder.display())?;
        }
        Ok(())
    }

    /// The topic of this name.
    pub fn topic(&self, name: &[u8]) -> Option<Arc<Topic>> {
        lock(&self.topics).get(name).map(Arc::clone)
    }

    /// Writes what has a place, makes it as durable as this ceiling does, and shows it to readers.
    pub fn commit(&self, buffer: &[u8], placed: &mut Vec<Placed>) -> Result<(), Fault> {
        if placed.is_empty() {
            return Ok(());
        }
        self.write(buffer, placed)?;
        if self.disk == Disk::Wal {
            self.write_ahead(buffer, placed)?;
        }
        self.settle(placed)
    }

    /// The first half of [`Broker::commit`] where that syncs: writes what has a place.
    pub fn write(&self, buffer: &[u8], placed: &[Placed]) -> Result<(), Fault> {
        if self.disk == Disk::Nothing { Ok(()) } else { append(buffer, placed) }
    }

    /// The second half: syncs what was written, and shows it to readers.
    pub fn settle(&self, placed: &mut Vec<Placed>) -> Result<(), Fault> {
        if self.disk == Disk::Sync {
            sync_each(placed)?;
        }
        for one in placed.drain(..) {
            one.partition.publish(one.position + one.range.len() as u64, one.next);
        }
        Ok(())
    }

    fn write_ahead(&self, buffer: &[u8], placed: &[Placed]) -> Result<(), Fault> {
        let mut wal = lock(&self.wal);
        if wal.1 > WAL_BYTES_MAX {
            wal.1 = 0;
        }
        for some in placed.chunks(SLICES_MAX) {
            let slices: Vec<IoSlice<'_>> = some.iter().map(|one| IoSlice::new(&buffer[one.range.clone()])).collect();
            wal.1 += write(&wal.0, &slices, wal.1)?;
        }
        wal.0.sync_data().during("syncing the WAL")
    }
}

/// One gathered write for neighbours in a file, up to a bound.
fn append(buffer: &[u8], placed: &[Placed]) -> Result<(), Fault> {
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    let mut at = 0;
    while let Some(first) = placed.get(at) {
        let mut bytes = 0;
        while let Some(one) = placed.get(at) {
            let follows =
                Arc::ptr_eq(&one.partition, &first.partition) && one.position == first.position + bytes as u64;
            let full = !slices.is_empty() && bytes + one.range.len() > APPEND_BYTES_MAX;
            if !follows || full || slices.len() == SLICES_MAX {
                break;
            }
            slices.push(IoSlice::new(&buffer[one.range.clone()]));
            bytes += one.range.len();
            at += 1;
        }
        write(&first.partition.file, &slices, first.position)?;
        slices.clear();
    }
    Ok(())
}

fn write(file: &File, slices: &[IoSlice<'_>], position: u64) -> Result<u64, Fault> {
    let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
    let written = pwritev(file, slices, position).map_err(|error| Fault::Failed(format!("pwritev: {error}")))?;
    // A regular file takes everything unless the disk is full.
    if written == wanted {
        Ok(written as u64)
    } else {
        Err(Fault::Failed(format!("{written} of {wanted} bytes written")))
    }
}

fn sync_each(placed: &[Placed]) -> Result<(), Fault> {
    let mut synced: Vec<&Arc<Partition>> = Vec::new();
    for one in placed {
        if !synced.iter().any(|partition| Arc::ptr_eq(partition, &one.partition)) {
            one.partition.file.sync_data().during("fdatasync")?;
            synced.push(&one.partition);
        }
    }
    Ok(())
}

impl Partition {
    /// Gives the batch at `range` of a buffer its place and its offset, which is written into it.
    pub fn place(self: &Arc<Partition>, buffer: &mut [u8], range: Range<usize>) -> Result<(i64, Placed), Fault> {
        let batch = &mut buffer[range.clone()];
        let count = batch::first(batch).ok_or_else(|| Fault::Failed("a torn batch".to_owned()))?.count;
        let mut inner = lock(&self.inner);
        let (position, base) = (inner.bytes, inner.next);
        inner.bytes += batch.len() as u64;
        inner.next += i64::from(count);
        inner.batches.push((base, position));
        let next = inner.next;
        drop(inner);
        batch[..8].copy_from_slice(&base.to_be_bytes());
        Ok((base, Placed { partition: Arc::clone(self), position, next, range }))
    }

    fn publish(&self, written: u64, visible: i64) {
        let mut inner = lock(&self.inner);
        (inner.written, inner.visible) = (written, visible);
        drop(inner);
        self.grown.notify_all();
    }

    /// The offset after the last visible record, and where the batch with `offset` starts and how many bytes are there.
    pub fn locate(&self, offset: i64) -> (i64, u64, u64) {
        let inner = lock(&self.inner);
        if offset >= inner.visible {
            return (inner.visible, inner.written, 0);
        }
        let at = inner.batches.partition_point(|(base, _)| *base <= offset).saturating_sub(1);
        let position = inner.batches.get(at).map_or(0, |(_, position)| *position);
        (inner.visible, position, inner.written.saturating_sub(position))
    }

    /// Blocks until `offset` is visible or the time is up.
    pub fn wait_for(&self, offset: i64, timeout: Duration) {
        let inner = lock(&self.inner);
        // Spurious and early ends are fine: the caller looks again, and an empty answer is an answer.
        drop(self.grown.wait_timeout_while(inner, timeout, |inner| inner.visible <= offset));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
