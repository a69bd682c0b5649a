//! A client's connection: sends encoded requests, and reads whole replies out of one reusable buffer.

use crate::wire::{CORRELATION_AT, int32};
use conformance::fault::{During, Fault, ensure};
use conformance::wire::REPLY_DEADLINE;
use rustix::net::{AddressFamily, SocketType};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// A reply larger than this is no reply to what is asked here.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// A congestion control without pacing, which every Linux has.
pub const UNPACED: &str = "reno";
/// Read at once where replies are small.
const BUFFER: usize = 64 << 10;

/// One connection; requests are numbered in the order in which they are sent, and replies must come in that order.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    next_sent: i32,
    next_due: i32,
}

impl Connection {
    /// Connects, with deadlines on both directions.
    pub fn open(address: &str) -> Result<Connection, Fault> {
        let stream = connect(address).during(format!("connecting to {address}"))?;
        stream.set_nodelay(true).during("TCP_NODELAY")?;
        Ok(Connection { stream, buffer: vec![0; BUFFER], from: 0, to: 0, next_sent: 0, next_due: 0 })
    }

    /// The same socket for a thread that only sends; this half must not send any more then.
    pub fn sender(&self) -> Result<Sender, Fault> {
        Ok(Sender { stream: self.stream.try_clone().during("cloning a socket")?, next_sent: self.next_sent })
    }

    /// Sends a request after numbering it.
    pub fn send(&mut self, request: &mut [u8]) -> Result<(), Fault> {
        number(request, self.next_sent);
        self.next_sent = self.next_sent.wrapping_add(1);
        self.stream.write_all(request).during("sending")
    }

    /// The next reply from its correlation id on, which must be the due one.
    pub fn reply(&mut self) -> Result<&[u8], Fault> {
        let size = loop {
            let held = self.to - self.from;
            if held >= 4 {
                let size = int32(&self.buffer, self.from).unwrap_or(-1);
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                ensure((4..=REPLY_BYTES_MAX).contains(&size), || format!("a reply of {size} bytes"))?;
                if held >= 4 + size {
                    break size;
                }
                self.make_room(4 + size);
            } else {
                self.make_room(4);
            }
            let read = self.stream.read(&mut self.buffer[self.to..]).during("reading a reply")?;
            ensure(read > 0, || "the broker closed the connection".to_owned())?;
            self.to += read;
        };
        let start = self.from + 4;
        self.from = start + size;
        let reply = &self.buffer[start..start + size];
        let due = self.next_due;
        ensure(int32(reply, 0) == Some(due), || format!("a reply out of order: {:?}, due {due}", int32(reply, 0)))?;
        self.next_due = due.wrapping_add(1);
        Ok(reply)
    }

    /// One request and its reply.
    pub fn ask(&mut self, request: &mut [u8]) -> Result<&[u8], Fault> {
        self.send(request)?;
        self.reply()
    }

    /// Room for `wanted` bytes from `from` on.
    fn make_room(&mut self, wanted: usize) {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        if self.buffer.len() - self.from < wanted || self.to == self.buffer.len() {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
    }
}

/// Connects without the pacing that the system's congestion control may bring: BBR's timer costs several times what sending does, and here it
/// would be the load that pays it, and with it whoever waits for the load.
fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut addresses = address.to_socket_addrs()?.filter(std::net::SocketAddr::is_ipv4);
    let address = addresses.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::sockopt::set_tcp_congestion(&socket, UNPACED)?;
    rustix::net::connect(&socket, &address)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(REPLY_DEADLINE))?;
    stream.set_write_timeout(Some(REPLY_DEADLINE))?;
    Ok(stream)
}

/// The sending half of a connection whose replies another thread reads.
pub struct Sender {
    stream: TcpStream,
    next_sent: i32,
}

impl Sender {
    /// Sends a request after numbering it.
    pub fn send(&mut self, request: &mut [u8]) -> Result<(), Fault> {
        number(request, self.next_sent);
        self.next_sent = self.next_sent.wrapping_add(1);
        self.stream.write_all(request).during("sending")
    }
}

/// Writes the correlation id into an encoded request.
pub fn number(request: &mut [u8], correlation_id: i32) {
    request[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation_id.to_be_bytes());
}
