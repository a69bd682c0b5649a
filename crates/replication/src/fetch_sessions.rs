//! Fetch sessions (KIP-227): a consumer names its partitions once, then only what changed; the broker answers only what changed.
//!
//! Bounded: a fixed number of sessions, and of partitions in all of them together. A session that was used within two minutes is
//! never evicted for another; a client for whom there is no room names its partitions every time.

use base::{ErrorCode, Monotonic, SeededRng, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The epoch of a request that wants no session, or closes the one that it names.
const SESSIONLESS: i32 = -1;
/// Partitions that all sessions may hold together, about 200 bytes each (S48). Kafka bounds only the sessions.
pub const SESSION_PARTITIONS_MAX: usize = 200_000;
/// How long a session is safe from eviction.
const EVICTION_AGE_MS: i64 = 120_000;

/// A topic as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionTopic {
    /// Before version 13.
    Name(Arc<str>),
    /// Since version 13 (KIP-516).
    Id(Uuid),
}

/// A partition as a request names it.
pub type PartitionKey = (SessionTopic, i32);

/// What is asked of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRequest {
    /// From where on.
    pub fetch_offset: i64,
    /// The epoch that the consumer believes in, -1 for any.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that it has, -1 when unknown.
    pub last_fetched_epoch: i32,
    /// At most about this many bytes.
    pub bytes_max: i32,
}

/// What a Fetch request says of its session.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    /// 0 for none.
    pub session_id: i32,
    /// 0 for a new session, -1 for none, else the next of the session.
    pub epoch: i32,
    /// Partitions that are new or changed.
    pub partitions: Vec<(PartitionKey, PartitionRequest)>,
    /// Partitions to forget.
    pub forgotten: Vec<PartitionKey>,
    /// Whether topics are named by id.
    pub uses_ids: bool,
}

/// What kind of answer a Fetch gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// All partitions, and no session is kept.
    Sessionless,
    /// All partitions; a session is begun with this id.
    Full(i32),
    /// The partitions that changed, in this session.
    Incremental(i32),
}

/// What an answer says of a partition, as far as "did it change" goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its high watermark.
    pub high_watermark: i64,
    /// Its log's start.
    pub log_start: i64,
    /// Whether it has records, an error or anything else that must be told.
    pub must_tell: bool,
    /// Whether it failed: it is then told again when it recovers.
    pub failed: bool,
}

struct Cached {
    key: PartitionKey,
    request: PartitionRequest,
    high_watermark: i64,
    log_start: i64,
}

struct Session {
    epoch: i32,
    last_used: Monotonic,
    uses_ids: bool,
    partitions: Vec<Cached>,
    index: BTreeMap<PartitionKey, usize>,
    /// Where the next answer begins, so that no partition starves behind busy ones.
    start: usize,
}

impl Session {
    fn add(&mut self, key: PartitionKey, request: PartitionRequest) {
        if let Some(at) = self.index.get(&key) {
            self.partitions[*at].request = request;
            return;
        }
        self.index.insert(key.clone(), self.partitions.len());
        self.partitions.push(Cached { key, request, high_watermark: -1, log_start: -1 });
    }

    fn count_new(&self, asked: &[(PartitionKey, PartitionRequest)]) -> usize {
        asked.iter().filter(|(key, _)| !self.index.contains_key(key)).count()
    }

    fn forget(&mut self, keys: &[PartitionKey]) {
        if keys.is_empty() {
            return;
        }
        let keys: BTreeSet<&PartitionKey> = keys.iter().collect();
        self.partitions.retain(|cached| !keys.contains(&cached.key));
        self.index = self.partitions.iter().enumerate().map(|(at, cached)| (cached.key.clone(), at)).collect();
        self.start = 0;
    }

    fn all(&self) -> Vec<(PartitionKey, PartitionRequest)> {
        let rotated = self.partitions[self.start..].iter().chain(&self.partitions[..self.start]);
        rotated.map(|cached| (cached.key.clone(), cached.request)).collect()
    }
}

/// All sessions of a node.
pub struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    slots: usize,
    /// Partitions of all sessions.
    held: usize,
    held_max: usize,
    rng: SeededRng,
}

