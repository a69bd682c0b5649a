//! Where an answer goes: which request it answers, and in which version and encoding.

use net::{FilePiece, Outgoing, Reply};
use protocol::ApiKey;
use protocol::frame;
use protocol::wire::{Response, Writer};

/// The request that an answer belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
}

impl ReplyTo {
    /// The answer, ready to be sent.
    pub(crate) fn now(self, response: &impl Response) -> Reply {
        match self.encode(response, Vec::new()) {
            Ok(outgoing) => Reply::Now(outgoing),
            Err(reason) => Reply::Close(reason),
        }
    }

    /// The answer of a request that waited; `None` closes the connection.
    pub(crate) fn later(self, response: &impl Response) -> Option<Outgoing> {
        self.encode(response, Vec::new())
            .inspect_err(|reason| tracing::error!(%reason, "an answer could not be encoded"))
            .ok()
    }

    /// The encoded answer with `files` standing where the response's spliced records are, in their order.
    pub(crate) fn encode(self, response: &impl Response, files: Vec<FileRange>) -> Result<Outgoing, String> {
        let mut writer = Writer::default();
        frame::encode_response(self.correlation_id, self.key, self.version, response, &mut writer)
            .map_err(|error| format!("the {} v{} answer cannot be encoded: {error}", self.key.name(), self.version))?;
        assert_eq!(writer.splices.len(), files.len(), "every spliced record set has its file range");
        let files = writer.splices.iter().zip(files).map(|(splice, range)| {
            assert_eq!(splice.len, range.len, "a file range fills its splice");
            FilePiece { at: splice.at, file: range.file, position: range.position, len: range.len }
        });
        Ok(Outgoing { files: files.collect(), bytes: writer.buf, has_error: response.has_error() })
    }
}

/// Bytes of a file that stand in an answer.
#[derive(Debug)]
pub(crate) struct FileRange {
    pub(crate) file: std::sync::Arc<dyn net::SendFile>,
    pub(crate) position: u64,
    pub(crate) len: usize,
}
