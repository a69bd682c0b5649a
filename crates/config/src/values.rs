//! The values of a node's configuration while it is read, and what most of it depends on.

use crate::node_row;
use std::collections::BTreeMap;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// It serves clients.
    pub broker: bool,
    /// It votes on metadata.
    pub controller: bool,
}

/// What was set, over the defaults.
pub(crate) struct Values<'a> {
    pub(crate) set: &'a BTreeMap<String, String>,
}

impl<'a> Values<'a> {
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.set.get(name).map(String::as_str).or_else(|| node_row(name)?.default)
    }

    pub(crate) fn given(&self, name: &str) -> Option<&'a str> {
        self.set.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A number that was checked already, else a default that fits: the check's error is what is reported.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}
