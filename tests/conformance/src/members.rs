//! Members of consumer groups, of every client, as one kind of thing; and the judge of what they say they did.
//!
//! A member is a thread in the shared JVM or a process of its own. It tells in lines, in its own order, what it was assigned, read and
//! committed (see `java/Members.java`). The judge needs no common clock: what a group may read twice follows from offsets alone.

use conformance::fault::{During, Fault, ensure, fail};
use conformance::peers;
use conformance::process::{CLIENT_DEADLINE, Running, now, tail};
use conformance::rig::Scene;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A JVM that compiles, interpreters that start, a session that has to time out: all at once on two cores.
const PHASE_DEADLINE: Duration = Duration::from_secs(90);
/// How long a member is asked for its next line at a time.
const LINE_WAIT_SECONDS: u64 = 5;

/// Partition by partition, the offset after the last record.
pub(crate) type Ends = BTreeMap<u32, u64>;

/// How a member is run.
#[derive(Clone)]
enum How {
    /// In the shared JVM.
    Java,
    /// confluent-kafka or kafka-python.
    Python { interpreter: PathBuf, client: &'static str },
    /// @platformatic/kafka.
    Node(PathBuf),
}

/// A client with the settings that its members have.
#[derive(Clone)]
pub(crate) struct Flavour {
    /// Names its groups.
    pub(crate) name: &'static str,
    /// Whether a commit of its is always of what the member has: the Node client repeats a refused commit in the next generation.
    pub(crate) commits_its_own: bool,
    how: How,
    options: &'static [&'static str],
}

const JAVA: &[&str] = &["heartbeat.interval.ms=200", "session.timeout.ms=6000", "fetch.max.wait.ms=50"];
const JAVA_COOPERATIVE: &[&str] = &[
    "heartbeat.interval.ms=200",
    "session.timeout.ms=6000",
    "fetch.max.wait.ms=50",
    "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
];
const JAVA_CONSUMER: &[&str] = &["group.protocol=consumer", "fetch.max.wait.ms=50"];
const CONFLUENT: &[&str] = &["heartbeat.interval.ms=200", "session.timeout.ms=6000"];
const CONFLUENT_CONSUMER: &[&str] = &["group.protocol=consumer"];
const PURE: &[&str] = &["heartbeat_interval_ms=200", "session_timeout_ms=6000"];
const NODE: &[&str] = &["heartbeatInterval=200", "sessionTimeout=6000"];

/// Java's members by protocol: eager, cooperative, and KIP-848's.
pub(crate) fn java(name: &'static str) -> Flavour {
    let options = match name {
        "java-cooperative" => JAVA_COOPERATIVE,
        "java-consumer" => JAVA_CONSUMER,
        _ => JAVA,
    };
    Flavour { name, how: How::Java, options, commits_its_own: true }
}

/// Every client that can be had here; those of KIP-848 only where it is served.
pub(crate) fn flavours(scene: &Scene<'_>, serves_consumer_protocol: bool) -> Result<Vec<Flavour>, Fault> {
    let mut all = Vec::new();
    if scene.peer("java", peers::kafka_jars())?.is_some() {
        all.extend([java("java-range"), java("java-cooperative")]);
        all.extend(serves_consumer_protocol.then(|| java("java-consumer")));
    }
    if let Some(interpreter) = scene.peer("python", peers::python())? {
        let python = |name, client, options| {
            let how = How::Python { interpreter: interpreter.clone(), client };
            Flavour { name, how, options, commits_its_own: true }
        };
        all.push(python("confluent-kafka", "confluent", CONFLUENT));
        all.extend(serves_consumer_protocol.then(|| python("confluent-consumer", "confluent", CONFLUENT_CONSUMER)));
        all.push(python("kafka-python", "pure", PURE));
    }
    if let Some(script) = scene.peer("node", peers::node_script("member.mjs"))? {
        all.push(Flavour { name: "node", how: How::Node(script), options: NODE, commits_its_own: false });
    }
    Ok(all)
}

enum Body {
    Java,
    Process(Running),
}

