//! Expressions are RE2's, as Kafka's coordinator reads them; this says them in the words of the `regex` crate.
//!
//! The two differ in details that clients meet: `\Q..\E`, braces that repeat nothing, brackets inside of classes, octal numbers, and
//! `\w` that is ASCII. What RE2 refuses and `regex` would take for something else is refused here. It does not know topics.

use std::iter::Peekable;
use std::str::Chars;

/// RE2 repeats at most this often.
const REPEAT_MAX: u32 = 1_000;

/// The expression for `regex`, not yet checked otherwise.
///
/// # Errors
/// What RE2 refuses and `regex` would not.
pub(super) fn translate(re2: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(re2.len());
    let mut rest = re2.chars().peekable();
    // Whether the last thing was a repetition: RE2 knows no repetition of one.
    let mut is_repeated = false;
    while let Some(c) = rest.next() {
        let was_repeated = std::mem::take(&mut is_repeated);
        match c {
            '\\' if rest.next_if_eq(&'Q').is_some() => quote(&mut rest, &mut out),
            '\\' => escape(&mut rest, &mut out, false)?,
            '[' => class(&mut rest, &mut out)?,
            '(' => {
                out.push('(');
                flags(&rest)?;
                // The question mark of a group repeats nothing.
                out.extend(rest.next_if_eq(&'?'));
            }
            '*' | '+' | '?' if was_repeated => return Err("invalid nested repetition operator"),
            '*' | '+' | '?' => {
                out.push(c);
                out.extend(rest.next_if_eq(&'?'));
                is_repeated = true;
            }
            '{' => match counted(&rest)? {
                Some(_) if was_repeated => return Err("invalid nested repetition operator"),
                Some(length) => {
                    out.push('{');
                    out.extend(rest.by_ref().take(length));
                    out.extend(rest.next_if_eq(&'?'));
                    is_repeated = true;
                }
                None => out.push_str("\\{"),
            },
            other => out.push(other),
        }
    }
    Ok(out)
}

fn quote(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        push_literal(out, c);
    }
}

fn push_literal(out: &mut String, c: char) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// What follows a backslash.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String, in_class: bool) -> Result<(), &'static str> {
    let Some(c) = rest.next() else { return Err("trailing backslash at end of expression") };
    let ascii = match c {
        'w' => Some("0-9A-Za-z_"),
        'd' => Some("0-9"),
        's' => Some(r"\t\n\f\r "),
        _ => None,
    };
    match (c, ascii) {
        (_, Some(ranges)) if in_class => out.push_str(ranges),
        (_, Some(ranges)) => out.push_str(&format!("[{ranges}]")),
        ('W', _) => out.push_str("[^0-9A-Za-z_]"),
        ('D', _) => out.push_str("[^0-9]"),
        ('S', _) => out.push_str(r"[^\t\n\f\r ]"),
        ('0'..='7', _) => octal(c, rest, out)?,
        ('u' | 'U' | '8' | '9', _) => return Err("invalid escape sequence"),
        ('p' | 'P' | 'x', _) => {
            out.extend(['\\', c]);
            // Braces that name something repeat nothing.
            if rest.peek() == Some(&'{') {
                out.extend(rest.by_ref().take_while(|c| *c != '}'));
                out.push('}');
            }
        }
        (c, _) if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
        (c, _) => push_literal(out, c),
    }
    Ok(())
}

/// Up to three octal digits; one alone, other than 0, would be a reference to a group.
fn octal(first: char, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    let digit = |c: char| c.to_digit(8);
    let mut number = digit(first).unwrap_or(0);
    let mut count = 1;
    while count < 3
        && let Some(next) = rest.peek().copied().and_then(digit)
    {
        rest.next();
        number = number * 8 + next;
        count += 1;
    }
    if count == 1 && first != '0' {
        return Err("invalid escape sequence");
    }
    out.push_str(&format!("\\x{{{number:x}}}"));
    Ok(())
}

/// What follows an opening bracket. RE2's classes have no operations and hold no other classes but named ones.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    out.push('[');
    out.extend(rest.next_if_eq(&'^'));
    let mut is_first = true;
    while let Some(c) = rest.next() {
        match c {
            ']' if !is_first => {
                out.push(']');
                return Ok(());
            }
            '\\' => escape(rest, out, true)?,
            '[' => match named(rest) {
                Some(length) => {
                    out.push('[');
                    out.extend(rest.by_ref().take(length));
                }
                None => out.push_str("\\["),
            },
            '-' if rest.peek() == Some(&'-') => out.push_str("-\\"),
            '-' => out.push('-'),
            other => push_literal(out, other),
        }
        is_first = false;
    }
    Err("missing closing ]")
}

/// Characters of `:alpha:]` after the bracket.
fn named(rest: &Peekable<Chars<'_>>) -> Option<usize> {
    let text: String = rest.clone().collect();
    let end = text.strip_prefix(':')?.find(":]")?;
    Some(text[..end + 3].chars().count())
}

/// Characters of `2,3}` after the brace, when it repeats.
fn counted(rest: &Peekable<Chars<'_>>) -> Result<Option<usize>, &'static str> {
    let text: String = rest.clone().take_while(|c| *c != '}').collect();
    let has_end = rest.clone().any(|c| c == '}');
    let (least, most) = text.split_once(',').map_or((text.as_str(), None), |(least, most)| (least, Some(most)));
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !has_end || !is_number(least) || most.is_some_and(|most| !most.is_empty() && !is_number(most)) {
        return Ok(None);
    }
    let is_too_often = |text: &str| text.parse::<u32>().map_or(!text.is_empty(), |count| count > REPEAT_MAX);
    if is_too_often(least) || most.is_some_and(is_too_often) {
        return Err("invalid repeat count");
    }
    Ok(Some(text.chars().count() + 1))
}

/// Refuses the flags that only `regex` has.
fn flags(rest: &Peekable<Chars<'_>>) -> Result<(), &'static str> {
    let mut ahead = rest.clone();
    if ahead.next() != Some('?') {
        return Ok(());
    }
    let mut flags = ahead.take_while(|c| c.is_ascii_alphabetic() || *c == '-');
    if flags.any(|c| matches!(c, 'x' | 'u' | 'R')) { Err("invalid or unsupported Perl syntax") } else { Ok(()) }
}
