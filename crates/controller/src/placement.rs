//! Which brokers get the replicas of a new partition: spread over racks, then brokers, beginning at a random one.

use base::{NodeId, SeededRng};
use std::collections::BTreeMap;

/// A broker that can take replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usable {
    pub(crate) node: NodeId,
    pub(crate) rack: Option<String>,
}

/// Replicas for `partitions` partitions of `factor` replicas each, the preferred leader first. `factor` must not be more than
/// there are brokers.
pub(crate) fn place(usable: &[Usable], partitions: usize, factor: usize, rng: &mut SeededRng) -> Vec<Vec<NodeId>> {
    let mut racks: BTreeMap<Option<&str>, Vec<NodeId>> = BTreeMap::new();
    for broker in usable {
        racks.entry(broker.rack.as_deref()).or_default().push(broker.node);
    }
    // One rack after the other, a broker of each at a time: neighbours in this order are in different racks.
    let mut order = Vec::with_capacity(usable.len());
    for depth in 0..usable.len() {
        order.extend(racks.values().filter_map(|nodes| nodes.get(depth).copied()));
    }
    let start = rng.below(order.len() as u64) as usize;
    (0..partitions).map(|at| (0..factor).map(|i| order[(start + at + i) % order.len()]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Usable, place};
    use base::{NodeId, SeededRng};
    use std::collections::BTreeSet;

    #[test]
    fn replicas_are_distinct_and_racks_differ() {
        let usable: Vec<_> = (0..6).map(|i| Usable { node: NodeId(i), rack: Some(format!("r{}", i % 3)) }).collect();
        for replicas in place(&usable, 30, 3, &mut SeededRng::new(1)) {
            let nodes: BTreeSet<_> = replicas.iter().collect();
            let racks: BTreeSet<_> = replicas.iter().map(|node| node.0 % 3).collect();
            assert_eq!((nodes.len(), racks.len()), (3, 3), "{replicas:?}");
        }
    }

    #[test]
    fn leaders_are_spread_evenly() {
        let usable: Vec<_> = (0..4).map(|i| Usable { node: NodeId(i), rack: None }).collect();
        let placed = place(&usable, 40, 2, &mut SeededRng::new(2));
        for node in 0..4 {
            assert_eq!(placed.iter().filter(|replicas| replicas[0] == NodeId(node)).count(), 10);
        }
    }
}
