//! Whether `docs/book/differences.md` still says what is so: its part about requests is made again from Kafka's transcript and our answers.
//!
//! What Kafka serves beyond the steps only a live Kafka tells (`cargo xtask diff`): that is read off the page itself.

use crate::report::{self, Lines, Served};
use protocol::ApiKey;
use std::path::PathBuf;

/// Where the part begins; it goes to the page's end.
const BEGINNING: &str = "## Requests\n";
/// How to make it again.
const RENEW: &str = "write it again with `cargo xtask diff`, or where no Kafka can be had with \
    `THALWEG_DIFFERENTIAL_RENEW=1 cargo test -p server --test differential`, and read what has changed";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/differences.md")
}

/// Compares the checked-in page, or with `THALWEG_DIFFERENTIAL_RENEW` writes it.
pub(crate) fn check(kafka: &Lines, ours: &Lines, we_serve: &Served) {
    let there = std::fs::read_to_string(path()).expect("the page is there");
    let wanted = renewed(&there, kafka, ours, we_serve).expect("the page has a part about requests");
    if std::env::var_os("THALWEG_DIFFERENTIAL_RENEW").is_some() {
        std::fs::write(path(), wanted).expect("the page is written");
        return;
    }
    if let Some(stale) = first_difference(&there, &wanted) {
        panic!("docs/book/differences.md is stale: {RENEW}\n{stale}");
    }
}

/// The page with its part about requests made again.
fn renewed(page: &str, kafka: &Lines, ours: &Lines, we_serve: &Served) -> Option<String> {
    let at = page.find(BEGINNING)?;
    Some(page[..at].to_owned() + &report::page(kafka, ours, &kafka_serves(&page[at..]), we_serve))
}

/// APIs and versions from the cells of the table that are not empty.
fn kafka_serves(part: &str) -> Served {
    let mut served = Served::new();
    for line in part.lines().filter_map(|line| line.strip_prefix("| ")) {
        let mut cells = line.split('|').map(str::trim);
        let name = cells.next().unwrap_or_default();
        let Some(key) = (0..=i16::from(u8::MAX)).filter_map(ApiKey::from_code).find(|key| key.name() == name) else {
            continue;
        };
        for (version, _) in (0_i16..).zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            let range = served.entry(key.code()).or_insert((version, version));
            range.1 = version;
        }
    }
    served
}

fn first_difference(there: &str, wanted: &str) -> Option<String> {
    let (mut old, mut new) = (there.lines(), wanted.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (old, new) if old == new => {}
            (old, new) => {
                let line = |line: Option<&str>| line.unwrap_or("nothing").to_owned();
                return Some(format!("line {number}\n  is     {}\n  wanted {}", line(old), line(new)));
            }
        }
    }
    None
}

/// The negative control: a page that is behind the code is noticed, whatever has changed.
#[test]
fn a_stale_page_is_noticed() {
    let lines = |lines: &[(&str, i16, &str)]| -> Lines {
        lines.iter().map(|(label, version, line)| (((*label).to_owned(), *version), (*line).to_owned())).collect()
    };
    let kafka = lines(&[("Produce.null", 9, "a"), ("Fetch.plain", 4, "c"), ("Fetch.plain", 5, "c")]);
    let ours = lines(&[("Produce.null", 9, "x"), ("Fetch.plain", 4, "c"), ("Fetch.plain", 5, "c")]);
    let (kafka_serves, we_serve) =
        (Served::from([(0, (9, 9)), (1, (4, 5)), (24, (0, 1))]), Served::from([(0, (9, 9)), (1, (4, 5))]));
    let page = "# Title\n\n## Clients\n\n".to_owned() + &report::page(&kafka, &ours, &kafka_serves, &we_serve);
    let stale = |page: &str, kafka: &Lines, ours: &Lines, we_serve: &Served| {
        first_difference(page, &renewed(page, kafka, ours, we_serve).expect("a part about requests")).is_some()
    };
    assert!(!stale(&page, &kafka, &ours, &we_serve), "a fresh page is left alone");
    let mended = lines(&[("Produce.null", 9, "a"), ("Fetch.plain", 4, "c"), ("Fetch.plain", 5, "c")]);
    let broken = lines(&[("Produce.null", 9, "x"), ("Fetch.plain", 4, "c"), ("Fetch.plain", 5, "d")]);
    assert!(stale(&page, &kafka, &mended, &we_serve) && stale(&page, &kafka, &broken, &we_serve));
    let mut more = we_serve.clone();
    more.insert(24, (0, 1));
    assert!(stale(&page, &kafka, &ours, &more), "an API that is served since");
    assert!(stale(&page.replace("Kafka stumbles", "Kafka trips"), &kafka, &ours, &we_serve), "another reason");
    assert!(stale(&page.replace("≠1", "="), &kafka, &ours, &we_serve));
}
