//! The beginning and the end of a run: topics that are there throughout; and, once everything is healed, that whoever waits is answered
//! and all that was promised is found.

use super::{Stage, World};
use crate::clients::{STATIC_TOPICS, fetch_offsets, plain_fetch, read};
use crate::link::Link;
use crate::model::{Change, Key};
use protocol::frame;
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::fetch_request::FetchRequest;
use protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use protocol::messages::offset_fetch_request::OffsetFetchRequest;
use protocol::wire::{Decode, Encode, Reader, Records, Request};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Steps in which everybody must be content once nothing goes wrong any more.
const SETTLE_STEPS: u64 = 40_000;
/// Turns of the node in which a request must be answered when nothing else happens.
const ASK_TURNS: u64 = 5_000;

impl World {
    /// Makes the topics that are there throughout.
    pub(super) async fn prepare(&mut self) {
        for name in STATIC_TOPICS {
            let partitions = 1 + self.network.below(2) as i32;
            let topic = CreatableTopic {
                name: Cow::Borrowed(name),
                num_partitions: partitions,
                replication_factor: 1,
                ..CreatableTopic::default()
            };
            let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
            self.model.topics.ask(Change::Create { name: name.to_owned(), partitions, configs: BTreeMap::new() });
            let made = self
                .ask(7, &request, |answer| answer.topics.first().map(|topic| (topic.error_code, topic.topic_id)))
                .await;
            match made {
                Ok(Some((0, id))) => self.model.topics.confirmed(Some(id)),
                other => return self.model.breach(format!("topic {name} cannot be made: {other:?}")),
            }
        }
        let request = FindCoordinatorRequest { coordinator_keys: vec![Cow::Borrowed("crew")], ..Default::default() };
        for _ in 0..10 {
            let found = self.ask(4, &request, |answer| answer.coordinators.first().map(|one| one.error_code)).await;
            match found {
                Ok(Some(0)) => return,
                Ok(_) => self.turn().await,
                Err(what) => return self.model.breach(what),
            }
        }
        self.model.breach("no coordinator is found".to_owned());
    }