impl FetchSessions {
    /// No sessions, and room for `slots`, of [`SESSION_PARTITIONS_MAX`] partitions together.
    #[must_use]
    pub fn new(slots: usize, rng: SeededRng) -> Self {
        Self { sessions: BTreeMap::new(), slots, held: 0, held_max: SESSION_PARTITIONS_MAX, rng }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Says what a request asks for: its kind of answer and all of its partitions.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
    pub fn begin(
        &mut self,
        now: Monotonic,
        request: SessionRequest,
    ) -> Result<(FetchKind, Vec<(PartitionKey, PartitionRequest)>), ErrorCode> {
        if request.epoch == 0 || request.epoch == SESSIONLESS {
            if let Some(session) = self.sessions.get(&request.session_id) {
                let partitions = session.partitions.len();
                self.remove(request.session_id, partitions);
            }
            let kept = if request.epoch == 0 { self.open(now, &request) } else { None };
            return Ok((kept.map_or(FetchKind::Sessionless, FetchKind::Full), request.partitions));
        }
        let session = self.sessions.get_mut(&request.session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != request.uses_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let before = session.partitions.len();
        session.forget(&request.forgotten);
        // Counted exactly only when it may be too much.
        let room = self.held_max - (self.held - before) - session.partitions.len();
        if request.partitions.len() > room && session.count_new(&request.partitions) > room {
            // No room for what it adds: the client begins anew, and learns then that it gets no session.
            self.remove(request.session_id, before);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        request.partitions.into_iter().for_each(|(key, partition)| session.add(key, partition));
        self.held = self.held - before + session.partitions.len();
        if session.partitions.is_empty() {
            self.sessions.remove(&request.session_id);
            return Ok((FetchKind::Sessionless, Vec::new()));
        }
        session.last_used = now;
        // Epochs go from 1 to 2^31-1 and round.
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        Ok((FetchKind::Incremental(request.session_id), session.all()))
    }

    fn open(&mut self, now: Monotonic, request: &SessionRequest) -> Option<i32> {
        let asked = request.partitions.len();
        if self.slots == 0 || asked > self.held_max {
            return None;
        }
        while self.sessions.len() >= self.slots || self.held + asked > self.held_max {
            let (id, oldest) = self.sessions.iter().min_by_key(|(_, session)| session.last_used)?;
            if oldest.last_used.plus_millis(EVICTION_AGE_MS) > now {
                return None;
            }
            let (id, partitions) = (*id, oldest.partitions.len());
            self.remove(id, partitions);
        }
        let id = loop {
            let id = self.rng.below(i32::MAX as u64) as i32 + 1;
            if !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            epoch: 1,
            last_used: now,
            uses_ids: request.uses_ids,
            partitions: Vec::with_capacity(asked),
            index: BTreeMap::new(),
            start: 0,
        };
        request.partitions.iter().for_each(|(key, partition)| session.add(key.clone(), *partition));
        self.held += session.partitions.len();
        self.sessions.insert(id, session);
        Some(id)
    }

    /// Ends a session of so many partitions.
    fn remove(&mut self, id: i32, partitions: usize) {
        self.sessions.remove(&id);
        self.held -= partitions;
    }

    /// Notes what is about to be answered, and says for each partition whether the answer has to name it.
    pub fn answer(&mut self, kind: FetchKind, answers: &[(PartitionKey, Fetched)]) -> Vec<bool> {
        let (id, full) = match kind {
            FetchKind::Sessionless => return vec![true; answers.len()],
            FetchKind::Full(id) => (id, true),
            FetchKind::Incremental(id) => (id, false),
        };
        // The session may have been evicted, or replaced by the client, while this answer waited.
        let Some(session) = self.sessions.get_mut(&id) else { return vec![true; answers.len()] };
        let mut last_told = None;
        let told = answers.iter().map(|(key, fetched)| {
            let Some(at) = session.index.get(key).copied() else { return true };
            let cached = &mut session.partitions[at];
            let changed = cached.high_watermark != fetched.high_watermark || cached.log_start != fetched.log_start;
            (cached.high_watermark, cached.log_start) =
                if fetched.failed { (-1, -1) } else { (fetched.high_watermark, fetched.log_start) };
            if fetched.must_tell {
                last_told = Some(at);
            }
            full || changed || fetched.must_tell
        });
        let told: Vec<bool> = told.collect();
        if let Some(at) = last_told {
            session.start = (at + 1) % session.partitions.len();
        }
        told
    }
}

#[cfg(test)]
mod tests;
