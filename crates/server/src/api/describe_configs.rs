//! DescribeConfigs (KIP-133, KIP-226, KIP-569): effective values with their source, synonyms and documentation.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::{ErrorCode, Refusal};
use config::{ConfigEntry, ConfigSource, Synonym};
use net::Reply;
use protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use std::borrow::Cow;

/// Resource types of configs (`ConfigResource.Type`).
pub(crate) mod resource {
    pub(crate) const TOPIC: i8 = 2;
    pub(crate) const BROKER: i8 = 4;
    pub(crate) const BROKER_LOGGER: i8 = 8;
    pub(crate) const CLIENT_METRICS: i8 = 16;
    pub(crate) const GROUP: i8 = 32;
}

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &DescribeConfigsRequest<'_>) -> Reply {
    let results = request.resources.iter().map(|asked| {
        let blank = DescribeConfigsResult {
            resource_type: asked.resource_type,
            resource_name: Cow::Borrowed(&asked.resource_name),
            ..DescribeConfigsResult::default()
        };
        match entries(broker, asked) {
            Ok(entries) => DescribeConfigsResult {
                configs: entries
                    .into_iter()
                    .filter(|entry| is_wanted(asked, entry))
                    .map(|e| describe(request, e))
                    .collect(),
                ..blank
            },
            Err(refusal) => {
                DescribeConfigsResult { error_code: refusal.code.code(), error_message: Some(refusal.message), ..blank }
            }
        }
    });
    to.now(&DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() })
}

fn is_wanted(asked: &DescribeConfigsResource<'_>, entry: &ConfigEntry) -> bool {
    match &asked.configuration_keys {
        None => true,
        // Older clients send an empty list for "all".
        Some(keys) => keys.is_empty() || keys.iter().any(|key| **key == *entry.name),
    }
}

fn entries(broker: &Broker, asked: &DescribeConfigsResource<'_>) -> Result<Vec<ConfigEntry>, Refusal> {
    let image = broker.image();
    let name = &*asked.resource_name;
    match asked.resource_type {
        resource::TOPIC => {
            metadata::check_topic_name(name).map_err(|why| Refusal::new(ErrorCode::InvalidTopicException, why))?;
            if image.topics().by_name(name).is_none() {
                return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("topic {name} does not exist")));
            }
            Ok(broker.topic_config_entries(&image, name))
        }
        resource::BROKER if name.is_empty() => Ok(broker.default_broker_config_entries(&image)),
        resource::BROKER => match name.parse::<i32>() {
            Ok(id) if id == broker.node_id.0 => Ok(broker.broker_config_entries(&image)),
            _ => {
                let why = format!("this is broker {}: ask broker {name} for its configs", broker.node_id);
                Err(Refusal::new(ErrorCode::InvalidRequest, why))
            }
        },
        resource::GROUP if !name.is_empty() => Ok(broker.group_config_entries(&image, name)),
        other => {
            let why = format!("resource type {other} has no configs on this node");
            Err(Refusal::new(ErrorCode::InvalidRequest, why))
        }
    }
}

fn describe(request: &DescribeConfigsRequest<'_>, entry: ConfigEntry) -> DescribeConfigsResourceResult<'static> {
    let documentation = config::documentation(entry.name).filter(|_| request.include_documentation);
    let synonyms = if request.include_synonyms { entry.synonyms } else { Vec::new() };
    DescribeConfigsResourceResult {
        name: Cow::Owned(entry.name.to_string()),
        value: entry.value.map(Cow::Owned),
        read_only: entry.read_only,
        config_source: entry.source as i8,
        is_sensitive: entry.is_sensitive,
        synonyms: synonyms.into_iter().map(synonym).collect(),
        config_type: entry.config_type as i8,
        documentation: documentation.map(Cow::Borrowed),
        ..DescribeConfigsResourceResult::default()
    }
}

fn synonym(synonym: Synonym) -> DescribeConfigsSynonym<'static> {
    let source: ConfigSource = synonym.source;
    DescribeConfigsSynonym {
        name: Cow::Owned(synonym.name.to_string()),
        value: synonym.value.map(Cow::Owned),
        source: source as i8,
        ..DescribeConfigsSynonym::default()
    }
}
