//! A listening socket, the acceptor that spreads its connections over the loops in turn, and the loops that run them.
//!
//! One acceptor rather than SO_REUSEPORT: counts and limits stay exact, and connections are spread evenly also when there are few.

use crate::connection::{self, Wiring};
use crate::log_limit::LogLimit;
use crate::options::ListenerOptions;
use crate::pool::BufferPool;
use crate::quotas::Slot;
use crate::service::{Peer, Service};
use crate::shutdown::Shutdown;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Duration;

/// Connections on their way from the acceptor to one loop; beyond it the acceptor waits, and the backlog after it.
const HANDOVER_MAX: usize = 256;
/// After a failed accept (EMFILE above all) the acceptor rests this long instead of spinning.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Congestion controls of this name pace what they send with a timer of the kernel.
const PACING: &[u8] = b"bbr";
/// One that does not, and that every Linux has.
const UNPACED: &[u8] = b"reno";

/// A bound, listening socket.
pub struct Listener {
    socket: std::net::TcpListener,
    options: Arc<ListenerOptions>,
    /// What connections over a network get, see [`without_pacing`].
    congestion_control: Option<Arc<[u8]>>,
}

impl Listener {
    /// Binds and listens; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind(address: SocketAddr, options: ListenerOptions) -> io::Result<Listener> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // As Java's sockets: all addresses of both kinds, whatever the system's default is.
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(&address.into())?;
        let congestion_control = without_pacing(&socket);
        socket.listen(options.backlog.max(1))?;
        Ok(Listener { socket: socket.into(), options: Arc::new(options), congestion_control })
    }

    /// As [`Listener::bind`] on all addresses of the machine: those of IPv6 and IPv4, or of IPv4 alone where there is no IPv6.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind_all(port: u16, options: ListenerOptions) -> io::Result<Listener> {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        match Listener::bind(both, options.clone()) {
            Err(error) if lacks_ipv6(&error) => Listener::bind((Ipv4Addr::UNSPECIFIED, port).into(), options),
            bound => bound,
        }
    }

    /// The address with its real port.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Splits into one acceptor and `loops` loops, which may run on different threads.
    ///
    /// # Panics
    /// When `loops` is 0.
    #[must_use]
    pub fn spread(self, loops: usize) -> (Acceptor, Vec<ConnectionLoop>) {
        assert!(loops > 0, "connections need a loop to run on");
        let log = Arc::new(LogLimit::new());
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..loops).map(|_| mpsc::channel(HANDOVER_MAX)).unzip();
        let connection_loop =
            |incoming| ConnectionLoop { incoming, options: Arc::clone(&self.options), log: Arc::clone(&log) };
        let loops = receivers.into_iter().map(connection_loop).collect();
        let Self { socket, options, congestion_control } = self;
        (Acceptor { socket, options, loops: senders, log, congestion_control }, loops)
    }
}

/// A connection on its way to a loop.
struct Accepted {
    stream: std::net::TcpStream,
    peer: Peer,
    slot: Slot,
}

/// Accepts the connections of one listener.
pub struct Acceptor {
    socket: std::net::TcpListener,
    options: Arc<ListenerOptions>,
    loops: Vec<mpsc::Sender<Accepted>>,
    log: Arc<LogLimit>,
    congestion_control: Option<Arc<[u8]>>,
}

/// Makes the connections of a listener begin without pacing, where the system's congestion control paces. Between two ends on one machine
/// there is nothing to control, while a timer for each segment costs three times what sending it does (docs/internals/hot-path.md); and who
/// has begun to pace does not stop, so it cannot wait for the connection. Returns what connections over a network are to get back.
fn without_pacing(socket: &socket2::Socket) -> Option<Arc<[u8]>> {
    let name = socket.tcp_congestion().ok()?;
    let name = name.split(|byte| *byte == 0).next().filter(|name| name.starts_with(PACING))?;
    socket.set_tcp_congestion(UNPACED).ok().map(|()| Arc::from(name))
}

/// Whether a socket of IPv6 failed because the system has none: it is left out of the kernel or switched off. Anything else, as a port
/// that is taken, is told.
fn lacks_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let none = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT];
    error.raw_os_error().is_some_and(|raw| none.contains(&Errno::from_raw_os_error(raw)))
}

/// An address of IPv4 that came over a socket for both, as itself.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether both ends are on this machine.
fn is_local(remote: SocketAddr, local: SocketAddr) -> bool {
    remote.ip().is_loopback() || remote.ip() == local.ip()
}

