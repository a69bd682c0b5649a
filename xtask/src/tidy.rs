//! Checks on the repository itself that no compiler makes: layers, lengths, manners of tests, paths that the docs name, hosts.
//!
//! Every rule is a pure function from text to [`Finding`]s, so each has tests for what it must catch and what it must let
//! pass. Tidy knows nothing of git beyond the list of files, and never changes one.

mod docs;
mod layers;
mod lengths;
mod manifests;
mod manners;
mod rust;

use std::path::Path;
use std::process::Command;

/// One broken rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `path` or `path:line`, from the repository's root.
    pub(crate) at: String,
    /// What is wrong and what would be right.
    pub(crate) what: String,
    /// A wish only is printed, but does not fail.
    pub(crate) wish: bool,
}

impl Finding {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { at: at.into(), what: what.into(), wish: false }
    }

    fn wish(at: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { wish: true, ..Finding::new(at, what) }
    }
}

/// A text file of the repository.
pub(crate) struct SourceFile {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// Its content; binary files are not handed to the rules.
    pub(crate) text: String,
}

/// Runs every rule; an error when one is broken.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let files = repository_files(root)?;
    let mut findings = layers::check(&cargo_metadata(root)?)?;
    for file in &files {
        findings.extend(lengths::check(file));
        findings.extend(manners::check(file));
        findings.extend(manifests::check(file));
    }
    findings.extend(docs::check(&files, &|path| root.join(path).exists()));
    if let Err(stale) = crate::codegen::run(root, true) {
        findings.push(Finding::new("crates/protocol/src/messages", format!("{stale}; run `cargo xtask codegen`")));
    }
    if let Err(stale) = crate::book::run(root, true) {
        findings.push(Finding::new("docs/book", format!("{stale}; run `cargo xtask book`")));
    }
    report(&findings, files.len())
}

fn report(findings: &[Finding], files: usize) -> Result<(), String> {
    let broken = findings.iter().filter(|finding| !finding.wish).count();
    for finding in findings {
        let kind = if finding.wish { "wish" } else { "broken" };
        println!("{kind}: {}: {}", finding.at, finding.what);
    }
    println!("tidy: {files} files, {broken} broken rules, {} wishes", findings.len() - broken);
    if broken == 0 { Ok(()) } else { Err(format!("{broken} rules are broken (listed above)")) }
}

/// Tracked files and new ones that are not ignored, so that a rule speaks before the commit does.
fn repository_files(root: &Path) -> Result<Vec<SourceFile>, String> {
    let listing = output(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut files = Vec::new();
    for path in listing.split('\0').filter(|path| !path.is_empty()) {
        // A file that is listed but deleted in the work tree is not there to be checked.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn cargo_metadata(root: &Path) -> Result<serde_json::Value, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let text = output(root, &cargo, &["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

fn output(root: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let shown = format!("{program} {}", args.join(" "));
    let out =
        Command::new(program).args(args).current_dir(root).output().map_err(|error| format!("{shown}: {error}"))?;
    if !out.status.success() {
        return Err(format!("{shown}: {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim()));
    }
    String::from_utf8(out.stdout).map_err(|error| format!("{shown}: {error}"))
}
