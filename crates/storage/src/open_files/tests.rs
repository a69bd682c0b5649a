use super::BoundedDisk;
use crate::{
    Committed, Disk, DiskFile, DiskFileWrapper, DiskWrapper, FaultyMemDisk, Log, LogConfig, LogOptions, OpenMode,
    SyncTicket, WriteAhead, commit,
};
use base::{LeaderEpoch, Offset, SeededRng, Timestamp, Uuid};
use record::{BatchBuilder, BatchOptions, NewRecord, ValidBatch};
use std::io;
use std::path::Path;
use std::sync::Arc;

const ROOT: &str = "/d";
const LOGS: usize = 100;
const FILES_MAX: usize = 8;

/// A disk that knows how many of its files are open.
#[derive(Debug)]
struct CountingDisk {
    inner: FaultyMemDisk,
    open: Arc<()>,
}

#[derive(Debug)]
struct CountedFile {
    inner: Arc<dyn DiskFile>,
    _open: Arc<()>,
}

impl DiskFileWrapper for CountedFile {
    fn target(&self) -> &dyn DiskFile {
        self.inner.as_ref()
    }
}

impl DiskWrapper for CountingDisk {
    fn target(&self) -> &dyn Disk {
        &self.inner
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(CountedFile { inner: self.inner.open(path, mode)?, _open: Arc::clone(&self.open) }))
    }
}

struct Many {
    mem: FaultyMemDisk,
    disk: Arc<dyn Disk>,
    open: Arc<()>,
    write_ahead: Arc<WriteAhead>,
    logs: Vec<Log>,
}

fn options(at: usize) -> LogOptions {
    LogOptions {
        dir: Path::new(ROOT).join(format!("t-{at}")),
        config: LogConfig::default().into(),
        recovery_point: Offset::ZERO,
        log_start: Offset::ZERO,
        compacted_to: Offset::ZERO,
        clean: false,
    }
}

impl Many {
    fn new(files_max: usize) -> Many {
        let (mem, open) = (FaultyMemDisk::new(1), Arc::new(()));
        let root = Path::new(ROOT);
        mem.create_dir(root).unwrap();
        let counting = CountingDisk { inner: mem.clone(), open: Arc::clone(&open) };
        let disk: Arc<dyn Disk> = Arc::new(BoundedDisk::new(Arc::new(counting), files_max));
        let write_ahead = Arc::new(WriteAhead::new(Arc::clone(&disk), root, &mut SeededRng::new(7)));
        let make = |at: usize| {
            let mut log = Log::create(Arc::clone(&disk), options(at)).unwrap();
            log.write_topic_id(Uuid(at as u128 + 1)).unwrap();
            log.attach(Arc::clone(&write_ahead), Uuid(at as u128 + 1));
            log
        };
        let mut many = Many { logs: (0..LOGS).map(make).collect(), mem, disk, open, write_ahead };
        many.tickets();
        many.mem.sync_filesystem(root).unwrap();
        many
    }

    /// Files that are open: the log dir's write-ahead file is one of them once it was written.
    fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 2
    }

    fn append_to_each(&mut self) {
        for log in &mut self.logs {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            builder.append(&NewRecord { value: Some(b"value"), ..NewRecord::default() });
            let bytes = builder.build();
            let batch = ValidBatch::internal(&bytes).unwrap();
            log.append(Timestamp(1), &batch, LeaderEpoch(0)).unwrap();
        }
    }

    fn tickets(&mut self) -> Vec<SyncTicket> {
        self.logs.iter_mut().filter_map(|log| log.ticket().unwrap()).collect()
    }
}

#[test]
fn many_logs_are_written_and_read_with_few_files_open() {
    let mut many = Many::new(FILES_MAX);
    for end in 1..=3 {
        many.append_to_each();
        assert!(many.open() <= FILES_MAX, "{} files are open", many.open());
        assert!(many.logs.iter().all(|log| log.log_end() == Offset(end)));
    }
    for log in &mut many.logs {
        let slice = log.read(Offset::ZERO, Offset(3), 1 << 20, true).unwrap();
        assert_eq!(record::Batches::new(&log.read_slice(&slice).unwrap()).count(), 3);
    }
    assert!(many.open() <= FILES_MAX, "{} files are open", many.open());
    // Negative control: without a bound that is lower, each log holds one.
    let mut many = Many::new(10 * LOGS);
    many.append_to_each();
    assert_eq!(many.open(), LOGS);
}

#[test]
fn a_round_of_many_logs_holds_none_of_them_open_and_makes_all_durable() {
    let mut many = Many::new(FILES_MAX);
    many.append_to_each();
    let tickets = many.tickets();
    assert_eq!(tickets.len(), LOGS);
    assert!(many.open() <= FILES_MAX, "{} files are open", many.open());
    let committed = commit(many.disk.as_ref(), Path::new(ROOT), Some(&many.write_ahead), &tickets).unwrap();
    assert_eq!(committed, Committed::WriteAhead);
    assert!(many.open() <= FILES_MAX + 1, "{} files are open", many.open());
    let left: Arc<dyn Disk> = Arc::new(many.mem.crash());
    crate::replay(left.as_ref(), Path::new(ROOT)).unwrap();
    for at in 0..LOGS {
        let (log, _) = Log::open(Arc::clone(&left), options(at)).unwrap();
        assert_eq!(log.log_end(), Offset(1), "log {at}");
    }
}

#[test]
fn few_logs_are_synced_though_their_files_were_closed() {
    let mut many = Many::new(1);
    many.append_to_each();
    let mut tickets = many.tickets();
    tickets.truncate(2);
    assert!(tickets.iter().all(|ticket| ticket.writes[0].file.get().is_none()));
    let committed = commit(many.disk.as_ref(), Path::new(ROOT), Some(&many.write_ahead), &tickets).unwrap();
    assert_eq!(committed, Committed::Files);
    let left: Arc<dyn Disk> = Arc::new(many.mem.crash());
    for at in 0..2 {
        let (log, _) = Log::open(Arc::clone(&left), options(at)).unwrap();
        assert_eq!(log.log_end(), Offset(1), "log {at}");
    }
}

#[test]
fn a_log_that_was_deleted_meanwhile_is_no_fault_of_the_round() {
    let mut many = Many::new(1);
    many.append_to_each();
    let tickets = many.tickets();
    many.disk.rename(&options(0).dir, &Path::new(ROOT).join("t-0.gone-delete")).unwrap();
    for tickets in [&tickets[..1], &tickets[..]] {
        commit(many.disk.as_ref(), Path::new(ROOT), Some(&many.write_ahead), tickets).unwrap();
    }
}

#[test]
fn a_log_at_rest_holds_no_file() {
    let mut many = Many::new(FILES_MAX);
    many.append_to_each();
    many.tickets();
    many.logs.iter_mut().for_each(Log::release_files);
    assert_eq!(many.open(), 0);
    many.append_to_each();
    assert!(many.open() <= FILES_MAX, "what was let go leaves room");
}
