//! `thalweg cluster`.

use crate::options::{Connection, Format};
use crate::output::{self, Failure};
use clap::Subcommand;
use client::{Admin, ClusterDescription, FeatureLevel, QuorumDescription};
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(crate) enum Cluster {
    /// Show brokers, controller, quorum and features
    Describe {
        #[command(flatten)]
        connection: Connection,
    },
}

impl Cluster {
    pub(crate) fn connection(&self) -> &Connection {
        let Cluster::Describe { connection } = self;
        connection
    }
}

pub(crate) async fn run(command: Cluster) -> Result<(), Failure> {
    let connection = command.connection();
    let admin = Admin::new(connection.connect().await?);
    let cluster = admin.describe_cluster().await?;
    let features = admin.features().await?;
    // A cluster with ZooKeeper, or before Kafka 3.3, has no quorum to describe.
    let quorum = match admin.describe_quorum().await {
        Ok(quorum) => Some(quorum),
        Err(error) if error.is_unsupported() => None,
        Err(error) => return Err(error.into()),
    };
    match connection.output {
        Format::Json => output::json(&described(&cluster, &features, quorum.as_ref())),
        Format::Text => print(&cluster, &features, quorum.as_ref()),
    }
}

fn described(cluster: &ClusterDescription, features: &[FeatureLevel], quorum: Option<&QuorumDescription>) -> Value {
    let broker = |(node, fenced): &(client::BrokerNode, bool)| json!({"id": node.id, "host": node.host, "port": node.port, "rack": node.rack, "fenced": fenced});
    let replica =
        |replica: &client::QuorumReplica| json!({"node": replica.node_id, "log_end_offset": replica.log_end_offset});
    let quorum = quorum.map(|quorum| {
        json!({
            "leader": quorum.leader_id, "leader_epoch": quorum.leader_epoch, "high_watermark": quorum.high_watermark,
            "voters": quorum.voters.iter().map(replica).collect::<Vec<_>>(),
            "observers": quorum.observers.iter().map(replica).collect::<Vec<_>>(),
        })
    });
    let feature = |feature: &FeatureLevel| {
        json!({
            "name": feature.name, "finalized": feature.finalized,
            "supported": feature.supported.map(|(min, max)| json!([min, max])),
        })
    };
    json!({
        "cluster_id": cluster.cluster_id, "controller": cluster.controller_id,
        "brokers": cluster.brokers.iter().map(broker).collect::<Vec<_>>(),
        "quorum": quorum,
        "features": features.iter().map(feature).collect::<Vec<_>>(),
    })
}

fn print(
    cluster: &ClusterDescription,
    features: &[FeatureLevel],
    quorum: Option<&QuorumDescription>,
) -> Result<(), Failure> {
    output::line(format_args!("cluster {}, {} brokers", cluster.cluster_id, cluster.brokers.len()))?;
    let rows: Vec<Vec<String>> = cluster
        .brokers
        .iter()
        .map(|(node, fenced)| {
            let state = if *fenced { "fenced" } else { "" };
            vec![node.id.to_string(), node.address(), node.rack.clone().unwrap_or_default(), state.to_owned()]
        })
        .collect();
    output::table(&["BROKER", "ADDRESS", "RACK", "STATE"], &rows)?;
    if let Some(quorum) = quorum {
        let ids = |replicas: &[client::QuorumReplica]| {
            replicas.iter().map(|replica| replica.node_id.to_string()).collect::<Vec<_>>().join(",")
        };
        output::line("")?;
        output::line(format_args!(
            "metadata quorum: leader {} in epoch {}, high watermark {}, voters {}, observers {}",
            quorum.leader_id,
            quorum.leader_epoch,
            quorum.high_watermark,
            ids(&quorum.voters),
            if quorum.observers.is_empty() { "none".to_owned() } else { ids(&quorum.observers) }
        ))?;
    }
    let rows: Vec<Vec<String>> = features
        .iter()
        .map(|feature| {
            let supported = feature.supported.map(|(min, max)| format!("{min}-{max}")).unwrap_or_default();
            vec![feature.name.clone(), feature.finalized.map(|level| level.to_string()).unwrap_or_default(), supported]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::table(&["FEATURE", "FINALIZED", "SUPPORTED"], &rows)
}
