//! Disks that die, lie or fail in one of two log dirs while the node goes on: the dir is offline from its first error on, nothing of it
//! is tried again, the other dir's partitions go on, and the next start recovers (R21, R25).

use crate::Options;
use crate::checker::check;
use crate::history::{Event, Outcome, Span};
use crate::load::{At, Cast, Load, STORAGE_ERROR, TOPIC, read_log};
use crate::node::{Node, Plan};
use crate::strace;
use crate::volume::{Cut, Memory, Volume};
use crate::wire::batch::{PLAIN, Value, build};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::{During, Fault, ensure, fail};
use conformance::process::now;
use conformance::rig::Scene;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROGRESS_DEADLINE: Duration = Duration::from_secs(60);
/// Records that are acked before and after the fault.
const SOME: u64 = 1_500;
/// MiB of memory that the image of the lying disk is kept on, and of the image.
const LYING_MIB: (u64, u64) = (48, 512);

/// A node with a log dir for its metadata and some partitions, and one that will fail.
struct Pair {
    node: Option<Node>,
    load: Load,
    plan: Plan,
    failing: PathBuf,
}

impl Pair {
    fn start(scene: &Scene<'_>, failing: &Path, cast: Cast) -> Result<Pair, Fault> {
        let healthy = scene.path("healthy");
        for dir in [&healthy, &failing.to_owned()] {
            std::fs::create_dir_all(dir).during(dir.display())?;
        }
        let plan = Plan::new(&[healthy.clone(), failing.to_owned()], &scene.path("node.log"))
            // The metadata log is only written to when there is something to write.
            .with("metadata.log.dir", healthy.display())
            .with("metadata.max.idle.interval.ms", 0);
        let node = plan.start()?;
        let load = Load::start(cast, 1)?;
        load.create_topic(&node.address, &[("retention.ms", "-1")])?;
        Ok(Pair { node: Some(node), load, plan, failing: failing.to_owned() })
    }

    fn node(&self) -> Result<&Node, Fault> {
        self.node.as_ref().map_or_else(|| fail("the node is down"), Ok)
    }

    /// Partitions in a log dir.
    fn partitions_in(dir: &Path) -> Result<Vec<i32>, Fault> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).during(dir.display())? {
            let name = entry.during(dir.display())?.file_name().to_string_lossy().into_owned();
            found.extend(name.strip_prefix(&format!("{TOPIC}-")).and_then(|number| number.parse::<i32>().ok()));
        }
        Ok(found)
    }

    /// The other dir's partitions go on, and those in the failed one refuse both ways.
    fn only_one_dir_failed(&self, failed: &[i32]) -> Result<(), Fault> {
        self.load.await_acks(SOME, PROGRESS_DEADLINE).during("the healthy dir's partitions after the fault")?;
        let mut connection = Connection::open(&self.node()?.address)?;
        for partition in 0..self.load.cast().partitions {
            let is_failed = failed.contains(&partition);
            let fetched = messages::fetched(&connection.call(&messages::fetch(TOPIC, &[(partition, 0)], 0, 4096))?)?;
            let error = fetched.first().map_or(-1, |(_, fetched)| fetched.error);
            let due = if is_failed { STORAGE_ERROR } else { 0 };
            ensure(error == due, || format!("a fetch of partition {partition} has error {error}, not {due}"))?;
            if is_failed {
                // Nobody of the load wrote this value: were it taken, the checker would find it.
                let batch = build(Value { producer: 1_000, counter: 0 }, 1, partition, 0, PLAIN);
                let body = connection.call(&messages::produce(TOPIC, -1, &[(partition, batch)]))?;
                let produced = messages::produced(&body)?;
                let error = produced.first().map_or(-1, |(_, (error, _))| *error);
                ensure(error == STORAGE_ERROR, || format!("a Produce to partition {partition} has error {error}"))?;
            }
        }
        Ok(())
    }

    /// Waits until the failed dir's partitions refuse.
    fn await_failure(&self, failed: &[i32]) -> Result<(), Fault> {
        let until = now() + PROGRESS_DEADLINE;
        let mut connection = Connection::open(&self.node()?.address)?;
        for partition in failed {
            loop {
                let request = messages::fetch(TOPIC, &[(*partition, 0)], 0, 4096);
                let fetched = messages::fetched(&connection.call(&request)?)?;
                if fetched.first().is_some_and(|(_, fetched)| fetched.error == STORAGE_ERROR) {
                    break;
                }
                ensure(now() < until, || format!("partition {partition} does not refuse: {fetched:?}"))?;
            }
        }
        Ok(())
    }

    fn kill(&mut self) -> Result<(), Fault> {
        self.node.take().map_or(Ok(()), Node::kill)?;
        self.load.close()
    }

    /// Starts again; everything must be there, also after the rest was acked. A power cut was one of the `failed` partitions only.
    fn recovers(mut self, failed: &[i32]) -> Result<(), Fault> {
        let node = self.plan.start()?;
        read_log(&mut self.load, &node.address, At::Start)?;
        self.sound(failed, "after the restart")?;
        self.load.open(&node.address);
        self.load.drain()?;
        read_log(&mut self.load, &node.address, At::Rest)?;
        self.sound(failed, "after the rest was acked")?;
        node.stop()?;
        self.plan.verify()
    }

    fn sound(&self, failed: &[i32], when: &str) -> Result<(), Fault> {
        let (cut, whole): (Vec<Event>, Vec<Event>) =
            self.load.history().iter().cloned().partition(|event| is_of(event, failed));
        sound(&cut, when)?;
        sound(&whole, when)
    }
}

