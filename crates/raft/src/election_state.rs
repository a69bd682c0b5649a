//! `quorum-state`: the vote and the leader that a node has seen, one line of JSON.

use base::{LeaderEpoch, NodeId, Uuid};
use serde_json::{Map, Value, json};

/// The file's layout: 0 for a static quorum, 1 for a dynamic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumStateVersion {
    /// `controller.quorum.voters`, kraft.version 0.
    Static,
    /// Voters in the log, kraft.version 1.
    Dynamic,
}

/// What a node must remember of elections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionState {
    /// The newest epoch.
    pub epoch: LeaderEpoch,
    /// Its leader, if known.
    pub leader: Option<NodeId>,
    /// Whom this node voted for in it.
    pub voted: Option<(NodeId, Uuid)>,
    /// The voters of a static quorum; kept because its file lists them.
    pub static_voters: Vec<NodeId>,
}

/// The file is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quorum-state is malformed: {0}")]
pub struct QuorumStateError(String);

impl ElectionState {
    /// The state of a node that has seen no election.
    #[must_use]
    pub fn unattached(static_voters: Vec<NodeId>) -> Self {
        Self { epoch: LeaderEpoch(0), leader: None, voted: None, static_voters }
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self, version: QuorumStateVersion) -> String {
        let leader = self.leader.unwrap_or(NodeId::NONE).0;
        let (voted, directory) = self.voted.unwrap_or((NodeId::NONE, Uuid::ZERO));
        let value = match version {
            QuorumStateVersion::Static => {
                let voters: Vec<Value> = self.static_voters.iter().map(|voter| json!({ "voterId": voter.0 })).collect();
                json!({
                    "clusterId": "",
                    "leaderId": leader,
                    "leaderEpoch": self.epoch.0,
                    "votedId": voted.0,
                    "appliedOffset": 0,
                    "currentVoters": voters,
                    "data_version": 0,
                })
            }
            QuorumStateVersion::Dynamic => json!({
                "leaderId": leader,
                "leaderEpoch": self.epoch.0,
                "votedId": voted.0,
                "votedDirectoryId": directory.to_string(),
                "data_version": 1,
            }),
        };
        value.to_string()
    }

    /// Reads a file's text, of either layout.
    ///
    /// # Errors
    /// When it is not such a file.
    pub fn from_json(text: &str) -> Result<ElectionState, QuorumStateError> {
        let wrong = |what: &str| QuorumStateError(what.to_owned());
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| QuorumStateError(error.to_string()))?;
        let number = |key: &str| {
            let number = map.get(key).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
            number.ok_or_else(|| QuorumStateError(format!("{key} is missing or no number")))
        };
        let version = number("data_version")?;
        if !(0..=1).contains(&version) {
            return Err(wrong("its data_version is neither 0 nor 1"));
        }
        let node = |id: i32| (id >= 0).then_some(NodeId(id));
        let directory = map.get("votedDirectoryId").and_then(Value::as_str).unwrap_or("AAAAAAAAAAAAAAAAAAAAAA");
        let directory: Uuid = directory.parse().map_err(|_| wrong("votedDirectoryId is no id"))?;
        let voters = map.get("currentVoters").and_then(Value::as_array);
        let voters = voters.into_iter().flatten().filter_map(|voter| voter.get("voterId")?.as_i64());
        Ok(ElectionState {
            epoch: LeaderEpoch(number("leaderEpoch")?),
            leader: node(number("leaderId")?),
            voted: node(number("votedId")?).map(|voted| (voted, directory)),
            static_voters: voters.filter_map(|id| i32::try_from(id).ok()).map(NodeId).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ElectionState, QuorumStateVersion};
    use base::{LeaderEpoch, NodeId, Uuid};

    #[test]
    fn both_layouts_round_trip() {
        let dynamic = ElectionState {
            epoch: LeaderEpoch(7),
            leader: Some(NodeId(1)),
            voted: Some((NodeId(1), Uuid(1 << 100))),
            static_voters: vec![],
        };
        assert_eq!(ElectionState::from_json(&dynamic.to_json(QuorumStateVersion::Dynamic)).unwrap(), dynamic);
        let fixed = ElectionState { voted: None, static_voters: vec![NodeId(1)], ..dynamic };
        assert_eq!(ElectionState::from_json(&fixed.to_json(QuorumStateVersion::Static)).unwrap(), fixed);
    }

    #[test]
    fn kafkas_own_text_is_read_and_nonsense_is_not() {
        let kafka = r#"{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#;
        let state = ElectionState::from_json(kafka).unwrap();
        assert_eq!((state.epoch, state.leader, state.voted), (LeaderEpoch(2), Some(NodeId(1)), None));
        for bad in
            ["", "{}", "[]", r#"{"data_version":2,"leaderEpoch":1,"leaderId":1,"votedId":1}"#, r#"{"data_version":1}"#]
        {
            assert!(ElectionState::from_json(bad).is_err(), "{bad}");
        }
    }
}
