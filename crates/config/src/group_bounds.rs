//! What Kafka asks of the configs of groups beside each other, before it starts: each bounded one is within its bounds, and a session is
//! longer than the time between two heartbeats.

/// Checks all kinds of groups; `number` is the value in force of a config, if it is one.
pub(crate) fn check(number: &dyn Fn(&str) -> Option<i64>, errors: &mut Vec<String>) {
    let mut require = |low: &str, high: &str, strictly: bool| {
        let Some((is, at_most)) = number(low).zip(number(high)) else { return };
        if is > at_most || (strictly && is == at_most) {
            let how = if strictly { "less than" } else { "at most" };
            errors.push(format!("{low} is {is}: it must be {how} {high}, which is {at_most}"));
        }
    };
    for row in crate::node::ROWS {
        let Some((kind, what)) = row.name.strip_prefix("group.").and_then(|rest| rest.split_once(".min.")) else {
            continue;
        };
        let (own, max) = (format!("group.{kind}.{what}"), format!("group.{kind}.max.{what}"));
        require(row.name, &max, false);
        require(row.name, &own, false);
        require(&own, &max, false);
    }
    for kind in ["consumer", "share", "streams"] {
        require(&format!("group.{kind}.heartbeat.interval.ms"), &format!("group.{kind}.session.timeout.ms"), true);
    }
    require("group.streams.num.standby.replicas", "group.streams.max.standby.replicas", false);
}
