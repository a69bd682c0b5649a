//! A disk that fills up: producers are refused while the rest goes on, and when it is really full the node ends; nothing acked is lost.

use crate::Options;
use crate::checker::check;
use crate::load::{At, Cast, Load, STORAGE_ERROR, TOPIC, read_log};
use crate::node::{Node, Plan};
use crate::volume::Volume;
use crate::wire::batch::{PLAIN, Value, build};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::{During, Fault, ensure};
use conformance::process::{CLIENT_DEADLINE, run};
use conformance::rig::Scene;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
/// The volume, and what is kept of it from producers: more than the write-ahead file may still grow.
const VOLUME_MIB: u64 = 512;
const RESERVE_MIB: u64 = 160;
/// What producers get before they are refused.
const ROOM_MIB: u64 = 8;
/// Records that are acked when all is well.
const SOME: u64 = 1_000;

/// A node on a volume of its own, under load.
struct Filling {
    load: Load,
    node: Node,
    plan: Plan,
    volume: Volume,
}

impl Filling {
    fn start(scene: &Scene<'_>, reserve_mib: u64) -> Result<Filling, Fault> {
        let volume = Volume::ext4(&scene.folder, "volume", VOLUME_MIB, "")?;
        let plan = Plan::new(&[volume.mounted.join("data")], &scene.path("node.log"))
            .with("thalweg.disk.reserve.bytes", reserve_mib * MIB);
        let node = plan.start()?;
        // What is refused is not repeated by a plain producer, so it would be refused without an end.
        let cast = Cast { plain: 0, extra_max: 4_000, ..Cast::default() };
        let load = Load::start(cast, 1)?;
        load.create_topic(&node.address, &[("retention.ms", "-1")])?;
        load.open(&node.address);
        load.await_acks(SOME, DEADLINE)?;
        Ok(Filling { load, node, plan, volume })
    }

    /// Takes all of the volume but this, and says where that can be given back.
    fn squeeze(&self, left_mib: u64) -> Result<PathBuf, Fault> {
        let ballast = self.volume.mounted.join("ballast");
        let taken = self.volume.free()?.saturating_sub(left_mib * MIB).to_string();
        run(Command::new("fallocate").args(["-l", &taken]).arg(&ballast), CLIENT_DEADLINE)?;
        Ok(ballast)
    }

    fn sound(&self, when: &str) -> Result<(), Fault> {
        let verdict = check(self.load.history());
        ensure(verdict.anomalies.is_empty(), || format!("{when}: {:?}", verdict.anomalies))
    }
}

/// Refused before the disk is full; what reads, deletes and commits goes on; served again when there is room, without a restart.
pub(super) fn nearly(scene: &Scene<'_>, _options: &Options) -> Result<(), Fault> {
    let mut filling = Filling::start(scene, RESERVE_MIB)?;
    let ballast = filling.squeeze(RESERVE_MIB + ROOM_MIB)?;
    filling.node.running.await_line(DEADLINE, |line| line.contains("producers are refused").then_some(()))?;
    let mut connection = Connection::open(&filling.node.address)?;
    // Nobody of the load wrote this value: were it taken, the checker would find it.
    let batch = build(Value { producer: 1_000, counter: 0 }, 1, 0, 0, PLAIN);
    let produced = messages::produced(&connection.call(&messages::produce(TOPIC, -1, &[(0, batch)]))?)?;
    ensure(produced.iter().all(|(_, (error, _))| *error == STORAGE_ERROR), || format!("Produce: {produced:?}"))?;
    filling.load.close()?;
    read_log(&mut filling.load, &filling.node.address, At::Rest).during("reading from a full disk")?;
    goes_on(&mut connection)?;
    filling.sound("while the disk is full")?;
    std::fs::remove_file(&ballast).during(ballast.display())?;
    filling.node.running.await_line(DEADLINE, |line| line.contains("has room again").then_some(()))?;
    filling.load.open(&filling.node.address);
    filling.load.await_acks(SOME, DEADLINE).during("producing once there is room")?;
    filling.load.drain()?;
    read_log(&mut filling.load, &filling.node.address, At::Rest)?;
    filling.sound("once there is room")?;
    filling.node.stop()?;
    filling.plan.verify()
}

/// A commit, a new topic and its deletion, and records that are deleted.
fn goes_on(connection: &mut Connection) -> Result<(), Fault> {
    let committed = messages::committed(&connection.call(&messages::commit("full", TOPIC, &[(0, 5)]))?)?;
    ensure(committed.iter().all(|(_, error)| *error == 0), || format!("OffsetCommit: {committed:?}"))?;
    let created = connection.call(&messages::create_topic("small", 1, &[]))?;
    let created = messages::topics_done(&created, true)?;
    ensure(created.iter().all(|(_, error)| *error == 0), || format!("CreateTopics: {created:?}"))?;
    let deleted = messages::topics_done(&connection.call(&messages::delete_topic("small"))?, false)?;
    ensure(deleted.iter().all(|(_, error)| *error == 0), || format!("DeleteTopics: {deleted:?}"))?;
    let body = connection.call(&messages::delete_records(TOPIC, &[(0, 10)]))?;
    let deleted = messages::records_deleted(&body)?;
    ensure(deleted.iter().all(|(_, done)| *done == (0, 10)), || format!("DeleteRecords: {deleted:?}"))
}

/// Without a reserve a write meets the end of the disk. The only log dir is offline then, so the node ends; with room it starts again.
pub(super) fn really(scene: &Scene<'_>, _options: &Options) -> Result<(), Fault> {
    let mut filling = Filling::start(scene, 0)?;
    let ballast = filling.squeeze(ROOM_MIB)?;
    filling.node.running.await_end(DEADLINE).during("a node whose only disk is full")?;
    let said = filling.node.running.said();
    ensure(said.contains("No space left on device"), || format!("it does not say why it ended: {said}"))?;
    filling.load.close()?;
    std::fs::remove_file(&ballast).during(ballast.display())?;
    let node = filling.plan.start()?;
    read_log(&mut filling.load, &node.address, At::Start)?;
    filling.sound("after the restart")?;
    filling.load.open(&node.address);
    filling.load.drain()?;
    read_log(&mut filling.load, &node.address, At::Rest)?;
    filling.sound("after the rest was acked")?;
    node.stop()?;
    filling.plan.verify()
}
