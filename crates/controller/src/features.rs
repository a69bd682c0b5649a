//! Changing finalized feature levels (KIP-584, KIP-778).

use crate::{Controller, Decision, VersionedRecord};
use base::{ErrorCode, Refusal};
use metadata::{KRAFT_VERSION, METADATA_VERSION, MetadataVersion, supported_feature};
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};
use protocol::messages::update_features_response::{UpdatableFeatureResult, UpdateFeaturesResponse};
use std::borrow::Cow;

/// Features of Kafka 4.4 beside metadata.version and kraft.version; what is not supported here has level 0.
const KAFKAS_FEATURES: &[&str] =
    &["eligible.leader.replicas.version", "group.version", "share.version", "streams.version", "transaction.version"];

/// How a level may go down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Downgrade {
    No,
    Safe,
    Unsafe,
}

impl Controller {
    /// UpdateFeatures: the first error is the answer; before version 2, every feature has a result where there is none. The quorum's own
    /// level, `kraft_version`, is not in the image.
    #[must_use]
    pub fn update_features(
        &self,
        request: &UpdateFeaturesRequest<'_>,
        version: i16,
        kraft_version: i16,
    ) -> Decision<UpdateFeaturesResponse<'static>> {
        let mut records: Vec<VersionedRecord> = Vec::new();
        let mut results = Vec::new();
        let mut first_error = None;
        for update in &request.feature_updates {
            match self.check_update(update, version, kraft_version) {
                // What is so already needs no record, and kraft.version must not have one (KIP-853).
                Ok(()) if self.image.feature(&update.feature) == update.max_version_level => {}
                Ok(()) if update.feature == KRAFT_VERSION => {}
                Ok(()) => records.push((level_record(update), 0)),
                Err(refusal) => first_error = first_error.or(Some(refusal)),
            }
            results.push(UpdatableFeatureResult {
                feature: Cow::Owned(update.feature.to_string()),
                error_message: Some(Cow::Borrowed("The update succeeded.")),
                ..UpdatableFeatureResult::default()
            });
        }
        // All or nothing: a cluster half way between two sets of levels helps nobody.
        if first_error.is_some() || request.validate_only {
            records.clear();
        } else {
            let raised = request.feature_updates.iter().find(|update| update.feature == METADATA_VERSION);
            let version = raised.and_then(|update| MetadataVersion::from_level(update.max_version_level));
            records.extend(self.own_registration(version.unwrap_or(self.version())));
        }
        let reply = match first_error {
            Some(refusal) => UpdateFeaturesResponse {
                error_code: refusal.code.code(),
                error_message: Some(refusal.message),
                ..UpdateFeaturesResponse::default()
            },
            None => UpdateFeaturesResponse {
                error_message: None,
                results: if version >= 2 { Vec::new() } else { results },
                ..UpdateFeaturesResponse::default()
            },
        };
        Decision { records, reply }
    }

    fn check_update(&self, update: &FeatureUpdateKey<'_>, version: i16, kraft_version: i16) -> Result<(), Refusal> {
        let name = &*update.feature;
        let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidUpdateVersion, why));
        let downgrade = match (version, update.upgrade_type) {
            (0, _) if update.allow_downgrade => Downgrade::Safe,
            (0, _) | (_, 1) => Downgrade::No,
            (_, 2) => Downgrade::Safe,
            (_, 3) => Downgrade::Unsafe,
            (_, other) => return invalid(format!("The controller does not support the given upgrade type {other}.")),
        };
        let level = update.max_version_level;
        let now = self.image.feature(name);
        if name == KRAFT_VERSION && level == kraft_version {
            return Ok(());
        }
        if name == KRAFT_VERSION {
            return invalid(
                "kraft.version is set when a cluster is formatted; raising it later is not supported yet.".into(),
            );
        }
        let Some(supported) = supported_feature(name) else {
            // Level 0 of a feature of Kafka's is what a node without it has.
            return if level == 0 && KAFKAS_FEATURES.contains(&name) {
                Ok(())
            } else {
                invalid(format!("The controller does not support the given feature {name}."))
            };
        };
        if level < supported.min || level > supported.max {
            return invalid(format!(
                "Invalid update version {level} for feature {name}. Local controller {} only supports versions {}-{}",
                self.image.provenance().epoch,
                supported.min,
                supported.max
            ));
        }
        if level > now && downgrade != Downgrade::No {
            return invalid(format!(
                "Invalid update version {level} for feature {name}. Can't downgrade to a newer version."
            ));
        }
        if level < now && downgrade == Downgrade::No {
            return invalid(format!(
                "Invalid update version {level} for feature {name}. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
            ));
        }
        let versions = MetadataVersion::from_level(now).zip(MetadataVersion::from_level(level));
        if name == METADATA_VERSION && versions.is_some_and(|(now, asked)| now.loses_records_at(asked)) {
            return invalid(format!(
                "Refusing to perform the requested downgrade of {name} because it might delete metadata information."
            ));
        }
        Ok(())
    }
}

fn level_record(update: &FeatureUpdateKey<'_>) -> protocol::metadata_record::MetadataRecord<'static> {
    let name = Cow::Owned(update.feature.to_string());
    FeatureLevelRecord { name, feature_level: update.max_version_level, ..FeatureLevelRecord::default() }.into()
}
