//! A whole log dir against a model: several logs, a write-ahead file, and power cuts at every operation, recovery's own too.
//!
//! What must hold after any crash: what was confirmed is there, at its offset; what is there was written there last and not cut off,
//! deleted or another topic's; and what was found once stays, whatever happens next.

use super::{batch, options, values};
use crate::write_ahead::{WRITE_AHEAD_FILE, WriteAhead, remove, replay};
use crate::{
    Disk, DiskFile, DiskFileWrapper, DiskWrapper, FaultyMemDisk, FlushTicket, Log, OpenMode, commit, flush_files,
    flush_names,
};
use base::{LeaderEpoch, Offset, SeededRng, Timestamp, Uuid};
use proptest::prelude::*;
use record::ValidBatch;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROOT: &str = "/d";
const LOGS: usize = 5;

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// The write-ahead file is never synced.
    NoSync,
    /// The file is thrown away.
    NoReplay,
    /// Cuts are not noted.
    NoCuts,
    /// Segments are not synced before the space is used again.
    NoRetire,
}

/// A disk that forgets to sync some of its files.
#[derive(Debug)]
struct Lying {
    inner: FaultyMemDisk,
    broken: Broken,
}

#[derive(Debug)]
struct LyingFile {
    inner: Arc<dyn DiskFile>,
    syncs: bool,
}

impl DiskFileWrapper for LyingFile {
    fn target(&self) -> &dyn DiskFile {
        self.inner.as_ref()
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.syncs { self.inner.sync_data() } else { Ok(()) }
    }
}

impl DiskWrapper for Lying {
    fn target(&self) -> &dyn Disk {
        &self.inner
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let syncs = self.broken != Broken::NoSync || !path.ends_with(WRITE_AHEAD_FILE);
        Ok(Arc::new(LyingFile { inner: self.inner.open(path, mode)?, syncs }))
    }
}

/// One partition as the model knows it.
struct Known {
    folder: String,
    id: Uuid,
    log: Option<Log>,
    /// The value at each offset.
    written: Vec<i64>,
    /// What it was before the step under way, which a crash may go back to.
    before: Vec<i64>,
    /// Up to where it was confirmed.
    confirmed: usize,
    start: i64,
    checkpoint: Offset,
    /// What the step under way has lowered the checkpoint to before it did anything else.
    lowered: Offset,
}

struct Run {
    disk: FaultyMemDisk,
    broken: Broken,
    write_ahead: Arc<WriteAhead>,
    /// Where cuts go when they are not to be noted.
    nowhere: Arc<WriteAhead>,
    logs: Vec<Known>,
    rng: SeededRng,
    next_value: i64,
}

type Found = Result<(), String>;

