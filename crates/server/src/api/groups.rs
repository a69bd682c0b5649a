//! The APIs of the group coordinator. Each turns a request into a decision of its group's shard, and the outcome into a response.

pub(crate) mod consumer_group_describe;
pub(crate) mod consumer_group_heartbeat;
pub(crate) mod delete_groups;
pub(crate) mod describe_groups;
pub(crate) mod heartbeat;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_groups;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod sync_group;

use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::coordinator::{Answer, Asker, shard_of};
use crate::session::Session;
use base::{ErrorCode, Refusal};
use group::{Groups, RequestContext};
use net::Reply;
use protocol::wire::Response;
use rsm::Effects;
use std::collections::BTreeMap;
use std::pin::Pin;
use tokio::sync::oneshot::error::TryRecvError;

/// What a shard said.
type Outcome = Result<group::Reply, Refusal>;

fn asker(session: &Session, to: ReplyTo) -> Asker<'_> {
    Asker { version: to.version, client_id: session.client_id(), client_host: session.client_host() }
}

/// Whether groups of KIP-848 are served: the cluster has finalized them, and the node's file does not leave them out.
fn consumer_protocol(broker: &Broker) -> Result<(), Refusal> {
    if broker.has_consumer_protocol && broker.image().feature(metadata::GROUP_VERSION) >= 1 {
        return Ok(());
    }
    let why = "the consumer protocol needs group.version 1, and consumer in group.coordinator.rebalance.protocols";
    Err(Refusal::new(ErrorCode::UnsupportedVersion, why))
}

/// Without an authorizer all that can be done to a group is allowed: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS.
const GROUP_OPERATIONS: i32 = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);

fn gone() -> Refusal {
    Refusal::new(ErrorCode::NotCoordinator, "the coordinator has moved while the request waited")
}

/// Where each of these stands when those that are equal stand together, where the first of them does. A client may name a million.
fn places<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<usize> {
    let mut first: BTreeMap<K, usize> = BTreeMap::new();
    keys.map(|key| {
        let next = first.len();
        *first.entry(key).or_insert(next)
    })
    .collect()
}

/// A shard that says something else than it was asked broke an invariant.
fn mismatch() -> Refusal {
    Refusal::new(ErrorCode::UnknownServerError, "the coordinator gave the answer of another request")
}

/// Asks the shard of `group` and answers with what `respond` makes of the outcome.
fn ask_group<R: Response>(
    broker: &Broker,
    session: &Session,
    to: ReplyTo,
    group: &str,
    decide: impl FnOnce(&mut Groups, RequestContext<'_>, &mut Effects<Groups>),
    respond: impl FnOnce(Outcome) -> R + 'static,
) -> Reply {
    match broker.groups.ask_group(&broker.image(), asker(session, to), group, decide) {
        Ok(mut answer) => match answer.try_recv() {
            Ok(outcome) => to.now(&respond(outcome)),
            Err(TryRecvError::Closed) => to.now(&respond(Err(gone()))),
            Err(TryRecvError::Empty) => {
                Reply::Later(Box::pin(async move { to.later(&respond(outcome_of(answer).await)) }))
            }
        },
        Err(refusal) => to.now(&respond(Err(refusal))),
    }
}

async fn outcome_of(answer: Answer<Groups>) -> Outcome {
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// What a shard says that was asked, or why it was not.
async fn settled(asked: Result<Answer<Groups>, Refusal>) -> Outcome {
    outcome_of(asked?).await
}

/// Lets the shard of each group decide for all of its groups at once, and puts together what they say: `parts` takes it out of a shard's
/// reply, `failed` is said of each group whose shard says nothing.
fn ask_shards<'a, T: 'static>(
    broker: &Broker,
    asker: Asker<'_>,
    ids: impl Iterator<Item = &'a str>,
    decide: impl Fn(&mut Groups, RequestContext<'_>, &[&str], &mut Effects<Groups>),
    parts: fn(group::Reply) -> Option<Vec<T>>,
    failed: fn(&str, ErrorCode) -> T,
) -> Pin<Box<dyn Future<Output = Vec<T>>>> {
    let image = broker.image();
    let (mut shards, mut said): (BTreeMap<i32, Vec<&str>>, Vec<T>) = Default::default();
    for id in ids {
        match shard_of(&image, id) {
            Some(index) => shards.entry(index).or_default().push(id),
            None => said.push(failed(id, ErrorCode::NotCoordinator)),
        }
    }
    let ask = |(index, ids): (i32, Vec<&str>)| {
        let answer = broker.groups.ask_shard(index, asker, |groups, cx, effects| decide(groups, cx, &ids, effects));
        (ids.into_iter().map(str::to_owned).collect::<Vec<_>>(), answer)
    };
    let asked: Vec<_> = shards.into_iter().map(ask).collect();
    Box::pin(async move {
        for (ids, answer) in asked {
            let code = match settled(answer).await.map(parts) {
                Ok(Some(parts)) => {
                    said.extend(parts);
                    continue;
                }
                Ok(None) => mismatch().code,
                Err(refusal) => refusal.code,
            };
            said.extend(ids.iter().map(|id| failed(id, code)));
        }
        said
    })
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn what_is_equal_stands_together() {
        assert_eq!(places(["a", "b", "a", "c", "b"].into_iter()), [0, 1, 0, 2, 1]);
    }
}
