//! The ceiling with a blocking thread a connection.

use super::Disk;
use super::log::{Broker, Placed};
use super::session::{Answer, Session};
use conformance::fault::{During, Fault};
use rustix::net::SendFlags;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Serves every connection until the process is killed.
pub fn serve(listener: &TcpListener, broker: &Arc<Broker>) -> Result<(), Fault> {
    for stream in listener.incoming() {
        let (stream, broker) = (stream.during("accepting")?, Arc::clone(broker));
        let serving = move || {
            if let Err(Fault::Failed(why) | Fault::Skipped(why)) = connection(stream, &broker) {
                eprintln!("ceiling: {why}");
            }
        };
        std::thread::Builder::new().name("connection".to_owned()).spawn(serving).during("starting a thread")?;
    }
    Ok(())
}

fn connection(mut stream: TcpStream, broker: &Arc<Broker>) -> Result<(), Fault> {
    stream.set_nodelay(true).during("TCP_NODELAY")?;
    if broker.disk != Disk::Sync {
        return receive(&mut stream, broker, None);
    }
    let mut answering = stream.try_clone().during("cloning a socket")?;
    let syncer = Syncer::default();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| syncer.run(broker, &mut answering));
        let received = receive(&mut stream, broker, Some(&syncer));
        lock(&syncer.queue).closed = true;
        syncer.woken.notify_one();
        received.and(syncing.join().unwrap_or(Ok(())))
    })
}

/// Syncs while the connection receives more: everything that was written meanwhile shares the next sync.
#[derive(Default)]
struct Syncer {
    queue: Mutex<Queue>,
    woken: Condvar,
}

#[derive(Default)]
struct Queue {
    out: Vec<u8>,
    placed: Vec<Placed>,
    busy: bool,
    closed: bool,
}

impl Syncer {
    fn run(&self, broker: &Broker, stream: &mut TcpStream) -> Result<(), Fault> {
        loop {
            let (out, mut placed) = {
                let mut queue = lock(&self.queue);
                queue.busy = false;
                while queue.placed.is_empty() && !queue.closed {
                    queue = self.woken.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                if queue.placed.is_empty() {
                    return Ok(());
                }
                queue.busy = true;
                (std::mem::take(&mut queue.out), std::mem::take(&mut queue.placed))
            };
            broker.settle(&mut placed)?;
            if stream.write_all(&out).is_err() {
                return Ok(());
            }
        }
    }

    /// A single batch is synced where it was received, unless others are on their way: a hand-over costs more than it saves.
    fn wants(&self, batches: usize) -> bool {
        let queue = lock(&self.queue);
        batches > 1 || (batches > 0 && (queue.busy || !queue.placed.is_empty()))
    }

    fn take(&self, (out, placed): (Vec<u8>, Vec<Placed>)) {
        let mut queue = lock(&self.queue);
        queue.out.extend(out);
        queue.placed.extend(placed);
        self.woken.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn receive(stream: &mut TcpStream, broker: &Arc<Broker>, syncer: Option<&Syncer>) -> Result<(), Fault> {
    let mut session = Session::new(broker, false);
    loop {
        match stream.read(session.room()) {
            Ok(0) => return Ok(()),
            // The load is over and has hung up with answers on their way.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            read => session.received(read.during("receiving")?),
        }
        while let Some(answer) = session.next()? {
            match answer {
                Answer::Done => {}
                Answer::Slice { partition, from, length } => {
                    send_slice(stream, &mut session, &partition.file, from, length)?;
                }
                Answer::Wait(fetch) => {
                    fetch.partition.wait_for(fetch.offset, fetch.patience);
                    if let Some(Answer::Slice { partition, from, length }) = session.try_fetch(&fetch, true) {
                        send_slice(stream, &mut session, &partition.file, from, length)?;
                    }
                }
            }
        }
        if let Some(syncer) = syncer.filter(|syncer| syncer.wants(session.unwritten())) {
            syncer.take(session.write()?);
            continue;
        }
        session.commit()?;
        if !session.out.is_empty() {
            let sent = stream.write_all(&session.out);
            session.out.clear();
            if sent.is_err() {
                return Ok(());
            }
        }
    }
}

/// What is in `out`, then bytes of a file, in as few segments as the kernel makes of them.
fn send_slice(
    stream: &TcpStream,
    session: &mut Session,
    file: &std::fs::File,
    mut from: u64,
    length: usize,
) -> Result<(), Fault> {
    let flags = if length > 0 { SendFlags::MORE | SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL };
    let sent = rustix::net::send(stream, &session.out, flags);
    let whole = sent.is_ok_and(|sent| sent == session.out.len());
    session.out.clear();
    let mut left = if whole { length } else { 0 };
    while left > 0 {
        match rustix::fs::sendfile(stream, file, Some(&mut from), left) {
            Ok(0) => return Err(Fault::Failed("sendfile found the end of the file".to_owned())),
            Ok(sent) => left -= sent,
            // The reader has hung up, as it does when its round is over.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}
