//! A case as text for the terminal: median, best and spread of each contestant, and ratios of the best rounds.

use crate::figures::{Row, Series};
use crate::lab::{CEILING, KAFKA};

/// Prints one case.
pub fn print(row: &Row) {
    println!("  {} [{}]", row.load, row.promise);
    for (name, unit) in figures(row) {
        for contest in &row.contests {
            if let Some(series) = contest.figure(&name) {
                let ratios = ratios(row, &contest.contestant, &name);
                println!("    {:<24} {:<18} {} {unit}{ratios}", name, contest.contestant, spread(series));
            }
        }
    }
}

/// Names and units of all figures of a case, in the order in which they appear.
pub fn figures(row: &Row) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for series in row.contests.iter().flat_map(|contest| &contest.figures) {
        if !found.iter().any(|(name, _)| *name == series.name) {
            found.push((series.name.clone(), series.unit.clone()));
        }
    }
    found
}

/// `median (best X, LOW-HIGH)`.
pub fn spread(series: &Series) -> String {
    let (low, high) = series.range();
    format!("{} (best {}, {}-{})", short(series.median()), short(series.best()), short(low), short(high))
}

fn ratios(row: &Row, contestant: &str, figure: &str) -> String {
    let mut text = String::new();
    for other in [CEILING, KAFKA].into_iter().filter(|other| *other != contestant && contestant != CEILING) {
        if let (Some(this), Some(that)) = (row.best(contestant, figure), row.best(other, figure))
            && that > 0.0
        {
            text += &format!("  {} x {other}", short(this / that));
        }
    }
    text
}

/// Three significant digits, and no more than a person reads.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        magnitude if magnitude >= 100.0 || magnitude == 0.0 => 0,
        magnitude if magnitude >= 10.0 => 1,
        magnitude if magnitude >= 0.995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let behind = whole.len() - at;
        if at > 0 && behind % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn figures_have_three_digits_and_groups() {
        let shown = [0.0, 0.01234, 1.0, 12.345, 123.45, 1234.5, 1_234_567.0, -1234.0].map(short);
        assert_eq!(shown, ["0", "0.012", "1.00", "12.3", "123", "1,234", "1,234,567", "-1,234"]);
    }
}
