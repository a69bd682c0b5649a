//! A request that we will not carry out: a code for the client's program, a sentence for its operator.

use crate::ErrorCode;
use std::borrow::Cow;

/// A refusal carries the Kafka error code and a message that names the cause and the fix. It is a value that is returned, not
/// a fault of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client's program sees. Never [`ErrorCode::None`].
    pub code: ErrorCode,
    /// One sentence that names the cause and, where there is one, the fix.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this code and sentence.
    ///
    /// # Panics
    /// When `code` is [`ErrorCode::None`]: a refusal without an error would read as success.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        assert!(code != ErrorCode::None, "a refusal needs an error code");
        Self { code, message: message.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}