impl Run {
    fn new(seed: u64, broken: Broken) -> Run {
        let disk = FaultyMemDisk::new(seed);
        disk.create_dir(Path::new(ROOT)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let mut rng = SeededRng::new(seed);
        let write_ahead = new_write_ahead(&disk, broken, &mut rng);
        let mut run =
            Run { nowhere: Arc::clone(&write_ahead), disk, broken, write_ahead, logs: Vec::new(), rng, next_value: 0 };
        run.nowhere = new_write_ahead(&run.disk, broken, &mut run.rng);
        for at in 0..LOGS {
            let (folder, id) = (format!("t-{at}"), Uuid::random(&mut run.rng));
            run.logs.push(Known {
                folder,
                id,
                log: None,
                written: Vec::new(),
                before: Vec::new(),
                confirmed: 0,
                start: 0,
                checkpoint: Offset::ZERO,
                lowered: Offset(i64::MAX),
            });
            run.create(at);
        }
        run
    }

    fn faulty(&self) -> Arc<dyn Disk> {
        Arc::new(Lying { inner: self.disk.clone(), broken: self.broken })
    }

    fn dir(&self, at: usize) -> PathBuf {
        Path::new(ROOT).join(&self.logs[at].folder)
    }

    fn attach(&self, log: &mut Log, id: Uuid) {
        let noted = if self.broken == Broken::NoCuts { &self.nowhere } else { &self.write_ahead };
        log.attach(Arc::clone(noted), id);
    }

    fn create(&mut self, at: usize) {
        let (disk, id) = (self.faulty(), self.logs[at].id);
        let mut log = Log::create(disk, options(self.dir(at), Offset::ZERO, false)).unwrap();
        log.write_topic_id(id).unwrap();
        self.attach(&mut log, id);
        let known = &mut self.logs[at];
        (known.written, known.confirmed, known.start, known.checkpoint) = (Vec::new(), 0, 0, Offset::ZERO);
        known.log = Some(log);
    }

    fn log(&mut self, at: usize) -> &mut Log {
        self.logs[at].log.as_mut().unwrap()
    }

    fn append(&mut self, at: usize, what: u16) {
        let count = 1 + i64::from(what % 3);
        let first = self.next_value;
        self.next_value += count;
        let bytes = batch(first, count, usize::from(what % 300));
        let valid = ValidBatch::internal(&bytes).unwrap();
        self.log(at).append(Timestamp(1_000), &valid, LeaderEpoch(0)).unwrap();
        self.logs[at].written.extend(first..first + count);
    }

    fn round(&mut self) {
        let mut tickets = Vec::new();
        for known in &mut self.logs {
            tickets.extend(known.log.as_mut().unwrap().ticket().unwrap());
        }
        let disk = self.faulty();
        commit(disk.as_ref(), Path::new(ROOT), Some(&self.write_ahead), &tickets).unwrap();
        for known in &mut self.logs {
            known.confirmed = known.written.len();
        }
    }

    fn retire(&mut self) {
        if self.broken == Broken::NoRetire {
            self.write_ahead.forget_segments();
        }
        self.write_ahead.retire().unwrap();
    }

    fn flush(&mut self, closes: bool) {
        let disk = self.faulty();
        let mut tickets: Vec<FlushTicket> = Vec::new();
        let mut of = Vec::new();
        for (at, known) in self.logs.iter_mut().enumerate() {
            let log = known.log.as_mut().unwrap();
            let ticket = if closes { log.close_ticket() } else { log.flush_ticket() };
            if let Some(ticket) = ticket.unwrap() {
                tickets.push(ticket);
                of.push(at);
            }
        }
        flush_files(disk.as_ref(), Path::new(ROOT), &tickets).unwrap();
        of.iter().zip(&tickets).for_each(|(at, ticket)| self.log(*at).name_flushed(ticket).unwrap());
        flush_names(disk.as_ref(), Path::new(ROOT), &tickets).unwrap();
        of.iter().zip(&tickets).for_each(|(at, ticket)| self.log(*at).on_flushed(ticket).unwrap());
    }

    fn truncate(&mut self, at: usize, what: u16) {
        let known = &mut self.logs[at];
        let to = known.written.len().saturating_sub(usize::from(what % 12)).max(known.start as usize);
        let log = known.log.as_mut().unwrap();
        let fully = what.is_multiple_of(5) && to as i64 == known.start;
        // Whoever cuts lowers the checkpoint before.
        let lowered = if fully { Offset::ZERO } else { log.recovery_point_for_cut(Offset(to as i64)) };
        known.checkpoint = known.checkpoint.min(lowered);
        known.lowered = known.checkpoint;
        if to as i64 == known.start {
            // Midway there is no segment to tell where the log begins; a node has its checkpoint for that.
            known.confirmed = 0;
        }
        if fully {
            log.truncate_fully(Offset(known.start)).unwrap();
        } else {
            log.truncate_to(Offset(to as i64)).unwrap();
        }
        known.written.truncate(log.log_end().0 as usize);
        known.confirmed = known.confirmed.min(known.written.len());
        known.start = known.start.min(log.log_end().0);
        known.checkpoint = known.checkpoint.min(log.recovery_point());
    }

    /// A topic is deleted and another one of its name is made.
    fn recreate(&mut self, at: usize) {
        let from = self.dir(at);
        let aside = from.with_extension(format!("{:032x}-delete", Uuid::random(&mut self.rng).0));
        self.disk.rename(&from, &aside).unwrap();
        self.disk.sync_dir(Path::new(ROOT)).unwrap();
        self.logs[at].id = Uuid::random(&mut self.rng);
        self.create(at);
    }

    fn retain(&mut self, at: usize, what: u16) {
        let known = &mut self.logs[at];
        let log = known.log.as_mut().unwrap();
        let high_watermark = Offset(known.confirmed as i64);
        let to = Offset((known.start + i64::from(what % 20)).min(high_watermark.0.max(known.start)));
        if to <= high_watermark {
            log.delete_records(to, high_watermark).unwrap();
        }
        if let Some(deletion) = log.retain(Timestamp(0), high_watermark).unwrap() {
            deletion.paths.iter().for_each(|path| self.disk.remove_file(path).unwrap());
        }
        known.start = log.log_start().0;
    }

    fn restart(&mut self) {
        self.round();
        self.flush(true);
        self.write_ahead.remove().unwrap();
        assert!(self.disk.read(&Path::new(ROOT).join(WRITE_AHEAD_FILE)).unwrap().is_none());
        for at in 0..LOGS {
            let (disk, id, point) = (self.faulty(), self.logs[at].id, self.log(at).recovery_point());
            let (mut log, _) = Log::open(disk, options(self.dir(at), point, true)).unwrap();
            self.attach(&mut log, id);
            log.delete_records(Offset(self.logs[at].start), log.log_end()).unwrap();
            let known = &mut self.logs[at];
            known.checkpoint = point;
            known.log = Some(log);
        }
    }

    /// Opens what a crash left on `disk`, and checks it. The recovery may be cut short itself.
    fn recover(&mut self, disk: FaultyMemDisk, what: u16) -> Found {
        self.disk = disk;
        for attempt in 0..2 {
            if attempt == 0 && what.is_multiple_of(3) {
                self.disk.cut_power_after(u64::from(what % 40));
            }
            self.open_all().map_err(|error| format!("recovery fails: {error}"))?;
            let cut = self.disk.take_cut();
            match cut {
                Some(cut) if attempt == 0 => self.disk = cut,
                _ => break,
            }
        }
        self.write_ahead = new_write_ahead(&self.disk, self.broken, &mut self.rng);
        (0..LOGS).try_for_each(|at| self.check_recovered(at))
    }

    fn open_all(&mut self) -> Result<(), crate::LogError> {
        let disk = self.faulty();
        // As opening a log dir does.
        disk.sync_filesystem(Path::new(ROOT)).unwrap();
        if self.broken == Broken::NoReplay {
            remove(disk.as_ref(), Path::new(ROOT))?;
        } else {
            replay(disk.as_ref(), Path::new(ROOT))?;
        }
        for at in 0..LOGS {
            let known = &self.logs[at];
            let dir = self.dir(at);
            // As a node does: a folder that is not there is made, one of another topic is put aside (R30).
            let id = crate::topic_id::topic_id(disk.as_ref(), &dir).ok().flatten();
            let log = if id == Some(known.id) {
                Log::open(Arc::clone(&disk), options(dir, known.checkpoint, false))?.0
            } else {
                if disk.list(&dir).is_ok() {
                    let aside = dir.with_extension(format!("{:032x}-stray", Uuid::random(&mut self.rng).0));
                    disk.rename(&dir, &aside).unwrap();
                    disk.sync_dir(Path::new(ROOT)).unwrap();
                }
                let mut log = Log::create(Arc::clone(&disk), options(dir, Offset::ZERO, false))?;
                log.write_topic_id(known.id)?;
                log
            };
            self.logs[at].log = Some(log);
        }
        Ok(())
    }

    fn check_recovered(&mut self, at: usize) -> Found {
        let id = self.logs[at].id;
        let mut log = self.logs[at].log.take().unwrap();
        self.attach(&mut log, id);
        let known = &mut self.logs[at];
        let (start, end) = (log.log_start().0 as usize, log.log_end().0 as usize);
        let folder = &known.folder;
        if end < known.confirmed {
            return Err(format!("{folder}: confirmed up to {}, found up to {end}", known.confirmed));
        }
        let found = values(&mut log);
        let is = |written: &[i64]| end <= written.len() && found == written[start.min(end)..end];
        let is_before = is(&known.before);
        if !is(&known.written) && !is_before {
            return Err(format!("{folder}: found {found:?} from {start} on, written was {:?}", known.written));
        }
        if !is(&known.written) {
            known.written = known.before.clone();
        }
        known.written.truncate(end);
        // What was found was made durable before it was looked at.
        known.confirmed = end;
        known.start = start as i64;
        known.checkpoint = known.checkpoint.min(log.recovery_point());
        known.log = Some(log);
        Ok(())
    }

    fn step(&mut self, kind: u8, what: u16) -> Found {
        let at = usize::from(what) % LOGS;
        let before: Vec<_> = self.logs.iter().map(|known| (known.confirmed, known.checkpoint)).collect();
        let ids: Vec<Uuid> = self.logs.iter().map(|known| known.id).collect();
        for known in &mut self.logs {
            (known.before, known.lowered) = (known.written.clone(), Offset(i64::MAX));
        }
        match kind % 32 {
            0..=11 => self.append(at, what / 5),
            12 => (0..LOGS).for_each(|at| self.append(at, what)),
            13..=18 => self.round(),
            19 => self.retire(),
            20 => {
                self.flush(false);
                self.logs.iter_mut().for_each(|known| known.checkpoint = known.log.as_ref().unwrap().recovery_point());
            }
            21 => self.log(at).roll().unwrap(),
            22..=23 => self.truncate(at, what / 5),
            24 => self.recreate(at),
            25 => self.retain(at, what / 5),
            26 => self.restart(),
            // A killed process: the page cache is still there.
            27 => return self.recover(self.disk.clone(), what),
            28 => return self.recover(self.disk.crash(), what),
            _ => self.disk.cut_power_after(u64::from(what % 60)),
        }
        let Some(cut) = self.disk.take_cut() else { return Ok(()) };
        // Somewhere in this step: only what was confirmed before it has to be there.
        for (known, (confirmed, checkpoint)) in self.logs.iter_mut().zip(before) {
            known.confirmed = known.confirmed.min(confirmed);
            known.checkpoint = checkpoint.min(known.lowered);
        }
        for (known, id) in self.logs.iter_mut().zip(ids) {
            // Deleted for good: the metadata said so before the folder was touched.
            if known.id != id {
                (known.before, known.checkpoint) = (Vec::new(), Offset::ZERO);
            }
        }
        self.recover(cut, what)
    }
}

fn new_write_ahead(disk: &FaultyMemDisk, broken: Broken, rng: &mut SeededRng) -> Arc<WriteAhead> {
    let disk = Arc::new(Lying { inner: disk.clone(), broken });
    Arc::new(WriteAhead::with_area_bytes(disk, Path::new(ROOT), rng, 128 << 10))
}

pub(super) fn run(seed: u64, broken: Broken, steps: &[(u8, u16)]) -> Found {
    let mut run = Run::new(seed, broken);
    for (kind, what) in steps {
        run.step(*kind, *what)?;
    }
    run.recover(run.disk.crash(), 1)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn r20_r30_a_log_dir_is_what_the_model_says(seed in any::<u64>(), steps in proptest::collection::vec((any::<u8>(), any::<u16>()), 1..100)) {
        let found = run(seed, Broken::Nothing, &steps);
        prop_assert!(found.is_ok(), "{}", found.unwrap_err());
    }
}

/// Whether a run of a few thousand finds the fault.
fn is_caught(broken: Broken) -> bool {
    (0..3_000).any(|seed| {
        let mut rng = SeededRng::new(seed);
        let steps: Vec<_> = (0..60).map(|_| (rng.next_u64() as u8, rng.next_u64() as u16)).collect();
        std::panic::catch_unwind(|| run(seed, broken, &steps)).map_or(true, |found| found.is_err())
    })
}

#[test]
fn negative_controls_are_caught() {
    for broken in [Broken::NoSync, Broken::NoReplay, Broken::NoRetire, Broken::NoCuts] {
        assert!(is_caught(broken), "{broken:?} is not seen by the test above");
    }
}

#[test]
fn a_cut_of_power_while_a_log_is_cut_is_no_damage() {
    let steps = [
        (236, 9347),
        (122, 0),
        (252, 55062),
        (44, 0),
        (90, 0),
        (180, 0),
        (214, 6),
        (0, 0),
        (29, 0),
        (251, 10017),
        (22, 44590),
    ];
    let found = run(2204265603973510484, Broken::Nothing, &steps);
    assert!(found.is_ok(), "{}", found.unwrap_err());
}

#[test]
fn a_batch_whose_offset_alone_was_torn_is_no_other_programs() {
    let steps = [
        (248, 47611),
        (45, 0),
        (204, 112),
        (93, 55140),
        (0, 17655),
        (182, 17302),
        (156, 1),
        (32, 7476),
        (27, 1),
        (0, 0),
        (156, 11692),
        (0, 7484),
        (0, 2868),
        (89, 0),
        (252, 13),
        (160, 13212),
        (90, 0),
        (32, 17435),
        (29, 16268),
        (160, 38162),
        (64, 7074),
        (141, 0),
        (19, 13869),
        (116, 7),
        (0, 0),
        (192, 43457),
        (181, 26),
        (96, 11418),
        (0, 10992),
        (205, 0),
        (61, 0),
        (93, 61322),
        (0, 9067),
        (51, 0),
    ];
    let found = run(8498923182695280589, Broken::Nothing, &steps);
    assert!(found.is_ok(), "{}", found.unwrap_err());
}

#[test]
fn a_cut_of_power_while_a_log_that_begins_midway_is_emptied_is_no_damage() {
    let steps = [
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (108, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (58, 0),
        (27, 0),
        (0, 16103),
        (124, 106),
        (88, 11544),
        (57, 23427),
        (182, 28627),
        (0, 3300),
        (173, 0),
        (27, 4),
        (32, 7367),
        (160, 3458),
        (29, 40114),
        (141, 0),
        (116, 0),
        (32, 24823),
        (0, 0),
        (0, 0),
        (213, 21408),
        (118, 38372),
    ];
    let found = run(14930579256827757987, Broken::Nothing, &steps);
    assert!(found.is_ok(), "{}", found.unwrap_err());
}
