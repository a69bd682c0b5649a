//! The sending half: many small replies in one gathered send; file ranges by sendfile in slices, their headers with MSG_MORE.

use crate::service::{Outgoing, SendFile, Service, Warming};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Buffers gathered into one send.
const GATHER_MAX: usize = 64;
/// File bytes of one slice; after each, other connections have their turn: 0.1 to 0.4 ms (16 MiB turns starve them). Smaller ones cost
/// three times the CPU: each ends in a push that wakes the reader (docs/internals/hot-path.md).
const SLICE_BYTES: usize = 1024 * 1024;
/// File bytes of one copy, for files that sendfile cannot take.
const COPY_BYTES: usize = 64 * 1024;
/// Replies with at most this many file bytes are copied into one send.
const INLINE_BYTES_MAX: usize = 8 * 1024;

/// What a send moved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing: the socket is full, a file is cold, or there is nothing to send.
    Nothing,
    /// Bytes; `slice` when they came from a file.
    Some { bytes: usize, slice: bool },
}

/// Replies on their way out.
#[derive(Default)]
pub(crate) struct Output {
    queue: VecDeque<Outgoing>,
    /// What the socket has of the front reply: bytes of its buffer, whole file pieces, bytes of the next piece.
    bytes_sent: usize,
    pieces_sent: usize,
    piece_bytes_sent: usize,
    /// Wire bytes not sent yet.
    wire_len: usize,
    /// Bytes that the queue's replies hold in memory.
    held: usize,
    warming: Option<Warming>,
    /// The slice at the cursor was found to be in memory, or brought there.
    warm: bool,
    /// The wait that brought it: what it brought stays as long as this does.
    brought: Option<Warming>,
}

impl Output {
    pub(crate) fn wire_len(&self) -> usize {
        self.wire_len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wire_len == 0
    }

    /// Bytes in memory: ranges of files are in none, and a reply is in it until all of it is sent.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Adds a reply. Small file ranges that are in memory are copied now, so that the reply leaves in one send.
    pub(crate) fn push(&mut self, mut outgoing: Outgoing, service: &impl Service) {
        outgoing.files.retain(|piece| piece.len > 0);
        let file_bytes: usize = outgoing.files.iter().map(|piece| piece.len).sum();
        if outgoing.wire_len() == 0 {
            return;
        }
        let small = !outgoing.files.is_empty() && file_bytes <= INLINE_BYTES_MAX;
        if small
            && is_warm(&outgoing, service)
            && let Some(bytes) = inline(&outgoing)
        {
            outgoing = Outgoing::from_bytes(bytes);
        }
        self.wire_len += outgoing.wire_len();
        self.held += outgoing.bytes.len();
        self.queue.push_back(outgoing);
    }

    /// Sends once, as much as one system call takes. `Err(None)` when the peer is gone, `Err(Some(reason))` when the
    /// connection cannot go on because of us.
    pub(crate) fn send(
        &mut self,
        stream: &TcpStream,
        service: &impl Service,
        cx: &mut Context<'_>,
    ) -> Result<Sent, Option<String>> {
        while !self.is_empty() {
            let in_file = self.at_file();
            if in_file && !self.is_file_warm(service, cx) {
                return Ok(Sent::Nothing);
            }
            match stream.poll_write_ready(cx) {
                Poll::Pending => return Ok(Sent::Nothing),
                Poll::Ready(ready) => ready.map_err(|_| None)?,
            }
            let sent = if in_file { self.send_file(stream) } else { self.send_bytes(stream) };
            match sent {
                Ok(bytes) => return Ok(Sent::Some { bytes, slice: in_file }),
                Err(SendError::Full) => {}
                Err(SendError::Peer) => return Err(None),
                Err(SendError::File(reason)) => return Err(Some(reason)),
            }
        }
        Ok(Sent::Nothing)
    }

    /// Whether the next byte of the front reply is in a file.
    fn at_file(&self) -> bool {
        let front = &self.queue[0];
        front.files.get(self.pieces_sent).is_some_and(|piece| piece.at == self.bytes_sent)
    }

    fn is_file_warm(&mut self, service: &impl Service, cx: &mut Context<'_>) -> bool {
        if self.warm {
            return true;
        }
        if self.warming.is_none() {
            let piece = &self.queue[0].files[self.pieces_sent];
            let position = piece.position + self.piece_bytes_sent as u64;
            let len = (piece.len - self.piece_bytes_sent).min(SLICE_BYTES);
            self.warming = service.before_send(&piece.file, position, len);
        }
        if let Some(warming) = &mut self.warming {
            if warming.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.brought = self.warming.take();
        }
        self.warm = true;
        true
    }

