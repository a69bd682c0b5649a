//! What a run leaves behind: `results.json` with every round, and a page with plots that is made from it alone.

pub mod conditions;
mod glance;
mod page;
mod plot;
mod targets;
pub mod text;

use crate::figures::Row;
use conditions::Conditions;
use conformance::fault::{During, Fault};
use serde::{Deserialize, Serialize};
use std::path::Path;

const RESULTS: &str = "results.json";

/// A run.
#[derive(Serialize, Deserialize)]
pub struct Report {
    /// Where and how.
    pub conditions: Conditions,
    /// What was measured.
    pub rows: Vec<Row>,
    /// Cases that could not be measured, and why.
    #[serde(default)]
    pub failures: Vec<(String, String)>,
}

impl Report {
    /// A run of unknown conditions.
    #[cfg(test)]
    fn of_rows(rows: Vec<Row>) -> Report {
        Report { conditions: Conditions::unknown(), rows, failures: Vec::new() }
    }

    /// The results in a folder.
    pub fn read(folder: &Path) -> Result<Report, Fault> {
        let path = folder.join(RESULTS);
        let text = std::fs::read_to_string(&path).during(path.display())?;
        serde_json::from_str(&text).map_err(|error| Fault::Failed(format!("{}: {error}", path.display())))
    }

    /// Writes results, page and plots.
    pub fn write(&self, folder: &Path) -> Result<(), Fault> {
        std::fs::create_dir_all(folder).during(folder.display())?;
        let text = serde_json::to_string_pretty(self).map_err(|error| Fault::Failed(error.to_string()))?;
        let path = folder.join(RESULTS);
        std::fs::write(&path, text + "\n").during(path.display())?;
        self.write_page(folder)
    }

    /// Writes page and plots alone.
    pub fn write_page(&self, folder: &Path) -> Result<(), Fault> {
        self.page().into_iter().try_for_each(|(name, text)| {
            let path = folder.join(name);
            std::fs::write(&path, text).during(path.display())
        })
    }

    /// The page and its plots, by their files' names.
    fn page(&self) -> Vec<(String, String)> {
        let plots = plot::all(self);
        let mut files = vec![("README.md".to_owned(), page::render(self, &plots))];
        files.extend(plots.into_iter().map(|plot| (plot.file, plot.svg)));
        files
    }

    /// The case of this name.
    pub fn row(&self, case: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case)
    }

    /// The best round of a contestant's figure.
    pub fn best(&self, case: &str, contestant: &str, figure: &str) -> Option<f64> {
        self.row(case)?.best(contestant, figure)
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use conformance::rig::workspace;

    /// Whoever changes how a page is made, or a page by hand, makes it again: `cargo xtask bench --page docs/bench`.
    #[test]
    fn the_page_that_is_checked_in_says_what_its_results_say() {
        let folder = workspace().join("docs/bench");
        for (name, text) in Report::read(&folder).expect("results that are checked in").page() {
            let there = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(there == text, "docs/bench/{name} is not what docs/bench/results.json says");
        }
    }
}
