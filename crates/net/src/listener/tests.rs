//! Real sockets on loopback against a small service that is told by each frame what to answer.

use super::*;
use crate::quotas::{ConnectionQuotas, QuotaLimits};
use crate::request_memory::RequestMemory;
use crate::service::{ConnContext, FilePiece, Observer, Outgoing, Reply, SendFile, Warming};
use crate::shutdown::ShutdownTrigger;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::os::fd::{AsFd, BorrowedFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::LocalSet;

mod files;
mod limits;
mod memory;

/// Where a file range stands in a reply, and the range.
type Placed = (usize, Arc<dyn SendFile>, u64, usize);

/// The first byte of a frame says what to do: `e` echo, `l` echo when the gate opens, `n` nothing, `c` close, `f` send files,
/// `b` answer with a large body, `w` echo after work.
#[derive(Default)]
struct Script {
    calls: Cell<usize>,
    gate: Rc<Gate>,
    /// What an `f` frame is answered with, header bytes between and around the pieces.
    files: RefCell<Vec<Placed>>,
    header: RefCell<Vec<u8>>,
    warmings: Cell<usize>,
    warming_gate: Option<Rc<Gate>>,
}

/// Lets futures through, one for each ticket.
#[derive(Default)]
struct Gate {
    opened: Cell<bool>,
    changed: Notify,
    dropped: Cell<usize>,
}

impl Gate {
    fn open(&self) {
        self.opened.set(true);
        self.changed.notify_waiters();
    }

    async fn pass(self: Rc<Self>) {
        struct CountDrop(Rc<Gate>);
        impl Drop for CountDrop {
            fn drop(&mut self) {
                self.0.dropped.set(self.0.dropped.get() + 1);
            }
        }
        let _count = CountDrop(Rc::clone(&self));
        while !self.opened.get() {
            self.changed.notified().await;
        }
    }
}

impl Service for Script {
    type Session = ();

    fn connected(&self, _: &Peer) {}

    fn call(&self, _: &mut ConnContext<()>, frame: &[u8]) -> Reply {
        self.calls.set(self.calls.get() + 1);
        let echo = Outgoing::from_bytes(framed(frame));
        match frame[0] {
            b'e' => Reply::Now(echo),
            b'w' => {
                work();
                Reply::Now(echo)
            }
            b'b' => Reply::Now(Outgoing::from_bytes(framed(&vec![b'b'; 100_000]))),
            b'l' => {
                let gate = Rc::clone(&self.gate);
                Reply::Later(Box::pin(async move {
                    gate.pass().await;
                    Some(echo)
                }))
            }
            b'n' => Reply::Nothing,
            b'f' => Reply::Now(Outgoing {
                has_error: false,
                bytes: self.header.borrow().clone(),
                files: self.files.borrow().iter().map(piece).collect(),
            }),
            _ => Reply::Close("told to".to_owned()),
        }
    }

    fn before_send(&self, _: &Arc<dyn SendFile>, _: u64, _: usize) -> Option<Warming> {
        self.warmings.set(self.warmings.get() + 1);
        let gate = Rc::clone(self.warming_gate.as_ref()?);
        Some(Box::pin(gate.pass()))
    }
}

/// Takes a loop longer than a turn of a connection may: each step needs the one before.
fn work() {
    let steps = (0..300_000_u64)
        .fold(1_u64, |at, _| std::hint::black_box(at.wrapping_mul(6_364_136_223_846_793_005) ^ at >> 29));
    assert_ne!(steps, 0);
}

fn piece((at, file, position, len): &Placed) -> FilePiece {
    FilePiece { at: *at, file: Arc::clone(file), position: *position, len: *len }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = i32::try_from(body.len()).expect("a short frame").to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_i32().await?;
    let mut body = vec![0; usize::try_from(len).expect("a valid size")];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]).await {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

fn options() -> ListenerOptions {
    ListenerOptions::new("TEST", ConnectionQuotas::new(QuotaLimits::default()))
}

/// A listener with two loops on this thread.
struct Running {
    address: SocketAddr,
    trigger: ShutdownTrigger,
    ended: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the listener accepts")
    }
}

