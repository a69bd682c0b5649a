//! What two live brokers answered to the steps, as the part of `docs/book/differences.md` that `cargo xtask diff` writes: API x version, and the
//! differences with their reasons.

use crate::wire::{Answer, Wire, body};
use crate::{compare, differences};
use protocol::ApiKey;
use protocol::messages::api_versions_request::ApiVersionsRequest;
use std::collections::{BTreeMap, BTreeSet};

/// A step and a version, to what was answered.
pub(crate) type Lines = BTreeMap<(String, i16), String>;

/// The APIs that a broker says it serves, with their versions.
pub(crate) type Served = BTreeMap<i16, (i16, i16)>;

/// Asks a broker what it serves.
pub(crate) fn served(address: &str) -> Served {
    let software = ApiVersionsRequest {
        client_software_name: "rig".into(),
        client_software_version: "1".into(),
        ..ApiVersionsRequest::default()
    };
    let Answer::Frame(frame) = Wire::new(address).ask(4, &software) else { panic!("ApiVersions is not answered") };
    let response = body::<ApiVersionsRequest<'_>>(4, &frame);
    response.api_keys.iter().map(|row| (row.api_key, (row.min_version, row.max_version))).collect()
}

/// The page's part.
pub(crate) fn page(kafka: &Lines, ours: &Lines, kafka_serves: &Served, we_serve: &Served) -> String {
    let differing: BTreeMap<&(String, i16), &str> = kafka
        .keys()
        .chain(ours.keys())
        .filter(|key| !same(kafka, ours, key))
        .map(|key| (key, differences::reason(&key.0).map_or("not explained", |(_, why)| why)))
        .collect();
    let steps: BTreeSet<&(String, i16)> = kafka.keys().chain(ours.keys()).collect();
    let mut out = format!(
        "## Requests\n\n{} requests of {} steps were sent to both; {} answers differ, each for a reason below.\n\n",
        steps.len(),
        steps.iter().map(|(label, _)| label).collect::<BTreeSet<_>>().len(),
        differing.len()
    );
    out.push_str(&versions(&steps, &differing, kafka_serves, we_serve));
    out.push_str("\n### The differences\n\nOf each, what differs in the answer to its last version.\n\n| request | versions | Kafka | Thalweg | why |\n|---|---|---|---|---|\n");
    let mut labels: BTreeMap<&str, (Vec<i16>, &str)> = BTreeMap::new();
    for ((label, version), why) in &differing {
        labels.entry(label).or_insert((Vec::new(), why)).0.push(*version);
    }
    for (label, (versions, why)) in labels {
        let last = (label.to_owned(), versions.last().copied().unwrap_or_default());
        let line = |lines: &Lines| lines.get(&last).cloned().unwrap_or_else(|| "nothing".to_owned());
        let (theirs, own) = apart(&line(kafka), &line(ours));
        out.push_str(&format!("| `{label}` | {} | `{theirs}` | `{own}` | {why} |\n", ranges(&versions)));
    }
    out
}

/// Whether both answered alike, or ours says more about an error.
fn same(kafka: &Lines, ours: &Lines, key: &(String, i16)) -> bool {
    let one = |lines: &Lines| lines.get(key).map(|line| (key.clone(), line.clone())).into_iter().collect::<Lines>();
    let compared = compare(&one(kafka), &one(ours));
    compared.found.is_empty() && compared.wanted.is_empty()
}

