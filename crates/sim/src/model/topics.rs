//! What is known of the metadata: topics and their configs. One client changes them, so the order of changes is its own.

use base::Uuid;
use std::collections::BTreeMap;

/// A topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) partitions: i32,
    /// Configs of its own.
    pub(crate) configs: BTreeMap<String, String>,
}

/// A change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Create { name: String, partitions: i32, configs: BTreeMap<String, String> },
    Delete { name: String },
    Grow { name: String, partitions: i32 },
    Set { name: String, config: String, value: String },
}

/// All topics that clients made.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    existing: BTreeMap<String, Topic>,
    /// Asked for, and neither confirmed nor seen.
    doubtful: Option<Change>,
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.existing.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.existing.iter().map(|(name, topic)| (name.as_str(), topic))
    }

    /// A change is asked for. Nothing is sure of its topic until it is confirmed or looked up.
    pub(crate) fn ask(&mut self, change: Change) {
        self.doubtful = Some(change);
    }

    /// The change was confirmed.
    pub(crate) fn confirmed(&mut self, created: Option<Uuid>) {
        match self.doubtful.take() {
            Some(Change::Create { name, partitions, configs }) => {
                let id = created.unwrap_or(Uuid::ZERO);
                self.existing.insert(name, Topic { id, partitions, configs });
            }
            Some(Change::Delete { name }) => drop(self.existing.remove(&name)),
            Some(Change::Grow { name, partitions }) => {
                if let Some(topic) = self.existing.get_mut(&name) {
                    topic.partitions = partitions;
                }
            }
            Some(Change::Set { name, config, value }) => {
                if let Some(topic) = self.existing.get_mut(&name) {
                    topic.configs.insert(config, value);
                }
            }
            None => {}
        }
    }

    /// All topics were looked up. Settles the doubtful change one way or the other.
    pub(crate) fn looked_up(&mut self, found: &BTreeMap<String, Topic>) -> Result<(), String> {
        let doubtful = self.doubtful.take();
        let is_same = |ours: &BTreeMap<String, Topic>| {
            ours.len() == found.len() && ours.iter().zip(found).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        };
        if is_same(&self.existing) {
            return Ok(());
        }
        let before = std::mem::take(&mut self.existing);
        self.existing.clone_from(&before);
        if let Some(change) = doubtful {
            let id = match &change {
                Change::Create { name, .. } => found.get(name).map(|topic| topic.id),
                Change::Delete { .. } | Change::Grow { .. } | Change::Set { .. } => None,
            };
            self.doubtful = Some(change);
            self.confirmed(id);
            if is_same(&self.existing) {
                return Ok(());
            }
        }
        Err(format!("topics are {found:?} and should be {before:?}, or {:?}", self.existing))
    }
}

fn same(a: &Topic, b: &Topic) -> bool {
    a == b
}