    fn send_bytes(&mut self, stream: &TcpStream) -> Result<usize, SendError> {
        let mut slices = [IoSlice::new(&[]); GATHER_MAX];
        let mut count = 0;
        let mut more = false;
        let mut begin = self.bytes_sent;
        let mut next_piece = self.pieces_sent;
        for outgoing in &self.queue {
            if count == GATHER_MAX {
                break;
            }
            let end = outgoing.files.get(next_piece).map(|piece| piece.at);
            slices[count] = IoSlice::new(&outgoing.bytes[begin..end.unwrap_or(outgoing.bytes.len())]);
            count += 1;
            if end.is_some() {
                more = true;
                break;
            }
            (begin, next_piece) = (0, 0);
        }
        let flags = if more { SendFlags::MORE | SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL };
        let sent = stream.try_io(Interest::WRITABLE, || {
            let sent = match &slices[..count] {
                // One buffer needs no message around it.
                [one] => rustix::net::send(stream, one, flags),
                many => rustix::net::sendmsg(stream, many, &mut SendAncillaryBuffer::default(), flags),
            };
            sent.map_err(io::Error::from)
        });
        let sent = sent.map_err(socket_error)?;
        self.advance_bytes(sent);
        Ok(sent)
    }

    fn advance_bytes(&mut self, mut sent: usize) {
        self.wire_len -= sent;
        loop {
            let Some(front) = self.queue.front() else { return };
            let end = front.files.get(self.pieces_sent).map_or(front.bytes.len(), |piece| piece.at);
            let here = sent.min(end - self.bytes_sent);
            self.bytes_sent += here;
            sent -= here;
            if self.bytes_sent < end || self.pieces_sent < front.files.len() {
                return;
            }
            self.finish_front();
        }
    }

    fn finish_front(&mut self) {
        self.held -= self.queue.pop_front().map_or(0, |sent| sent.bytes.len());
        (self.bytes_sent, self.pieces_sent, self.piece_bytes_sent) = (0, 0, 0);
    }

    fn send_file(&mut self, stream: &TcpStream) -> Result<usize, SendError> {
        let front = &self.queue[0];
        let piece = &front.files[self.pieces_sent];
        let position = piece.position + self.piece_bytes_sent as u64;
        let left = piece.len - self.piece_bytes_sent;
        let sent = match piece.file.as_fd() {
            Some(fd) => {
                let mut position = position;
                let slice = left.min(SLICE_BYTES);
                stream.try_io(Interest::WRITABLE, || {
                    rustix::fs::sendfile(stream, fd, Some(&mut position), slice).map_err(io::Error::from)
                })
            }
            None => {
                // More bytes of this reply follow this copy, so the kernel need not push a small segment yet.
                let more = left > COPY_BYTES || front.bytes.len() > self.bytes_sent;
                copy(stream, &*piece.file, position, left, more)
            }
        };
        let sent = match sent {
            Ok(0) => {
                return Err(SendError::File(format!(
                    "a file ended at {position}, {left} bytes before the end of its reply"
                )));
            }
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_peer_gone(&error) => {
                return Err(socket_error(error));
            }
            Err(error) => {
                return Err(SendError::File(format!("reading a file at {position} for a reply failed: {error}")));
            }
        };
        self.advance_file(sent);
        Ok(sent)
    }

    fn advance_file(&mut self, sent: usize) {
        self.wire_len -= sent;
        self.warm = false;
        self.brought = None;
        self.piece_bytes_sent += sent;
        let front = &self.queue[0];
        if self.piece_bytes_sent == front.files[self.pieces_sent].len {
            self.pieces_sent += 1;
            self.piece_bytes_sent = 0;
            if self.pieces_sent == front.files.len() && self.bytes_sent == front.bytes.len() {
                self.finish_front();
            }
        }
    }
}

enum SendError {
    /// The socket takes no more now.
    Full,
    /// The peer is gone.
    Peer,
    /// The file failed.
    File(String),
}

fn socket_error(error: io::Error) -> SendError {
    if error.kind() == io::ErrorKind::WouldBlock { SendError::Full } else { SendError::Peer }
}

fn is_peer_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut)
}

fn copy(stream: &TcpStream, file: &dyn SendFile, position: u64, left: usize, more: bool) -> io::Result<usize> {
    let mut buffer = vec![0; left.min(COPY_BYTES)];
    let read = file.read_at(position, &mut buffer)?;
    if read == 0 {
        return Ok(0);
    }
    let flags = if more { SendFlags::MORE | SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL };
    stream.try_io(Interest::WRITABLE, || rustix::net::send(stream, &buffer[..read], flags).map_err(io::Error::from))
}

fn is_warm(outgoing: &Outgoing, service: &impl Service) -> bool {
    outgoing.files.iter().all(|piece| service.before_send(&piece.file, piece.position, piece.len).is_none())
}

/// The reply with its file ranges copied in; `None` when a file cannot be read, which the sending of it will then report.
fn inline(outgoing: &Outgoing) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(outgoing.wire_len());
    let mut done = 0;
    for piece in &outgoing.files {
        bytes.extend_from_slice(&outgoing.bytes[done..piece.at]);
        done = piece.at;
        let begin = bytes.len();
        bytes.resize(begin + piece.len, 0);
        let mut filled = 0;
        while filled < piece.len {
            match piece.file.read_at(piece.position + filled as u64, &mut bytes[begin + filled..]) {
                Ok(read) if read > 0 => filled += read,
                _ => return None,
            }
        }
    }
    bytes.extend_from_slice(&outgoing.bytes[done..]);
    Some(bytes)
}
