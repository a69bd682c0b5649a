//! Kafka's names as Rust names.

/// `ProducerIdLen` as `producer_id_len`; runs of capitals stay together (`IsKRaft` is `is_k_raft`).
pub(super) fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            let after_lower = !chars[i - 1].is_ascii_uppercase();
            let before_lower = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
            if after_lower || before_lower {
                out.push('_');
            }
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// A field's name; a keyword gets a trailing underscore.
pub(super) fn field(name: &str) -> String {
    let snake = snake(name);
    match snake.as_str() {
        "type" | "match" | "final" | "where" | "use" | "ref" | "in" | "loop" | "move" => format!("{snake}_"),
        _ => snake,
    }
}
