//! The contestants: our node with its own and with Kafka's rule of durability, Apache Kafka, and the ceiling.
//!
//! A node is started when a workload first needs it and kept for the next one, so that a JVM is measured warm. Each gets load
//! alone: the others idle meanwhile.

use crate::ceiling::Ceiling;
use crate::load::counts::Until;
use crate::load::produce::{self, Plan};
use crate::options::Options;
use crate::usage;
use crate::wire::batch;
use crate::{admin, ceiling, load};
use conformance::fault::{During, Fault};
use conformance::node::{Kind, Node};
use conformance::rig::Scene;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The names of the contestants, in the order in which they take turns.
pub const CEILING: &str = "ceiling";
/// Our node as it comes: what acks=all confirms is on disk.
pub const THALWEG: &str = "thalweg";
/// Our node with `log.durability=pagecache`.
pub const THALWEG_PAGECACHE: &str = "thalweg pagecache";
/// Apache Kafka 4.4.0.
pub const KAFKA: &str = "kafka";

/// Settings of every node: deleted topics leave the disk at once, and a group does not wait for members that never come.
const COMMON: &[(&str, &str)] = &[("log.segment.delete.delay.ms", "0"), ("group.initial.rebalance.delay.ms", "0")];
/// The topic config that makes Kafka answer acks=all from the disk.
pub const FLUSHED: &[(&str, &str)] = &[("flush.messages", "1")];
/// What a JVM gets before it is measured, of each load.
const WARM_UP: Duration = Duration::from_secs(4);

/// Which nodes a workload compares.
#[derive(Clone, Copy)]
pub enum Ours {
    /// Our node as it comes.
    Default,
    /// Our node with Kafka's rule.
    PageCache,
    /// Both, one after the other.
    Both,
}

/// One that takes load.
pub struct Contestant {
    /// One of the names above.
    pub name: &'static str,
    /// `HOST:PORT`.
    pub address: String,
    /// Topic configs that make it keep the workload's promise, when it makes one that is not its own.
    pub flushed: &'static [(&'static str, &'static str)],
    data: PathBuf,
    process: Process,
}

enum Process {
    Node(Node),
    Ceiling(Ceiling),
}

impl Contestant {
    /// Of the broker, not of the load.
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Node(node) => node.running.pid(),
            Process::Ceiling(ceiling) => ceiling.pid(),
        }
    }

    /// User and system time so far.
    pub fn cpu_seconds(&self) -> Result<f64, Fault> {
        usage::cpu_seconds(self.pid())
    }

    /// The folder of a partition's files.
    pub fn folder(&self, topic: &str, partition: i32) -> PathBuf {
        self.data.join(format!("{topic}-{partition}"))
    }

    /// Ends it; a node cleanly.
    pub fn stop(self) -> Result<(), Fault> {
        match self.process {
            Process::Node(node) => node.stop(),
            Process::Ceiling(_) => Ok(()),
        }
    }

    /// SIGKILL.
    pub fn kill(self) -> Result<(), Fault> {
        match self.process {
            Process::Node(node) => node.kill(),
            Process::Ceiling(_) => Ok(()),
        }
    }

    /// SIGSTOP of a node: a ceiling sleeps when it has no load.
    fn pause(&self) -> Result<(), Fault> {
        match &self.process {
            Process::Node(node) => node.running.pause(),
            Process::Ceiling(_) => Ok(()),
        }
    }

    /// SIGCONT.
    fn go_on(&self) -> Result<(), Fault> {
        match &self.process {
            Process::Node(node) => node.running.go_on(),
            Process::Ceiling(_) => Ok(()),
        }
    }

    /// From the start of a node's process to its first answer; a ceiling answers at once.
    pub fn first_answer(&self) -> Duration {
        match &self.process {
            Process::Node(node) => node.first_reply,
            Process::Ceiling(_) => Duration::ZERO,
        }
    }

    fn node(name: &'static str, node: Node, data: &Path) -> Contestant {
        let flushed = if node.kind == Kind::Kafka { FLUSHED } else { &[] };
        Contestant { name, address: node.address.clone(), flushed, data: data.to_owned(), process: Process::Node(node) }
    }
}

/// What all workloads share.
pub struct Lab<'a> {
    /// Where files go.
    pub scene: &'a Scene<'a>,
    /// What was asked for.
    pub options: &'a Options,
    nodes: RefCell<BTreeMap<&'static str, Rc<Contestant>>>,
}

