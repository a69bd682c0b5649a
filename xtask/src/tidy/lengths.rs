//! Lengths: a file has one subject and a function fits a screen.
//!
//! Test code does not count towards a file's length. Generated code is exempt, and so is a table that says so:
//! `// tidy: table, because ...` in its first 30 lines.

use super::{Finding, SourceFile, rust};

const FILE_LINES_MAX: usize = 1_000;
const FILE_LINES_WANTED: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
/// How far down the marks of generated files and tables are looked for.
const MARK_LINES: usize = 30;

/// Files that a generator owns.
pub(super) fn is_generated(file: &SourceFile) -> bool {
    file.path.starts_with("crates/protocol/src/messages") || has_mark(file, "@generated")
}

/// Files that hold only tests.
pub(super) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests" || part == "benches")
}

fn has_mark(file: &SourceFile, mark: &str) -> bool {
    file.text.lines().take(MARK_LINES).any(|line| line.contains(mark))
}

/// Checks one file; anything but Rust passes.
pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    if !file.path.ends_with(".rs") || is_generated(file) {
        return Vec::new();
    }
    let blanked = rust::blank(&file.text);
    let table = has_mark(file, concat!("tidy", ": table, because "));
    let mut findings = Vec::new();
    if !is_test(&file.path) && !table {
        let tests: usize = rust::test_regions(&blanked).iter().map(|(from, to)| to - from + 1).sum();
        let lines = file.text.lines().count() - tests.min(file.text.lines().count());
        if lines > FILE_LINES_MAX {
            findings.push(Finding::new(
                &file.path,
                format!("{lines} lines without tests, {FILE_LINES_MAX} at most: split it"),
            ));
        } else if lines > FILE_LINES_WANTED {
            findings
                .push(Finding::wish(&file.path, format!("{lines} lines without tests, {FILE_LINES_WANTED} wanted")));
        }
    }
    for function in rust::functions(&blanked).iter().filter(|function| !table && function.lines > FUNCTION_LINES_MAX) {
        let what = format!("fn {} has {} lines, {FUNCTION_LINES_MAX} at most", function.name, function.lines);
        findings.push(Finding::new(format!("{}:{}", file.path, function.line), what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, check};

    fn of(path: &str, text: String) -> Vec<(String, bool)> {
        check(&SourceFile { path: path.to_owned(), text }).into_iter().map(|found| (found.what, found.wish)).collect()
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn seventy_lines_pass_and_seventy_one_do_not() {
        assert_eq!(of("crates/a/src/b.rs", function(70)), []);
        assert_eq!(of("crates/a/src/b.rs", function(71)), [("fn long has 71 lines, 70 at most".to_owned(), false)]);
    }

    #[test]
    fn a_file_over_the_hard_length_breaks_and_over_the_wanted_one_is_a_wish() {
        let lines = |count: usize| "const A: u8 = 0;\n".repeat(count);
        assert_eq!(of("crates/a/src/b.rs", lines(600)), []);
        assert!(of("crates/a/src/b.rs", lines(601))[0].1);
        assert!(!of("crates/a/src/b.rs", lines(1_001))[0].1);
    }

    #[test]
    fn tests_tables_and_generated_files_may_be_long() {
        let long = "const A: u8 = 0;\n".repeat(1_001);
        assert_eq!(of("crates/a/src/b/tests.rs", long.clone()), []);
        assert_eq!(of("crates/a/src/b.rs", format!("//! Rows.\n// tidy: {} rows\n{long}", "table, because")), []);
        assert_eq!(of("crates/protocol/src/messages/x.rs", long.clone()), []);
        let inline = format!("const B: u8 = 1;\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(of("crates/a/src/b.rs", inline), []);
    }

    #[test]
    fn a_long_function_in_a_test_is_caught_too() {
        assert_eq!(of("crates/a/src/b/tests.rs", function(71)).len(), 1);
    }
}
