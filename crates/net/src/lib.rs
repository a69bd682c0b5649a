//! Connections: listeners that accept and spread them, one task each that keeps replies in request order, and the client side
//! of one connection.
//!
//! Invariants: one task owns a socket; memory grows only with bytes received, and all connections' together has a limit; replies leave in the order of their requests;
//! every queue has a limit; a malformed frame closes its own connection and no other. It knows frames and their sizes on the
//! server's side, and nothing of what is in them; only [`Channel`] reads headers. Everything runs on current-thread runtimes
//! inside a `LocalSet`.

mod channel;
mod connection;
mod listener;
mod log_limit;
mod options;
mod pool;
mod quotas;
mod reply_memory;
mod request_memory;
mod service;
mod shutdown;

pub use channel::{Channel, ChannelError, ChannelOptions, InFlight, ResponseFrame, VersionRange};
pub use listener::{Acceptor, ConnectionLoop, Listener};
pub use options::ListenerOptions;
pub use quotas::{ConnectionQuotas, QuotaLimits};
pub use reply_memory::ReplyMemory;
pub use request_memory::RequestMemory;
pub use service::{
    ClientSoftware, ConnContext, FilePiece, NoObserver, Observer, Outgoing, Peer, Reply, SendFile, Service, Warming,
};
pub use shutdown::{Shutdown, ShutdownTrigger};
