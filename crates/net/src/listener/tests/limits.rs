//! Limits that protect the node: idleness, counts, peers that do not read or do not finish.

use super::memory::Counts;
use super::*;
use crate::reply_memory::ReplyMemory;
use std::collections::BTreeMap;

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_one_that_waits_for_a_reply_is_not() {
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    let options = ListenerOptions { idle_max: Some(Duration::from_secs(600)), ..options() };
    serving(options, Rc::clone(&service), async |running: Running| {
        let mut idle = running.connect().await;
        let mut waiting = running.connect().await;
        waiting.write_all(&framed(b"l")).await.expect("writes");
        let begun = tokio::time::Instant::now();
        assert!(is_closed(&mut idle).await);
        assert_eq!(begun.elapsed().as_secs(), 600);
        gate.open();
        assert_eq!(read_frame(&mut waiting).await.expect("still open"), b"l");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn activity_puts_the_idle_deadline_off() {
    serving(options(), Rc::new(Script::default()), async |running: Running| {
        let mut stream = running.connect().await;
        let begun = tokio::time::Instant::now();
        tokio::time::advance(Duration::from_secs(400)).await;
        stream.write_all(&framed(b"e")).await.expect("writes");
        assert_eq!(read_frame(&mut stream).await.expect("a reply"), b"e");
        assert!(is_closed(&mut stream).await);
        assert_eq!(begun.elapsed().as_secs(), 1000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s03_a_frame_that_trickles_in_is_not_waited_for_for_ever() {
    serving(options(), Rc::new(Script::default()), async |running: Running| {
        let mut stream = running.connect().await;
        let begun = tokio::time::Instant::now();
        stream.write_all(&(100 * 1024 * 1024_i32).to_be_bytes()).await.expect("writes");
        let mut minutes = 0;
        loop {
            tokio::time::advance(Duration::from_secs(60)).await;
            let closed = tokio::time::timeout(Duration::from_millis(1), is_closed(&mut stream)).await;
            if closed == Ok(true) || stream.write_all(b"x").await.is_err() {
                break;
            }
            minutes += 1;
            assert!(minutes < 30, "a byte a minute keeps it open");
        }
        assert!((600..720).contains(&begun.elapsed().as_secs()));
    })
    .await;
}

#[tokio::test]
async fn s12_a_peer_that_sends_and_never_reads_is_stopped() {
    let service = Rc::new(Script::default());
    let options = ListenerOptions { reply_bytes_max: 200_000, ..options() };
    serving(options, Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        let flood: Vec<u8> = framed(b"b").repeat(1000);
        stream.write_all(&flood).await.expect("small enough for the socket buffers");
        let mut other = running.connect().await;
        for _ in 0..50 {
            other.write_all(&framed(b"e")).await.expect("writes");
            read_frame(&mut other).await.expect("others are served");
        }
        let handled = service.calls.get() - 50;
        assert!(handled < 400, "{handled} requests were answered to a peer that reads nothing");
        for _ in 0..1000 {
            assert_eq!(read_frame(&mut stream).await.expect("a reply").len(), 100_000);
        }
    })
    .await;
}

#[tokio::test]
async fn s12_replies_that_wait_are_bounded_in_number() {
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    let options = ListenerOptions { pipeline_max: 10, ..options() };
    serving(options, Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        stream.write_all(&framed(b"l").repeat(1000)).await.expect("writes");
        let mut other = running.connect().await;
        for _ in 0..20 {
            other.write_all(&framed(b"e")).await.expect("writes");
            read_frame(&mut other).await.expect("others are served");
        }
        assert_eq!(service.calls.get(), 10 + 20);
        gate.open();
        for _ in 0..1000 {
            assert_eq!(read_frame(&mut stream).await.expect("a reply"), b"l");
        }
    })
    .await;
}

/// Answers that are ready wait behind one that is not: their bytes count all the same.
#[tokio::test]
async fn s12_replies_behind_one_that_waits_are_bounded_in_bytes() {
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    let options = ListenerOptions { reply_bytes_max: 250_000, ..options() };
    serving(options, Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        stream.write_all(&[framed(b"l"), framed(b"b").repeat(200)].concat()).await.expect("writes");
        let mut other = running.connect().await;
        for _ in 0..20 {
            other.write_all(&framed(b"e")).await.expect("writes");
            read_frame(&mut other).await.expect("others are served");
        }
        assert_eq!(service.calls.get(), 1 + 3 + 20, "the third goes beyond the limit");
        gate.open();
        assert_eq!(read_frame(&mut stream).await.expect("a reply"), b"l");
        for _ in 0..200 {
            assert_eq!(read_frame(&mut stream).await.expect("a reply").len(), 100_000);
        }
    })
    .await;
}

/// Memory for 30 of the large answers over all connections, and sockets that take little of them.
fn little_reply_memory() -> (ListenerOptions, Arc<ReplyMemory>) {
    let memory = ReplyMemory::new(30 * LARGE);
    let reply_memory = Arc::clone(&memory);
    (ListenerOptions { reply_memory, send_buffer_bytes: Some(4096), ..options() }, memory)
}

/// The size of an answer to `b`, and how many connections ask for how many of them and read none.
const LARGE: usize = 100_000;
const DEAF: usize = 60;
const ASKED: usize = 20;

async fn deaf(running: &Running) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..DEAF {
        let mut stream = running.connect().await;
        stream.write_all(&framed(b"b").repeat(ASKED)).await.expect("writes");
        streams.push(stream);
    }
    streams
}

/// What each connection may hold of answers adds up: there is a limit to the sum, and an answer is everybody's.
#[tokio::test]
async fn s12_answers_that_nobody_reads_have_a_bound_over_all_connections() {
    let (options, memory) = little_reply_memory();
    serving(options, Rc::new(Script::default()), async |running: Running| {
        let mut streams = deaf(&running).await;
        let mut other = running.connect().await;
        for _ in 0..50 {
            other.write_all(&framed(b"b")).await.expect("writes");
            assert_eq!(read_frame(&mut other).await.expect("others are served").len(), LARGE);
        }
        // Beyond the limit one answer a connection, and what one connection makes in a turn.
        let bound = (30 + DEAF + 12) * (LARGE + 4);
        assert!(memory.used() <= bound, "{} bytes are held, {bound} are the bound", memory.used());
        for stream in &mut streams {
            for _ in 0..ASKED {
                assert_eq!(read_frame(stream).await.expect("a reply").len(), LARGE);
            }
        }
        drop(streams);
        while memory.used() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// While answers take all the memory that they may, who reads none of them is closed soon; before that nobody is.
#[tokio::test(start_paused = true)]
async fn s12_who_reads_no_answers_is_closed_when_their_memory_is_used_up() {
    let (options, memory) = little_reply_memory();
    let closed = Arc::new(Counts::default());
    let options = ListenerOptions { observer: Arc::clone(&closed) as Arc<dyn Observer>, ..options };
    serving(options, Rc::new(Script::default()), async |running: Running| {
        let mut one = running.connect().await;
        one.write_all(&framed(b"b").repeat(ASKED)).await.expect("writes");
        while memory.used() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(closed.slow.load(Ordering::Relaxed), 0, "{} bytes are not all", memory.used());
        let _deaf = deaf(&running).await;
        let begun = tokio::time::Instant::now();
        while closed.slow.load(Ordering::Relaxed) == 0 {
            tokio::time::advance(Duration::from_millis(500)).await;
            assert!(begun.elapsed().as_secs() < 60, "nobody is closed, and {} bytes are held", memory.used());
        }
    })
    .await;
}

/// Answers behind one that is not ready nobody can take: whose they are is not closed for it.
#[tokio::test(start_paused = true)]
async fn s12_who_waits_for_an_answer_is_not_closed_for_those_behind_it() {
    let (options, _) = little_reply_memory();
    let closed = Arc::new(Counts::default());
    let options = ListenerOptions { observer: Arc::clone(&closed) as Arc<dyn Observer>, ..options };
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    serving(options, Rc::clone(&service), async |running: Running| {
        let mut waiting = running.connect().await;
        waiting.write_all(&[framed(b"l"), framed(b"b")].concat()).await.expect("writes");
        while service.calls.get() < 2 {
            tokio::task::yield_now().await;
        }
        let _deaf = deaf(&running).await;
        while closed.slow.load(Ordering::Relaxed) == 0 {
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        gate.open();
        assert_eq!(read_frame(&mut waiting).await.expect("a reply"), b"l");
        assert_eq!(read_frame(&mut waiting).await.expect("a reply").len(), LARGE);
    })
    .await;
}

/// Few bytes may ask for much work; whoever else is on the loop has its turn in between.
#[tokio::test]
async fn s16_work_that_was_pipelined_lets_others_run() {
    const PIPELINED: usize = 200;
    let service = Rc::new(Script::default());
    serving(options(), Rc::clone(&service), async |running: Running| {
        let mut other = running.connect().await;
        let mut busy = [running.connect().await, running.connect().await];
        for stream in &mut busy {
            stream.write_all(&framed(b"w").repeat(PIPELINED)).await.expect("writes");
        }
        while service.calls.get() == 0 {
            tokio::task::yield_now().await;
        }
        other.write_all(&framed(b"e")).await.expect("writes");
        assert_eq!(read_frame(&mut other).await.expect("a reply"), b"e");
        let before = service.calls.get();
        assert!(before < PIPELINED / 4, "{before} requests were answered before another connection's only one");
        for stream in &mut busy {
            for _ in 0..PIPELINED {
                assert_eq!(read_frame(stream).await.expect("a reply"), b"w");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn s13_an_address_with_too_many_connections_gets_no_more_until_one_closes() {
    let limits = QuotaLimits { connections_per_ip_max: 2, per_ip_overrides: BTreeMap::new(), ..QuotaLimits::default() };
    let quotas = ConnectionQuotas::new(limits);
    let options = ListenerOptions::new("TEST", Arc::clone(&quotas));
    serving(options, Rc::new(Script::default()), async |running: Running| {
        let first = running.connect().await;
        let mut second = running.connect().await;
        second.write_all(&framed(b"e")).await.expect("writes");
        read_frame(&mut second).await.expect("a reply");
        assert!(is_closed(&mut running.connect().await).await);
        drop(first);
        while quotas.total() > 1 {
            tokio::task::yield_now().await;
        }
        let mut third = running.connect().await;
        third.write_all(&framed(b"e")).await.expect("writes");
        assert_eq!(read_frame(&mut third).await.expect("a reply"), b"e");
    })
    .await;
}

/// What a connection is made of while it waits: its task's future, which holds everything that lives across an await.
#[test]
fn s13_a_connection_is_made_of_little() {
    fn bytes<F>(_: impl Fn(TcpStream, Peer, Wiring<Script>) -> F) -> usize {
        size_of::<F>()
    }
    let bytes = bytes(connection::run::<Script>);
    assert!(bytes <= 2048, "{bytes} bytes");
}