impl Acceptor {
    /// Accepts until `shutdown` begins. Runs on any one runtime.
    ///
    /// # Errors
    /// When the socket cannot be registered with the runtime.
    pub async fn run(self, mut shutdown: Shutdown) -> io::Result<()> {
        let socket = TcpListener::from_std(self.socket.try_clone()?)?;
        let accepting = async {
            let mut turn = 0_usize;
            loop {
                match socket.accept().await {
                    Ok((stream, remote)) => {
                        if let Err(error) = self.hand_over(stream, remote, turn).await {
                            self.warn(&format!("a connection from {remote} could not be set up: {error}"));
                        }
                        turn = turn.wrapping_add(1);
                    }
                    Err(error) => {
                        self.warn(&format!("could not accept a connection: {error}"));
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = shutdown.begun() => {}
        }
        Ok(())
    }

    async fn hand_over(&self, stream: TcpStream, remote: SocketAddr, turn: usize) -> io::Result<()> {
        let remote = canonical(remote);
        let Some(slot) = self.options.quotas.admit(remote).await else {
            self.options.observer.connection_refused(&self.options.name);
            self.warn(&format!(
                "closed a connection from {remote}: its address has max.connections.per.ip open already"
            ));
            return Ok(());
        };
        // Off this runtime's reactor: another one's will watch it.
        let stream = stream.into_std()?;
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_keepalive(true)?;
        if let Some(bytes) = self.options.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        let local = canonical(stream.local_addr()?);
        if let Some(name) = self.congestion_control.as_ref().filter(|_| !is_local(remote, local))
            && let Err(error) = socket.set_tcp_congestion(name)
        {
            // It is served as well without; a sandbox may allow nothing else.
            self.warn(&format!(
                "the connection from {remote} goes on without the system's congestion control: {error}"
            ));
        }
        let peer = Peer { id: next_connection_id(), remote, local, listener: Arc::clone(&self.options.name) };
        let target = &self.loops[turn % self.loops.len()];
        target.send(Accepted { stream, peer, slot }).await.map_err(|_| io::Error::other("its loop has ended"))
    }

    fn warn(&self, message: &str) {
        if let Some(suppressed) = self.log.admit(tokio::time::Instant::now()) {
            tracing::warn!(listener = %self.options.name, suppressed, "{message}");
        }
    }
}

fn next_connection_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs its share of a listener's connections on one current-thread runtime.
pub struct ConnectionLoop {
    incoming: mpsc::Receiver<Accepted>,
    options: Arc<ListenerOptions>,
    log: Arc<LogLimit>,
}

impl ConnectionLoop {
    /// Runs connections until `shutdown` begins, then until they have sent their replies or the deadline passes. Must run
    /// inside a `LocalSet`. A listener's service and those of other listeners on the same loop may be the same `Rc`.
    pub async fn run<S: Service>(mut self, service: Rc<S>, mut shutdown: Shutdown) {
        let pool = Rc::new(BufferPool::default());
        let mut tasks = JoinSet::new();
        let told = shutdown.clone();
        let deadline = loop {
            tokio::select! {
                deadline = shutdown.begun() => break deadline,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => report(ended),
                accepted = self.incoming.recv() => match accepted {
                    Some(accepted) => self.start(accepted, &service, &pool, &told, &mut tasks),
                    None => break shutdown.begun().await,
                },
            }
        };
        let drained = async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            tracing::info!(listener = %self.options.name, connections = tasks.len(), "closing connections whose replies took too long");
            tasks.shutdown().await;
        }
    }

    fn start<S: Service>(
        &self,
        accepted: Accepted,
        service: &Rc<S>,
        pool: &Rc<BufferPool>,
        shutdown: &Shutdown,
        tasks: &mut JoinSet<()>,
    ) {
        let stream = match TcpStream::from_std(accepted.stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be registered with its loop");
                return;
            }
        };
        let wiring = Wiring {
            service: Rc::clone(service),
            pool: Rc::clone(pool),
            options: Arc::clone(&self.options),
            log: Arc::clone(&self.log),
            shutdown: shutdown.clone(),
        };
        let open = Open::new(&self.options, accepted.slot);
        tasks.spawn_local(async move {
            let _open = open;
            connection::run(stream, accepted.peer, wiring).await;
        });
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task broke an invariant; its connection is closed");
    }
}

/// Holds a connection's place in the counts, however its task ends.
struct Open {
    options: Arc<ListenerOptions>,
    _slot: Slot,
}

impl Open {
    fn new(options: &Arc<ListenerOptions>, slot: Slot) -> Self {
        options.observer.connection_opened(&options.name);
        Self { options: Arc::clone(options), _slot: slot }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.options.observer.connection_closed(&self.options.name);
    }
}

#[cfg(test)]
mod tests;
