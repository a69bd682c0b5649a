//! Manners of single files: no placeholder, no test that sleeps or is ignored, a header that says what the file is, and nothing
//! that only one machine has.

use super::lengths::{is_generated, is_test};
use super::{Finding, SourceFile, rust};

/// Never, in any Rust file.
const PLACEHOLDERS: &[&str] = &["todo!(", "unimplemented!(", "#[ignore]", "#[ignore =", "dbg!("];

/// Never in test code: a test waits for a condition with a deadline, or moves the clock itself.
const SLEEPS: &[&str] = &["thread::sleep(", "time::sleep(", " sleep(", "sleep_ms("];

/// Paths and hosts of one machine or one registry mirror. Split, so that this list does not catch itself.
const MACHINE_MARKS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/far", "m/"),
    concat!(".mir", "ror/"),
    concat!("repo.", "maven"),
    concat!("repo1.", "maven"),
    concat!("crates.io", "/api"),
    concat!("index.", "crates.io"),
    concat!("registry.", "npmjs"),
    concat!("pypi", ".org"),
    concat!("files.", "pythonhosted"),
    concat!("proxy.", "golang"),
    concat!("deb.", "debian.org"),
];

/// Checks one file.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = machine_marks(file);
    if file.path.ends_with(".rs") {
        findings.extend(rust_manners(file));
    }
    findings
}

fn machine_marks(file: &SourceFile) -> Vec<Finding> {
    if file.path.ends_with(".lock") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for mark in MACHINE_MARKS.iter().filter(|mark| line.contains(**mark)) {
            let at = format!("{}:{}", file.path, number + 1);
            findings.push(Finding::new(at, format!("`{mark}` is a path or host of one machine")));
        }
    }
    findings
}

fn rust_manners(file: &SourceFile) -> Vec<Finding> {
    let blanked = rust::blank(&file.text);
    let regions = rust::test_regions(&blanked);
    let all_test = is_test(&file.path);
    let mut findings = Vec::new();
    for (index, line) in blanked.lines().enumerate() {
        let number = index + 1;
        let at = || format!("{}:{number}", file.path);
        for placeholder in PLACEHOLDERS.iter().filter(|placeholder| line.contains(**placeholder)) {
            findings.push(Finding::new(at(), format!("`{placeholder}` is a placeholder: finish it or leave it out")));
        }
        let in_test = all_test || regions.iter().any(|&(from, to)| (from..=to).contains(&number));
        if in_test && SLEEPS.iter().any(|sleep| line.contains(sleep)) {
            findings.push(Finding::new(at(), "a test never sleeps: wait for the condition, with a deadline"));
        }
    }
    if !all_test && !is_generated(file) && !file.text.trim_start().starts_with("//!") {
        findings.push(Finding::new(
            &file.path,
            "starts with no `//!` header: what it is, its invariants, what it does not know",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    fn count(path: &str, text: &str) -> usize {
        check(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn placeholders_are_caught_in_code_and_let_pass_in_text() {
        assert_eq!(count("crates/a/src/b.rs", "//! B.\nfn f() { todo!() }\n"), 1);
        assert_eq!(count("crates/a/src/b.rs", "//! B.\n#[ignore]\nfn f() {}\n"), 1);
        assert_eq!(count("crates/a/src/b.rs", "//! B.\n// no todo!() here\nconst A: &str = \"todo!()\";\n"), 0);
    }

    #[test]
    fn a_sleep_is_caught_in_tests_only() {
        let sleep = "//! B.\nfn f() { std::thread::sleep(d) }\n";
        assert_eq!(count("crates/a/src/b.rs", sleep), 0);
        assert_eq!(count("crates/a/src/b/tests.rs", sleep), 1);
        assert_eq!(
            count("crates/a/src/b.rs", "//! B.\n#[cfg(test)]\nmod tests {\n fn f() { tokio::time::sleep(d) }\n}\n"),
            1
        );
    }

    #[test]
    fn a_file_without_a_header_is_caught() {
        assert_eq!(count("crates/a/src/b.rs", "fn f() {}\n"), 1);
        assert_eq!(count("crates/a/src/b/tests.rs", "fn f() {}\n"), 0);
    }

    #[test]
    fn a_machines_paths_and_hosts_are_caught_outside_lock_files() {
        let path = ["see /wo", "rk/x"].concat();
        let host = ["https://registry.", "npmjs.example"].concat();
        assert_eq!(count("README.md", &path), 1);
        assert_eq!(count("a/package.json", &host), 1);
        assert_eq!(count("Cargo.lock", &host), 0);
        assert_eq!(count("README.md", "rework/x and a network/y"), 0);
    }
}