/// A member that runs, or has run.
pub(crate) struct Member {
    name: String,
    body: RefCell<Option<Body>>,
    lines: RefCell<Vec<String>>,
}

impl Member {
    /// Starts a member of this flavour; `further` are settings of its own.
    pub(crate) fn start(
        scene: &Scene<'_>,
        flavour: &Flavour,
        at: (&str, &str, &str),
        number: u32,
        further: &[&str],
    ) -> Result<Member, Fault> {
        let (address, group, topic) = at;
        let name = format!("{group}-{number}");
        let options = [flavour.options, further].concat();
        let mut command = match &flavour.how {
            How::Java => {
                let words = [&["member-start", name.as_str(), address, group, topic], &options[..]].concat();
                scene.java(|java| java.peer(&words))?;
                return Ok(Member { name, body: RefCell::new(Some(Body::Java)), lines: RefCell::default() });
            }
            How::Python { interpreter, client } => {
                let mut command = Command::new(interpreter);
                command.arg(peers::manifests().join("python_member.py")).arg(client);
                command
            }
            How::Node(script) => {
                let mut command = Command::new("node");
                command.arg(script);
                command
            }
        };
        let running =
            Running::start(command.args([address, group, topic]).args(options), &scene.path(&format!("{name}.log")))?;
        Ok(Member { name, body: RefCell::new(Some(Body::Process(running))), lines: RefCell::default() })
    }

    /// How many lines it has said by now.
    pub(crate) fn mark(&self, scene: &Scene<'_>) -> Result<usize, Fault> {
        self.pull(scene, 0)?;
        Ok(self.lines.borrow().len())
    }

    /// Waits until `pick` finds what it wants in all lines so far.
    pub(crate) fn until<T>(
        &self,
        scene: &Scene<'_>,
        what: &str,
        pick: impl Fn(&[String]) -> Option<T>,
    ) -> Result<T, Fault> {
        let until = now() + PHASE_DEADLINE;
        loop {
            if let Some(found) = pick(&self.lines.borrow()) {
                return Ok(found);
            }
            let said = || tail(&self.lines.borrow().join("\n"));
            ensure(now() < until, || format!("{}: no {what} in {PHASE_DEADLINE:?}; it said: {}", self.name, said()))?;
            self.pull(scene, LINE_WAIT_SECONDS)?;
        }
    }

    /// Takes the lines that have come, waiting for one.
    fn pull(&self, scene: &Scene<'_>, seconds: u64) -> Result<(), Fault> {
        let known = self.lines.borrow().len();
        let more: Vec<String> = match &*self.body.borrow() {
            Some(Body::Java) => {
                let (from, seconds) = (known.to_string(), seconds.to_string());
                let said = scene.java(|java| java.peer(&["member-lines", &self.name, &from, &seconds]))?;
                said.lines().map(str::to_owned).collect()
            }
            Some(Body::Process(running)) => {
                let more = running.lines_from(known, Duration::from_secs(seconds));
                ensure(!more.is_empty() || seconds == 0 || !running.has_ended(), || {
                    format!("{} ended: {}", self.name, tail(&running.said()))
                })?;
                more
            }
            None => return fail(format!("{} is gone and was asked", self.name)),
        };
        if let Some(failed) = more.iter().find(|line| line.starts_with("failed ")) {
            return fail(format!("{}: {failed}", self.name));
        }
        self.lines.borrow_mut().extend(more);
        Ok(())
    }

    /// It says goodbye to its group.
    pub(crate) fn leave(&self, scene: &Scene<'_>) -> Result<(), Fault> {
        match self.body.borrow().as_ref() {
            Some(Body::Java) => drop(scene.java(|java| java.peer(&["member-stop", &self.name, "leave"]))?),
            Some(Body::Process(running)) => running.ask_to_end()?,
            None => return fail(format!("{} is gone already", self.name)),
        }
        self.until(scene, "end", |lines| lines.iter().any(|line| line == "end").then_some(()))?;
        self.end(scene)
    }

