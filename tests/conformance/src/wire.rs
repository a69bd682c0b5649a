//! A few raw frames of Kafka's protocol, written by hand on purpose: the rig must not share a codec with what it tests.

use crate::fault::{During, Fault, ensure, fail};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer asked for here is larger.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// An answer or a closed connection is due by then.
pub const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// An API of an ApiVersions reply: key, lowest version, highest version.
pub type Row = (i16, i16, i16);

/// A connection with deadlines on both directions.
pub fn connect(address: &str) -> Result<TcpStream, Fault> {
    let stream = TcpStream::connect(address).during(format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(REPLY_DEADLINE)).during("read timeout")?;
    stream.set_write_timeout(Some(REPLY_DEADLINE)).during("write timeout")?;
    Ok(stream)
}

/// A frame: size, then header v1 (client id `rig`), then `body`.
pub fn frame(api_key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    inner.extend_from_slice(&api_key.to_be_bytes());
    inner.extend_from_slice(&version.to_be_bytes());
    inner.extend_from_slice(&correlation_id.to_be_bytes());
    inner.extend_from_slice(&[0, 3]);
    inner.extend_from_slice(b"rig");
    inner.extend_from_slice(body);
    let mut out = i32::try_from(inner.len()).unwrap_or(i32::MAX).to_be_bytes().to_vec();
    out.extend_from_slice(&inner);
    out
}

/// One answer without its size: correlation id and body.
pub fn read_frame(stream: &mut TcpStream) -> Result<Vec<u8>, Fault> {
    let mut size = [0; 4];
    stream.read_exact(&mut size).during("reading a reply's size")?;
    let size = u32::from_be_bytes(size) as usize;
    ensure((4..=FRAME_BYTES_MAX).contains(&size), || format!("a reply of {size} bytes"))?;
    let mut frame = vec![0; size];
    stream.read_exact(&mut frame).during("reading a reply")?;
    Ok(frame)
}

/// ApiVersions v0: (key, lowest, highest) of every API.
pub fn api_versions(stream: &mut TcpStream) -> Result<Vec<Row>, Fault> {
    stream.write_all(&frame(18, 0, 7, &[])).during("sending ApiVersions")?;
    let (error, rows) = parse_api_versions(&read_frame(stream)?, 7)?;
    ensure(error == 0, || format!("ApiVersions answered error {error}"))?;
    Ok(rows)
}

/// Whether a partition has a leader that answers for it: ListOffsets v1 for the latest offset.
pub fn leads(stream: &mut TcpStream, topic: &str, partition: i32) -> Result<bool, Fault> {
    let mut body = (-1_i32).to_be_bytes().to_vec();
    body.extend(1_i32.to_be_bytes());
    body.extend(i16::try_from(topic.len()).unwrap_or(i16::MAX).to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend((-1_i64).to_be_bytes());
    stream.write_all(&frame(2, 1, 9, &body)).during("sending ListOffsets")?;
    let answer = read_frame(stream)?;
    // Correlation id, one topic with its name, one partition with its number, the error code.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let code = answer.get(at..at + 2).ok_or_else(|| Fault::Failed("a short ListOffsets reply".to_owned()))?;
    Ok(code == [0, 0])
}

/// The error code and rows of a v0 reply.
pub fn parse_api_versions(frame: &[u8], correlation_id: i32) -> Result<(i16, Vec<Row>), Fault> {
    let got = frame.get(..4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    ensure(got == Some(correlation_id), || format!("correlation id {got:?}, want {correlation_id}"))?;
    let short: Vec<i16> = frame[4..].chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
    let (Some(&error), Some(&count)) = (short.first(), short.get(2)) else {
        return fail(format!("an ApiVersions reply of {} bytes", frame.len()));
    };
    let rows: Vec<_> = short[3..].chunks_exact(3).map(|row| (row[0], row[1], row[2])).collect();
    ensure(rows.len() == usize::try_from(count).unwrap_or(usize::MAX), || {
        format!("{} rows, {count} announced", rows.len())
    })?;
    Ok((error, rows))
}

/// Passes when the other side closes without another byte.
pub fn expect_close(stream: &mut TcpStream) -> Result<(), Fault> {
    let mut byte = [0; 1];
    match stream.read(&mut byte) {
        Ok(0) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Ok(()),
        Ok(_) => fail("it answered instead of closing the connection"),
        Err(error) => fail(format!("it did not close the connection: {error}")),
    }
}
