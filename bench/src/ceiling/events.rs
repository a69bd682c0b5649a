//! The ceiling with one event loop.

use super::log::Broker;
use super::session::{Answer, Fetch, Session};
use conformance::fault::{During, Fault};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Taken from the kernel at once.
const EVENTS: usize = 1024;
/// The listener among the connections.
const LISTENER: u64 = u64::MAX;
/// A slice up to this is copied behind its header, which is cheaper than a sendfile; larger ones are not asked of this shell.
const COPIED_BYTES_MAX: usize = 64 << 10;

struct Connection {
    stream: TcpStream,
    session: Session,
}

/// Serves every connection until the process is killed.
pub fn serve(listener: &TcpListener, broker: &Arc<Broker>) -> Result<(), Fault> {
    listener.set_nonblocking(true).during("the listener")?;
    let epoll = epoll::create(CreateFlags::CLOEXEC).during("epoll")?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN).during("epoll")?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut waiting: Vec<(usize, Fetch)> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).during("epoll"),
        }
        for event in &events {
            if event.data.u64() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nodelay(true).during("TCP_NODELAY")?;
                    stream.set_nonblocking(true).during("a connection")?;
                    let id = EventData::new_u64(connections.len() as u64);
                    epoll::add(&epoll, &stream, id, EventFlags::IN).during("epoll")?;
                    connections.push(Some(Connection { stream, session: Session::new(broker, true) }));
                }
                continue;
            }
            let id = event.data.u64() as usize;
            if !turn(&mut connections, id, &mut waiting)? {
                connections[id] = None;
                waiting.retain(|(who, _)| *who != id);
            }
            wake(&mut connections, &mut waiting)?;
        }
    }
}

/// Everything that a connection has sent; whether it is still there.
fn turn(connections: &mut [Option<Connection>], id: usize, waiting: &mut Vec<(usize, Fetch)>) -> Result<bool, Fault> {
    let Some(Connection { stream, session }) = connections.get_mut(id).and_then(Option::as_mut) else {
        return Ok(true);
    };
    loop {
        let room = session.room();
        let wanted = room.len();
        let read = match stream.read(room) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => return Ok(false),
        };
        session.received(read);
        while let Some(answer) = session.next()? {
            match answer {
                Answer::Done => {}
                Answer::Slice { partition, from, length } => copy_slice(session, &partition.file, from, length)?,
                Answer::Wait(fetch) => waiting.push((id, fetch)),
            }
        }
        // Before the buffer is used again: what has a place in a file is still in it.
        session.commit()?;
        if read < wanted {
            break;
        }
    }
    Ok(send(stream, session))
}

/// Answers the fetches that find something now.
fn wake(connections: &mut [Option<Connection>], waiting: &mut Vec<(usize, Fetch)>) -> Result<(), Fault> {
    let mut at = 0;
    while let Some((id, fetch)) = waiting.get(at) {
        let found = connections.get_mut(*id).and_then(Option::as_mut);
        let Some(Connection { stream, session }) = found else {
            waiting.swap_remove(at);
            continue;
        };
        if let Some(Answer::Slice { partition, from, length }) = session.try_fetch(fetch, false) {
            copy_slice(session, &partition.file, from, length)?;
            send(stream, session);
            waiting.swap_remove(at);
        } else {
            at += 1;
        }
    }
    Ok(())
}

fn copy_slice(session: &mut Session, file: &std::fs::File, from: u64, length: usize) -> Result<(), Fault> {
    assert!(length <= COPIED_BYTES_MAX, "{length} bytes asked of the event loop");
    let start = session.out.len();
    session.out.resize(start + length, 0);
    file.read_exact_at(&mut session.out[start..], from).during("reading a slice")
}

/// Small answers fit into a socket's buffer; whether the other side is still there.
fn send(stream: &mut TcpStream, session: &mut Session) -> bool {
    let sent = session.out.is_empty() || stream.write_all(&session.out).is_ok();
    session.out.clear();
    sent
}