async fn serving<F: Future>(
    options: ListenerOptions,
    service: Rc<Script>,
    test: impl FnOnce(Running) -> F,
) -> F::Output {
    LocalSet::new()
        .run_until(async move {
            let listener = Listener::bind("127.0.0.1:0".parse().expect("an address"), options).expect("loopback");
            let address = listener.local_addr().expect("bound");
            let (trigger, shutdown) = ShutdownTrigger::new();
            let (acceptor, loops) = listener.spread(2);
            let mut tasks = JoinSet::new();
            let told = shutdown.clone();
            tasks.spawn_local(async move { acceptor.run(told).await.expect("accepts") });
            for connection_loop in loops {
                tasks.spawn_local(connection_loop.run(Rc::clone(&service), shutdown.clone()));
            }
            let ended = tokio::task::spawn_local(async move { while tasks.join_next().await.is_some() {} });
            test(Running { address, trigger, ended }).await
        })
        .await
}

#[test]
fn local_connections_are_not_paced_and_others_get_what_the_system_says() {
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let name = |socket: &socket2::Socket| socket.tcp_congestion().expect("Linux tells");
    // A system without BBR has nothing that paces, and its choice is left alone.
    let (plain, paced) = (socket(), socket());
    plain.set_tcp_congestion(UNPACED).expect("every kernel has it");
    assert_eq!(without_pacing(&plain), None);
    if paced.set_tcp_congestion(PACING).is_ok() {
        assert_eq!(without_pacing(&paced).as_deref(), Some(PACING));
        assert!(name(&paced).starts_with(UNPACED));
    }
    let local = "10.0.0.1:9092".parse().expect("an address");
    for (remote, expected) in [
        ("127.0.0.1:5", true),
        ("10.0.0.1:5", true),
        ("[::ffff:10.0.0.1]:5", true),
        ("[::1]:5", true),
        ("10.0.0.2:5", false),
        ("[2001:db8::1]:5", false),
    ] {
        assert_eq!(is_local(canonical(remote.parse().expect("an address")), local), expected, "{remote}");
    }
}

