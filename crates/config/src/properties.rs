//! Java's .properties format.

use std::collections::BTreeMap;

/// Keys and values of a properties file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    values: BTreeMap<String, String>,
    /// Keys that were given more than once; the last value counts.
    pub duplicates: Vec<String>,
}

impl Properties {
    /// Reads a file's text. There is no malformed text: Java takes every line for something.
    #[must_use]
    pub fn parse(text: &str) -> Properties {
        let mut properties = Properties::default();
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        while let Some(line) = lines.next() {
            let mut logical = line.trim_start().to_owned();
            if logical.is_empty() || logical.starts_with(['#', '!']) {
                continue;
            }
            // An odd number of backslashes at the end continues the line.
            while logical.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1 {
                logical.pop();
                let Some(next) = lines.next() else { break };
                logical.push_str(next.trim_start());
            }
            let (key, value) = split(&logical);
            if properties.values.insert(key.clone(), value).is_some() {
                properties.duplicates.push(key);
            }
        }
        properties
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Sets a key, replacing what was there.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.values.insert(key.into(), value.into());
    }

    /// All keys and values, in order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// Splits at the first `=`, `:` or white space that is not escaped, and resolves escapes.
fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' | ' ' | '\t' | '\x0c' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
    (unescape(&line[..end]), unescape(rest))
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let digits: String = chars.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                    Some(decoded) if digits.len() == 4 => {
                        out.push(decoded);
                        chars.nth(3);
                    }
                    _ => out.push('u'),
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Properties;

    #[test]
    fn the_format_is_javas() {
        let text = "# c\n! c\n\na=1\n b : 2\nc 3\nd=x\\\n   y\ne=\\u0041\\tb\\\\\nk\\=ey=v=w\nf\na=again\r\n";
        let p = Properties::parse(text);
        let all: Vec<_> = p.iter().collect();
        assert_eq!(
            all,
            [("a", "again"), ("b", "2"), ("c", "3"), ("d", "xy"), ("e", "A\tb\\"), ("f", ""), ("k=ey", "v=w")]
        );
        assert_eq!(p.duplicates, ["a"]);
    }

    #[test]
    fn odd_text_does_not_panic() {
        for text in ["\\", "a=\\", "a=\\u12", "a=\\ud800x", "=\n:", "é=\\é", "\\\n\\\n"] {
            let _ = Properties::parse(text).iter().count();
        }
    }
}
