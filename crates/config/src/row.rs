//! One config as data, and the check of a value against it.

use crate::list::{has_gap, words};
use crate::rules;

/// The type of a config; the discriminant is its code in DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    /// true or false.
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A number with a fraction.
    Double = 6,
    /// Words between commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// Text that is never shown.
    Password = 9,
}

/// Where a config of a node may be changed while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Nowhere: only at start.
    ReadOnly,
    /// For the whole cluster, or for one broker.
    ClusterWide,
    /// For one broker.
    PerBroker,
}

/// Whether this version does what the config says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honoured {
    /// It does.
    Yes,
    /// It does not yet: setting it warns.
    NotYet,
    /// It does not yet, and running without it would be unsafe: setting it is refused.
    Protects,
}

/// One config.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default; `None` for null or required.
    pub default: Option<&'static str>,
    /// The values that are allowed, in Kafka's notation: `[0,...]`, `[1,...,9] or -1`, `[a, b]`.
    pub valid: &'static str,
    /// Where it may be changed.
    pub update: Update,
    /// Whether it is honoured.
    pub honoured: Honoured,
}

impl Row {
    /// Checks a value.
    ///
    /// # Errors
    /// A sentence in Kafka's words that names the value, the config and what is wrong.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let value = value.trim();
        let invalid = |why: &str| Err(format!("Invalid value {value} for configuration {}: {why}", self.name));
        if let Err(why) = rules::check(self.name, value) {
            return invalid(why);
        }
        let number = match self.kind {
            Kind::Boolean => {
                let known = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
                return if known { Ok(()) } else { invalid("Expected value to be either true or false") };
            }
            Kind::Int => value.parse::<i32>().ok().map(f64::from),
            Kind::Short => value.parse::<i16>().ok().map(f64::from),
            Kind::Long => value.parse::<i64>().ok().map(|number| number as f64),
            Kind::Double => value.parse::<f64>().ok().filter(|number| number.is_finite()),
            Kind::List => return self.check_words(value),
            Kind::String | Kind::Class | Kind::Password => return self.check_text(value),
        };
        let Some(number) = number else {
            return invalid(&format!("Not a number of type {}", self.type_name()));
        };
        self.check_range(number).or_else(|why| invalid(&why))
    }

    /// Kafka's name of the type.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        }
    }

    fn check_range(&self, number: f64) -> Result<(), String> {
        let (range, or) = self.valid.split_once(" or ").unwrap_or((self.valid, ""));
        if or.parse() == Ok(number) {
            return Ok(());
        }
        let Some(range) = range.strip_prefix('[').and_then(|range| range.strip_suffix(']')) else { return Ok(()) };
        let mut bounds = range.split(',').filter_map(|word| word.parse::<f64>().ok());
        if bounds.next().is_some_and(|low| number < low) {
            return Err(format!("Value must be at least {}", range.split(',').next().unwrap_or_default()));
        }
        match bounds.next() {
            Some(high) if number > high => Err(format!("Value must be no more than {high}")),
            _ => Ok(()),
        }
    }

    /// The words that a `[a, b]` rule allows.
    fn allowed(&self) -> Option<Vec<&'static str>> {
        let (_, list) = self.valid.split_once('[')?;
        let list = list.strip_suffix(']')?;
        (!list.contains(':')).then(|| list.split(", ").collect())
    }

    fn check_text(&self, value: &str) -> Result<(), String> {
        let why = match self.allowed() {
            Some(allowed) => {
                let any_case = self.valid.starts_with("(case insensitive)");
                let fits = |word: &&str| if any_case { word.eq_ignore_ascii_case(value) } else { *word == value };
                if allowed.iter().any(fits) {
                    return Ok(());
                }
                format!("String must be one of: {}", allowed.join(", "))
            }
            None if self.valid == "non-empty string" && value.is_empty() => "String must be non-empty".to_owned(),
            None => return Ok(()),
        };
        Err(format!("Invalid value {value} for configuration {}: {why}", self.name))
    }

    fn check_words(&self, value: &str) -> Result<(), String> {
        let Some(allowed) = self.allowed() else { return Ok(()) };
        if has_gap(value) {
            return Err(format!("Invalid value {value} for configuration {}: a word of the list is empty", self.name));
        }
        for word in words(value) {
            if !allowed.contains(&word) {
                let list = allowed.join(", ");
                return Err(format!(
                    "Invalid value {word} for configuration {}: String must be one of: {list}",
                    self.name
                ));
            }
        }
        Ok(())
    }
}
