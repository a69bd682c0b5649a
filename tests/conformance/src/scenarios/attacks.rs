//! Attacks on an open listener, by their numbers (S01, ...) on the list of attacks. Each is laid on a node of its own under a
//! [`siege::Siege`], which holds that memory stays under a stated bound, that an honest client is served all the while, that the
//! node lives, and that its log stays short.

pub(super) mod bombs;
pub(super) mod crowds;
pub(super) mod floods;
pub(super) mod frames;
pub(super) mod impostors;
pub(super) mod lies;
pub(super) mod names;
pub(crate) mod requests;
mod siege;