impl<'a> Lab<'a> {
    /// Nothing runs yet.
    pub fn new(scene: &'a Scene<'a>, options: &'a Options) -> Lab<'a> {
        Lab { scene, options, nodes: RefCell::default() }
    }

    /// Ceiling, ours and, when asked for, Kafka.
    pub fn contestants(&self, work: ceiling::Work, ours: Ours) -> Result<Vec<Rc<Contestant>>, Fault> {
        let mut found = vec![Rc::new(self.ceiling(work)?)];
        found.extend(self.nodes(ours)?);
        Ok(found)
    }

    /// As [`Lab::contestants`], where no bare kernel work can be named.
    pub fn nodes(&self, ours: Ours) -> Result<Vec<Rc<Contestant>>, Fault> {
        let mut found = Vec::new();
        if matches!(ours, Ours::Default | Ours::Both) {
            found.push(self.shared(THALWEG)?);
        }
        if matches!(ours, Ours::PageCache | Ours::Both) {
            found.push(self.shared(THALWEG_PAGECACHE)?);
        }
        if self.options.kafka {
            found.push(self.shared(KAFKA)?);
        }
        Ok(found)
    }

    /// The bare kernel work, in a process of its own.
    pub fn ceiling(&self, work: ceiling::Work) -> Result<Contestant, Fault> {
        let data = self.scene.path("ceiling");
        let ceiling = Ceiling::start(work, &data, &self.scene.path("ceiling.log"))?;
        let address = ceiling.address.clone();
        Ok(Contestant { name: CEILING, address, flushed: &[], data, process: Process::Ceiling(ceiling) })
    }

    /// A plan for a node of this name.
    pub fn plan(&self, name: &str) -> Result<conformance::node::Plan, Fault> {
        let kind = if name == KAFKA { Kind::Kafka } else { Kind::Thalweg };
        let mut plan = self.scene.plan_of(kind)?.configured().measured();
        for (key, value) in COMMON {
            plan = plan.with(key, value);
        }
        Ok(if name == THALWEG_PAGECACHE { plan.with("log.durability", "pagecache") } else { plan })
    }

    /// Starts a node of its own for one workload.
    pub fn start(&self, name: &'static str, plan: &conformance::node::Plan) -> Result<Contestant, Fault> {
        if !plan.data.join("meta.properties").exists() {
            plan.format(self.scene, &[]).during(format!("formatting for {name}"))?;
        }
        let node = plan.start(self.scene).during(format!("starting {name}"))?;
        Ok(Contestant::node(name, node, &plan.data))
    }

    /// Starts or stops a node while every JVM that idles beside it stands still: on few cores the idle work of one with ten thousand partitions
    /// would be measured with it. Sessions of those may end meanwhile: no load follows.
    pub fn alone<T>(&self, others: &[Rc<Contestant>], work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let shared: Vec<Rc<Contestant>> = self.nodes.borrow().values().map(Rc::clone).collect();
        let idle = || shared.iter().chain(others).filter(|node| node.name == KAFKA);
        idle().try_for_each(|node| node.pause())?;
        let done = work();
        idle().try_for_each(|node| node.go_on())?;
        done
    }

    fn shared(&self, name: &'static str) -> Result<Rc<Contestant>, Fault> {
        if let Some(found) = self.nodes.borrow().get(name) {
            return Ok(Rc::clone(found));
        }
        let started = Rc::new(self.start(name, &self.plan(name)?)?);
        if name == KAFKA {
            warm_up(&started).during("warming up")?;
        }
        self.nodes.borrow_mut().insert(name, Rc::clone(&started));
        Ok(started)
    }

    /// After a failure: kills every node, for one that misbehaved must not be measured again.
    pub fn forget(&self) {
        self.nodes.borrow_mut().clear();
    }

    /// Stops every node that still runs.
    pub fn close(self) -> Result<(), Fault> {
        for (name, node) in self.nodes.into_inner() {
            let node = Rc::try_unwrap(node).map_err(|_| Fault::Failed(format!("{name} is still in use")))?;
            node.stop().during(format!("stopping {name}"))?;
        }
        Ok(())
    }
}

/// Small and large batches and a reader of both: what a JVM must have compiled before its figures mean anything.
pub fn warm_up(on: &Contestant) -> Result<(), Fault> {
    let topic = "warm-up";
    admin::create(&on.address, topic, 2, &[])?;
    for (partition, size) in [(0, 1 << 10), (1, 64 << 10)] {
        let batch = batch::batch(size, 100);
        let plan = Plan { topic, acks: 1, depth: 5, partitions: partition..partition + 1, batch: &batch };
        produce::pipeline(&on.address, &plan, &Until::new(WARM_UP, 2 << 30))?;
        load::drain::drain(&on.address, topic, partition, 1 << 20, &Until::new(WARM_UP / 4, u64::MAX))?;
    }
    admin::delete(&on.address, topic)
}
