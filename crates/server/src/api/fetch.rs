//! Fetch (KIP-74, KIP-227, KIP-320, KIP-516): expands the session, bounds each read by the high watermark or the last stable
//! offset, and hands file slices, not bytes, to the connection. Waits for `min_bytes` at its partitions.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::partition::{Partition, ReadOutcome, ReadRequest, Signal};
use crate::session::Session;
use crate::timers::Timers;
use base::{Monotonic, Refusal};
use net::Reply;
use protocol::messages::fetch_request::FetchRequest;
use protocol::messages::fetch_response::FetchResponse;
use std::sync::Arc;

mod plan;
mod respond;

use plan::{Plan, Target};

pub(crate) fn handle(broker: &Arc<Broker>, session: &Session, to: ReplyTo, request: &FetchRequest<'_>) -> Reply {
    let named = request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum();
    if let Err(reason) = super::check_named(named) {
        return Reply::Close(reason);
    }
    let plan = match Plan::make(broker, to.version, request) {
        Ok(plan) => plan,
        Err(code) => return to.now(&FetchResponse { error_code: code.code(), ..FetchResponse::default() }),
    };
    let attempt = Attempt::run(&plan);
    if attempt.is_enough(&plan) {
        return match respond::encode(broker, to, &plan, attempt) {
            Ok(outgoing) => Reply::Now(outgoing),
            Err(reason) => Reply::Close(reason),
        };
    }
    let deadline = broker.clock.monotonic().plus_millis(i64::from(plan.max_wait_ms));
    let (broker, of_loop) = (Arc::clone(broker), session.of_loop());
    Reply::Later(Box::pin(async move {
        let attempt = wait_for_bytes(&broker, of_loop.timers(), &plan, deadline).await;
        let answer = respond::encode(&broker, to, &plan, attempt);
        answer.inspect_err(|reason| tracing::error!(%reason, "a Fetch could not be answered")).ok()
    }))
}

/// One pass over the plan's partitions.
pub(crate) struct Attempt {
    /// One outcome a target, in the plan's order.
    outcomes: Vec<Result<ReadOutcome, Refusal>>,
    bytes: usize,
    /// An error, a diverging epoch or anything else that must be told at once.
    urgent: bool,
}

impl Attempt {
    fn run(plan: &Plan) -> Attempt {
        let mut attempt = Attempt { outcomes: Vec::with_capacity(plan.targets.len()), bytes: 0, urgent: false };
        let mut left = plan.bytes_max;
        for target in &plan.targets {
            let outcome = read_one(plan, target, left, attempt.bytes == 0);
            match &outcome {
                Ok(read) => {
                    attempt.bytes += read.len();
                    left = left.saturating_sub(read.len());
                    attempt.urgent |= read.diverging.is_some();
                }
                Err(_) => attempt.urgent = true,
            }
            attempt.outcomes.push(outcome);
        }
        attempt
    }

    fn is_enough(&self, plan: &Plan) -> bool {
        self.urgent || self.bytes >= plan.bytes_min || plan.max_wait_ms <= 0 || plan.targets.is_empty()
    }
}

fn read_one(plan: &Plan, target: &Target, left: usize, nothing_yet: bool) -> Result<ReadOutcome, Refusal> {
    let partition = target.partition.as_ref().map_err(Clone::clone)?;
    partition.read(&ReadRequest {
        offset: target.offset,
        bytes_max: left.min(target.bytes_max),
        // KIP-74: the first batch is returned even when it is larger than the limits, so that no consumer is stuck.
        at_least_one: nothing_yet,
        isolation: plan.isolation,
        current_leader_epoch: target.current_leader_epoch,
        last_fetched_epoch: target.last_fetched_epoch,
        replica: plan.replica,
    })
}

async fn wait_for_bytes(broker: &Broker, timers: &Timers, plan: &Plan, deadline: Monotonic) -> Attempt {
    let signal = Arc::new(Signal::default());
    let watched: Vec<&Arc<Partition>> =
        plan.targets.iter().filter_map(|target| target.partition.as_ref().ok()).collect();
    let _watch = Watch { watched: &watched, signal: &signal };
    loop {
        // Watch first, read second: an append between the two is then seen by one of them.
        watched.iter().for_each(|partition| partition.watch_visible(&signal));
        let attempt = Attempt::run(plan);
        if attempt.is_enough(plan) {
            return attempt;
        }
        if !broker.wait(timers, &signal, deadline).await {
            return Attempt::run(plan);
        }
    }
}

/// Takes the signal off the partitions' lists however the wait ends, also when the connection closes.
struct Watch<'w> {
    watched: &'w [&'w Arc<Partition>],
    signal: &'w Arc<Signal>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.watched.iter().for_each(|partition| partition.forget(self.signal));
    }
}
