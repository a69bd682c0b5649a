//! A group without members whose committed offsets only grow, looked at after every commit.

use super::{Cast, Client, TOPIC, World};
use crate::history::{Event, Span, Tick};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::Fault;

/// Partitions that a group commits.
const PARTITIONS_MAX: i32 = 16;

pub(super) struct Committer {
    group: u32,
    partitions: Vec<i32>,
    next: i64,
}

impl Committer {
    pub(super) fn new(group: u32, cast: &Cast) -> Committer {
        Committer { group, partitions: (0..cast.partitions.min(PARTITIONS_MAX)).collect(), next: 1 }
    }

    fn commit(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        let (group, offset) = (self.group, self.next);
        self.next += 1;
        let offsets: Vec<(i32, i64)> = self.partitions.iter().map(|partition| (*partition, offset)).collect();
        let invoked = world.tick();
        let answer =
            connection.send(&messages::commit(&name(group), TOPIC, &offsets)).and_then(|()| world.answer(connection));
        let completed = world.tick();
        let codes = answer.as_deref().ok().and_then(|body| messages::committed(body).ok()).unwrap_or_default();
        for partition in &self.partitions {
            let acked = codes.iter().any(|(of, code)| of == partition && *code == 0);
            let span = Span { invoked, completed: if acked { completed } else { Tick::MAX } };
            events.push(Event::Commit { span, group, partition: *partition, offset, acked });
        }
        answer.map(|_| ())
    }

    fn look(&self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        let request = messages::offsets(&name(self.group), TOPIC, &self.partitions);
        let (span, body) = world.timed(connection, &request)?;
        for (partition, (error, offset)) in messages::offsets_read(&body)? {
            if error == 0 {
                events.push(Event::Committed { span, group: self.group, partition, offset });
            }
        }
        Ok(())
    }
}

fn name(group: u32) -> String {
    format!("group-{group}")
}

impl Client for Committer {
    fn work(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        while world.gate.is_open() && !world.is_draining() {
            let found = connection.call(&messages::find_coordinator(&name(self.group)))?;
            if messages::coordinator_found(&found)? == 0 {
                self.look(connection, world, events)?;
                self.commit(connection, world, events)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, _world: &World, _events: &mut Vec<Event>) {}

    fn is_done(&self) -> bool {
        true
    }
}
