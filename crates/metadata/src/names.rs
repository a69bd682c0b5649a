//! Kafka's rules for topic names.

/// The longest name: with the partition and a suffix it must still be a file name.
const LENGTH_MAX: usize = 249;

/// Topics that only brokers write to.
const INTERNAL: &[&str] = &["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Checks a topic's name.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_topic_name(name: &str) -> Result<(), String> {
    let shown: String = name.chars().take(LENGTH_MAX).collect::<String>().escape_debug().to_string();
    if name.is_empty() {
        return Err("Topic name is invalid: the empty string is not allowed".into());
    }
    if name == "." || name == ".." {
        return Err("Topic name is invalid: '.' and '..' are not allowed".into());
    }
    if name.len() > LENGTH_MAX {
        return Err(format!(
            "Topic name is invalid: the length of '{shown}' is longer than the max allowed length {LENGTH_MAX}"
        ));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return Err(format!(
            "Topic name is invalid: '{shown}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}

/// Whether two names become one in metric names, where `.` is written as `_`.
#[must_use]
pub fn has_collision(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .all(|(x, y)| (if x == b'.' { b'_' } else { x }) == (if y == b'.' { b'_' } else { y }))
}

/// Whether only brokers write to the topic.
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    INTERNAL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{check_topic_name, has_collision};

    #[test]
    fn s46_names_follow_kafkas_rules() {
        for good in ["a", "A-b_c.9", &"x".repeat(249), "...", "__consumer_offsets"] {
            assert!(check_topic_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a\n", "%2f", &"x".repeat(250)] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
        assert!(has_collision("a.b", "a_b") && !has_collision("a.b", "a-b"));
    }
}