    /// It is gone without a word to its group.
    pub(crate) fn vanish(&self, scene: &Scene<'_>) -> Result<(), Fault> {
        if matches!(self.body.borrow().as_ref(), Some(Body::Java)) {
            scene.java(|java| java.peer(&["member-stop", &self.name, "vanish"]))?;
        }
        if let Some(Body::Process(running)) = self.body.borrow().as_ref() {
            running.strike()?;
        }
        self.end(scene)
    }

    /// Keeps its last lines and lets its body go.
    fn end(&self, scene: &Scene<'_>) -> Result<(), Fault> {
        if let Some(Body::Process(running)) = self.body.borrow().as_ref() {
            running.await_end(CLIENT_DEADLINE)?;
        }
        self.pull(scene, 0)?;
        *self.body.borrow_mut() = None;
        Ok(())
    }

    /// Everything it has said.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }
}

/// The partitions that were read in these lines.
pub(crate) fn partitions_read(lines: &[String]) -> usize {
    let mut partitions: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_prefix("read ")?.split(' ').next()).collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions.len()
}

/// Whether these lines read or commit up to the ends.
pub(crate) fn has_reached(lines: &[String], ends: &Ends) -> bool {
    let reaches = |partition: u32, end: u64| {
        lines.iter().any(|line| match Event::parse(line) {
            Some(Event::Committed(of, offset)) => of == partition && offset >= end,
            _ => false,
        })
    };
    ends.iter().all(|(partition, end)| reaches(*partition, *end))
}

enum Event {
    Assigned(u32),
    Read(u32, u64, u64),
    Committed(u32, u64),
    Gone(u32),
}

impl Event {
    /// `None` for what is no event: a client's log, or a line that judges nothing.
    fn parse(line: &str) -> Option<Event> {
        let mut words = line.split(' ');
        let word = words.next()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let partition = u32::try_from(number()?).ok()?;
        match word {
            "assigned" => Some(Event::Assigned(partition)),
            "read" => Some(Event::Read(partition, number()?, number()?)),
            "committed" => Some(Event::Committed(partition, number()?)),
            "revoked" | "lost" => Some(Event::Gone(partition)),
            _ => None,
        }
    }
}

/// One member's time with one partition.
#[derive(Clone, Debug)]
struct Session {
    member: String,
    from: u64,
    to: u64,
    /// The last offset whose commit was confirmed.
    committed: Option<u64>,
}

impl Session {
    fn shown(&self) -> String {
        let committed = self.committed.map_or("nothing".to_owned(), |offset| offset.to_string());
        format!("{} read {} to {} and committed {committed}", self.member, self.from, self.to)
    }
}

/// What a group did, partition by partition.
pub(crate) struct Verdict {
    /// The highest offset whose commit was confirmed.
    pub(crate) committed: Ends,
    /// Records read more than once.
    pub(crate) again: u64,
}

/// Every record up to `ends` was read; and no member began before what an earlier one had committed, so that only what was read after
/// the last commit of a member that went is read again, and committed offsets never go back.
pub(crate) fn judge(
    group: &str,
    lines: &[(String, Vec<String>)],
    ends: &Ends,
    commits_its_own: bool,
) -> Result<Verdict, Fault> {
    let mut sessions: BTreeMap<u32, Vec<Session>> = BTreeMap::new();
    for (member, lines) in lines {
        sessions_of(member, lines, &mut sessions).during(group)?;
    }
    let mut verdict = Verdict { committed: Ends::new(), again: 0 };
    for (partition, end) in ends {
        let of = sessions.remove(partition).unwrap_or_default();
        let where_ = format!("group {group}, partition {partition}");
        let (again, committed) = judge_partition(of, *end, commits_its_own).during(where_)?;
        verdict.again += again;
        verdict.committed.insert(*partition, committed);
    }
    Ok(verdict)
}

