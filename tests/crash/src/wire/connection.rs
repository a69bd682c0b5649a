//! One connection: requests out, responses in, in order. Several may be in flight; who sends counts them.

use conformance::fault::{During, Fault, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No response asked for here is larger.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// A node that is slow because its machine is busy has this long; one that is dead closes the connection at once.
const REPLY_DEADLINE: Duration = Duration::from_secs(60);

/// A request: key, version and body.
#[derive(Clone, Debug)]
pub struct Request {
    /// Kafka's API key.
    pub key: i16,
    /// The version that `body` is written in.
    pub version: i16,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection to a broker.
pub struct Connection {
    stream: TcpStream,
    sent: i32,
    read: i32,
}

impl Connection {
    /// Connects, with deadlines on both directions.
    pub fn open(address: &str) -> Result<Connection, Fault> {
        let stream = TcpStream::connect(address).during(format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(REPLY_DEADLINE)).during("read timeout")?;
        stream.set_write_timeout(Some(REPLY_DEADLINE)).during("write timeout")?;
        stream.set_nodelay(true).during("nodelay")?;
        Ok(Connection { stream, sent: 0, read: 0 })
    }

    /// Sends a request and does not wait; its response is the next that [`Connection::receive`] has not returned.
    pub fn send(&mut self, request: &Request) -> Result<(), Fault> {
        self.sent += 1;
        let bytes = conformance::wire::frame(request.key, request.version, self.sent, &request.body);
        self.stream.write_all(&bytes).during("sending")
    }

    /// Sends a request that nobody answers: Produce with acks=0.
    pub fn send_only(&mut self, request: &Request) -> Result<(), Fault> {
        let bytes = conformance::wire::frame(request.key, request.version, 0, &request.body);
        self.stream.write_all(&bytes).during("sending")
    }

    /// The next response's body.
    pub fn receive(&mut self) -> Result<Vec<u8>, Fault> {
        let mut head = [0; 8];
        self.stream.read_exact(&mut head).during("reading a response")?;
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        ensure((4..=FRAME_BYTES_MAX).contains(&size), || format!("a response of {size} bytes"))?;
        let mut body = vec![0; size - 4];
        self.stream.read_exact(&mut body).during("reading a response")?;
        self.read += 1;
        let id = i32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        ensure(id == self.read, || format!("response {id} when {} was due", self.read))?;
        Ok(body)
    }

    /// Sends and waits for the response.
    pub fn call(&mut self, request: &Request) -> Result<Vec<u8>, Fault> {
        self.send(request)?;
        self.receive()
    }
}
