//! Rules of single configs that the notation of a row cannot say. Each is Kafka's own validator of that config.

use crate::list::{each_once, words};

/// The assignors of consumer groups by their names, and by those of Kafka's classes.
const CONSUMER_ASSIGNORS: &[(&str, &str)] = &[
    ("uniform", "org.apache.kafka.coordinator.group.assignor.UniformAssignor"),
    ("range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor"),
];

/// Checks a value against the rule that its config has beside its row, if any.
pub(crate) fn check(name: &str, value: &str) -> Result<(), &'static str> {
    match name {
        "follower.replication.throttled.replicas" | "leader.replication.throttled.replicas" => throttled(value),
        "group.consumer.assignors" => consumer_assignors(value),
        "share.auto.offset.reset" => offset_reset(value),
        "streams.rack.aware.assignment.tags" => each_once(value),
        _ => Ok(()),
    }
}

/// The names of the assignors in a value of group.consumer.assignors, where Kafka also takes the classes' names. A word that is neither is
/// left out: the check of the config refuses it.
pub fn consumer_assignor_names(value: &str) -> impl Iterator<Item = &'static str> {
    let named = |word| CONSUMER_ASSIGNORS.iter().find(|(name, class)| [*name, *class].contains(&word));
    words(value).filter_map(named).map(|(name, _)| *name)
}

fn consumer_assignors(value: &str) -> Result<(), &'static str> {
    each_once(value)?;
    let names: Vec<_> = consumer_assignor_names(value).collect();
    if names.is_empty() && words(value).next().is_none() {
        return Err("the list is empty: leave the config out, or name uniform, range or both");
    }
    if names.len() < words(value).count() {
        return Err("this node has the assignors uniform and range and loads no classes: name one of them or both");
    }
    let repeated = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
    if repeated { Err("an assignor stands in the list by its name and by its class: name it once") } else { Ok(()) }
}

/// Nothing, everything, or PARTITION:BROKER between commas.
fn throttled(value: &str) -> Result<(), &'static str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_pair = |pair: &str| pair.split_once(':').is_some_and(|(left, right)| is_number(left) && is_number(right));
    let fits = value.is_empty() || value == "*" || value.split(',').map(str::trim).all(is_pair);
    if fits { Ok(()) } else { Err("it must be the literal '*' or a list of PARTITION:BROKER") }
}

fn offset_reset(value: &str) -> Result<(), &'static str> {
    let fits = match value.strip_prefix("by_duration:") {
        Some(duration) => is_duration(duration),
        None => value == "latest" || value == "earliest",
    };
    if fits { Ok(()) } else { Err("it must be latest, earliest or by_duration: and a duration such as PT1H30M") }
}

/// PnDTnHnMn.nS of ISO 8601, not negative, with at least one part.
fn is_duration(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let Some(rest) = upper.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let no_time = time.is_none();
    take_parts(days, &['D'])
        && (no_time || time.is_some_and(|time| take_parts(time, &['H', 'M', 'S']) && !time.is_empty()))
        && !(days.is_empty() && no_time)
}

/// Numbers that each end with one of `units`, in their order; a fraction only with the last.
fn take_parts(mut text: &str, units: &[char]) -> bool {
    for unit in units {
        if let Some((number, rest)) = text.split_once(*unit) {
            let allowed = |c: char| c.is_ascii_digit() || (*unit == 'S' && c == '.');
            let fits = number.starts_with(|c: char| c.is_ascii_digit()) && number.chars().all(allowed);
            if !fits || number.matches('.').count() > 1 {
                return false;
            }
            text = rest;
        }
    }
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{check, is_duration};

    #[test]
    fn durations_are_those_of_java() {
        for fits in ["PT1H", "P2D", "P2DT3H4M", "PT0.5S", "pt15m", "P1DT1.5S"] {
            assert!(is_duration(fits), "{fits}");
        }
        for wrong in ["", "P", "PT", "1H", "PT1D", "P1H", "-PT1H", "PT-1H", "PT1M1H", "PTxS", "P1DT", "PT1.2.3S"] {
            assert!(!is_duration(wrong), "{wrong}");
        }
    }

    #[test]
    fn throttled_replicas_are_pairs_or_all() {
        let name = "leader.replication.throttled.replicas";
        assert!(["", "*", "0:1", "0:1,1:2"].iter().all(|value| check(name, value).is_ok()));
        assert!(["x", "0", "0:x", "0:1,", "**"].iter().all(|value| check(name, value).is_err()));
    }
}
