//! A field of type `records`: one or more record batches, opaque to this crate.

use std::borrow::Cow;

/// Record batches inside a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Records<'a> {
    /// No records field.
    #[default]
    Null,
    /// The batches' bytes.
    Bytes(Cow<'a, [u8]>),
    /// This many bytes, which the sender takes from a file: only the length is written, and a
    /// [`Splice`](crate::wire::Splice) marks the place. Never the result of decoding.
    Spliced(usize),
}

impl Records<'_> {
    /// The length of the batches; 0 for null.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Records::Null => 0,
            Records::Bytes(bytes) => bytes.len(),
            Records::Spliced(len) => *len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Records<'static> {
        match self {
            Records::Null => Records::Null,
            Records::Bytes(bytes) => Records::Bytes(Cow::Owned(bytes.into_owned())),
            Records::Spliced(len) => Records::Spliced(len),
        }
    }
}
