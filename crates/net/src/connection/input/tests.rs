use super::*;
use crate::pool::BufferPool;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connects"), far.expect("accepts").0)
}

async fn receive(input: &mut Input<Rc<BufferPool>>, stream: &mut TcpStream) -> Received {
    std::future::poll_fn(|cx| Poll::Ready(input.receive(stream, cx))).await.expect("reads")
}

#[tokio::test]
async fn s01_s03_memory_grows_only_with_bytes_received() {
    let (mut near, mut far) = pair().await;
    let mut input = Input::new(Rc::new(BufferPool::default()), Share::default(), 100 << 20);
    near.write_all(&(100_i32 << 20).to_be_bytes()).await.expect("writes");
    let mut sent = 4;
    let mut received = 0;
    while sent < 5_000_000 {
        near.write_all(&[7; 10_000]).await.expect("writes");
        sent += 10_000;
        while received < sent {
            match receive(&mut input, &mut far).await {
                Received::Bytes(bytes) => received += bytes,
                other => {
                    assert_eq!(other, Received::Nothing);
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(input.next_frame(), Ok(None));
            let capacity = input.buffer.capacity();
            assert!(capacity <= 2 * received + 2 * BUFFER_BYTES, "{capacity} bytes held for {received} received");
        }
    }
}

#[tokio::test]
async fn s13_an_idle_connection_holds_no_buffer() {
    let (mut near, mut far) = pair().await;
    let pool = Rc::new(BufferPool::default());
    let mut input = Input::new(Rc::clone(&pool), Share::default(), 1 << 20);
    near.write_all(&[0, 0, 0, 2, 1, 2, 0]).await.expect("writes");
    while receive(&mut input, &mut far).await == Received::Nothing {
        tokio::task::yield_now().await;
    }
    let frame = input.next_frame().expect("valid").expect("complete");
    assert_eq!(input.bytes(frame), [1, 2]);
    assert_eq!(input.next_frame(), Ok(None));
    input.rest();
    assert_eq!(receive(&mut input, &mut far).await, Received::Nothing);
    assert!(input.buffer.capacity() > 0, "half a size is held");
    near.write_all(&[0, 0, 1, 9]).await.expect("writes");
    while receive(&mut input, &mut far).await == Received::Nothing {
        tokio::task::yield_now().await;
    }
    assert!(input.next_frame().expect("valid").is_some());
    input.rest();
    assert_eq!(receive(&mut input, &mut far).await, Received::Nothing);
    assert_eq!(input.buffer.capacity(), 0);
}

#[tokio::test]
async fn a_read_takes_several_frames_once_they_come_faster_than_they_are_read() {
    let (mut near, mut far) = pair().await;
    let mut input = Input::new(Rc::new(BufferPool::default()), Share::default(), 1 << 20);
    let frame = [&4_000_i32.to_be_bytes()[..], &[7; 4_000]].concat();
    let mut largest = 0;
    for _ in 0..6 {
        near.write_all(&frame.repeat(64)).await.expect("writes");
        let mut frames = 0;
        while frames < 64 {
            match receive(&mut input, &mut far).await {
                Received::Bytes(bytes) => largest = largest.max(bytes),
                other => {
                    assert_eq!(other, Received::Nothing);
                    tokio::task::yield_now().await;
                }
            }
            while let Some(frame) = input.next_frame().expect("valid") {
                assert_eq!(input.bytes(frame), [7; 4_000]);
                frames += 1;
            }
            input.rest();
        }
    }
    assert!(largest > 2 * BUFFER_BYTES, "at most {largest} bytes at once");
    // One that says little again soon needs no large buffer.
    for _ in 0..8 {
        near.write_all(&frame[..]).await.expect("writes");
        while receive(&mut input, &mut far).await == Received::Nothing {
            tokio::task::yield_now().await;
        }
        while input.next_frame().expect("valid").is_some() {}
        input.rest();
    }
    assert_eq!(input.read_bytes, BUFFER_BYTES);
}

/// The first bytes of the next frame stand behind a large one: what is kept for them is small.
#[tokio::test]
async fn s03_a_few_bytes_behind_a_large_frame_hold_no_large_buffer() {
    let (mut near, mut far) = pair().await;
    let mut input = Input::new(Rc::new(BufferPool::default()), Share::default(), 100 << 20);
    let bytes = [&3_000_000_i32.to_be_bytes()[..], &vec![1; 3_000_000], &[0, 0, 0, 9, 7]].concat();
    let sender = tokio::spawn(async move {
        near.write_all(&bytes).await.expect("writes");
        near
    });
    while input.next_frame().expect("valid").is_none() {
        if receive(&mut input, &mut far).await == Received::Nothing {
            tokio::task::yield_now().await;
        }
    }
    while input.buffer.len() - input.start < 5 {
        input.rest();
        if receive(&mut input, &mut far).await == Received::Nothing {
            tokio::task::yield_now().await;
        }
    }
    input.rest();
    assert_eq!((input.next_frame(), &input.buffer[..]), (Ok(None), &[0, 0, 0, 9, 7][..]));
    assert!(input.buffer.capacity() <= BUFFER_BYTES, "{} bytes", input.buffer.capacity());
    let mut near = sender.await.expect("no panic");
    near.write_all(&[7; 8]).await.expect("writes");
    while input.next_frame().expect("valid").is_none() {
        if receive(&mut input, &mut far).await == Received::Nothing {
            tokio::task::yield_now().await;
        }
    }
}
