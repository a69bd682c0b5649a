//! What a connection asks of the node, and what it gets back.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;

/// A reply that is not ready yet. `None` closes the connection.
pub type Pending = Pin<Box<dyn Future<Output = Option<Outgoing>>>>;

/// A wait until a range of a file is in memory. It is kept until the range is sent, and then dropped.
pub type Warming = Pin<Box<dyn Future<Output = ()>>>;

/// Answers frames. One value serves all connections of one loop.
pub trait Service: 'static {
    /// What the service remembers for each connection.
    type Session: 'static;

    /// A connection was accepted.
    fn connected(&self, peer: &Peer) -> Self::Session;

    /// Answers one frame (without its size). Called in the order of the frames, one at a time for each connection, and before
    /// earlier replies are ready: whatever must happen in request order has to happen in here, not in a [`Reply::Later`].
    fn call(&self, cx: &mut ConnContext<Self::Session>, frame: &[u8]) -> Reply;

    /// Called before `len` bytes of a file at `position` are sent. When they may not be in memory, the returned future is
    /// awaited first, so that a cold read never blocks the loop (KAFKA-7504).
    fn before_send(&self, file: &Arc<dyn SendFile>, position: u64, len: usize) -> Option<Warming> {
        let _ = (file, position, len);
        None
    }
}

/// Where a connection comes from and goes to.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Unique among the connections of this process.
    pub id: u64,
    /// The other end.
    pub remote: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// The listener's name, such as `PLAINTEXT` or `CONTROLLER`.
    pub listener: Arc<str>,
}

/// What a client said about its software in ApiVersions (KIP-511); empty until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSoftware {
    /// Such as `apache-kafka-java`.
    pub name: String,
    /// Such as `4.4.0`.
    pub version: String,
}

/// One connection as the service sees it.
#[derive(Debug)]
pub struct ConnContext<S> {
    /// Its two ends.
    pub peer: Peer,
    /// Set by the service when the client tells.
    pub client: ClientSoftware,
    /// What the service remembers.
    pub session: S,
}

/// The answer to one frame.
pub enum Reply {
    /// Ready.
    Now(Outgoing),
    /// Ready later. It is polled at once and then when every earlier reply has been sent, so it must not hold up anything but
    /// its own connection. Dropped when the connection closes.
    Later(Pending),
    /// The request has no reply (Produce with acks=0).
    Nothing,
    /// Close the connection once every earlier reply is sent, and log this reason.
    Close(String),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Now(outgoing) => f.debug_tuple("Now").field(outgoing).finish(),
            Reply::Later(_) => f.write_str("Later"),
            Reply::Nothing => f.write_str("Nothing"),
            Reply::Close(reason) => f.debug_tuple("Close").field(reason).finish(),
        }
    }
}

/// A whole response frame: bytes, and file ranges that stand between them.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// The bytes that are not in files, the frame's size first.
    pub bytes: Vec<u8>,
    /// File ranges, in ascending order of [`FilePiece::at`].
    pub files: Vec<FilePiece>,
    /// Whether it tells of an error. Nothing is done for it here; a service counts by it.
    pub has_error: bool,
}

impl Outgoing {
    /// A frame without file ranges.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, files: Vec::new(), has_error: false }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.bytes.len() + self.files.iter().map(|piece| piece.len).sum::<usize>()
    }
}

/// A range of a file that belongs into a frame.
#[derive(Debug)]
pub struct FilePiece {
    /// How many of [`Outgoing::bytes`] come before it.
    pub at: usize,
    /// The file.
    pub file: Arc<dyn SendFile>,
    /// Where the range begins in the file.
    pub position: u64,
    /// Its length in bytes.
    pub len: usize,
}

/// A file that can be sent.
pub trait SendFile: fmt::Debug + Send + Sync {
    /// The kernel's file, for sendfile; `None` makes the connection copy with [`SendFile::read_at`].
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether a range can be sent without waiting for a device.
    fn is_in_memory(&self, position: u64, len: usize) -> bool {
        let _ = (position, len);
        true
    }

    /// Brings a range into memory, which may take long; what fails will fail again when it is sent.
    fn read_ahead(&self, position: u64, len: usize) {
        let _ = (position, len);
    }

    /// Says that a range that was brought into memory need not stay there.
    fn drop_behind(&self, position: u64, len: usize) {
        let _ = (position, len);
    }

    /// Reads at `position`, returning how many bytes were read; 0 at the end of the file.
    ///
    /// # Errors
    /// Those of the disk.
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// Is told what happens on connections, for metrics. Called on the connection's own loop: it must not block.
pub trait Observer: Send + Sync {
    /// A connection was accepted and given to a loop.
    fn connection_opened(&self, listener: &str) {
        let _ = listener;
    }
    /// An accepted connection is gone.
    fn connection_closed(&self, listener: &str) {
        let _ = listener;
    }
    /// A connection was refused because of a limit.
    fn connection_refused(&self, listener: &str) {
        let _ = listener;
    }
    /// A connection waits for memory that other requests hold; nothing is read from it meanwhile.
    fn request_waits(&self) {}
    /// A connection was closed because it held memory that others want, and sent or read too slowly.
    fn slow_request_closed(&self) {}
    /// Bytes were received.
    fn bytes_in(&self, bytes: usize) {
        let _ = bytes;
    }
    /// Bytes were sent.
    fn bytes_out(&self, bytes: usize) {
        let _ = bytes;
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
