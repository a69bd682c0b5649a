//! What is known of groups: committed offsets as a register of each partition, and who owns what in which generation.

use std::collections::BTreeMap;

/// A commit of one partition of a group.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    offset: i64,
    /// Unique to the commit.
    tag: String,
    asked: u64,
    confirmed: Option<u64>,
    refused: bool,
}

type Register = (String, String, i32);

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    commits: BTreeMap<Register, Vec<Commit>>,
    owners: BTreeMap<(String, i32, i32), String>,
    next_tag: u64,
}

/// A commit that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    register: Register,
    at: usize,
}

impl Groups {
    /// A member is about to commit; gives the metadata that the commit is known by.
    pub(crate) fn ask(&mut self, group: &str, topic: &str, partition: i32, offset: i64, step: u64) -> (Handle, String) {
        self.next_tag += 1;
        let tag = format!("c{}", self.next_tag);
        let register = (group.to_owned(), topic.to_owned(), partition);
        let commits = self.commits.entry(register.clone()).or_default();
        commits.push(Commit { offset, tag: tag.clone(), asked: step, confirmed: None, refused: false });
        (Handle { register, at: commits.len() - 1 }, tag)
    }

    pub(crate) fn confirm(&mut self, handle: &Handle, step: u64) {
        if let Some(commit) = self.commits.get_mut(&handle.register).and_then(|commits| commits.get_mut(handle.at)) {
            commit.confirmed = Some(step);
        }
    }

    /// The commit surely did not happen.
    pub(crate) fn refuse(&mut self, handle: &Handle) {
        if let Some(commit) = self.commits.get_mut(&handle.register).and_then(|commits| commits.get_mut(handle.at)) {
            commit.refused = true;
        }
    }

    /// A committed offset was read, by a request sent at step `asked`: it is that of the last commit, or of one that may have come later.
    pub(crate) fn read(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        found: (i64, &str),
        asked: u64,
    ) -> Result<(), String> {
        let none = Vec::new();
        let commits = self.commits.get(&(group.to_owned(), topic.to_owned(), partition)).unwrap_or(&none);
        let name = format!("group {group}, {topic}-{partition}");
        let (offset, tag) = found;
        // The newest commit that was surely over when this request was sent.
        let settled = commits.iter().filter(|commit| commit.confirmed.is_some_and(|at| at < asked));
        let floor = settled.map(|commit| commit.asked).max();
        if offset == -1 {
            return match floor {
                None => Ok(()),
                Some(_) => Err(format!("{name}: a committed offset is gone")),
            };
        }
        let Some(commit) = commits.iter().find(|commit| commit.tag == tag && commit.offset == offset) else {
            return Err(format!("{name}: offset {offset} ({tag}) was never committed"));
        };
        if commit.refused {
            return Err(format!("{name}: a refused commit of offset {offset} ({tag}) is there"));
        }
        let is_older = commit.confirmed.is_some_and(|confirmed| floor.is_some_and(|floor| confirmed < floor));
        if is_older {
            return Err(format!("{name}: the committed offset went back to {offset} ({tag})"));
        }
        Ok(())
    }

    /// A member was assigned a partition in a generation.
    pub(crate) fn own(&mut self, group: &str, generation: i32, partition: i32, member: &str) -> Result<(), String> {
        let owner = self.owners.entry((group.to_owned(), generation, partition)).or_insert_with(|| member.to_owned());
        if owner == member {
            return Ok(());
        }
        Err(format!("group {group}: {owner} and {member} both own partition {partition} in generation {generation}"))
    }
}
