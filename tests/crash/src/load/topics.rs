//! Makes topics and deletes older ones, so that a crash meets the metadata log, new folders and renamed ones.

use super::{Client, EXTRA, World};
use crate::history::{Event, Span, Tick};
use crate::wire::connection::{Connection, Request};
use crate::wire::messages;
use conformance::fault::Fault;

/// Topics that are there at a time.
const KEPT: u64 = 6;

/// Records that are acked from one topic to the next: the load is what the node is to be busy with.
const RECORDS_BETWEEN: u64 = 2_000;

#[derive(Default)]
pub(super) struct Topics {
    next: u64,
}

impl Topics {
    fn ask(
        &self,
        (name, deleted): (String, bool),
        request: &Request,
        connection: &mut Connection,
        world: &World,
        events: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        let invoked = world.tick();
        let answer = connection.send(request).and_then(|()| world.answer(connection));
        let completed = world.tick();
        let done = answer.as_deref().ok().and_then(|body| messages::topics_done(body, !deleted).ok());
        let acked = done.is_some_and(|done| done.iter().all(|(_, error)| *error == 0));
        let span = Span { invoked, completed: if acked { completed } else { Tick::MAX } };
        events.push(Event::Topic { span, name, deleted, acked });
        answer.map(|_| ())
    }
}

/// The names of the topics that this client made, as the node tells them.
pub(super) fn list(connection: &mut Connection, world: &World) -> Result<Event, Fault> {
    let (span, body) = world.timed(connection, &messages::metadata())?;
    let names = messages::topic_names(&body)?.into_iter().filter(|name| name.starts_with(EXTRA)).collect();
    Ok(Event::Topics { span, names })
}

impl Client for Topics {
    fn work(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        while world.gate.is_open() && !world.is_draining() {
            let name = format!("{EXTRA}{}", self.next);
            self.next += 1;
            let create = messages::create_topic(&name, 2, &[]);
            self.ask((name, false), &create, connection, world, events)?;
            if self.next > KEPT {
                let old = format!("{EXTRA}{}", self.next - 1 - KEPT);
                let delete = messages::delete_topic(&old);
                self.ask((old, true), &delete, connection, world, events)?;
            }
            events.push(list(connection, world)?);
            world.gate.pace(RECORDS_BETWEEN);
        }
        Ok(())
    }

    fn settle(&mut self, _world: &World, _events: &mut Vec<Event>) {}

    fn is_done(&self) -> bool {
        true
    }
}
