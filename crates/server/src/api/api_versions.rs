//! ApiVersions (KIP-35, KIP-511, KIP-584, KIP-1242): what this listener serves, and which features the cluster has finalized.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::session::Session;
use base::ErrorCode;
use net::{ClientSoftware, Reply};
use protocol::ApiKey;
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use std::borrow::Cow;

pub(crate) fn handle(
    broker: &Broker,
    session: &Session,
    software: &mut ClientSoftware,
    to: ReplyTo,
    request: &ApiVersionsRequest<'_>,
) -> Reply {
    if to.version >= 3 {
        if !is_software_name(&request.client_software_name) || !is_software_name(&request.client_software_version) {
            return to.now(&failed(ErrorCode::InvalidRequest));
        }
        *software = ClientSoftware {
            name: request.client_software_name.to_string(),
            version: request.client_software_version.to_string(),
        };
    }
    // KIP-1242: a client that believes in another cluster or node behind this address looks them all up again.
    match (to.version, &request.cluster_id, request.node_id) {
        (..5, ..) | (_, None, -1) => {}
        (_, None, _) | (_, Some(_), -1) => return to.now(&failed(ErrorCode::InvalidRequest)),
        (_, Some(cluster), node) if **cluster == *broker.cluster_id && node == broker.node_id.0 => {}
        _ => return to.now(&failed(ErrorCode::RebootstrapRequired)),
    }
    to.now(&response(broker, session, to.version))
}

/// The answer to a version of ApiVersions that we do not know: version 0, with the error and what we do know (KIP-511).
pub(crate) fn unsupported(correlation_id: i32) -> Reply {
    let to = ReplyTo { key: ApiKey::ApiVersions, version: 0, correlation_id };
    let versions =
        crate::dispatch::served_versions(ApiKey::ApiVersions).expect("ApiVersions is served on every listener");
    let known = ApiVersion {
        api_key: ApiKey::ApiVersions.code(),
        min_version: *versions.start(),
        max_version: *versions.end(),
        ..ApiVersion::default()
    };
    to.now(&ApiVersionsResponse { api_keys: vec![known], ..failed(ErrorCode::UnsupportedVersion) })
}

fn failed(code: ErrorCode) -> ApiVersionsResponse<'static> {
    ApiVersionsResponse { error_code: code.code(), ..ApiVersionsResponse::default() }
}

/// The characters that KIP-511 allows in a client's software name and version.
fn is_software_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next()) && edge(text.chars().next_back()) && text.chars().all(inner)
}

fn response(broker: &Broker, session: &Session, version: i16) -> ApiVersionsResponse<'static> {
    let served =
        ApiKey::ALL.iter().filter(|key| crate::dispatch::is_served_on(**key, session.is_controller_listener()));
    let api_keys = served.filter_map(|&key| {
        let versions = crate::dispatch::served_versions(key)?;
        // librdkafka before 2.12 takes the absence of Produce 0 for a broker older than 0.8 (KAFKA-18659).
        let min_version = if key == ApiKey::Produce { 0 } else { *versions.start() };
        Some(ApiVersion { api_key: key.code(), min_version, max_version: *versions.end(), ..ApiVersion::default() })
    });
    let image = broker.image();
    // A client before version 4 takes a minimum of 0 for an error, so such features are left out of its answer (KIP-584).
    let supported = metadata::SUPPORTED_FEATURES.iter().filter(|feature| version >= 4 || feature.min > 0);
    // The level of kraft.version lives in control records, and level 0 is not shown (KIP-853).
    let kraft_version = Some((metadata::KRAFT_VERSION, broker.quorum.kraft_version())).filter(|(_, level)| *level > 0);
    ApiVersionsResponse {
        api_keys: api_keys.collect(),
        supported_features: supported
            .map(|feature| SupportedFeatureKey {
                name: Cow::Borrowed(feature.name),
                min_version: feature.min,
                max_version: feature.max,
                ..SupportedFeatureKey::default()
            })
            .collect(),
        finalized_features_epoch: image.provenance().offset.0,
        finalized_features: image
            .finalized_features()
            .chain(kraft_version)
            .map(|(name, level)| FinalizedFeatureKey {
                name: Cow::Owned(name.to_owned()),
                max_version_level: level,
                min_version_level: level,
                ..FinalizedFeatureKey::default()
            })
            .collect(),
        ..ApiVersionsResponse::default()
    }
}

#[cfg(test)]
mod tests;