fn sound(history: &[Event], when: &str) -> Result<(), Fault> {
    let verdict = check(history);
    ensure(verdict.anomalies.is_empty(), || {
        let all: Vec<String> = verdict.anomalies.iter().map(ToString::to_string).collect();
        format!("{when}: {}", all.join("\n    "))
    })
}

fn cast() -> Cast {
    // No groups and no further topics: where their partitions are is not ours to choose.
    Cast { idempotent: 2, plain: 1, readers: 1, groups: 0, topics: false, ..Cast::default() }
}

/// The power of one log dir's disk is cut under a living node: every further access is an error.
pub(super) fn dead(scene: &Scene<'_>, _options: &Options) -> Result<(), Fault> {
    let volume = Volume::ext4(&scene.folder, "volume", 256, "")?;
    let mut pair = Pair::start(scene, &volume.mounted.join("data"), cast())?;
    pair.load.open(&pair.node()?.address);
    pair.load.await_acks(SOME, PROGRESS_DEADLINE)?;
    let failed = Pair::partitions_in(&pair.failing)?;
    ensure(failed.len() == 2, || format!("partitions {failed:?} are in the log dir that fails"))?;
    let invoked = pair.load.world.tick();
    pair.load.deafen();
    volume.cut(Cut::JournalLost, &[])?;
    pair.await_failure(&failed)?;
    pair.load.hear();
    pair.only_one_dir_failed(&failed)?;
    pair.kill()?;
    // Until here a client may have read an answer that the node gave before it knew.
    let span = Span { invoked, completed: pair.load.world.tick() };
    pair.load.note(Event::PowerCut(span));
    volume.remount()?;
    pair.recovers(&failed)
}

/// An image larger than the memory that it is kept on: syncs fail for real, and the next one would succeed and lie. There is room again
/// before anyone asks, so a second try would be believed.
///
/// What the failed dir holds after a restart is not judged: on such a device ext4 was seen to lose blocks that an fdatasync had returned 0
/// for, with no error of that file (traced: the extents of synced blocks were unwritten again after the next mount).
pub(super) fn lying(scene: &Scene<'_>, _options: &Options) -> Result<(), Fault> {
    let memory = Memory::new(&scene.folder, "memory", LYING_MIB.0)?;
    let image = memory.mounted.join("volume.img");
    let volume = Volume::on(image, &scene.folder, "volume", LYING_MIB.1, "")?;
    let large = Cast { extra_max: 16_000, ..cast() };
    let mut pair = Pair::start(scene, &volume.mounted.join("data"), large)?;
    pair.load.open(&pair.node()?.address);
    pair.load.await_acks(100, PROGRESS_DEADLINE)?;
    let failed = Pair::partitions_in(&pair.failing)?;
    pair.await_failure(&failed)?;
    memory.resize(LYING_MIB.1 * 2)?;
    let failed_at = pair.load.world.tick();
    pair.only_one_dir_failed(&failed)?;
    pair.kill()?;
    let confirmed = pair.load.history().iter().find(|event| match event {
        Event::Sent { span, partition, outcome: Outcome::Acked { .. }, .. } => {
            failed.contains(partition) && span.invoked > failed_at
        }
        _ => false,
    });
    ensure(confirmed.is_none(), || format!("confirmed after the dir had failed: {confirmed:?}"))?;
    volume.remount()?;
    let node = pair.plan.start()?;
    read_log(&mut pair.load, &node.address, At::Half)?;
    let healthy: Vec<Event> = pair.load.history().iter().filter(|event| !is_of(event, &failed)).cloned().collect();
    sound(&healthy, "in the healthy dir after the restart")?;
    node.kill()
}

