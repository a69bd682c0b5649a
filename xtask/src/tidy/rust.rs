//! Just enough Rust for tidy: source with comments and literals blanked out, functions with their lines, test regions.
//!
//! Not a parser: it knows strings, raw strings, chars against lifetimes, nested comments and braces, which is all that the rules
//! need, and costs no dependency.

/// The text with every comment, string and char literal turned into spaces; line breaks stay, so lines keep their numbers.
pub(super) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends, or `at` when none starts there.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    if rest[0] == b'"' {
        return string_end(bytes, at + 1);
    }
    if !in_word && (rest[0] == b'r' || rest.starts_with(b"br") || rest.starts_with(b"cr")) {
        return raw_string_end(bytes, at);
    }
    if rest[0] == b'\'' {
        return char_end(bytes, at);
    }
    at
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start + 2, 1);
    while at < bytes.len() && depth > 0 {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let letters = if bytes[start] == b'r' { 1 } else { 2 };
    let hashes = bytes[start + letters..].iter().take_while(|&&byte| byte == b'#').count();
    let open = start + letters + hashes;
    if bytes.get(open) != Some(&b'"') {
        return start;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let found = bytes[open + 1..].windows(close.len()).position(|window| window == close);
    found.map_or(bytes.len(), |position| open + 1 + position + close.len())
}

/// A char literal's end; a lifetime is none.
fn char_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        let close = bytes[start + 3..].iter().position(|&byte| byte == b'\'');
        return close.map_or(start, |position| start + 3 + position + 1);
    }
    let text = &bytes[start + 1..bytes.len().min(start + 6)];
    let width = text.first().map_or(0, |&byte| match byte {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    });
    if text.get(width) == Some(&b'\'') { start + width + 2 } else { start }
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Line of `fn`, from 1.
    pub(super) line: usize,
    /// Lines from `fn` to the closing brace, both counted.
    pub(super) lines: usize,
}

/// The functions of a blanked text; a nested one is listed too.
pub(super) fn functions(blanked: &str) -> Vec<Function> {
    let bytes = blanked.as_bytes();
    let mut found = Vec::new();
    for (at, _) in blanked.match_indices("fn ") {
        if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') {
            continue;
        }
        let name: String = blanked[at + 3..].chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
        let Some(end) = (!name.is_empty()).then(|| body_end(bytes, at)).flatten() else { continue };
        let line = 1 + newlines(&bytes[..at]);
        found.push(Function { name, line, lines: 1 + newlines(&bytes[at..end]) });
    }
    found
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// The end of the body of the item at `start`; `None` when a `;` outside brackets comes first, as in a trait.
fn body_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, &byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The lines (from 1, inclusive) of modules and functions under `#[cfg(test)]`, from a blanked text.
pub(super) fn test_regions(blanked: &str) -> Vec<(usize, usize)> {
    let bytes = blanked.as_bytes();
    let starts = blanked.match_indices("#[cfg(test)]");
    starts
        .filter_map(|(at, mark)| {
            let end = body_end(bytes, at + mark.len())?;
            Some((1 + newlines(&bytes[..at]), 1 + newlines(&bytes[..end])))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{blank, functions, test_regions};

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text = "a /* x /* y */ z */ b // c\nlet s = \"fn \\\" {\"; let r = r#\"}\"\n\"#; let c = '{'; let q = '\\''; fn f<'a>() {}\n";
        let got = blank(text);
        assert_eq!(got.lines().count(), text.lines().count());
        assert!(!got.contains('x') && !got.contains('z') && !got.contains("\\"), "{got}");
        assert_eq!(got.matches('{').count(), 1, "{got}");
        assert!(got.contains("fn f<'a>() {}"), "{got}");
    }

    #[test]
    fn functions_have_their_lines_and_declarations_have_none() {
        let found = functions(&blank(
            "trait T { fn a(&self, x: [u8; 3]); }\nimpl X {\n  fn b(x: [u8; 3]) -> u8 {\n    1\n  }\n}\n",
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].name.as_str(), found[0].line, found[0].lines), ("b", 3, 3));
    }

    #[test]
    fn inline_test_modules_are_found_and_declared_ones_are_not() {
        assert_eq!(test_regions("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\n"), [(2, 5)]);
        assert_eq!(test_regions("#[cfg(test)]\nmod tests;\nfn a() {}\n"), []);
    }
}
