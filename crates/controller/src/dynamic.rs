//! What Kafka asks of a broker's config when it changes while the broker runs, beyond what it asks of it at start.

use crate::Controller;
use config::{node_row, words};

impl Controller {
    /// Checks a value, without blanks around it, that a broker, or all with an empty `name`, is to follow at once.
    pub(crate) fn check_dynamic(&self, name: &str, key: &str, value: &str) -> Result<(), String> {
        let Ok(number) = value.parse::<i64>() else { return check_words(key, value) };
        let at_least = |least: i64| {
            if number >= least { Ok(()) } else { Err(format!("{key} must be at least {least} on a running broker")) }
        };
        match key {
            "log.retention.ms" if number == 0 => Err(format!("{key} is not 0: set it to -1 for no limit")),
            "log.roll.jitter.ms" => at_least(0),
            "log.roll.ms" | "max.connection.creation.rate" | "max.connections" | "max.connections.per.ip" => {
                at_least(1)
            }
            "log.cleaner.threads" | "num.replica.fetchers" => self.check_threads(name, key, number),
            key if key.ends_with(".threads")
                || key.ends_with(".thread.pool.size")
                || key.ends_with(".per.data.dir") =>
            {
                self.check_threads(name, key, number)
            }
            key => match key.strip_prefix("group.") {
                Some(of_groups) => self.check_group_bounds(of_groups, value),
                None => Ok(()),
            },
        }
    }

    /// A pool grows at most to twice its size and shrinks at most to half of it at a time.
    fn check_threads(&self, name: &str, key: &str, number: i64) -> Result<(), String> {
        let dynamic = |of: &str| self.image.configs(4, of).find(|(known, _)| *known == key).map(|(_, value)| value);
        let file = self.settings.node_configs.get(key).map(String::as_str);
        let default = node_row(key).and_then(|row| row.default);
        let text = dynamic(name).or_else(|| dynamic("")).or(file).or(default);
        let Some(now) = text.and_then(|text| text.trim().parse::<i64>().ok()) else { return Ok(()) };
        if number < 1 || number < now / 2 || number > now.saturating_mul(2) {
            return Err(format!(
                "{key} is {now}: it can change to no less than half and no more than twice of that at a time"
            ));
        }
        Ok(())
    }
}

fn check_words(key: &str, value: &str) -> Result<(), String> {
    let is_count = |word: &str| {
        word.rsplit_once(':')
            .is_some_and(|(host, count)| !host.is_empty() && count.parse::<i32>().is_ok_and(|c| c >= 0))
    };
    match key {
        "max.connections.per.ip.overrides" if !words(value).all(is_count) => {
            Err(format!("{key} is a list of ADDRESS:COUNT, which `{value}` is not"))
        }
        "log.cleanup.policy" => {
            let all: Vec<&str> = words(value).collect();
            let repeated = all.iter().enumerate().any(|(at, word)| all[..at].contains(word));
            if repeated { Err(format!("{key} names a policy twice")) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}
