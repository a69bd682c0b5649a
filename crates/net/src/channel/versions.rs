//! Asking a broker which versions it serves (KIP-35), also one that does not know the version we ask in (KIP-511).

use super::{Channel, ChannelError};
use base::ErrorCode;
use protocol::ApiKey;
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::messages::api_versions_response::ApiVersionsResponse;
use protocol::wire::{Decode, Reader};
use std::borrow::Cow;
use std::sync::Arc;

/// The versions of one API that a broker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub min: i16,
    /// The newest.
    pub max: i16,
}

pub(super) async fn ask(channel: &Channel) -> Result<Vec<(i16, VersionRange)>, ChannelError> {
    let options = &channel.shared.options;
    let request = ApiVersionsRequest {
        client_software_name: Cow::Borrowed(&options.software_name),
        client_software_version: Cow::Borrowed(&options.software_version),
        ..ApiVersionsRequest::default()
    };
    let newest = ApiKey::ApiVersions.stable_versions().map_or(0, |versions| *versions.end());
    let frame = channel.send(&request, newest).await?;
    let response = decode(frame.body(), newest)?;
    if response.error_code != ErrorCode::UnsupportedVersion.code() {
        return ranges(channel, &response);
    }
    let known = response.api_keys.iter().find(|known| known.api_key == ApiKey::ApiVersions.code());
    let version = known.map_or(0, |known| known.max_version.min(newest)).max(0);
    let frame = channel.send(&request, version).await?;
    ranges(channel, &decode(frame.body(), version)?)
}

/// The error comes first in every version; when it says that the version is unknown, the rest is in version 0.
fn decode(body: &[u8], version: i16) -> Result<ApiVersionsResponse<'_>, ChannelError> {
    let failed = |error| ChannelError::Decode { api: ApiKey::ApiVersions.name(), error };
    let error_code = Reader::new(body).i16().map_err(failed)?;
    let version = if error_code == ErrorCode::UnsupportedVersion.code() { 0 } else { version };
    ApiVersionsResponse::decode(&mut Reader::new(body), version).map_err(failed)
}

fn ranges(channel: &Channel, response: &ApiVersionsResponse<'_>) -> Result<Vec<(i16, VersionRange)>, ChannelError> {
    if response.error_code != ErrorCode::None.code() {
        let name = ErrorCode::from_code(response.error_code).map_or("an unknown error", ErrorCode::name);
        let reason = Arc::from(format!("it answered ApiVersions with {name}"));
        return Err(ChannelError::Closed { address: channel.address(), reason });
    }
    let range = |served: &protocol::messages::api_versions_response::ApiVersion| {
        (served.api_key, VersionRange { min: served.min_version, max: served.max_version })
    };
    Ok(response.api_keys.iter().map(range).collect())
}
