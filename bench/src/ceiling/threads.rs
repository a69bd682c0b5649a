//! The ceiling with a blocking thread a connection.

use super::log::Broker;
use super::session::{Answer, Session};
use conformance::fault::{During, Fault};
use rustix::net::SendFlags;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

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
                    send_slice(&stream, &mut session, &partition.file, from, length)?;
                }
                Answer::Wait(fetch) => {
                    fetch.partition.wait_for(fetch.offset, fetch.patience);
                    if let Some(Answer::Slice { partition, from, length }) = session.try_fetch(&fetch, true) {
                        send_slice(&stream, &mut session, &partition.file, from, length)?;
                    }
                }
            }
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
pub fn send_slice(
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
