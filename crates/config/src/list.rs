//! Lists: words between commas.

/// The words of a list.
pub fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// No word is missing between two commas, or there twice.
pub(crate) fn each_once(value: &str) -> Result<(), &'static str> {
    if has_gap(value) {
        return Err("a word of the list is empty");
    }
    let all: Vec<&str> = words(value).collect();
    let repeated = all.iter().enumerate().any(|(at, word)| all[..at].contains(word));
    if repeated { Err("a word stands in the list twice") } else { Ok(()) }
}

/// Whether a list has an empty word, which no list that is empty as a whole has.
pub(crate) fn has_gap(value: &str) -> bool {
    !value.trim().is_empty() && value.split(',').any(|word| word.trim().is_empty())
}
