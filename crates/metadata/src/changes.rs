//! What a run of records has changed, for those who act on it.

use base::{NodeId, Uuid};
use std::collections::BTreeSet;

/// Names of changed things; what became of them is in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Topics that were made, changed or removed.
    pub topics: BTreeSet<Uuid>,
    /// Resources whose configs changed: type and name.
    pub configs: BTreeSet<(i8, String)>,
    /// Brokers that were registered, changed or removed.
    pub brokers: BTreeSet<NodeId>,
    /// Feature levels changed.
    pub features: bool,
}

impl Changes {
    /// Whether nothing that anyone acts on has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}
