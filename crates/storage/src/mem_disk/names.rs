//! Folders: which names a process sees, which a power cut leaves, and what was done to them in between.
//!
//! The names of one folder reach the platter in the order in which they were changed, as a journal writes them; nothing orders two
//! folders. Folders right below the root are mount points: they are there for good.

use base::SeededRng;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A file, by its number.
    File(usize),
    /// A folder, by its number.
    Dir(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Put(String, Node),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Debug, Default)]
struct Dir {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    unsynced: Vec<Change>,
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    match change {
        Change::Put(name, node) => drop(names.insert(name.clone(), *node)),
        Change::Remove(name) => drop(names.remove(name)),
        Change::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

impl Dir {
    fn change(&mut self, change: Change) {
        apply(&mut self.live, &change);
        self.unsynced.push(change);
    }
}

/// All folders; the root is number 0.
#[derive(Clone, Debug)]
pub(super) struct Names {
    dirs: Vec<Dir>,
}

pub(super) fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

/// The folder of a path, and its last name.
fn split(path: &Path) -> io::Result<(&Path, String)> {
    let name = path.file_name().ok_or_else(|| missing(path))?;
    Ok((path.parent().unwrap_or(Path::new("/")), name.to_string_lossy().into_owned()))
}

impl Names {
    pub(super) fn new() -> Names {
        Names { dirs: vec![Dir::default()] }
    }

    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        let mut node = Node::Dir(0);
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Node::Dir(at) = node else { return None };
            node = *self.dirs[at].live.get(&*name.to_string_lossy())?;
        }
        Some(node)
    }

    fn dir(&self, path: &Path) -> io::Result<usize> {
        match self.get(path) {
            Some(Node::Dir(at)) => Ok(at),
            _ => Err(missing(path)),
        }
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<&BTreeMap<String, Node>> {
        Ok(&self.dirs[self.dir(path)?].live)
    }

    /// The numbers of all files in a folder and those in it.
    pub(super) fn files_below(&self, path: &Path) -> io::Result<BTreeSet<usize>> {
        let (mut files, mut folders) = (BTreeSet::new(), vec![self.dir(path)?]);
        while let Some(at) = folders.pop() {
            for node in self.dirs[at].live.values() {
                match node {
                    Node::File(number) => drop(files.insert(*number)),
                    Node::Dir(at) => folders.push(*at),
                }
            }
        }
        Ok(files)
    }

    /// Whether a name can be made here.
    pub(super) fn has_folder_of(&self, path: &Path) -> io::Result<()> {
        self.dir(split(path)?.0).map(drop)
    }

    pub(super) fn put(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let (folder, name) = split(path)?;
        let at = self.dir(folder)?;
        self.dirs[at].change(Change::Put(name, node));
        Ok(())
    }

    /// Makes a folder and those above it.
    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        for folder in above {
            match self.get(folder) {
                Some(Node::Dir(_)) => {}
                Some(Node::File(_)) => return Err(io::Error::other(format!("{} is a file", folder.display()))),
                None => {
                    let at = self.dirs.len();
                    self.dirs.push(Dir::default());
                    self.put(folder, Node::Dir(at))?;
                    if folder.parent() == Some(Path::new("/")) {
                        self.sync(Path::new("/"))?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.get(from).ok_or_else(|| missing(from))?;
        let ((from_folder, from_name), (to_folder, to_name)) = (split(from)?, split(to)?);
        let (old, new) = (self.dir(from_folder)?, self.dir(to_folder)?);
        if old == new {
            self.dirs[old].change(Change::Rename(from_name, to_name));
        } else {
            self.dirs[new].change(Change::Put(to_name, node));
            self.dirs[old].change(Change::Remove(from_name));
        }
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        match self.get(path) {
            Some(Node::File(_)) => self.remove(path),
            _ => Err(missing(path)),
        }
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (folder, name) = split(path)?;
        let at = self.dir(folder)?;
        self.dirs[at].change(Change::Remove(name));
        Ok(())
    }

    /// Removes what is in a folder, name by name, and then the folder.
    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let names: Vec<(String, Node)> = self.list(path)?.iter().map(|(name, node)| (name.clone(), *node)).collect();
        for (name, node) in names {
            match node {
                Node::File(_) => self.remove(&path.join(name))?,
                Node::Dir(_) => self.remove_dir_all(&path.join(name))?,
            }
        }
        self.remove(path)
    }

    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let at = self.dir(path)?;
        self.sync_at(at);
        Ok(())
    }

    fn sync_at(&mut self, at: usize) {
        let dir = &mut self.dirs[at];
        dir.durable.clone_from(&dir.live);
        dir.unsynced.clear();
    }

    pub(super) fn sync_all(&mut self) {
        (0..self.dirs.len()).for_each(|at| self.sync_at(at));
    }

    /// What a power cut leaves; `file` makes the file that survives of a number, and says its new number.
    pub(super) fn after_power_cut(
        &self,
        rng: &mut SeededRng,
        file: &mut dyn FnMut(&mut SeededRng, usize) -> usize,
    ) -> Names {
        let mut after = Names { dirs: Vec::new() };
        self.survive(0, rng, file, &mut after);
        after
    }

    fn survive(
        &self,
        at: usize,
        rng: &mut SeededRng,
        file: &mut dyn FnMut(&mut SeededRng, usize) -> usize,
        after: &mut Names,
    ) -> usize {
        let dir = &self.dirs[at];
        let all = dir.unsynced.len();
        let kept = match rng.below(4) {
            0 => 0,
            1 => all,
            _ => rng.below(all as u64 + 1) as usize,
        };
        let mut names = dir.durable.clone();
        dir.unsynced[..kept].iter().for_each(|change| apply(&mut names, change));
        let number = after.dirs.len();
        after.dirs.push(Dir::default());
        for node in names.values_mut() {
            *node = match *node {
                Node::File(at) => Node::File(file(rng, at)),
                Node::Dir(at) => Node::Dir(self.survive(at, rng, file, after)),
            };
        }
        after.dirs[number] = Dir { live: names.clone(), durable: names, unsynced: Vec::new() };
        number
    }
}