#[test]
fn all_addresses_are_those_of_ipv6_and_ipv4() {
    let listener = Listener::bind_all(0, options()).expect("a free port");
    let bound = listener.local_addr().expect("bound");
    assert!(bound.ip().is_unspecified());
    let mut reached = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()))];
    // A machine without IPv6 has no ::1 to bind to.
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        reached.push((Ipv6Addr::LOCALHOST, bound.port()).into());
    }
    for address in reached {
        std::net::TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    let taken = Listener::bind_all(bound.port(), options()).err().expect("the port is taken");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn only_a_lack_of_ipv6_leaves_ipv4_alone() {
    let of = |errno: rustix::io::Errno| lacks_ipv6(&errno.into());
    assert!(of(rustix::io::Errno::AFNOSUPPORT) && of(rustix::io::Errno::ADDRNOTAVAIL));
    assert!(!of(rustix::io::Errno::ADDRINUSE) && !of(rustix::io::Errno::MFILE) && !of(rustix::io::Errno::ACCESS));
}

#[tokio::test]
async fn replies_leave_in_the_order_of_requests_though_an_early_one_is_late() {
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    serving(options(), Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        let bodies: Vec<Vec<u8>> =
            vec![b"e1".into(), b"l2".into(), b"n3".into(), b"e4".into(), b"l5".into(), b"e6".into()];
        stream.write_all(&bodies.iter().flat_map(|body| framed(body)).collect::<Vec<_>>()).await.expect("writes");
        assert_eq!(read_frame(&mut stream).await.expect("a reply"), b"e1");
        while service.calls.get() < 6 {
            tokio::task::yield_now().await;
        }
        assert!(stream.try_read(&mut [0; 1]).is_err(), "nothing overtakes the late reply");
        gate.open();
        for expected in [&b"l2"[..], b"e4", b"l5", b"e6"] {
            assert_eq!(read_frame(&mut stream).await.expect("a reply"), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_frame_may_be_split_at_every_byte() {
    serving(options(), Rc::new(Script::default()), async |running: Running| {
        let bytes: Vec<u8> = [framed(b"e-first"), framed(b"e-second-one"), framed(b"e3")].concat();
        for split in 0..=bytes.len() {
            let mut stream = running.connect().await;
            stream.set_nodelay(true).expect("an option");
            stream.write_all(&bytes[..split]).await.expect("writes");
            // A whole round trip on another connection of the same thread: the first part has been seen.
            let mut other = running.connect().await;
            other.write_all(&framed(b"e")).await.expect("writes");
            read_frame(&mut other).await.expect("a reply");
            stream.write_all(&bytes[split..]).await.expect("writes");
            for expected in [&b"e-first"[..], b"e-second-one", b"e3"] {
                assert_eq!(read_frame(&mut stream).await.expect("a reply"), expected, "split at {split}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn frames_larger_than_the_buffer_come_back_whole() {
    serving(options(), Rc::new(Script::default()), async |running: Running| {
        let mut stream = running.connect().await;
        for len in [1, 100, 16_379, 16_380, 16_381, 65_536, 300_000, 3_000_000, 5, 70_000] {
            let body: Vec<u8> = std::iter::once(b'e').chain((1..len).map(|i| (i % 251) as u8)).collect();
            let (mut reader, mut writer) = stream.split();
            let bytes = framed(&body);
            let read = async {
                let size = reader.read_i32().await.expect("a size");
                let mut back = vec![0; usize::try_from(size).expect("a valid size")];
                reader.read_exact(&mut back).await.expect("a body");
                back
            };
            let (sent, back) = tokio::join!(writer.write_all(&bytes), read);
            sent.expect("writes");
            assert!(back == body, "{len} bytes came back changed");
        }
    })
    .await;
}

#[tokio::test]
async fn s02_a_size_that_is_no_size_closes_its_own_connection_only() {
    let options = ListenerOptions { request_bytes_max: 1000, ..options() };
    serving(options, Rc::new(Script::default()), async |running: Running| {
        let mut good = running.connect().await;
        for size in [0, -1, i32::MIN, 1001, i32::MAX, i32::from_be_bytes(*b"GET ")] {
            let mut bad = running.connect().await;
            bad.write_all(&[framed(b"e-before"), size.to_be_bytes().to_vec(), b"e / HTTP".to_vec()].concat())
                .await
                .expect("writes");
            assert_eq!(read_frame(&mut bad).await.expect("the reply before"), b"e-before");
            assert!(is_closed(&mut bad).await, "size {size}");
            good.write_all(&framed(b"e")).await.expect("writes");
            assert_eq!(read_frame(&mut good).await.expect("a reply"), b"e");
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_frame_closes_after_the_replies_before_it() {
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    serving(options(), Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        stream.write_all(&[framed(b"l1"), framed(b"e2"), framed(b"c"), framed(b"e4")].concat()).await.expect("writes");
        while service.calls.get() < 3 {
            tokio::task::yield_now().await;
        }
        gate.open();
        assert_eq!(read_frame(&mut stream).await.expect("a reply"), b"l1");
        assert_eq!(read_frame(&mut stream).await.expect("a reply"), b"e2");
        assert!(is_closed(&mut stream).await);
        assert_eq!(service.calls.get(), 3, "nothing after it is handled");
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_goes_away_frees_its_place_and_drops_its_waiting_replies() {
    let service = Rc::new(Script::default());
    let options = options();
    let quotas = Arc::clone(&options.quotas);
    serving(options, Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        stream.write_all(&[framed(b"l1"), framed(b"l2")].concat()).await.expect("writes");
        while service.calls.get() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(quotas.total(), 1);
        drop(stream);
        while service.gate.dropped.get() < 2 || quotas.total() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_what_is_in_flight_and_takes_nothing_more() {
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    serving(options(), Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        let mut idle = running.connect().await;
        stream.write_all(&framed(b"l1")).await.expect("writes");
        while service.calls.get() < 1 {
            tokio::task::yield_now().await;
        }
        running.trigger.begin(Duration::from_secs(5));
        assert!(is_closed(&mut idle).await);
        stream.write_all(&framed(b"e-too-late")).await.expect("writes");
        gate.open();
        assert_eq!(read_frame(&mut stream).await.expect("the reply in flight"), b"l1");
        assert!(is_closed(&mut stream).await);
        running.ended.await.expect("no panic");
        assert_eq!(service.calls.get(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_longer_than_it_was_told() {
    let service = Rc::new(Script::default());
    serving(options(), Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        stream.write_all(&framed(b"l1")).await.expect("writes");
        while service.calls.get() < 1 {
            tokio::task::yield_now().await;
        }
        let begun = tokio::time::Instant::now();
        running.trigger.begin(Duration::from_secs(5));
        running.ended.await.expect("no panic");
        assert_eq!(begun.elapsed().as_secs(), 5);
        assert_eq!(service.gate.dropped.get(), 1);
    })
    .await;
}
