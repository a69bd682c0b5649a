//! `--diff PAGE`: our node and Apache Kafka 4.4.0, asked the same by raw requests and by every client of the table, and a page about it.

use crate::scenarios::{differential, table};
use crate::table::Row;
use conformance::fault::{During, Fault, ensure};
use conformance::node::Kind;
use conformance::rig::{Rig, Scene, workspace};
use conformance::table_peer::FAMILIES;
use std::collections::BTreeMap;
use std::path::Path;
use table::{Outcome, Outcomes};

const HEADER: &str = "# Thalweg and Apache Kafka 4.4.0, side by side\n\n\
    Written by `cargo xtask diff`, which starts both, asks both the same, and compares what they answer after ids, times and places are taken\n\
    out. It fails when something differs that is not explained.\n\n";

/// Compares, writes the page, and says whether everything that differs is explained.
pub(crate) fn run(page: &Path) -> Result<bool, Fault> {
    let rig = Rig::new()?;
    let scene = rig.scene("diff")?;
    let (requests, explained) = differential::both(&scene)?;
    let kafka = by_clients(&scene, Kind::Kafka)?;
    let ours = by_clients(&scene, Kind::Thalweg)?;
    let (clients, alike) = clients(&table::rows()?, &kafka, &ours);
    std::fs::write(page, format!("{HEADER}{clients}\n{requests}")).during(page.display())?;
    let verdict = match &explained {
        Ok(()) => "every difference is explained".to_owned(),
        Err(Fault::Failed(why) | Fault::Skipped(why)) => format!("differences that are not explained: {why}"),
    };
    println!("{}: {verdict}", page.display());
    for (row, family, why) in different(&kafka).chain(different(&ours)) {
        println!("{row} by {family}: {why}");
    }
    drop(std::fs::remove_dir_all(&scene.folder));
    drop(scene);
    rig.close();
    Ok(explained.is_ok() && alike)
}

/// The checked-in page.
const PAGE: &str = "docs/book/differences.md";

/// Fails when the page that is checked in does not say of its clients what they have just done. The rows' expectations are what Kafka answers, so
/// only a row that does not hold for Kafka any more escapes, which `cargo xtask diff` finds.
pub(crate) fn check_page(rows: &[Row], ours: &Outcomes) -> Result<(), Fault> {
    let page = std::fs::read_to_string(workspace().join(PAGE)).during(PAGE)?;
    let fresh = is_fresh(&page, rows, ours);
    ensure(fresh, || format!("{PAGE} does not say what the clients do: write it again with `cargo xtask diff`"))
}

fn is_fresh(page: &str, rows: &[Row], ours: &Outcomes) -> bool {
    let as_recorded = |(row, family, outcome): &(String, &'static str, Outcome)| {
        let outcome = match (outcome, rows.iter().find(|of| of.name == *row).and_then(|row| row.limit(family))) {
            (Outcome::Limited(why), _) => Outcome::Limited(why.clone()),
            (_, Some(why)) => Outcome::Limited(why.to_owned()),
            _ => Outcome::Same,
        };
        (row.clone(), *family, outcome)
    };
    let kafka: Outcomes = ours.iter().map(as_recorded).collect();
    page.contains(&(clients(rows, &kafka, ours).0 + "\n## "))
}

fn by_clients(scene: &Scene<'_>, kind: Kind) -> Result<Outcomes, Fault> {
    let plan = table::plan(scene.plan_of(kind)?);
    let node = plan.start(scene)?;
    let outcomes = table::outcomes(scene, &plan, &node)?;
    node.stop()?;
    Ok(outcomes)
}

fn different(outcomes: &Outcomes) -> impl Iterator<Item = (&str, &str, &str)> {
    outcomes.iter().filter_map(|(row, family, outcome)| match outcome {
        Outcome::Different(why) => Some((row.as_str(), *family, why.as_str())),
        _ => None,
    })
}

