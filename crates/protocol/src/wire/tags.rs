//! Tagged fields that this version of the schemas does not know.

/// A tag and its value's bytes.
type Field = (u32, Vec<u8>);

/// Unknown tagged fields of one structure, kept so that a message passes through unchanged. Takes one word when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "one word in every structure instead of three; fields here are rare")]
pub struct UnknownTags(Option<Box<Vec<Field>>>);

impl UnknownTags {
    /// One field that no schema knows: an extension that both sides have agreed on by its tag, and others skip (KIP-482).
    #[must_use]
    pub fn with(tag: u32, value: Vec<u8>) -> Self {
        let mut tags = Self::default();
        tags.push(tag, value);
        tags
    }

    /// The value of a tag.
    #[must_use]
    pub fn get(&self, tag: u32) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == tag).map(|(_, value)| value)
    }

    /// Adds a field; tags must come in ascending order.
    pub(super) fn push(&mut self, tag: u32, value: Vec<u8>) {
        self.0.get_or_insert_default().push((tag, value));
    }

    /// The fields in ascending order of their tags.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.0.iter().flat_map(|fields| fields.iter().map(|(tag, value)| (*tag, value.as_slice())))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |fields| fields.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
