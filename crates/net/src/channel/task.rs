//! The task that owns a channel's socket.

use crate::connection::input::{Input, Received};
use crate::pool::NoPool;
use crate::request_memory::Share;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// The size before every frame.
pub(super) const SIZE_BYTES: usize = 4;
/// Request bytes that wait for the socket; beyond it no further request is taken.
const OUT_BYTES_MAX: usize = 1024 * 1024;
/// Frames gathered into one send.
const GATHER_MAX: usize = 32;

/// A request for the socket.
pub(super) struct Command {
    pub(super) frame: Vec<u8>,
    pub(super) correlation_id: i32,
    pub(super) notify: Notify,
}

/// Whom to tell.
pub(super) enum Notify {
    /// The response goes here, its size included.
    Answered(oneshot::Sender<Vec<u8>>),
    /// There is no response; the system has taken the last byte.
    Written(oneshot::Sender<()>),
}

/// A request on its way to the socket.
struct Outbound {
    frame: Vec<u8>,
    written: Option<oneshot::Sender<()>>,
}

/// What the connection's task and its handles both see.
#[derive(Default)]
pub(super) struct State {
    pub(super) ended: OnceLock<Arc<str>>,
    pub(super) give_up: tokio::sync::Notify,
}

pub(super) struct Task {
    stream: TcpStream,
    commands: mpsc::Receiver<Command>,
    state: Arc<State>,
    in_flight_max: usize,
    input: Input<NoPool>,
    out: VecDeque<Outbound>,
    /// Of the front frame.
    out_sent: usize,
    out_bytes: usize,
    /// A broker answers in the order of the requests.
    in_flight: VecDeque<(i32, oneshot::Sender<Vec<u8>>)>,
    /// All handles are gone.
    closing: bool,
}

impl Task {
    pub(super) fn new(
        stream: TcpStream,
        commands: mpsc::Receiver<Command>,
        state: Arc<State>,
        in_flight_max: usize,
        response_bytes_max: usize,
    ) -> Self {
        Self {
            stream,
            commands,
            state,
            in_flight_max,
            input: Input::new(NoPool, Share::default(), response_bytes_max),
            out: VecDeque::new(),
            out_sent: 0,
            out_bytes: 0,
            in_flight: VecDeque::new(),
            closing: false,
        }
    }

    pub(super) async fn run(mut self) {
        let state = Arc::clone(&self.state);
        let mut give_up = pin!(state.give_up.notified());
        let reason = std::future::poll_fn(|cx| {
            if give_up.as_mut().poll(cx).is_ready() {
                return Poll::Ready("a request was not answered in time".to_owned());
            }
            self.poll(cx)
        })
        .await;
        // Before the reply senders are dropped, so that whoever waits for one finds the reason.
        let _ = state.ended.set(Arc::from(reason));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        loop {
            let taken = self.take_commands(cx);
            let sent = match self.send(cx) {
                Ok(sent) => sent,
                Err(error) => return Poll::Ready(error.to_string()),
            };
            let received = match self.receive(cx) {
                Ok(received) => received,
                Err(reason) => return Poll::Ready(reason),
            };
            if self.closing && self.in_flight.is_empty() && self.out.is_empty() {
                return Poll::Ready("it was closed".to_owned());
            }
            if !(taken || sent || received) {
                return Poll::Pending;
            }
        }
    }

    fn take_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let mut taken = false;
        while !self.closing && self.out_bytes < OUT_BYTES_MAX && self.in_flight.len() < self.in_flight_max {
            match self.commands.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => self.closing = true,
                Poll::Ready(Some(command)) => {
                    taken = true;
                    self.out_bytes += command.frame.len();
                    let written = match command.notify {
                        Notify::Answered(reply) => {
                            self.in_flight.push_back((command.correlation_id, reply));
                            None
                        }
                        Notify::Written(written) => Some(written),
                    };
                    self.out.push_back(Outbound { frame: command.frame, written });
                }
            }
        }
        taken
    }

    fn send(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while !self.out.is_empty() {
            match self.stream.poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            let mut slices = [IoSlice::new(&[]); GATHER_MAX];
            let mut begin = self.out_sent;
            let mut count = 0;
            for outbound in self.out.iter().take(GATHER_MAX) {
                slices[count] = IoSlice::new(&outbound.frame[begin..]);
                (begin, count) = (0, count + 1);
            }
            match self.stream.try_write_vectored(&slices[..count]) {
                Ok(sent) => {
                    moved = true;
                    self.advance(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    fn advance(&mut self, mut sent: usize) {
        self.out_bytes -= sent;
        while let Some(front) = self.out.front_mut() {
            let left = front.frame.len() - self.out_sent;
            if sent < left {
                self.out_sent += sent;
                return;
            }
            sent -= left;
            self.out_sent = 0;
            // Nobody waits any more when the caller was cancelled.
            let _ = front.written.take().map(|written| written.send(()));
            self.out.pop_front();
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, String> {
        match self.input.receive(&mut self.stream, cx) {
            // A client's own connections share no memory that could be used up.
            Ok(Received::Nothing | Received::Starved) => return Ok(false),
            Ok(Received::Bytes(_)) => {}
            Ok(Received::End) => return Err("the broker closed it".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
        while let Some(frame) = self.input.next_frame()? {
            let bytes = self.input.take_frame(frame);
            let id =
                bytes.get(SIZE_BYTES..2 * SIZE_BYTES).and_then(|id| id.first_chunk()).copied().map(i32::from_be_bytes);
            match self.in_flight.pop_front() {
                // Nobody waits any more when the caller was cancelled.
                Some((expected, reply)) if Some(expected) == id => drop(reply.send(bytes)),
                Some((expected, _)) => return Err(format!("response {id:?} came where {expected} was due")),
                None => return Err("a response came that nothing asked for".to_owned()),
            }
        }
        self.input.rest();
        Ok(true)
    }
}
