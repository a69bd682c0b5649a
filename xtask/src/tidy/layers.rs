//! Layers: a crate imports only crates of strictly lower layers, and pure crates import neither a runtime nor system calls.
//!
//! Read from `cargo metadata`, so renamed, optional, build and target-specific dependencies all count. Dev-dependencies may
//! not point upwards either, but may stay on their own layer, and a pure crate's tests may use what they like.

use super::Finding;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a crate outside the layers is called in its `kind`.
const DEV: &str = "dev";

/// Runtimes, sockets, system calls, ambient randomness and logging set-up: what makes a core impossible to replay.
const IMPURE: &[&str] = &[
    "async-std",
    "getrandom",
    "hyper",
    "libc",
    "memmap2",
    "mio",
    "nix",
    "rand",
    "rustix",
    "signal-hook",
    "smol",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tracing-subscriber",
];

/// `kind`s that may be written in `[package.metadata.thalweg]`.
const KINDS: &[&str] = &["pure", "disk", "edge", "bin", DEV];

struct Crate<'a> {
    name: &'a str,
    layer: Option<u64>,
    kind: &'a str,
    /// (package, is it only a dev-dependency).
    dependencies: Vec<(&'a str, bool)>,
}

/// Checks every package of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Result<Vec<Finding>, String> {
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let mut findings = Vec::new();
    let mut crates = BTreeMap::new();
    for package in packages {
        match read(package) {
            Ok(found) => {
                crates.insert(found.name, found);
            }
            Err(finding) => findings.push(finding),
        }
    }
    for from in crates.values() {
        findings.extend(check_crate(from, &crates));
    }
    Ok(findings)
}

fn read(package: &Value) -> Result<Crate<'_>, Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let stated = &package["metadata"]["thalweg"];
    let missing = |what: &str| Finding::new(format!("{name}/Cargo.toml"), format!("[package.metadata.thalweg] {what}"));
    let in_crates = manifest.contains("/crates/");
    let kind = match stated["kind"].as_str() {
        Some(kind) if KINDS.contains(&kind) => kind,
        Some(kind) => return Err(missing(&format!("kind `{kind}` is none of {KINDS:?}"))),
        None if in_crates => return Err(missing("needs a `kind`")),
        None => DEV,
    };
    let layer = stated["layer"].as_u64();
    if layer.is_none() && kind != DEV {
        return Err(missing("needs a `layer`, a number from 0"));
    }
    let list = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let dependencies = list
        .iter()
        .map(|one| (one["name"].as_str().unwrap_or_default(), one["kind"].as_str() == Some("dev")))
        .collect();
    Ok(Crate { name, layer, kind, dependencies })
}

fn check_crate(from: &Crate<'_>, crates: &BTreeMap<&str, Crate<'_>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &(name, only_dev) in &from.dependencies {
        let at = format!("{}/Cargo.toml", from.name);
        if from.kind == "pure" && !only_dev && IMPURE.contains(&name) {
            findings
                .push(Finding::new(&at, format!("a pure crate must not depend on `{name}`: its shell does the IO")));
        }
        let (Some(to), Some(from_layer)) = (crates.get(name), from.layer) else { continue };
        let Some(to_layer) = to.layer else {
            if !only_dev {
                findings.push(Finding::new(
                    &at,
                    format!("a crate in a layer must not depend on `{name}`, a developer's crate"),
                ));
            }
            continue;
        };
        let allowed = to_layer < from_layer || (only_dev && to_layer == from_layer);
        if !allowed {
            findings.push(Finding::new(
                &at,
                format!("layer {from_layer} must not import `{name}` of layer {to_layer}: only strictly lower layers"),
            ));
        }
        if from.kind == "pure" && to.kind != "pure" && !only_dev {
            findings.push(Finding::new(&at, format!("a pure crate must not import `{name}`, which is `{}`", to.kind)));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use serde_json::{Value, json};

    fn package(name: &str, layer: u64, kind: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let list: Vec<Value> = dependencies.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"name": name, "manifest_path": format!("/r/crates/{name}/Cargo.toml"),
               "metadata": {"thalweg": {"layer": layer, "kind": kind}}, "dependencies": list})
    }

    fn findings(packages: Vec<Value>) -> Vec<String> {
        let found = check(&json!({ "packages": packages })).expect("metadata has packages");
        found.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn strictly_lower_imports_pass() {
        let packages =
            vec![package("base", 0, "pure", &[]), package("record", 1, "pure", &[("base", None), ("thiserror", None)])];
        assert_eq!(findings(packages), Vec::<String>::new());
    }

    #[test]
    fn an_import_of_the_same_or_a_higher_layer_is_caught() {
        let packages = vec![
            package("record", 1, "pure", &[("protocol", None)]),
            package("protocol", 1, "pure", &[("raft", None)]),
            package("raft", 2, "pure", &[]),
        ];
        let found = findings(packages);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|what| what.contains("only strictly lower layers")), "{found:?}");
    }

    #[test]
    fn a_dev_dependency_may_stay_on_its_layer_but_not_point_up() {
        let side = vec![package("record", 1, "pure", &[("config", Some("dev"))]), package("config", 1, "pure", &[])];
        assert_eq!(findings(side), Vec::<String>::new());
        let up = vec![package("record", 1, "pure", &[("raft", Some("dev"))]), package("raft", 2, "pure", &[])];
        assert_eq!(findings(up).len(), 1);
    }

    #[test]
    fn a_pure_crate_with_a_runtime_is_caught_but_its_tests_may_have_one() {
        let found = findings(vec![package("raft", 2, "pure", &[("tokio", None), ("rustix", Some("build"))])]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(findings(vec![package("raft", 2, "pure", &[("tokio", Some("dev"))])]), Vec::<String>::new());
        assert_eq!(findings(vec![package("net", 4, "edge", &[("tokio", None)])]), Vec::<String>::new());
    }

    #[test]
    fn a_pure_crate_over_an_edge_is_caught() {
        let found =
            findings(vec![package("telemetry", 1, "edge", &[]), package("raft", 2, "pure", &[("telemetry", None)])]);
        assert_eq!(found, ["a pure crate must not import `telemetry`, which is `edge`"]);
    }

    #[test]
    fn a_crate_that_states_no_layer_or_an_unknown_kind_is_caught() {
        let bare =
            json!({"name": "x", "manifest_path": "/r/crates/x/Cargo.toml", "metadata": null, "dependencies": []});
        assert_eq!(findings(vec![bare]).len(), 1);
        assert_eq!(findings(vec![package("x", 1, "purish", &[])]).len(), 1);
        let tool =
            json!({"name": "xtask", "manifest_path": "/r/xtask/Cargo.toml", "metadata": null, "dependencies": []});
        assert_eq!(findings(vec![tool]), Vec::<String>::new());
    }
}
