//! Memory for requests that are still arriving: it has a limit over all connections, and everybody gets on (S03).

use super::*;
use std::sync::atomic::AtomicUsize;

const MIB: usize = 1 << 20;
/// Connections whose halves are more than that memory.
const HALVES: usize = 8;

#[derive(Default)]
pub(super) struct Counts {
    waits: AtomicUsize,
    pub(super) slow: AtomicUsize,
}

impl Observer for Counts {
    fn request_waits(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }
    fn slow_request_closed(&self) {
        self.slow.fetch_add(1, Ordering::Relaxed);
    }
}

/// Frames of up to a MiB, and memory for one.
fn tight() -> (ListenerOptions, Arc<RequestMemory>, Arc<Counts>) {
    let (memory, counts) = (RequestMemory::new(MIB), Arc::new(Counts::default()));
    let request_memory = Arc::clone(&memory);
    let observer = Arc::clone(&counts) as Arc<dyn Observer>;
    (ListenerOptions { request_bytes_max: MIB, request_memory, observer, ..options() }, memory, counts)
}

/// The beginning of a frame of 900,000 bytes.
async fn half_send(stream: &mut TcpStream, bytes: usize) {
    stream.write_all(&900_000_i32.to_be_bytes()).await.expect("writes");
    stream.write_all(&vec![b'e'; bytes]).await.expect("small enough for the socket buffers");
}

async fn until_somebody_waits(memory: &RequestMemory) {
    while memory.waiting() == 0 {
        tokio::task::yield_now().await;
    }
}

async fn echo(stream: &mut TcpStream, bytes: usize) {
    let body = vec![b'e'; bytes];
    let (mut reader, mut writer) = stream.split();
    let frame = framed(&body);
    let read = async {
        let size = reader.read_i32().await.expect("a size");
        let mut back = vec![0; usize::try_from(size).expect("a valid size")];
        reader.read_exact(&mut back).await.expect("a body");
        back
    };
    let (sent, back) = tokio::join!(writer.write_all(&frame), read);
    sent.expect("writes");
    assert!(back == body, "{bytes} bytes came back changed");
}

#[tokio::test(start_paused = true)]
async fn s03_half_sent_frames_leave_room_for_others() {
    let (options, memory, counts) = tight();
    serving(options, Rc::new(Script::default()), async |running: Running| {
        let mut silent = Vec::new();
        for _ in 0..30 {
            let mut stream = running.connect().await;
            half_send(&mut stream, 100_000).await;
            silent.push(stream);
        }
        until_somebody_waits(&memory).await;
        let begun = tokio::time::Instant::now();
        let mut small = running.connect().await;
        for bytes in [1, 100, 16_000] {
            echo(&mut small, bytes).await;
        }
        assert_eq!(begun.elapsed().as_millis(), 0, "a small request waits for nobody");
        assert!(memory.used() <= 2 * MIB, "{} bytes", memory.used());
        let mut large = running.connect().await;
        echo(&mut large, 800_000).await;
        assert!(begun.elapsed().as_secs() < 60, "it took {:?}", begun.elapsed());
        let slow = counts.slow.load(Ordering::Relaxed);
        assert!(slow > 0 && counts.waits.load(Ordering::Relaxed) > 0, "{slow} were closed");
        drop(silent);
        while memory.used() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s03_who_drips_is_closed_only_while_others_wait() {
    let (options, memory, counts) = tight();
    serving(options, Rc::new(Script::default()), async |running: Running| {
        let mut slow = running.connect().await;
        half_send(&mut slow, 600_000).await;
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            slow.write_all(&[b'e'; 100]).await.expect("nobody minds");
        }
        let mut other = running.connect().await;
        let mut dripping = true;
        let drip = async {
            while dripping {
                tokio::time::advance(Duration::from_secs(1)).await;
                dripping = slow.write_all(&[b'e'; 100]).await.is_ok();
            }
        };
        tokio::join!(drip, echo(&mut other, 900_000));
        assert_eq!((counts.slow.load(Ordering::Relaxed), memory.waiting()), (1, 0));
    })
    .await;
}

/// Nobody is slow, and the halves of all do not fit.
#[tokio::test]
async fn s03_many_large_frames_at_once_all_get_whole() {
    let (options, memory, counts) = tight();
    serving(options, Rc::new(Script::default()), async |running: Running| {
        let mut streams = Vec::new();
        for _ in 0..HALVES {
            let mut stream = running.connect().await;
            half_send(&mut stream, 400_000).await;
            streams.push(stream);
        }
        until_somebody_waits(&memory).await;
        let mut going = JoinSet::new();
        for mut stream in streams {
            let memory = Arc::clone(&memory);
            going.spawn_local(async move {
                let (mut reader, mut writer) = stream.split();
                let read = async {
                    let mut back = vec![0; 900_004];
                    reader.read_exact(&mut back).await.expect("a reply");
                };
                let rest = vec![b'e'; 500_000];
                let (sent, ()) = tokio::join!(writer.write_all(&rest), read);
                sent.expect("writes");
                assert!(memory.used() <= 2 * MIB + 32 * 1024, "{} bytes", memory.used());
            });
        }
        let mut whole = 0;
        while let Some(ended) = going.join_next().await {
            ended.expect("no panic");
            whole += 1;
        }
        assert_eq!(whole, HALVES);
        while memory.used() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(counts.slow.load(Ordering::Relaxed), 0);
        assert_eq!((memory.used(), memory.waiting()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_may_not_be_read_from_holds_no_empty_buffer() {
    let (options, memory, _) = tight();
    let options = ListenerOptions { pipeline_max: 1, ..options };
    let service = Rc::new(Script::default());
    let gate = Rc::clone(&service.gate);
    serving(options, Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        stream.write_all(&framed(&[b'l'; 300_000])).await.expect("writes");
        while service.calls.get() == 0 || memory.used() > 0 {
            tokio::task::yield_now().await;
        }
        gate.open();
        assert_eq!(read_frame(&mut stream).await.expect("a reply").len(), 300_000);
    })
    .await;
}