/// A line an API, a column a version.
fn versions(
    steps: &BTreeSet<&(String, i16)>,
    differing: &BTreeMap<&(String, i16), &str>,
    kafka_serves: &Served,
    we_serve: &Served,
) -> String {
    let last = kafka_serves.values().map(|(_, last)| *last).max().unwrap_or(0);
    let mut out = "`=` every answer is the same, `≠N` N answers differ, `-` Kafka serves it and Thalweg does not, `+` advertised and always refused; \
                   empty: there is no such version.\n\n| API |"
        .to_owned();
    out.extend((0..=last).map(|version| format!(" {version} |")));
    out.push_str("\n|---|");
    out.extend((0..=last).map(|_| "---|"));
    out.push('\n');
    for (code, (first, end)) in kafka_serves {
        let name = ApiKey::from_code(*code).map_or_else(|| code.to_string(), |key| key.name().to_owned());
        let of_api = |label: &str| {
            let label = label.strip_prefix("Controller.").unwrap_or(label);
            label.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'))
        };
        out.push_str(&format!("| {name} |"));
        for version in 0..=last {
            let asked = steps.iter().filter(|(label, of)| *of == version && of_api(label)).count();
            let differ = differing.keys().filter(|(label, of)| *of == version && of_api(label)).count();
            let served = we_serve.get(code).is_some_and(|(first, last)| (*first..=*last).contains(&version));
            let cell = match () {
                () if !(*first..=*end).contains(&version) => String::new(),
                () if !served => "-".to_owned(),
                () if asked == 0 => "+".to_owned(),
                () if differ == 0 => "=".to_owned(),
                () => format!("≠{differ}"),
            };
            out.push_str(&format!(" {cell} |"));
        }
        out.push('\n');
    }
    out
}

/// The words of two lines between their common beginning and their common end.
fn apart(theirs: &str, ours: &str) -> (String, String) {
    let (theirs, ours): (Vec<&str>, Vec<&str>) = (theirs.split(' ').collect(), ours.split(' ').collect());
    let shorter = theirs.len().min(ours.len());
    let before = theirs.iter().zip(&ours).take_while(|(one, other)| one == other).count();
    let after = theirs.iter().rev().zip(ours.iter().rev()).take_while(|(one, other)| one == other).count();
    let after = after.min(shorter - before);
    let words = |line: &[&str]| shortened(&line[before..line.len() - after].join(" "));
    (words(&theirs), words(&ours))
}

/// A cell of the page.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 160;
    let text = text.replace('|', "\\|");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => text[..at].to_owned() + "…",
        None => text,
    }
}

/// `1-3, 5` for 1, 2, 3 and 5.
fn ranges(versions: &[i16]) -> String {
    let runs = versions.chunk_by(|one, next| one + 1 == *next);
    let shown = runs.map(|run| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_tells_same_from_different_and_from_not_served() {
    let lines = |lines: &[(&str, i16, &str)]| -> Lines {
        lines.iter().map(|(label, version, line)| (((*label).to_owned(), *version), (*line).to_owned())).collect()
    };
    let kafka =
        lines(&[("Produce.null", 9, "a"), ("Produce.plain", 9, "b"), ("Fetch.plain", 4, "c"), ("Fetch.plain", 5, "c")]);
    let ours =
        lines(&[("Produce.null", 9, "x"), ("Produce.plain", 9, "b"), ("Fetch.plain", 4, "c"), ("Fetch.plain", 5, "d")]);
    let served = Served::from([(0, (9, 9)), (1, (4, 5)), (24, (0, 1))]);
    let page = page(&kafka, &ours, &served, &Served::from([(0, (9, 9)), (1, (4, 5))]));
    assert!(page.contains("| Produce |  |  |  |  |  |  |  |  |  | ≠1 |"), "{page}");
    assert!(page.contains("| Fetch |  |  |  |  | = | ≠1 |  |  |  |  |"), "{page}");
    assert!(page.contains("| AddPartitionsToTxn | - | - |"), "{page}");
    assert!(page.contains("| `Produce.null` | 9 | `a` | `x` | Kafka stumbles"), "{page}");
    assert!(page.contains("| `Fetch.plain` | 5 | `c` | `d` | not explained |"), "{page}");
    assert_eq!(ranges(&[0, 1, 2, 5]), "0-2, 5");
    assert_eq!(apart("{a=1 b=2 c=3}", "{a=1 b=7 x c=3}"), ("b=2".into(), "b=7 x".into()));
    assert_eq!(apart("a a", "a a a"), (String::new(), "a".into()));
}
