//! What a step is: a request in every version that can carry it, and its answers as canonical lines.

use crate::canon::canonical;
use crate::wire::{Answer, Wire, body};
use base::Uuid;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use protocol::wire::{Encode, Request};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;

/// The steps so far and what was answered: `(API.step, version)` to the line.
pub(crate) struct Script {
    pub(crate) wire: Wire,
    pub(crate) lines: Vec<(String, i16, String)>,
    ids: BTreeMap<String, Uuid>,
}

impl Script {
    pub(crate) fn new(address: &str) -> Self {
        Self { wire: Wire::new(address), lines: Vec::new(), ids: BTreeMap::new() }
    }

    /// A step in all stable versions.
    pub(crate) fn all<R>(&mut self, label: &str, make: impl Fn(i16) -> R)
    where
        R: Request + Encode,
        for<'r> R::Response<'r>: Debug,
    {
        let versions = R::KEY.stable_versions().expect("a served API");
        self.within(label, versions, make);
    }

    /// A step in some versions.
    pub(crate) fn within<R>(&mut self, label: &str, versions: RangeInclusive<i16>, make: impl Fn(i16) -> R)
    where
        R: Request + Encode,
        for<'r> R::Response<'r>: Debug,
    {
        for version in versions {
            self.one(label, version, &make(version));
        }
    }

    /// A step in one version.
    pub(crate) fn one<R>(&mut self, label: &str, version: i16, request: &R)
    where
        R: Request + Encode,
        for<'r> R::Response<'r>: Debug,
    {
        self.one_with(label, version, request, |_| String::new());
    }

    /// A step in one version, with something that is looked up in its response.
    pub(crate) fn one_with<R>(
        &mut self,
        label: &str,
        version: i16,
        request: &R,
        also: impl for<'r> FnOnce(&R::Response<'r>) -> String,
    ) where
        R: Request + Encode,
        for<'r> R::Response<'r>: Debug,
    {
        let line = match self.wire.ask(version, request) {
            Answer::Unwritable => return,
            Answer::Closed => "closed".to_owned(),
            Answer::Silent => "silent".to_owned(),
            Answer::Frame(frame) => {
                let response = body::<R>(version, &frame);
                canonical(&format!("{response:?}"), version) + &also(&response)
            }
        };
        self.note::<R>(label, version, line);
    }

    /// Notes a line.
    pub(crate) fn note<R: Request>(&mut self, label: &str, version: i16, line: String) {
        let name = R::KEY.name();
        self.lines.push((format!("{name}.{label}"), version, line));
    }

    /// Makes a topic without noting it, and returns its id.
    pub(crate) fn topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some((*value).into()),
            ..CreatableTopicConfig::default()
        });
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let id = self.look(7, &request, |response| {
            assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0]);
            response.topics[0].topic_id
        });
        self.ids.insert(name.to_owned(), id);
        (0..partitions).for_each(|index| self.await_leader(name, index));
        id
    }

    /// A topic's id; zero for one that was never made.
    pub(crate) fn id(&self, name: &str) -> Uuid {
        self.ids.get(name).copied().unwrap_or(Uuid::ZERO)
    }

    /// Asks without noting, and looks something up in the response.
    pub(crate) fn look<R, T>(
        &mut self,
        version: i16,
        request: &R,
        find: impl for<'r> FnOnce(&R::Response<'r>) -> T,
    ) -> T
    where
        R: Request + Encode,
        for<'r> R::Response<'r>: Debug,
    {
        match self.wire.ask(version, request) {
            Answer::Frame(frame) => find(&body::<R>(version, &frame)),
            other => panic!("{} was answered with {other:?}", R::NAME),
        }
    }

    /// A new topic's partitions come up one after the other; a broker may answer before they lead.
    fn await_leader(&mut self, name: &str, partition_index: i32) {
        use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
        let partition = ListOffsetsPartition { partition_index, timestamp: -1, ..ListOffsetsPartition::default() };
        let topic = ListOffsetsTopic { name: name.into(), partitions: vec![partition], ..ListOffsetsTopic::default() };
        let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
        for _ in 0..1_000_000 {
            if self.look(7, &request, |response| response.topics[0].partitions[0].error_code) == 0 {
                return;
            }
        }
        panic!("{name}-{partition_index} never got a leader");
    }
}

/// Lines as they are checked in: versions with the same answer stand together, in the order of the steps.
pub(crate) fn transcript(lines: &[(String, i16, String)]) -> String {
    let mut steps: Vec<(&str, Vec<(i16, &str)>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (label, version, line) in lines {
        let at = *places.entry(label).or_insert_with(|| {
            steps.push((label, Vec::new()));
            steps.len() - 1
        });
        steps[at].1.push((*version, line));
    }
    let mut out = String::new();
    for (label, versions) in steps {
        for same in versions.chunk_by(|one, next| one.1 == next.1 && one.0 + 1 == next.0) {
            let ((first, line), (last, _)) = (same[0], same[same.len() - 1]);
            let shown = if first == last { first.to_string() } else { format!("{first}-{last}") };
            out.push_str(&format!("{label} v{shown} {line}\n"));
        }
    }
    out
}

/// The lines of a transcript, one a version.
pub(crate) fn parse(transcript: &str) -> BTreeMap<(String, i16), String> {
    let mut all = BTreeMap::new();
    for line in transcript.lines().filter(|line| !line.starts_with('#')) {
        let (label, rest) = line.split_once(" v").expect("a label and versions");
        let (versions, line) = rest.split_once(' ').expect("versions and an answer");
        let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
        let (first, last): (i16, i16) = (first.parse().expect("a version"), last.parse().expect("a version"));
        for version in first..=last {
            let before = all.insert((label.to_owned(), version), line.to_owned());
            assert!(before.is_none(), "{label} v{version} stands twice");
        }
    }
    all
}
