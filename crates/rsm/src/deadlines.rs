//! Deadlines as data: of several wishes for one key the earliest holds, so that moving a deadline on costs nothing; its owner looks
//! when it is woken and sets it again.

use base::Monotonic;
use std::collections::{BTreeMap, BTreeSet};

/// At most one deadline a key.
#[derive(Debug)]
pub struct Deadlines<K> {
    by_key: BTreeMap<K, Monotonic>,
    by_time: BTreeSet<(Monotonic, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Clone + Ord> Deadlines<K> {
    /// Wakes `key` at `at`, unless it is woken earlier anyway.
    pub fn wake(&mut self, key: K, at: Monotonic) {
        match self.by_key.get_mut(&key) {
            Some(known) if *known <= at => return,
            Some(known) => {
                self.by_time.remove(&(*known, key.clone()));
                *known = at;
            }
            None => {
                self.by_key.insert(key.clone(), at);
            }
        }
        self.by_time.insert((at, key));
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Monotonic> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest deadline when it has come.
    pub fn pop_due(&mut self, now: Monotonic) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// Keys that have a deadline.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Deadlines;
    use base::Monotonic;

    #[test]
    fn the_earliest_wish_of_a_key_holds_and_keys_come_in_order_of_time() {
        let mut deadlines = Deadlines::default();
        deadlines.wake("b", Monotonic(20));
        deadlines.wake("a", Monotonic(30));
        deadlines.wake("b", Monotonic(40));
        deadlines.wake("a", Monotonic(10));
        assert_eq!((deadlines.len(), deadlines.next()), (2, Some(Monotonic(10))));
        assert_eq!(deadlines.pop_due(Monotonic(9)), None);
        assert_eq!(deadlines.pop_due(Monotonic(25)), Some("a"));
        assert_eq!(deadlines.pop_due(Monotonic(25)), Some("b"));
        assert_eq!(deadlines.pop_due(Monotonic(u64::MAX)), None);
        assert!(deadlines.is_empty());
    }
}