/// A line a row, a column a family; and whether no cell tells of a difference.
fn clients(rows: &[Row], kafka: &Outcomes, ours: &Outcomes) -> (String, bool) {
    let of = |outcomes: &'_ Outcomes| -> BTreeMap<(String, &'static str), &'static str> {
        let sign = |outcome: &Outcome| match outcome {
            Outcome::Same => "=",
            Outcome::Limited(_) => "client",
            Outcome::NotServed => "-",
            Outcome::Different(_) => "≠",
        };
        outcomes.iter().map(|(row, family, outcome)| ((row.clone(), *family), sign(outcome))).collect()
    };
    let (kafka, ours) = (of(kafka), of(ours));
    let mut alike = true;
    let mut out = "## Clients\n\n\
        Rows of the table in `tests/conformance/table` by real clients. `=` both brokers answered as recorded, `≠` one of them did not, `-` Thalweg does not serve\n\
        the API that the row is about, `client` the client cannot do it.\n\n| row |"
        .to_owned();
    out.extend(FAMILIES.iter().map(|family| format!(" {family} |")));
    out.push_str("\n|---|");
    out.extend(FAMILIES.iter().map(|_| "---|"));
    out.push('\n');
    for row in rows {
        out.push_str(&format!("| {} |", row.name.replace('_', " ")));
        for family in FAMILIES {
            let key = (row.name.clone(), *family);
            let cell = match (kafka.get(&key), ours.get(&key)) {
                (Some(&"="), Some(&ours)) => ours,
                (Some(&"client"), Some(&"client" | &"-")) => "client",
                (None, None) => "not run",
                _ => "≠",
            };
            alike &= cell != "≠";
            out.push_str(&format!(" {cell} |"));
        }
        out.push('\n');
    }
    let shared = |outcomes: &BTreeMap<(String, &str), &str>, sign: &str| {
        outcomes.iter().filter(|((row, _), of)| row.contains(" written by ") && **of == sign).count()
    };
    alike &= shared(&kafka, "≠") + shared(&ours, "≠") == 0;
    out.push_str(&format!(
        "\nWhat each client wrote with each codec was read by every other one: {} pairs alike with Kafka, {} with Thalweg, {} beyond a client.\n",
        shared(&kafka, "="),
        shared(&ours, "="),
        shared(&ours, "client")
    ));
    (out, alike)
}

#[cfg(test)]
mod tests {
    use super::{clients, is_fresh};
    use crate::scenarios::table::Outcome;
    use crate::table::parse;

    #[test]
    fn a_difference_on_either_side_shows() {
        let rows = parse("## one\n> x\nx\n\n## two\n> x\nx\n").expect("a table");
        let outcomes =
            |second: Outcome| vec![("one".to_owned(), "java", Outcome::Same), ("two".to_owned(), "java", second)];
        let (page, alike) = clients(&rows, &outcomes(Outcome::Same), &outcomes(Outcome::NotServed));
        assert!(alike && page.contains("| one | = | not run |") && page.contains("| two | - |"), "{page}");
        let (page, alike) = clients(&rows, &outcomes(Outcome::Different("x".into())), &outcomes(Outcome::Same));
        assert!(!alike && page.contains("| two | ≠ |"), "{page}");
    }

    #[test]
    fn a_stale_page_is_noticed() {
        let rows = parse("## one\n> x\nx\n\n## two\n- java: it cannot\n> x\nx\n").expect("a table");
        let one = |outcome| ("one".to_owned(), "java", outcome);
        let two = || ("two".to_owned(), "java", Outcome::Limited("it cannot".to_owned()));
        let ours = vec![one(Outcome::Same), two()];
        let page = clients(&rows, &ours, &ours).0 + "\n## Requests\n";
        assert!(is_fresh(&page, &rows, &ours));
        assert!(!is_fresh(&page, &rows, &vec![one(Outcome::NotServed), two()]), "an API that is served no more");
        let more = parse("## one\n> x\nx\n\n## two\n> x\nx\n\n## three\n> x\nx\n").expect("a table");
        assert!(!is_fresh(&page, &more, &ours), "a new row");
        assert!(!is_fresh(&page.replace("client", "="), &rows, &ours), "a limit");
    }
}
