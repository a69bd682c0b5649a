//! Times as people write them: RFC 3339, or `@` and milliseconds since 1970.

/// Reads `2026-11-24`, `2026-11-24T10:00`, `2026-11-24T10:00:00.250Z`, `...+01:00` or `@1795514400000`, as milliseconds since
/// 1970. A time without a zone is UTC.
pub(crate) fn parse_millis(text: &str) -> Option<i64> {
    if let Some(millis) = text.strip_prefix('@') {
        return millis.parse().ok();
    }
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00Z"));
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 {
        return None;
    }
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let millis = clock_millis(clock)?.checked_sub(zone_millis(zone)?)?;
    days_from_civil(year, month, day).checked_mul(86_400_000)?.checked_add(millis)
}

/// Reads `90s`, `15m`, `2h`, `7d`, or as Kafka's tools do, `P1DT2H3M4S`, as milliseconds.
pub(crate) fn parse_duration_millis(text: &str) -> Option<i64> {
    let (mut rest, units): (&str, &[(char, i64)]) = match text.strip_prefix('P') {
        None => (text, &[('d', 86_400_000), ('h', 3_600_000), ('m', 60_000), ('s', 1_000)]),
        Some(iso) => (iso, &[('D', 86_400_000), ('T', 0), ('H', 3_600_000), ('M', 60_000), ('S', 1_000)]),
    };
    let (mut millis, mut next) = (0_i64, 0);
    while let Some(at) = rest.find(|c: char| !c.is_ascii_digit()) {
        let unit = rest[at..].chars().next()?;
        // Each unit once, and the larger ones first.
        let place = units[next..].iter().position(|(name, _)| *name == unit)? + next;
        let count = if unit == 'T' { (at == 0).then_some(0)? } else { rest[..at].parse::<i64>().ok()? };
        millis = millis.checked_add(count.checked_mul(units[place].1)?)?;
        (rest, next) = (&rest[at + unit.len_utf8()..], place + 1);
    }
    (rest.is_empty() && next > 0).then_some(millis)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn clock_millis(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.splitn(3, ':').map(number);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if hour > 23 || minute > 59 || second > 60 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

fn zone_millis(text: &str) -> Option<i64> {
    let sign = match text.chars().next() {
        None | Some('Z' | 'z') => return (text.len() <= 1).then_some(0),
        Some('-') => -1,
        _ => 1,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    Some(sign * (number(hours)? * 60 + number(minutes)?) * 60_000)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn format_millis(millis: i64) -> String {
    let days = millis.div_euclid(86_400_000);
    let of_day = millis.rem_euclid(86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in [
            ("1970-01-01", 0),
            ("@1234", 1234),
            ("2026-11-24T10:00:00.250Z", 1_795_514_400_250),
            ("2026-11-24T11:00:00.25+01:00", 1_795_514_400_250),
            ("2026-11-24 10:00", 1_795_514_400_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ] {
            assert_eq!(parse_millis(text), Some(millis), "{text}");
        }
        for text in ["", "12", "2026-13-01", "2026-11-24T25:00", "x", "@", "2026-11-24T10", "2026-11-24T10:00Zx"] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, millis) in
            [("90s", 90_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("PT10S", 10_000), ("P1DT2H", 93_600_000)]
        {
            assert_eq!(parse_duration_millis(text), Some(millis), "{text}");
        }
        for text in ["", "5", "s", "1m1h", "5x", "P", "1s1s", "99999999999999999d", "PT1D"] {
            assert_eq!(parse_duration_millis(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        for millis in [0, -1, 1_795_514_400_250, 1_709_164_799_999, 253_402_300_799_999] {
            if millis >= 0 {
                assert_eq!(parse_millis(&format_millis(millis)), Some(millis));
            }
        }
        assert_eq!(format_millis(-1), "1969-12-31T23:59:59.999Z");
    }
}