fn sessions_of(member: &str, lines: &[String], into: &mut BTreeMap<u32, Vec<Session>>) -> Result<(), Fault> {
    let mut open: BTreeMap<u32, Option<Session>> = BTreeMap::new();
    let mut close = |partition: u32, session: Option<Session>| into.entry(partition).or_default().extend(session);
    for line in lines {
        match Event::parse(line) {
            Some(Event::Assigned(partition)) => {
                let before = open.insert(partition, None).flatten();
                close(partition, before);
            }
            Some(Event::Gone(partition)) => {
                let before = open.remove(&partition).flatten();
                close(partition, before);
            }
            Some(Event::Read(partition, from, to)) => {
                let session = open.get_mut(&partition);
                let session = session
                    .ok_or_else(|| Fault::Failed(format!("{member} has not been assigned what it reads: {line}")))?;
                let session =
                    session.get_or_insert(Session { member: member.to_owned(), from, to: from, committed: None });
                ensure(session.to == from, || format!("{member} goes on at {from} after {}", session.to))?;
                session.to = to;
            }
            Some(Event::Committed(partition, offset)) => {
                let session = open.get_mut(&partition).and_then(Option::as_mut);
                let session =
                    session.ok_or_else(|| Fault::Failed(format!("{member} commits what it has not read: {line}")))?;
                session.committed = Some(offset);
            }
            None => {}
        }
    }
    open.into_iter().for_each(|(partition, session)| close(partition, session));
    Ok(())
}

/// How many records were read again, and the highest confirmed commit.
fn judge_partition(mut sessions: Vec<Session>, end: u64, commits_its_own: bool) -> Result<(u64, u64), Fault> {
    // Who began where another one did and committed nothing was the earlier one.
    sessions.sort_by_key(|session| (session.from, session.committed.unwrap_or(session.from)));
    let all = || sessions.iter().map(Session::shown).collect::<Vec<_>>().join("; ");
    let (mut covered, mut committed, mut again) = (0, 0, 0);
    for session in &sessions {
        ensure(session.from <= covered, || {
            format!("records {covered} to {} were read by nobody: {}", session.from, all())
        })?;
        ensure(session.from >= committed || !commits_its_own, || {
            format!("{} began at {}, but {committed} was committed: {}", session.member, session.from, all())
        })?;
        again += covered.min(session.to).saturating_sub(session.from);
        covered = covered.max(session.to);
        committed = committed.max(session.committed.unwrap_or(0));
    }
    ensure(covered == end, || format!("read up to {covered} of {end}: {}", all()))?;
    Ok((again, committed))
}

#[cfg(test)]
mod tests {
    use super::{Ends, judge};

    fn group(members: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        members
            .iter()
            .map(|(name, lines)| ((*name).to_owned(), lines.split("; ").map(str::to_owned).collect()))
            .collect()
    }

    fn again(members: &[(&str, &str)]) -> Result<u64, String> {
        let verdict = judge("g", &group(members), &Ends::from([(0, 10)]), true);
        verdict.map(|verdict| verdict.again).map_err(|fault| format!("{fault:?}"))
    }

    const FIRST: &str = "assigned 0; read 0 0 4; committed 0 4; read 0 4 6";

    #[test]
    fn what_was_not_committed_may_be_read_again() {
        assert_eq!(again(&[("a", FIRST), ("b", "assigned 0; read 0 4 10")]), Ok(2));
        assert_eq!(again(&[("b", "assigned 0; read 0 6 10; committed 0 10"), ("a", FIRST)]), Ok(0));
        assert_eq!(again(&[("a", "assigned 0; read 0 0 4"), ("b", "assigned 0; read 0 0 10; committed 0 10")]), Ok(4));
    }

    #[test]
    fn what_was_committed_may_not_be_read_again() {
        let why = again(&[("a", FIRST), ("b", "assigned 0; read 0 3 10")]).expect_err("4 was committed");
        assert!(why.contains("began at 3"), "{why}");
    }

    #[test]
    fn a_record_that_nobody_read_is_noticed() {
        let why = again(&[("a", FIRST), ("b", "assigned 0; read 0 7 10")]).expect_err("6 is missing");
        assert!(why.contains("records 6 to 7"), "{why}");
        assert!(again(&[("a", FIRST)]).is_err_and(|why| why.contains("up to 6 of 10")));
        assert!(again(&[("a", "assigned 0; read 0 0 3; read 0 4 10")]).is_err_and(|why| why.contains("goes on at 4")));
        assert!(again(&[("a", "read 0 0 10")]).is_err_and(|why| why.contains("not been assigned")));
    }
}