/// Whether an event is about one of these partitions, as a power cut is here.
fn is_of(event: &Event, partitions: &[i32]) -> bool {
    match event {
        Event::Sent { partition, .. }
        | Event::Read { partition, .. }
        | Event::Log { partition, .. }
        | Event::Latest { partition, .. }
        | Event::Refused { partition, .. } => partitions.contains(partition),
        Event::PowerCut(_) => true,
        Event::Commit { .. } | Event::Committed { .. } | Event::Topic { .. } | Event::Topics { .. } => false,
    }
}

/// One system call of one thread fails, once: had the node tried again, it would have succeeded.
pub(super) fn injected(scene: &Scene<'_>, _options: &Options) -> Result<(), Fault> {
    // Two dirty segments are synced themselves; six go through the write-ahead file.
    let faults = [
        ("committer", "fdatasync", "EIO", 4),
        ("committer", "fdatasync", "ENOSPC", 12),
        ("committer", "pwritev", "EIO", 12),
        ("loop", "pwritev", "EIO", 4),
        ("loop", "pwritev", "ENOSPC", 4),
    ];
    for (thread, call, error, partitions) in faults {
        inject(scene, thread, call, error, partitions)
            .during(format!("{call} by a {thread} fails with {error}, {partitions} partitions"))?;
    }
    Ok(())
}

fn inject(scene: &Scene<'_>, thread: &str, call: &str, error: &str, partitions: i32) -> Result<(), Fault> {
    let failing = scene.path(&format!("failing-{thread}-{call}-{error}"));
    let mut pair = Pair::start(scene, &failing, Cast { partitions, ..cast() })?;
    pair.load.open(&pair.node()?.address);
    pair.load.await_acks(SOME, PROGRESS_DEADLINE)?;
    let trace = scene.path(&format!("{thread}-{call}-{error}.strace"));
    let threads = strace::threads(pair.node()?.running.pid(), thread)?;
    let Some(victim) = threads.last().copied() else { return fail(format!("no thread is called {thread}")) };
    let tracer = strace::inject(victim, call, error, 10, &trace)?;
    let at = strace::await_injected(&trace, PROGRESS_DEADLINE)?;
    let dirs: Vec<PathBuf> = pair.plan.dirs.clone();
    let hit = dirs.iter().find(|dir| at.contains(&dir.display().to_string()));
    let Some(hit) = hit else { return fail(format!("the call that failed is of no log dir: {at}")) };
    let failed = Pair::partitions_in(hit)?;
    pair.await_failure(&failed)?;
    pair.only_one_dir_failed(&failed)?;
    // R25: nothing of the failed dir is synced again, and a file whose write failed is not written again. Writes to other files of the
    // dir may go on until its committer has heard of it; what they wrote is never synced, so never confirmed.
    let after = strace::after_injected(&trace)?;
    let file = at.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(file, _)| file);
    let place = if thread == "committer" { hit.display().to_string() } else { file.to_owned() };
    let again = after.iter().find(|line| line.contains(&place));
    ensure(again.is_none(), || format!("{} after {at}", again.cloned().unwrap_or_default()))?;
    tracer.kill()?;
    pair.kill()?;
    pair.recovers(&failed)?;
    for dir in dirs {
        std::fs::remove_dir_all(&dir).during(dir.display())?;
    }
    Ok(())
}
