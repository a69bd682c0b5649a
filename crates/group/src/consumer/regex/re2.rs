//! Expressions are RE2's, as Kafka's coordinator reads them; this says them in the words of the `regex` crate.
//!
//! The two differ in details that clients meet: `\Q..\E`, braces that repeat nothing, brackets inside of classes, octal numbers, and
//! `\w` that is ASCII. What RE2 refuses and `regex` would take for something else is refused here. It does not know topics.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// RE2 repeats at most this often.
const REPEAT_MAX: u32 = 1_000;
/// The general categories of RE2/J, by their only names.
pub(super) const CATEGORIES: &str =
    "C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs";
/// The scripts of RE2/J, by their only names.
pub(super) const SCRIPTS: &str = "Arabic Armenian Avestan Balinese Bamum Batak Bengali Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian \
    Cham Cherokee Common Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Egyptian_Hieroglyphs Ethiopic Georgian \
    Glagolitic Gothic Greek Gujarati Gurmukhi Han Hangul Hanunoo Hebrew Hiragana Imperial_Aramaic Inherited \
    Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi Khmer Lao Latin Lepcha \
    Limbu Linear_B Lisu Lycian Lydian Malayalam Mandaic Meetei_Mayek Mongolian Myanmar New_Tai_Lue Nko Ogham Ol_Chiki \
    Old_Italic Old_Persian Old_South_Arabian Old_Turkic Oriya Osmanya Phags_Pa Phoenician Rejang Runic Samaritan Saurashtra \
    Shavian Sinhala Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Tamil Telugu Thaana Thai Tibetan \
    Tifinagh Ugaritic Unknown Vai Yi";
/// Categories and scripts that no character has which `regex` knows.
const OF_NOTHING: [&str; 2] = ["Cs", "Unknown"];
/// The classes of RE2/J that are named within brackets.
const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// The longest of them with `^`, and the two characters that end it.
const NAMED_CHARS_MAX: usize = 9;
const NO_RANGE: &str = "invalid character class range";

/// The expression for `regex`, not yet checked otherwise.
///
/// # Errors
/// What RE2 refuses and `regex` would not.
pub(super) fn translate(re2: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(re2.len());
    let mut rest = re2.chars().peekable();
    // Whether the last thing was a repetition: RE2 knows no repetition of one.
    let mut is_repeated = false;
    let mut names = BTreeSet::new();
    // Whether the end of a named class may be ahead: looked for in vain, it is not looked for again.
    let mut has_named = true;
    while let Some(c) = rest.next() {
        let was_repeated = std::mem::take(&mut is_repeated);
        match c {
            '\\' if rest.next_if_eq(&'Q').is_some() => quote(&mut rest, &mut out),
            '\\' => escape(&mut rest, &mut out, false)?,
            '[' => class(&mut rest, &mut out, &mut has_named)?,
            '(' => {
                out.push('(');
                if group_name(&mut rest, &mut names)? {
                    continue;
                }
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
        ('p' | 'P', _) => property(c == 'P', rest, out)?,
        ('x', _) => {
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

/// What follows `\p` or `\P`: a letter, or a name in braces that `^` negates once more. `regex` knows more names than RE2, and no `^`.
fn property(negated: bool, rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    let mut name = String::new();
    match rest.next().ok_or(NO_RANGE)? {
        '{' if rest.clone().any(|c| c == '}') => name.extend(rest.by_ref().take_while(|c| *c != '}')),
        other => name.push(other),
    }
    let (negated, name) = name.strip_prefix('^').map_or((negated, name.as_str()), |name| (!negated, name));
    let is_one_of = |names: &str| names.split(' ').any(|known| known == name);
    let letter = |negated| if negated { 'P' } else { 'p' };
    match name {
        "Any" => out.push_str(&format!("\\{}{{Any}}", letter(negated))),
        _ if OF_NOTHING.contains(&name) => out.push_str(&format!("\\{}{{Any}}", letter(!negated))),
        _ if is_one_of(CATEGORIES) => out.push_str(&format!("\\{}{{gc={name}}}", letter(negated))),
        _ if is_one_of(SCRIPTS) => out.push_str(&format!("\\{}{{sc={name}}}", letter(negated))),
        _ => return Err(NO_RANGE),
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
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String, has_named: &mut bool) -> Result<(), &'static str> {
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
            '[' => match named(rest, has_named)? {
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
fn named(rest: &Peekable<Chars<'_>>, has_named: &mut bool) -> Result<Option<usize>, &'static str> {
    if !*has_named || rest.clone().next() != Some(':') {
        return Ok(None);
    }
    let text: String = rest.clone().skip(1).take(NAMED_CHARS_MAX).collect();
    // RE2 looks for the end to the end, and refuses what stands before it then.
    let Some((name, _)) = text.split_once(":]") else {
        *has_named = rest.clone().skip(1).zip(rest.clone().skip(2)).any(|two| two == (':', ']'));
        return if *has_named { Err(NO_RANGE) } else { Ok(None) };
    };
    if !NAMED.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(NO_RANGE);
    }
    Ok(Some(name.len() + 3))
}

/// Characters of `2,3}` after the brace, when it repeats.
fn counted(rest: &Peekable<Chars<'_>>) -> Result<Option<usize>, &'static str> {
    let mut ahead = rest.clone();
    let text: String = std::iter::from_fn(|| ahead.next_if(|c| c.is_ascii_digit() || *c == ',')).collect();
    let has_end = ahead.next() == Some('}');
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

/// Takes `?P<name>` or `?<name>` after a parenthesis and says whether it was there. Names only have to be told apart: nobody asks for what
/// a group has matched, and RE2 lets them begin with a digit, so `regex` does not see them.
fn group_name(rest: &mut Peekable<Chars<'_>>, names: &mut BTreeSet<String>) -> Result<bool, &'static str> {
    let mut ahead = rest.clone();
    if ahead.next() != Some('?') {
        return Ok(false);
    }
    ahead.next_if_eq(&'P');
    if ahead.next() != Some('<') {
        return Ok(false);
    }
    let name: String = std::iter::from_fn(|| ahead.next_if(|c| c.is_ascii_alphanumeric() || *c == '_')).collect();
    if name.is_empty() || ahead.next() != Some('>') {
        return Err("invalid named capture");
    }
    if !names.insert(name) {
        return Err("duplicate capture group name");
    }
    *rest = ahead;
    Ok(true)
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
