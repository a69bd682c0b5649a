//! One run: which broker is under test, where files go, the shared JVM; and a scene, the folder and node of one scenario.

use crate::fault::{During, Fault};
use crate::java::Java;
use crate::node::{Kind, Plan};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

/// The repository's root.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// What all scenarios of a run share.
pub struct Rig {
    /// The broker under test; `THALWEG_CONFORMANCE_TARGET=kafka` puts Apache Kafka in its place, to test the scenarios themselves.
    pub target: Kind,
    home: PathBuf,
    java: RefCell<Option<Java>>,
}

impl Rig {
    /// A run with its files below `target/conformance`.
    pub fn new() -> Result<Rig, Fault> {
        let target = match std::env::var("THALWEG_CONFORMANCE_TARGET").as_deref() {
            Err(_) | Ok("thalweg") => Kind::Thalweg,
            Ok("kafka") => Kind::Kafka,
            Ok(other) => {
                return Err(Fault::Failed(format!("THALWEG_CONFORMANCE_TARGET is `{other}`, not thalweg or kafka")));
            }
        };
        let home = workspace().join(format!("target/conformance/{}", std::process::id()));
        std::fs::create_dir_all(&home).during(home.display())?;
        Ok(Rig { target, home, java: RefCell::new(None) })
    }

    /// A fresh folder for a scenario.
    pub fn scene(&self, name: &'static str) -> Result<Scene<'_>, Fault> {
        let folder = self.home.join(name);
        std::fs::create_dir_all(&folder).during(folder.display())?;
        Ok(Scene { rig: self, name, folder, skipped: RefCell::default(), nodes: Cell::new(0) })
    }

    /// Removes what is left when nothing in it is of interest.
    pub fn close(self) {
        *self.java.borrow_mut() = None;
        let failures = std::fs::read_dir(&self.home)
            .is_ok_and(|mut inside| inside.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir())));
        if !failures {
            drop(std::fs::remove_file(self.home.join("java.log")));
        }
        // Fails while the folder of a failed scenario is in it, as it should.
        drop(std::fs::remove_dir(&self.home));
    }
}

/// One scenario's world.
pub struct Scene<'a> {
    /// The run that it belongs to.
    pub rig: &'a Rig,
    /// Its name in the table of scenarios.
    pub name: &'static str,
    /// Its own folder; kept when it fails.
    pub folder: PathBuf,
    /// Parts that could not run, and why.
    pub skipped: RefCell<Vec<(String, String)>>,
    nodes: Cell<u32>,
}

impl Scene<'_> {
    /// A plan for the broker under test with an empty data folder of its own.
    pub fn plan(&self) -> Result<Plan, Fault> {
        self.plan_of(self.rig.target)
    }

    /// A plan for a broker of this kind.
    pub fn plan_of(&self, kind: Kind) -> Result<Plan, Fault> {
        self.nodes.set(self.nodes.get() + 1);
        Plan::new(kind, &self.folder, self.nodes.get())
    }

    /// A path in the scenario's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Uses the shared JVM, started when first needed and again when a tool hung in it.
    pub fn java<T>(&self, work: impl FnOnce(&mut Java) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut slot = self.rig.java.borrow_mut();
        let alive = slot.as_mut().is_some_and(Java::is_alive);
        if !alive {
            *slot = Some(Java::start(&self.rig.home.join("java.log"))?);
        }
        match slot.as_mut() {
            Some(java) => work(java),
            None => Err(Fault::Failed("no JVM after starting one".to_owned())),
        }
    }

    /// Prints a figure that is reported and not judged.
    pub fn figure(&self, what: &str) {
        println!("figure {}: {what}", self.name);
    }

    /// Takes a peer, or notes that this part of the scenario is skipped.
    pub fn peer<T>(&self, part: &str, peer: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match peer {
            Ok(peer) => Ok(Some(peer)),
            Err(Fault::Skipped(why)) => {
                self.skipped.borrow_mut().push((part.to_owned(), why));
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }
}
