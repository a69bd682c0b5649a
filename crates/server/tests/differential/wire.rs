//! One connection to a broker, requests and responses typed by the protocol crate. A deadline on every read; no retries.

use protocol::ApiKey;
use protocol::frame::{decode_response_header, encode_request};
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::wire::{Decode, Encode, Reader, Request};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The machine may be busy; a step that is not answered by then never is.
const REPLY_DEADLINE: Duration = Duration::from_secs(20);

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A response frame without its size.
    Frame(Vec<u8>),
    /// Nothing came in time.
    Silent,
    /// The broker closed the connection.
    Closed,
    /// This version cannot carry the request.
    Unwritable,
}

/// A connection that is opened again when the broker has closed it.
pub(crate) struct Wire {
    address: String,
    open: Option<TcpStream>,
    correlation_id: i32,
}

impl Wire {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), open: None, correlation_id: 0 }
    }

    fn stream(&mut self) -> &mut TcpStream {
        self.open.get_or_insert_with(|| {
            let stream = TcpStream::connect(&self.address).expect("the broker accepts connections");
            stream.set_read_timeout(Some(REPLY_DEADLINE)).expect("a read deadline");
            stream.set_nodelay(true).expect("no delay");
            stream
        })
    }

    /// Sends a request and waits for its response.
    pub(crate) fn ask<R: Request + Encode>(&mut self, version: i16, request: &R) -> Answer {
        if !self.send(version, request) {
            return Answer::Unwritable;
        }
        let answer = self.receive();
        if let Answer::Frame(frame) = &answer {
            assert_eq!(
                frame.first_chunk(),
                Some(&self.correlation_id.to_be_bytes()),
                "{} v{version}: another's answer",
                R::NAME
            );
        }
        answer
    }

    /// Whether a request on this connection is answered.
    pub(crate) fn answers(&mut self) -> bool {
        matches!(self.ask(0, &ApiVersionsRequest::default()), Answer::Frame(_))
    }

    /// Sends a request; false when the version cannot carry it.
    pub(crate) fn send<R: Request + Encode>(&mut self, version: i16, request: &R) -> bool {
        self.correlation_id += 1;
        let frame = encode_request(R::KEY, version, self.correlation_id, Some("differential"), request);
        frame.map(|frame| self.send_frame(&frame)).is_ok()
    }

    /// Sends bytes as they are.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        // A broker may close while it is written to; the read then says so.
        drop(self.stream().write_all(frame));
    }

    /// The next frame.
    pub(crate) fn receive(&mut self) -> Answer {
        let mut size = [0; 4];
        let stream = self.stream();
        let read = stream.read_exact(&mut size).and_then(|()| {
            let mut frame = vec![0; u32::from_be_bytes(size) as usize];
            stream.read_exact(&mut frame).map(|()| frame)
        });
        match read {
            Ok(frame) => Answer::Frame(frame),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                self.open = None;
                Answer::Silent
            }
            Err(_) => {
                self.open = None;
                Answer::Closed
            }
        }
    }
}

/// A request frame with any bytes as its body.
pub(crate) fn frame(key: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let mut request = key.code().to_be_bytes().to_vec();
    request.extend(version.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    // No client id.
    request.extend((-1_i16).to_be_bytes());
    if key.request_header_version(version) >= 2 {
        request.push(0);
    }
    request.extend(body);
    let size = u32::try_from(request.len()).expect("small");
    [&size.to_be_bytes()[..], &request].concat()
}

/// The body of a response frame.
pub(crate) fn body<'f, R: Request>(version: i16, frame: &'f [u8]) -> R::Response<'f> {
    let mut reader = Reader::new(frame);
    decode_response_header(&mut reader, R::KEY, version).expect("a response header");
    let response = R::Response::decode(&mut reader, version).expect("a response of this version");
    assert!(reader.remaining() == 0, "{} v{version} has bytes after its end", R::NAME);
    response
}
