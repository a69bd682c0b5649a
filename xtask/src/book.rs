//! Pages of the book that are written from tables in the code: `cargo xtask book [--check]`.
//!
//! A page is a pure function of the tables; tidy checks that it is fresh.

use config::{Honoured, Row, Update, documentation, group_rows, node_rows, topic_rows};
use std::path::Path;

/// A page: where it stands, and who writes it.
type Page = (&'static str, fn() -> String);

const PAGES: [Page; 2] = [("docs/book/configs.md", configs), ("docs/book/metrics.md", metrics)];

/// Writes the pages, or with `check` says which one is stale.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    for (page, text) in PAGES {
        let (path, text) = (root.join(page), text());
        if check {
            if !std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
                return Err(format!("{page} is not what its table in the code says"));
            }
            continue;
        }
        let folder = path.parent().ok_or("the page has no folder")?;
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn metrics() -> String {
    format!(
        "# Metrics\n\nWhat a node tells of itself, in Prometheus' text format. Written by `cargo xtask book` from `crates/telemetry`.\n\n\
         The listener is off until `thalweg.metrics.listen` names an address, such as `127.0.0.1:9404`. It serves `/metrics`, `/healthz`\n\
         (503 when the node cannot go on) and `/readyz` (the node serves clients; 503 until then, saying how many logs are recovered).\n\n{}",
        telemetry::markdown()
    )
}

fn configs() -> String {
    let mut out = String::from(
        "# Configs\n\nEvery config of Kafka 4.4, and those of Thalweg's own. Written by `cargo xtask book` from `crates/config`.\n\n\
         *change* says where a config of a node can be changed while it runs: for all brokers or one (`any`), for one broker only\n\
         (`broker`, which Thalweg refuses: restart instead), or nowhere (`start`). *honoured* says whether Thalweg does what it says: a\n\
         config that is not honoured yet warns at start; one that protects is refused.\n",
    );
    for (title, rows) in [("Of a node", node_rows()), ("Of a topic", topic_rows()), ("Of a group", group_rows())] {
        let of_node = title == "Of a node";
        let change = if of_node { " change |" } else { "" };
        let line = if of_node { "---|" } else { "" };
        out.push_str(&format!(
            "\n## {title}\n\n| name | type | default | allowed |{change} honoured | what it does |\n"
        ));
        out.push_str(&format!("|---|---|---|---|{line}---|---|\n"));
        out.extend(rows.iter().map(|row| config_line(row, of_node)));
    }
    out
}

fn config_line(row: &Row, of_node: bool) -> String {
    let change = match row.update {
        Update::ReadOnly => " start |",
        Update::ClusterWide => " any |",
        Update::PerBroker => " broker |",
    };
    let honoured = match row.honoured {
        Honoured::Yes => "yes",
        Honoured::NotYet => "not yet",
        Honoured::Protects => "refused",
    };
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    format!(
        "| `{}` | {} | {} | {} |{} {honoured} | {} |\n",
        row.name,
        row.type_name().to_lowercase(),
        row.default.map_or_else(|| "none".to_owned(), code),
        code(row.valid),
        if of_node { change } else { "" },
        documentation(row.name).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::{configs, metrics};

    #[test]
    fn the_page_has_a_line_a_config() {
        let page = configs();
        assert!(page.contains("| `node.id` | int | none | `[0,...]` | start | yes | The id of this node"), "{page}");
        assert!(page.contains("| `retention.ms` | long | `604800000` |"));
        assert!(page.lines().filter(|line| line.starts_with("| `")).count() > 400);
    }

    #[test]
    fn the_page_has_a_line_a_metric() {
        assert!(
            metrics().contains("| `thalweg_commit_seconds` | Histogram |  | Time of a round of group commit. |"),
            "{}",
            metrics()
        );
    }
}