    /// Sends a request with nothing else going on but the node's own work, and takes what is wanted of the reply.
    async fn ask<R: Request + Encode, T>(
        &mut self,
        version: i16,
        request: &R,
        take: impl FnOnce(R::Response<'_>) -> T,
    ) -> Result<T, String> {
        let Some(node) = &mut self.machine.node else { return Err("the node is down".to_owned()) };
        let mut link = Link::new(node, 99);
        let frame = frame::encode_request(R::KEY, version, 1, Some("onlooker"), request);
        link.send(frame.map_err(|error| error.to_string())?);
        link.deliver(&mut self.trace);
        for _ in 0..ASK_TURNS {
            if link.can_settle() {
                link.settle(&mut self.trace);
            }
            if let Some(reply) = link.receive() {
                let mut reader = Reader::new(&reply);
                let header = frame::decode_response_header(&mut reader, R::KEY, version);
                header.map_err(|error| error.to_string())?;
                return R::Response::decode(&mut reader, version).map(take).map_err(|error| error.to_string());
            }
            self.turn().await;
        }
        Err(format!("{} was not answered", R::KEY.name()))
    }

    /// A turn of everything that the node does by itself.
    async fn turn(&mut self) {
        for dir in 0..self.stages.len() {
            self.commit(dir);
        }
        if let Some(node) = &mut self.machine.node {
            node.coordinate();
            node.read_cold();
            node.housekeep();
        }
        self.pass(1).await;
    }

    /// Nothing goes wrong any more: who waits is answered, and then everything is looked at.
    pub(super) async fn end(&mut self) {
        self.is_ending = true;
        self.trace.note("ending", [0; 4]);
        self.machine.disk.clear_faults();
        self.machine.disk.limit_room(None);
        self.machine.disk.cut_power_after(u64::MAX >> 1);
        if self.machine.is_without_dir || self.machine.disk.faults_struck() > self.struck_before {
            self.kill();
        }
        self.settle().await;
        if self.is_finished() || self.model.is_damaged {
            return;
        }
        self.last_restart().await;
        if !self.is_finished() {
            self.inspect().await;
        }
        self.model.seen.disk_faults += self.machine.disk.faults_struck();
    }

    async fn settle(&mut self) {
        let until = self.trace.steps() + SETTLE_STEPS;
        while self.trace.steps() < until && !self.is_finished() {
            self.step().await;
            // Looking at everybody in each step would take most of the time.
            if self.trace.steps().is_multiple_of(64) && self.waits_for().is_none() && self.machine.node.is_some() {
                return;
            }
        }
        if let Some(what) = self.waits_for()
            && !self.model.is_damaged
        {
            self.model.breach(format!("nothing goes wrong any more, and yet {what}"));
        }
    }

    fn waits_for(&self) -> Option<String> {
        (0..self.clients.len()).filter(|client| self.takes_part(*client)).find_map(|at| self.clients[at].waits_for())
    }

    /// What was promised must be there after one more end of the node, of whichever kind the run may have.
    async fn last_restart(&mut self) {
        let faults = self.options.faults;
        match self.scheduler.below(3) {
            0 if faults.power_cuts => {
                let left = self.machine.disk.crash();
                self.power_cut(left);
            }
            1 if faults.kills => self.kill(),
            _ if faults.restarts => self.restart().await,
            _ => return,
        }
        self.start();
        self.stages.iter_mut().for_each(|stage| *stage = Stage::Idle);
        self.look();
    }

    async fn inspect(&mut self) {
        let topics: Vec<(String, base::Uuid, i32)> =
            self.model.topics.iter().map(|(name, topic)| (name.to_owned(), topic.id, topic.partitions)).collect();
        for (_, id, partitions) in &topics {
            for index in 0..*partitions {
                if !self.model.log((*id, index)).is_doomed {
                    self.inspect_partition((*id, index)).await;
                }
            }
        }
        let partitions = topics.iter().find(|(name, ..)| name == STATIC_TOPICS[0]).map_or(0, |topic| topic.2);
        for group in ["crew", "solo-8"] {
            self.inspect_group(group, partitions).await;
        }
    }

    async fn inspect_partition(&mut self, key: Key) {
        let Some(views) = self.machine.node.as_ref().map(server::SteppedNode::partitions) else { return };
        let Some(view) = views.iter().find(|view| (view.topic_id, view.partition.partition.0) == key) else {
            return self.model.breach(format!("{key:?} is not there any more"));
        };
        let (log_start, end) = (view.log_start.0, view.log_end.0);
        let (mut at, mut all) = (log_start, Vec::new());
        let floor = self.model.log(key).floor();
        for _ in 0..ASK_TURNS {
            if at >= end {
                break;
            }
            let request = plain_fetch(key.0, key.1, at);
            let fetched = self.ask::<FetchRequest<'_>, _>(16, &request, |answer| {
                let data = answer.responses.first().and_then(|topic| topic.partitions.first())?;
                let records = match &data.records {
                    Records::Bytes(bytes) => read(bytes, at),
                    Records::Null | Records::Spliced(_) => Ok(Vec::new()),
                };
                Some((data.error_code, data.high_watermark, data.log_start_offset, records))
            });
            match fetched.await {
                Ok(Some((0, high_watermark, start, Ok(records)))) => {
                    let found = self.model.log(key).read(floor, at, (high_watermark, start), &records);
                    self.model.check(found.map_err(|what| format!("{key:?}: {what}")));
                    at = records.last().map_or(at, |(last, _)| last + 1);
                    all.extend(records.iter().copied());
                    if records.is_empty() {
                        // Not committed yet.
                        self.turn().await;
                    }
                }
                other => return self.model.breach(format!("{key:?} cannot be read at {at}: {other:?}")),
            }
        }
        if at < end {
            self.model.breach(format!("{key:?}: the log ends at {end}, and only what is before {at} is ever visible"));
        }
        let found = self.model.log(key).read_whole(log_start, &all);
        self.model.check(found.map_err(|what| format!("{key:?}: {what}")));
    }

    async fn inspect_group(&mut self, group: &str, partitions: i32) {
        let asked = self.trace.steps() + 1;
        self.trace.step();
        for _ in 0..100 {
            let request = fetch_offsets(group, partitions);
            let looked = self.ask::<OffsetFetchRequest<'_>, _>(8, &request, |answer| {
                let group = answer.groups.first()?;
                let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
                let offsets = partitions.map(|one| {
                    let tag = one.metadata.as_deref().unwrap_or_default().to_owned();
                    (one.partition_index, one.committed_offset, tag)
                });
                Some((group.error_code, offsets.collect::<Vec<_>>()))
            });
            match looked.await {
                Ok(Some((0, offsets))) => {
                    for (index, offset, tag) in offsets {
                        let found = self.model.groups.read(group, STATIC_TOPICS[0], index, (offset, &tag), asked);
                        self.model.check(found);
                    }
                    return;
                }
                // The coordinator loads.
                Ok(Some((14..=16, _))) => self.turn().await,
                other => return self.model.breach(format!("the offsets of {group} cannot be read: {other:?}")),
            }
        }
        self.model.breach(format!("the coordinator of {group} does not come up"));
    }
}
