//! The clients and tools that stand opposite: fetched once through their package managers, kept, and reused.
//!
//! They live in `$THALWEG_PEERS` or `target/peers`. Each has a manifest in `tests/conformance/peers`; a copy of it beside the
//! installed files tells whether they are the ones asked for. A peer that cannot be had is a reason to skip, said in words.

use crate::fault::{During, Fault, fail};
use crate::process::{run, tail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A download through a slow mirror.
const FETCH_DEADLINE: Duration = Duration::from_secs(900);

/// Where the manifests and scripts are.
pub fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Where peers are kept.
fn home() -> PathBuf {
    std::env::var_os("THALWEG_PEERS").map_or_else(|| crate::rig::workspace().join("target/peers"), PathBuf::from)
}

/// Debian's kcat.
pub fn kcat() -> Result<PathBuf, Fault> {
    debian("kcat", "-V")
}

/// A program of the Debian package of the same name; as root it is installed when missing.
pub fn debian(name: &str, version: &str) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(name);
    if runs(Command::new(&path).arg(version)) {
        return Ok(path);
    }
    if !rustix::process::geteuid().is_root() {
        return skip(format!("{name} is not installed, and only root may install it (apt-get install {name})"));
    }
    let install =
        || run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", name]), FETCH_DEADLINE);
    if install().is_err() {
        or_skip(run(Command::new("apt-get").arg("update"), FETCH_DEADLINE), name)?;
        or_skip(install(), name)?;
    }
    Ok(path)
}

/// The folder with the jars of Apache Kafka 4.4.0, broker and tools.
pub fn kafka_jars() -> Result<PathBuf, Fault> {
    needs("java", &["-version"])?;
    let manifest = manifests().join("kafka.pom.xml");
    kept("kafka", std::slice::from_ref(&manifest), |folder| {
        needs("mvn", &["-version"])?;
        let mut command = Command::new("mvn");
        command.args(["-q", "-B", "-f"]).arg(&manifest);
        command.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies");
        command.arg(format!("-DoutputDirectory={}", folder.display()));
        or_skip(run(&mut command, FETCH_DEADLINE), "Apache Kafka's jars")
    })
}

/// The folder with the compiled `Peer.java` and what belongs to it.
pub fn java_peer(jars: &Path) -> Result<PathBuf, Fault> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("java");
    let sources = ["Peer.java", "Members.java", "GroupScript.java", "TablePeer.java"].map(|name| folder.join(name));
    kept("java", &sources, |folder| {
        needs("javac", &["-version"])?;
        let mut command = Command::new("javac");
        command.arg("-cp").arg(jars.join("*")).arg("-d").arg(folder).args(&sources);
        run(&mut command, FETCH_DEADLINE).map(|_| ())
    })
}

/// The system's Python, for what needs no packages.
pub fn plain_python() -> Result<PathBuf, Fault> {
    needs("python3", &["--version"])?;
    Ok(PathBuf::from("python3"))
}

/// The Python interpreter of an environment that has the Python clients.
pub fn python() -> Result<PathBuf, Fault> {
    let manifest = manifests().join("requirements.txt");
    let folder = kept("python", std::slice::from_ref(&manifest), |folder| {
        needs("python3", &["--version"])?;
        or_skip(run(Command::new("python3").args(["-m", "venv"]).arg(folder), FETCH_DEADLINE), "a Python environment")?;
        let mut command = Command::new(folder.join("bin/python"));
        command
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&manifest);
        or_skip(run(&mut command, FETCH_DEADLINE), "the Python clients")
    })?;
    Ok(folder.join("bin/python"))
}

/// A script of the Node client by its name, beside the installed packages.
pub fn node_script(name: &str) -> Result<PathBuf, Fault> {
    needs("node", &["--version"])?;
    let manifest = manifests().join("node/package.json");
    let folder = kept("node", std::slice::from_ref(&manifest), |folder| {
        needs("npm", &["--version"])?;
        std::fs::copy(&manifest, folder.join("package.json")).during("copying package.json")?;
        let mut command = Command::new("npm");
        command
            .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"])
            .current_dir(folder);
        or_skip(run(&mut command, FETCH_DEADLINE), "the Node client")
    })?;
    let script = folder.join(name);
    std::fs::copy(manifests().join("node").join(name), &script).during(name)?;
    Ok(script)
}

/// The compiled Go peer: its modules are pinned by go.sum and come through the module proxy.
pub fn go() -> Result<PathBuf, Fault> {
    needs("go", &["version"])?;
    let source = manifests().join("go");
    let files = ["go.mod", "go.sum", "main.go"].map(|name| source.join(name));
    let folder = kept("go", &files, |folder| {
        let mut fetch = Command::new("go");
        or_skip(run(fetch.args(["mod", "download"]).current_dir(&source), FETCH_DEADLINE), "the Go client")?;
        let mut build = Command::new("go");
        build.args(["build", "-mod=readonly", "-o"]).arg(folder.join("table")).arg(".").current_dir(&source);
        run(&mut build, FETCH_DEADLINE).map(|_| ())
    })?;
    Ok(folder.join("table"))
}

/// The folder `name`, filled by `fill` unless it already holds what its `manifests` ask for.
fn kept(name: &str, manifests: &[PathBuf], fill: impl FnOnce(&Path) -> Result<(), Fault>) -> Result<PathBuf, Fault> {
    let folder = home().join(name);
    let stamp = folder.join("manifest.kept");
    let mut wanted = Vec::new();
    for manifest in manifests {
        wanted.extend(std::fs::read(manifest).during(manifest.display())?);
    }
    if std::fs::read(&stamp).is_ok_and(|kept| kept == wanted) {
        return Ok(folder);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).during(folder.display())?;
    }
    std::fs::create_dir_all(&folder).during(folder.display())?;
    println!("fetching the peer `{name}` into {}", folder.display());
    fill(&folder)?;
    std::fs::write(&stamp, wanted).during(stamp.display())?;
    Ok(folder)
}

fn runs(command: &mut Command) -> bool {
    run(command, FETCH_DEADLINE).is_ok()
}

fn needs(program: &str, version: &[&str]) -> Result<(), Fault> {
    if runs(Command::new(program).args(version)) { Ok(()) } else { skip(format!("`{program}` is not installed")) }
}

fn skip<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Skipped(why.into()))
}

/// A fetch that fails means a peer that is not to be had here.
fn or_skip<T>(done: Result<T, Fault>, what: &str) -> Result<(), Fault> {
    match done {
        Ok(_) => Ok(()),
        Err(Fault::Failed(why)) => skip(format!("could not fetch {what}: {}", tail(&why).replace('\n', " "))),
        Err(skipped) => Err(skipped),
    }
}

/// The program under test as a path, or how to build it.
pub fn thalweg() -> Result<PathBuf, Fault> {
    if let Some(path) = std::env::var_os("THALWEG_CONFORMANCE_BINARY") {
        return Ok(PathBuf::from(path));
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::rig::workspace().join("target"), PathBuf::from);
    let path = target.join("release-lite/thalweg");
    if path.exists() {
        return Ok(path);
    }
    fail(format!("{} is not built: cargo build --profile release-lite --package cli", path.display()))
}
