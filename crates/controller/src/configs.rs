//! Changing configs of topics, brokers and groups (KIP-339).

use crate::{Controller, Decision, VersionedRecord};
use base::{ErrorCode, NodeId, Refusal};
use config::{Honoured, Kind, Row, Update, group_row, node_row, topic_row, validate_topic, words};
use metadata::check_topic_name;
use protocol::messages::alter_configs_request::AlterConfigsRequest;
use protocol::messages::alter_configs_response::{self, AlterConfigsResponse};
use protocol::messages::config_record::ConfigRecord;
use protocol::messages::incremental_alter_configs_request::IncrementalAlterConfigsRequest;
use protocol::messages::incremental_alter_configs_response::{self, IncrementalAlterConfigsResponse};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

mod kind {
    pub(super) const TOPIC: i8 = 2;
    pub(super) const BROKER: i8 = 4;
    pub(super) const GROUP: i8 = 32;
}

mod operation {
    pub(super) const SET: i8 = 0;
    pub(super) const DELETE: i8 = 1;
    pub(super) const APPEND: i8 = 2;
    pub(super) const SUBTRACT: i8 = 3;
}

type Values = BTreeMap<String, String>;

impl Controller {
    /// IncrementalAlterConfigs.
    #[must_use]
    pub fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest<'_>,
    ) -> Decision<IncrementalAlterConfigsResponse<'static>> {
        let mut records = Vec::new();
        let once = named_once(request.resources.iter().map(|r| (r.resource_type, &*r.resource_name)));
        let responses = request.resources.iter().map(|resource| {
            let (kind, name) = (resource.resource_type, &*resource.resource_name);
            let changed = if once.contains(&(kind, name)) {
                let changes = resource.configs.iter().map(|c| (&*c.name, c.config_operation, c.value.as_deref()));
                self.changed_incrementally(kind, name, changes)
            } else {
                Err(twice())
            };
            let refusal = self.keep(kind, name, changed, request.validate_only, &mut records);
            incremental_alter_configs_response::AlterConfigsResourceResponse {
                error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.code()),
                error_message: refusal.map(|refusal| refusal.message),
                resource_type: kind,
                resource_name: Cow::Owned(name.to_owned()),
                ..Default::default()
            }
        });
        let responses = responses.collect();
        let reply = IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() };
        Decision { records, reply }
    }

    /// AlterConfigs, which replaces all configs of a resource.
    #[must_use]
    pub fn alter_configs(&self, request: &AlterConfigsRequest<'_>) -> Decision<AlterConfigsResponse<'static>> {
        let mut records = Vec::new();
        let once = named_once(request.resources.iter().map(|r| (r.resource_type, &*r.resource_name)));
        let responses = request.resources.iter().map(|resource| {
            let (kind, name) = (resource.resource_type, &*resource.resource_name);
            let given = resource.configs.iter().map(|c| (&*c.name, c.value.as_deref()));
            let changed = if once.contains(&(kind, name)) { replaced(given) } else { Err(twice()) };
            let changed = changed.and_then(|values| self.check_values(kind, name, &values).map(|()| values));
            let refusal = self.keep(kind, name, changed, request.validate_only, &mut records);
            alter_configs_response::AlterConfigsResourceResponse {
                error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.code()),
                error_message: refusal.map(|refusal| refusal.message),
                resource_type: kind,
                resource_name: Cow::Owned(name.to_owned()),
                ..Default::default()
            }
        });
        let responses = responses.collect();
        Decision { records, reply: AlterConfigsResponse { responses, ..AlterConfigsResponse::default() } }
    }

    fn current(&self, kind: i8, name: &str) -> Values {
        self.image.configs(kind, name).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn changed_incrementally<'a>(
        &self,
        kind: i8,
        name: &str,
        changes: impl Iterator<Item = (&'a str, i8, Option<&'a str>)>,
    ) -> Result<Values, Refusal> {
        let mut values = self.current(kind, name);
        let mut seen = BTreeSet::new();
        for (key, operation, value) in changes {
            if !seen.insert(key) {
                let why = format!("Error due to duplicate config keys: {key}");
                return Err(Refusal::new(ErrorCode::InvalidRequest, why));
            }
            self.change(kind, &mut values, key, operation, value)?;
        }
        self.check_values(kind, name, &values)?;
        Ok(values)
    }

    fn change(
        &self,
        kind: i8,
        values: &mut Values,
        key: &str,
        operation: i8,
        value: Option<&str>,
    ) -> Result<(), Refusal> {
        let needs_value =
            || Refusal::new(ErrorCode::InvalidRequest, format!("Null value not supported for the operation on {key}"));
        match operation {
            operation::SET => {
                values.insert(key.to_owned(), value.ok_or_else(needs_value)?.to_owned());
            }
            operation::DELETE => {
                values.remove(key);
            }
            operation::APPEND | operation::SUBTRACT => {
                let row = row(kind, key).filter(|row| row.kind == Kind::List).ok_or_else(|| {
                    Refusal::new(
                        ErrorCode::InvalidConfig,
                        format!("Can't append to or subtract from {key}: it is no list."),
                    )
                })?;
                let default = row.default.unwrap_or_default().to_owned();
                let now = values.get(key).cloned().unwrap_or(default);
                let mut list: Vec<&str> = words(&now).collect();
                for word in words(value.ok_or_else(needs_value)?) {
                    list.retain(|known| operation == operation::APPEND || *known != word);
                    if operation == operation::APPEND && !list.contains(&word) {
                        list.push(word);
                    }
                }
                values.insert(key.to_owned(), list.join(","));
            }
            other => {
                let why = format!("Unknown operation type {other}");
                return Err(Refusal::new(ErrorCode::InvalidRequest, why));
            }
        }
        Ok(())
    }

    fn check_values(&self, kind: i8, name: &str, values: &Values) -> Result<(), Refusal> {
        let invalid = |why: String| Refusal::new(ErrorCode::InvalidConfig, why);
        match kind {
            kind::TOPIC if name.is_empty() => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Default topic resources are not allowed."))
            }
            kind::TOPIC => {
                check_topic_name(name).map_err(|why| Refusal::new(ErrorCode::InvalidTopicException, why))?;
                if self.image.topics().by_name(name).is_none() {
                    let why = format!("The topic '{name}' does not exist.");
                    return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, why));
                }
                validate_topic(values).map_err(invalid)
            }
            kind::BROKER => self.check_broker_values(name, values),
            kind::GROUP if name.is_empty() => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "Default group resources are not allowed."))
            }
            kind::GROUP => {
                let unknown = values.keys().find(|key| group_row(key).is_none());
                if let Some(key) = unknown {
                    return Err(invalid(format!("Unknown group config name: {key}")));
                }
                let check = |(key, value): (&String, &String)| {
                    group_row(key).map_or(Ok(()), |row| row.check(value))?;
                    self.check_group_bounds(key, value)?;
                    self.check_group_choice(key, value.trim())
                };
                values.iter().try_for_each(check).and_then(|()| self.check_group_sessions(values)).map_err(invalid)
            }
            other => {
                let why = format!("Configs of resource type {other} cannot be changed on this node.");
                Err(Refusal::new(ErrorCode::InvalidRequest, why))
            }
        }
    }

    /// A group's session and heartbeat stay between the bounds that the brokers set for them (KIP-848).
    pub(crate) fn check_group_bounds(&self, key: &str, value: &str) -> Result<(), String> {
        let Some((kind, rest)) = key.split_once('.') else { return Ok(()) };
        let Ok(number) = value.trim().parse::<i64>() else { return Ok(()) };
        let bound = |which: &str| {
            let name = format!("group.{kind}.{which}.{rest}");
            Some((self.node_config(&name)?.trim().parse::<i64>().ok()?, name))
        };
        match (bound("min"), bound("max")) {
            (Some((min, name)), _) if number < min => {
                Err(format!("{key} must be greater than or equal to {name}, which is {min}"))
            }
            (_, Some((max, name))) if number > max => {
                Err(format!("{key} must be less than or equal to {name}, which is {max}"))
            }
            _ => Ok(()),
        }
    }

    /// What the node's file says, or else the default.
    fn node_config(&self, name: &str) -> Option<&str> {
        let set = self.settings.node_configs.get(name).map(String::as_str);
        set.or_else(|| node_row(name).and_then(|row| row.default))
    }

    /// A session is longer than the time between two heartbeats, be they the group's own or the brokers'.
    fn check_group_sessions(&self, values: &Values) -> Result<(), String> {
        for kind in ["consumer", "share", "streams"] {
            let (session, heartbeat) = (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
            if !values.contains_key(&session) && !values.contains_key(&heartbeat) {
                continue;
            }
            let in_force = |key: &str| {
                let text = values.get(key).map(String::as_str).or_else(|| self.node_config(&format!("group.{key}")));
                text?.trim().parse::<i64>().ok()
            };
            if in_force(&session).zip(in_force(&heartbeat)).is_some_and(|(session, heartbeat)| session <= heartbeat) {
                return Err(format!("{session} must be greater than {heartbeat}"));
            }
        }
        Ok(())
    }

    /// The brokers' word on a group's config, where it has bounds of another shape.
    fn check_group_choice(&self, key: &str, value: &str) -> Result<(), String> {
        let node = |name: &str| self.node_config(name).unwrap_or_default();
        match key {
            "streams.assignor.name" if !words(node("group.streams.assignors")).any(|known| known == value) => {
                Err(format!("{key} must be one of group.streams.assignors: {}", node("group.streams.assignors")))
            }
            "streams.num.standby.replicas" => {
                let max = node("group.streams.max.standby.replicas");
                let fits = value.parse::<i64>().ok().zip(max.parse().ok()).is_none_or(|(asked, max)| asked <= max);
                if fits {
                    Ok(())
                } else {
                    Err(format!("{key} must be at most {max}, group.streams.max.standby.replicas"))
                }
            }
            _ => Ok(()),
        }
    }

    fn check_broker_values(&self, name: &str, values: &Values) -> Result<(), Refusal> {
        if !name.is_empty() {
            let known = name.parse::<i32>().ok().filter(|id| self.image.broker(NodeId(*id)).is_some());
            if known.is_none() {
                let why = format!("Broker '{name}' is not registered.");
                return Err(Refusal::new(ErrorCode::InvalidRequest, why));
            }
        }
        // Listeners and their protection are changed by a restart only: to take such a config would be to promise it.
        let is_fixed = |row: &Row| row.update != Update::ClusterWide || row.honoured == Honoured::Protects;
        let fixed: Vec<&str> =
            values.keys().filter(|key| node_row(key).is_none_or(is_fixed)).map(String::as_str).collect();
        if !fixed.is_empty() {
            let why = format!("Cannot update these configs dynamically: Set({})", fixed.join(", "));
            return Err(Refusal::new(ErrorCode::InvalidRequest, why));
        }
        let check = |(key, value): (&String, &String)| {
            node_row(key).map_or(Ok(()), |row| row.check(value))?;
            self.check_dynamic(name, key, value.trim())
        };
        values.iter().try_for_each(check).map_err(|why| Refusal::new(ErrorCode::InvalidRequest, why))
    }

    /// Adds the records that turn the current values into `changed`, or returns why there is no change.
    fn keep(
        &self,
        kind: i8,
        name: &str,
        changed: Result<Values, Refusal>,
        validate_only: bool,
        records: &mut Vec<VersionedRecord>,
    ) -> Option<Refusal> {
        let changed = match changed {
            Ok(changed) => changed,
            Err(refusal) => return Some(refusal),
        };
        if validate_only {
            return None;
        }
        let current = self.current(kind, name);
        let keys: BTreeSet<&String> = current.keys().chain(changed.keys()).collect();
        for key in keys {
            if current.get(key) != changed.get(key) {
                let record = ConfigRecord {
                    resource_type: kind,
                    resource_name: Cow::Owned(name.to_owned()),
                    name: Cow::Owned(key.clone()),
                    value: changed.get(key).cloned().map(Cow::Owned),
                    ..ConfigRecord::default()
                };
                records.push((record.into(), 0));
            }
        }
        None
    }
}

/// The resources that a request names exactly once; what it names more often is refused wherever it stands.
fn named_once<'a>(named: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, &'a str)> {
    let mut counts: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    named.for_each(|resource| *counts.entry(resource).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count == 1).map(|(resource, _)| resource).collect()
}

fn twice() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "Each resource must appear at most once.")
}

/// The values that a resource gets in place of all that it has.
fn replaced<'a>(given: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Result<Values, Refusal> {
    let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidRequest, why));
    let mut values = Values::new();
    for (key, value) in given {
        let Some(value) = value else { return refuse(format!("Null value not supported for {key}")) };
        if values.insert(key.to_owned(), value.to_owned()).is_some() {
            return refuse(format!("Error due to duplicate config keys: {key}"));
        }
    }
    Ok(values)
}

fn row(kind: i8, key: &str) -> Option<&'static Row> {
    match kind {
        kind::TOPIC => topic_row(key),
        kind::BROKER => node_row(key),
        kind::GROUP => group_row(key),
        _ => None,
    }
}
