use super::*;
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use protocol::messages::metadata_request::MetadataRequest;
use protocol::messages::metadata_response::MetadataResponse;
use protocol::wire::Writer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

async fn read_request(stream: &mut TcpStream) -> (i16, i16, i32) {
    let size = stream.read_i32().await.expect("a size");
    let mut body = vec![0; usize::try_from(size).expect("a valid size")];
    stream.read_exact(&mut body).await.expect("a body");
    let mut reader = Reader::new(&body);
    (reader.i16().expect("a key"), reader.i16().expect("a version"), reader.i32().expect("an id"))
}

fn response(key: ApiKey, version: i16, id: i32, body: &impl Encode) -> Vec<u8> {
    let mut writer = Writer::default();
    frame::encode_response(id, key, version, body, &mut writer).expect("encodes");
    writer.buf
}

fn versions(error: i16, metadata_max: i16) -> ApiVersionsResponse<'static> {
    let range = |api_key, max_version| ApiVersion { api_key, min_version: 0, max_version, ..ApiVersion::default() };
    ApiVersionsResponse {
        error_code: error,
        api_keys: vec![range(18, 2), range(3, metadata_max)],
        ..Default::default()
    }
}

/// Accepts one connection and answers its ApiVersions.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("accepts");
    let (key, version, id) = read_request(&mut stream).await;
    assert_eq!(key, 18);
    stream.write_all(&response(ApiKey::ApiVersions, version, id, &versions(0, 9))).await.expect("writes");
    stream
}

fn cluster(name: &str) -> MetadataResponse<'static> {
    MetadataResponse { cluster_id: Some(name.to_owned().into()), ..MetadataResponse::default() }
}

#[tokio::test]
async fn kip511_an_older_broker_is_asked_again_in_a_version_it_knows() {
    let (listener, address) = listen().await;
    let broker = async {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let (_, first, id) = read_request(&mut stream).await;
        assert!(first >= 3);
        stream.write_all(&response(ApiKey::ApiVersions, 0, id, &versions(35, 5))).await.expect("writes");
        let (_, second, id) = read_request(&mut stream).await;
        assert_eq!(second, 2);
        stream.write_all(&response(ApiKey::ApiVersions, 2, id, &versions(0, 5))).await.expect("writes");
        stream
    };
    let (_stream, channel) = tokio::join!(broker, Channel::connect(&address, ChannelOptions::default()));
    let channel = channel.expect("connects");
    assert_eq!(channel.broker_versions(ApiKey::Metadata), Some(VersionRange { min: 0, max: 5 }));
    assert_eq!(channel.negotiate::<MetadataRequest<'_>>(0..=i16::MAX).expect("a common version"), 5);
    let refused = channel.negotiate::<MetadataRequest<'_>>(6..=i16::MAX).expect_err("no common version").to_string();
    assert!(refused.contains("Metadata in versions 0-5"), "{refused}");
    assert!(channel.negotiate::<ApiVersionsRequest<'_>>(3..=4).is_err());
}

#[tokio::test]
async fn responses_find_their_requests_with_many_in_flight() {
    let (listener, address) = listen().await;
    let (mut stream, channel) = tokio::join!(accept(&listener), Channel::connect(&address, ChannelOptions::default()));
    let channel = channel.expect("connects");
    let broker = tokio::spawn(async move {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(read_request(&mut stream).await.2);
        }
        let answers = ids
            .iter()
            .enumerate()
            .map(|(i, id)| response(ApiKey::Metadata, 9, *id, &cluster(&"x".repeat(1 + i * 1500))));
        let bytes: Vec<u8> = answers.collect::<Vec<_>>().concat();
        for part in bytes.chunks(7777) {
            stream.write_all(part).await.expect("writes");
        }
        stream
    });
    let mut started = Vec::new();
    for _ in 0..20 {
        let request = MetadataRequest::default();
        started.push(channel.start(&request, 9, Duration::from_secs(10)).await.expect("sent"));
    }
    for (i, in_flight) in started.into_iter().enumerate() {
        let frame = in_flight.response().await.expect("answered");
        let name = frame.decode().expect("decodes").cluster_id.expect("a name").len();
        assert_eq!(name, 1 + i * 1500);
    }
    drop(broker.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_times_out_and_ends_the_channel() {
    let (listener, address) = listen().await;
    let (_stream, channel) = tokio::join!(accept(&listener), Channel::connect(&address, ChannelOptions::default()));
    let channel = channel.expect("connects");
    let error = channel.send(&MetadataRequest::default(), 9).await.map(drop).expect_err("no answer");
    assert_eq!(error.to_string(), format!("{address} did not answer Metadata within 30000 ms"));
    let error = channel.send(&MetadataRequest::default(), 9).await.map(drop).expect_err("ended");
    assert!(matches!(error, ChannelError::Closed { .. }), "{error}");
    assert!(channel.is_closed());
}

#[tokio::test]
async fn a_broker_that_answers_something_else_ends_the_channel() {
    let (listener, address) = listen().await;
    let (mut stream, channel) = tokio::join!(accept(&listener), Channel::connect(&address, ChannelOptions::default()));
    let channel = channel.expect("connects");
    let broker = async {
        let (_, _, id) = read_request(&mut stream).await;
        stream.write_all(&response(ApiKey::Metadata, 9, id + 1, &cluster("x"))).await.expect("writes");
    };
    let request = MetadataRequest::default();
    let (error, ()) = tokio::join!(channel.send(&request, 9), broker);
    let error = error.map(drop).expect_err("not its answer").to_string();
    assert!(error.contains("where"), "{error}");
}

#[tokio::test]
async fn a_size_over_the_limit_ends_the_channel_before_it_is_allocated() {
    let (listener, address) = listen().await;
    let options = ChannelOptions { response_bytes_max: 1 << 20, ..ChannelOptions::default() };
    let (mut stream, channel) = tokio::join!(accept(&listener), Channel::connect(&address, options));
    let channel = channel.expect("connects");
    let broker = async {
        read_request(&mut stream).await;
        stream.write_all(&i32::MAX.to_be_bytes()).await.expect("writes");
    };
    let request = MetadataRequest::default();
    let (error, ()) = tokio::join!(channel.send(&request, 9), broker);
    let error = error.map(drop).expect_err("too large").to_string();
    assert!(error.contains("2147483647 bytes"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_one_clear_sentence() {
    let (listener, address) = listen().await;
    drop(listener);
    let error = Channel::connect(&address, ChannelOptions::default()).await.map(drop).expect_err("nobody");
    assert!(error.to_string().starts_with(&format!("cannot connect to {address}: ")), "{error}");
}
