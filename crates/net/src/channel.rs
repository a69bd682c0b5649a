//! The client's side of one connection: requests go out, responses come back by correlation id, many in flight.
//!
//! One task owns the socket. A request that is not answered in time ends the connection, as in Kafka: what is still in flight
//! can then never be taken for the answer of something else. It knows headers and the version table, not what requests mean;
//! it retries nothing.

mod task;
mod versions;

use crate::channel::task::{Command, Notify, State, Task};
use protocol::ApiKey;
use protocol::frame;
use protocol::wire::{DecodeError, Encode, EncodeError, Reader, Request};
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Duration;
pub use versions::VersionRange;

/// Requests on their way to the connection's task.
const HANDOVER_MAX: usize = 16;

/// How a channel behaves.
#[derive(Clone, Debug)]
pub struct ChannelOptions {
    /// `client.id`, sent with every request.
    pub client_id: String,
    /// Told to the broker in ApiVersions (KIP-511).
    pub software_name: String,
    /// As above.
    pub software_version: String,
    /// `socket.connection.setup.timeout.ms`.
    pub connect_timeout: Duration,
    /// `request.timeout.ms`: a request not answered within it ends the channel.
    pub request_timeout: Duration,
    /// Requests without a response; beyond it further ones wait.
    pub in_flight_max: usize,
    /// A larger response ends the channel.
    pub response_bytes_max: usize,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            client_id: "thalweg".to_owned(),
            software_name: "thalweg".to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            in_flight_max: 64,
            response_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// Why a channel could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChannelError {
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The request was not answered in time; the channel is closed.
    #[error("{address} did not answer {api} within {millis} ms")]
    Timeout {
        /// Who.
        address: SocketAddr,
        /// What.
        api: &'static str,
        /// How long.
        millis: u128,
    },
    /// The connection ended; whether the request was carried out is unknown.
    #[error("the connection to {address} ended: {reason}")]
    Closed {
        /// To whom.
        address: SocketAddr,
        /// Why.
        reason: Arc<str>,
    },
    /// The request cannot be written in this version.
    #[error("a {api} request cannot be sent: {error}")]
    Encode {
        /// Which.
        api: &'static str,
        /// Why.
        error: EncodeError,
    },
    /// The response is not one.
    #[error("a {api} response cannot be read: {error}")]
    Decode {
        /// Which.
        api: &'static str,
        /// Why.
        error: DecodeError,
    },
    /// No version of the API is known to both sides.
    #[error("{address} serves {api} {theirs}, and this client speaks {ours}")]
    UnsupportedVersion {
        /// The broker.
        address: SocketAddr,
        /// The API.
        api: &'static str,
        /// What the broker serves, as text.
        theirs: String,
        /// What we speak, as text.
        ours: String,
    },
}

/// One connection to a broker. Cheap to clone; the connection ends when the last clone is dropped.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    options: ChannelOptions,
    commands: mpsc::Sender<Command>,
    correlation: AtomicI32,
    state: Arc<State>,
    versions: OnceLock<Vec<(i16, VersionRange)>>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("address", &self.shared.address)
            .field("ended", &self.shared.state.ended)
            .finish()
    }
}

impl Channel {
    /// Connects and asks for the broker's versions. `address` is `host:port`. Must run inside a tokio runtime, which the
    /// connection's task is spawned on.
    ///
    /// # Errors
    /// When the name does not resolve, nothing listens there, or the broker does not answer ApiVersions.
    pub async fn connect(address: &str, options: ChannelOptions) -> Result<Channel, ChannelError> {
        let failed = |reason: String| ChannelError::Connect { address: address.to_owned(), reason };
        let stream = tokio::time::timeout(options.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| failed(format!("no connection within {} ms", options.connect_timeout.as_millis())))?
            .map_err(|error| failed(error.to_string()))?;
        let channel = Channel::over(stream, options).map_err(|error| failed(error.to_string()))?;
        let versions = versions::ask(&channel).await?;
        channel.shared.versions.set(versions).map_err(|_| failed("asked for versions twice".to_owned()))?;
        Ok(channel)
    }

    fn over(stream: TcpStream, options: ChannelOptions) -> std::io::Result<Channel> {
        stream.set_nodelay(true)?;
        let address = stream.peer_addr()?;
        let (commands, receiver) = mpsc::channel(HANDOVER_MAX);
        let state = Arc::new(State::default());
        let task = Task::new(stream, receiver, Arc::clone(&state), options.in_flight_max, options.response_bytes_max);
        tokio::spawn(task.run());
        let correlation = AtomicI32::new(0);
        let versions = OnceLock::new();
        Ok(Channel { shared: Arc::new(Shared { address, options, commands, correlation, state, versions }) })
    }

