//! Manifests: every dependency of a crate says why it is there, and versions stand in the root alone, without default features.
//!
//! Reads lines, not TOML: a dependency is one line, and its reason is a comment at its end or right above it.

use super::{Finding, SourceFile};

/// Checks one file; anything but a Cargo.toml of the workspace passes.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    if file.path == "Cargo.toml" {
        return root(file);
    }
    let ours = file.path.ends_with("/Cargo.toml") && !file.path.starts_with("fuzz/");
    if ours { member(file) } else { Vec::new() }
}

/// The lines of the tables whose name `wanted` takes: (line number, line, the line above).
fn entries(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<(usize, &str, &str)> {
    let (mut inside, mut above, mut found) = (false, "", Vec::new());
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            inside = wanted(line.trim_matches(['[', ']']));
        } else if inside && line.contains('=') && !line.trim_start().starts_with('#') {
            found.push((index + 1, line, above));
        }
        above = line;
    }
    found
}

fn member(file: &SourceFile) -> Vec<Finding> {
    let is_dependencies = |table: &str| table.ends_with("dependencies");
    let mut findings = Vec::new();
    for (number, line, above) in entries(&file.text, is_dependencies) {
        let at = format!("{}:{number}", file.path);
        let name = line.split(['=', '.']).next().unwrap_or_default().trim();
        if !line.contains('#') && !above.trim_start().starts_with('#') {
            findings.push(Finding::new(&at, format!("`{name}` has no comment that says why it is needed")));
        }
        if line.contains("version =")
            || line.split_once('=').is_some_and(|(_, value)| value.trim_start().starts_with('"'))
        {
            findings.push(Finding::new(
                &at,
                format!("`{name}` has a version: versions stand in the root's [workspace.dependencies]"),
            ));
        }
    }
    findings
}

fn root(file: &SourceFile) -> Vec<Finding> {
    let dependencies = entries(&file.text, |table| table == "workspace.dependencies");
    let with_defaults = dependencies
        .into_iter()
        .filter(|(_, line, _)| !line.contains("path =") && !line.contains("default-features = false"));
    let finding = |(number, line, _): (usize, &str, &str)| {
        let name = line.split('=').next().unwrap_or_default().trim();
        Finding::new(format!("{}:{number}", file.path), format!("`{name}` needs `default-features = false`"))
    };
    with_defaults.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    fn count(path: &str, text: &str) -> usize {
        check(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn a_reason_may_stand_behind_or_above() {
        let text = "[dependencies]\nbase.workspace = true # ids\n# frames\nlz4_flex.workspace = true\n[lints]\nworkspace = true\n";
        assert_eq!(count("crates/a/Cargo.toml", text), 0);
    }

    #[test]
    fn a_dependency_without_a_reason_is_caught() {
        assert_eq!(count("crates/a/Cargo.toml", "[dependencies]\nbase.workspace = true\n"), 1);
        assert_eq!(count("crates/a/Cargo.toml", "[dev-dependencies]\n\nproptest = { workspace = true }\n"), 1);
        assert_eq!(count("crates/a/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nlibc.workspace = true\n"), 1);
    }

    #[test]
    fn a_version_outside_the_root_is_caught() {
        assert_eq!(count("crates/a/Cargo.toml", "[dependencies]\nsnap = \"1.1\" # snappy\n"), 1);
        assert_eq!(count("crates/a/Cargo.toml", "[dependencies]\nsnap = { version = \"1.1\" } # snappy\n"), 1);
    }

    #[test]
    fn the_root_takes_no_default_features() {
        let good = "[workspace.dependencies]\nbase = { path = \"crates/base\" }\nsnap = { version = \"1\", default-features = false }\n";
        assert_eq!(count("Cargo.toml", good), 0);
        assert_eq!(count("Cargo.toml", "[workspace.dependencies]\nsnap = \"1\"\n"), 1);
    }
}
