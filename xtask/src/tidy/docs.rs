//! Docs: a path that a page names exists.
//!
//! Looked at: links, and words in backticks that start with a folder or file of the root. Left alone: fenced blocks (they show
//! commands and layouts of a user's machine), placeholders (`<name>`, `*`, `{a,b}`, `$X`) and anything under `target/`.

use super::{Finding, SourceFile};
use std::collections::BTreeSet;

/// Checks every page; `exists` answers for a path from the root.
pub(super) fn check(files: &[SourceFile], exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let tops: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    let mut findings = Vec::new();
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, named) in named_paths(&page.text, &tops) {
            let path = match &named {
                Named::FromRoot(path) => path.clone(),
                Named::Link(target) => beside(&page.path, target),
            };
            if !exists(&path) {
                let at = format!("{}:{number}", page.path);
                findings.push(Finding::new(at, format!("names `{path}`, which does not exist")));
            }
        }
    }
    findings
}

enum Named {
    FromRoot(String),
    Link(String),
}

fn named_paths(text: &str, tops: &BTreeSet<&str>) -> Vec<(usize, Named)> {
    let mut named = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let code = line.split('`').skip(1).step_by(2).filter_map(|word| repository_path(word, tops));
        named.extend(code.map(|path| (index + 1, Named::FromRoot(path))));
        named.extend(link_targets(line).map(|target| (index + 1, Named::Link(target))));
    }
    named
}

/// The path in a word in backticks, without `:line`, when it can only mean one of ours.
fn repository_path(word: &str, tops: &BTreeSet<&str>) -> Option<String> {
    let path = word.trim_end_matches('/');
    let path = path.split("::").next().unwrap_or(path);
    let path = match path.rsplit_once(':') {
        Some((before, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => before,
        _ => path,
    };
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    let top = path.split('/').next().unwrap_or_default();
    // A bare word names a file only with an extension: `xtask` is also a command.
    let is_path = path.contains('/') || (path.contains('.') && !path.starts_with('.'));
    (plain && is_path && tops.contains(top)).then(|| path.to_owned())
}

/// Relative targets of `[text](target)`, without their `#anchor`.
fn link_targets(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")).then(|| target.to_owned())
    })
}

/// `target` as seen from the folder of `page`.
fn beside(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    fn findings(path: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let files = [file(path, text), file("crates/base/src/lib.rs", ""), file("STYLE.md", ""), file("docs/a.md", "")];
        let there = ["crates/base", "crates/base/src/lib.rs", "STYLE.md", "docs/a.md"];
        check(&files, &|path| there.contains(&path)).into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn paths_that_exist_pass() {
        let text = "`crates/base`, `crates/base/`, `crates/base/src/lib.rs:12`, `STYLE.md` and [a](docs/a.md#part)";
        assert_eq!(findings("README.md", text), Vec::<String>::new());
        assert_eq!(
            findings("docs/b.md", "[style](../STYLE.md), [a](a.md), [web](https://example.org/x)"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn paths_that_do_not_exist_are_caught() {
        assert_eq!(findings("README.md", "`crates/gone`").len(), 1);
        assert_eq!(findings("README.md", "[x](docs/gone.md)").len(), 1);
        assert_eq!(findings("docs/b.md", "[style](STYLE.md)").len(), 1, "a link is relative to its page");
    }

    #[test]
    fn what_is_no_path_of_ours_is_left_alone() {
        let text =
            "`crates/<name>` `crates/*` `a/b` `x.y` `cargo xtask tidy` `crates/{a,b}`\n```\n`crates/gone`\n```\n";
        assert_eq!(findings("README.md", text), Vec::<String>::new());
    }
}