    /// The broker's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state.ended.get().is_some() || self.shared.commands.is_closed()
    }

    /// The versions of an API that the broker serves; `None` when it does not serve it.
    #[must_use]
    pub fn broker_versions(&self, key: ApiKey) -> Option<VersionRange> {
        let versions = self.shared.versions.get()?;
        versions.iter().find(|(code, _)| *code == key.code()).map(|(_, range)| *range)
    }

    /// The newest version of `R` that both sides know and `wanted` contains.
    ///
    /// # Errors
    /// [`ChannelError::UnsupportedVersion`].
    pub fn negotiate<R: Request>(&self, wanted: RangeInclusive<i16>) -> Result<i16, ChannelError> {
        let ours = R::KEY.stable_versions().unwrap_or(R::MIN_VERSION..=R::MAX_VERSION);
        let (low, high) = (*ours.start().max(wanted.start()), *ours.end().min(wanted.end()));
        let theirs = self.broker_versions(R::KEY);
        if let Some(theirs) = theirs {
            let version = high.min(theirs.max);
            if version >= low && version >= theirs.min {
                return Ok(version);
            }
        }
        Err(ChannelError::UnsupportedVersion {
            address: self.shared.address,
            api: R::KEY.name(),
            theirs: theirs
                .map_or("in no version".to_owned(), |theirs| format!("in versions {}-{}", theirs.min, theirs.max)),
            ours: format!("versions {low}-{high}"),
        })
    }

    /// Sends a request and waits for its response, for `request.timeout.ms`.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send<R: Request + Encode>(&self, request: &R, version: i16) -> Result<ResponseFrame<R>, ChannelError> {
        self.send_within(request, version, self.shared.options.request_timeout).await
    }

    /// As [`Channel::send`], with a timeout of its own.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send_within<R: Request + Encode>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<ResponseFrame<R>, ChannelError> {
        self.start(request, version, timeout).await?.response().await
    }

    /// Hands a request to the connection and returns once it has its place in the order of requests; the response is awaited
    /// apart, so that several can be in flight in a known order.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn start<R: Request + Encode>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<InFlight<R>, ChannelError> {
        let (reply, response) = oneshot::channel();
        let correlation_id = self.enqueue(request, version, Notify::Answered(reply)).await?;
        let deadline = tokio::time::Instant::now() + timeout;
        Ok(InFlight {
            channel: self.clone(),
            response,
            version,
            correlation_id,
            deadline,
            timeout,
            request: PhantomData,
        })
    }

    /// Sends a request that has no response (Produce with acks=0), and returns when the system has taken its last byte: what
    /// still waits in here would be lost if the process ended.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn send_unanswered<R: Request + Encode>(&self, request: &R, version: i16) -> Result<(), ChannelError> {
        let (written, is_written) = oneshot::channel();
        self.enqueue(request, version, Notify::Written(written)).await?;
        is_written.await.map_err(|_| self.closed())
    }

    async fn enqueue<R: Request + Encode>(
        &self,
        request: &R,
        version: i16,
        notify: Notify,
    ) -> Result<i32, ChannelError> {
        let correlation_id = self.shared.correlation.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let client_id = Some(self.shared.options.client_id.as_str());
        let frame = frame::encode_request(R::KEY, version, correlation_id, client_id, request)
            .map_err(|error| ChannelError::Encode { api: R::KEY.name(), error })?;
        let command = Command { frame, correlation_id, notify };
        self.shared.commands.send(command).await.map_err(|_| self.closed())?;
        Ok(correlation_id)
    }

    fn closed(&self) -> ChannelError {
        let reason = self.shared.state.ended.get().cloned().unwrap_or_else(|| Arc::from("its task has ended"));
        ChannelError::Closed { address: self.shared.address, reason }
    }
}

/// A request that is on its way.
pub struct InFlight<R> {
    channel: Channel,
    response: oneshot::Receiver<Vec<u8>>,
    version: i16,
    correlation_id: i32,
    deadline: tokio::time::Instant,
    timeout: Duration,
    request: PhantomData<fn() -> R>,
}

impl<R> InFlight<R> {
    /// The same, typed by a request of another lifetime: the response borrows nothing from what was sent.
    #[must_use]
    pub fn forget_request<S: Request>(self) -> InFlight<S>
    where
        R: Request,
    {
        assert!(R::KEY == S::KEY, "{} is not {}", S::NAME, R::NAME);
        let InFlight { channel, response, version, correlation_id, deadline, timeout, request: _ } = self;
        InFlight { channel, response, version, correlation_id, deadline, timeout, request: PhantomData }
    }
}

impl<R: Request> InFlight<R> {
    /// Waits for the response.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub async fn response(self) -> Result<ResponseFrame<R>, ChannelError> {
        match tokio::time::timeout_at(self.deadline, self.response).await {
            Ok(Ok(bytes)) => ResponseFrame::new(bytes, self.version, self.correlation_id),
            Ok(Err(_)) => Err(self.channel.closed()),
            Err(_) => {
                let (address, api, millis) = (self.channel.shared.address, R::KEY.name(), self.timeout.as_millis());
                self.channel.shared.state.give_up.notify_one();
                Err(ChannelError::Timeout { address, api, millis })
            }
        }
    }
}

/// A response as it was received; decoding borrows from it.
pub struct ResponseFrame<R> {
    bytes: Vec<u8>,
    body_at: usize,
    version: i16,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> ResponseFrame<R> {
    fn new(bytes: Vec<u8>, version: i16, correlation_id: i32) -> Result<Self, ChannelError> {
        let mut reader = Reader::new(&bytes[task::SIZE_BYTES..]);
        let read = frame::decode_response_header(&mut reader, R::KEY, version)
            .map_err(|error| ChannelError::Decode { api: R::KEY.name(), error })?;
        assert_eq!(read, correlation_id, "the connection's task matches responses to requests");
        let body_at = bytes.len() - reader.remaining();
        Ok(Self { bytes, body_at, version, request: PhantomData })
    }

    /// The version of request and response.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The response.
    ///
    /// # Errors
    /// [`ChannelError::Decode`].
    pub fn decode(&self) -> Result<R::Response<'_>, ChannelError> {
        use protocol::wire::Decode;
        R::Response::decode(&mut Reader::new(&self.bytes[self.body_at..]), self.version)
            .map_err(|error| ChannelError::Decode { api: R::KEY.name(), error })
    }

    /// The response's bytes after its header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }
}

#[cfg(test)]
mod tests;
