//! What names a group.

use std::sync::Arc;

/// A group's id: shared, since every deadline and journal names it.
pub type GroupId = Arc<str>;
