//! Names: S15 in logs and metrics, S46 on disk.

use super::requests::{ALL, ask, count, create_topic, produce_to, string, try_create_topic, wall_ms};
use super::siege::{GROWTH_KIB_MAX, Siege};
use conformance::fault::{During, Fault, ensure};
use conformance::made_batch::{MadeBatch, record};
use conformance::rig::Scene;
use conformance::wire::{connect, read_frame};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

const INVALID_TOPIC: i16 = 17;
/// Topics that are made on demand are not there yet, or never will be.
const NO_SUCH_TOPIC: [i16; 2] = [3, INVALID_TOPIC];

/// A line of a log, or the end of one, that nobody here wrote.
const FORGED: &str = "2031-01-01T00:00:00Z ERROR forged";

/// What must not reach a terminal or begin a line.
fn nasty() -> Vec<Vec<u8>> {
    let mut names = vec![
        format!("a\n{FORGED}\n").into_bytes(),
        b"\x1b[31mred\x1b]0;title\x07".to_vec(),
        b"nul\0nul".to_vec(),
        "\u{202e}txet\u{200f}".as_bytes().to_vec(),
        b"\r\r\r\x08\x08".to_vec(),
        b"label=\"\\\n\"} 1".to_vec(),
    ];
    names.push([&b"long\n"[..], &[b'x'; 32_000]].concat());
    names
}

/// A frame with this client id.
fn frame_of(client: &[u8], key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1], &string(client)].concat();
    let size = i32::try_from(head.len() + body.len()).unwrap_or(i32::MAX);
    [&size.to_be_bytes()[..], &head, body].concat()
}

/// Control characters in every name that a client can give: client, topic, group, member, config, software.
pub(in super::super) fn s15_names_in_logs(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let address = siege.node.address.clone();
    let mut stream = connect(&address)?;
    for name in nasty() {
        // A body that ends too early, under that client id: its connection closes, and the log tells why.
        let mut other = connect(&address)?;
        other.write_all(&frame_of(&name, 3, 1, &[0, 0, 0, 9])).during("a short Metadata")?;
        other = connect(&address)?;
        other.write_all(&frame_of(&name, 99, 7, &[])).during("an API that is none")?;
        let error = try_create_topic(&mut stream, &name, &[])?;
        ensure(error == INVALID_TOPIC, || format!("creating {name:?}: error {error}"))?;
        let (error, _) = produce_to(&mut stream, &name, ALL, &good())?;
        ensure(NO_SUCH_TOPIC.contains(&error), || format!("producing to {name:?}: error {error}"))?;
        ask(&mut stream, 3, 4, &[&count(1)[..], &string(&name), &[1]].concat()).during("Metadata")?;
        // FindCoordinator 1 and JoinGroup 1 of a group with that id, by a member with that protocol.
        ask(&mut stream, 10, 1, &[&string(&name)[..], &[0]].concat()).during("FindCoordinator")?;
        let member =
            [&string(&name)[..], &count(0), &string(b"consumer"), &count(1), &string(&name), &count(0)].concat();
        let group = [&string(&name)[..], &10_000_i32.to_be_bytes(), &10_000_i32.to_be_bytes()].concat();
        let mut joining = connect(&address)?;
        joining
            .write_all(&frame_of(&name, 11, 1, &[group, string(b""), member[member.len() - 4..].to_vec()].concat()))
            .during("JoinGroup")?;
        // IncrementalAlterConfigs 0 of a topic's config and a broker's, by that name to that value.
        for (kind, resource) in [(2_u8, &b"honest"[..]), (4, b"")] {
            let config = [&string(&name)[..], &[0], &string(&name)].concat();
            let body = [&count(1)[..], &[kind], &string(resource), &count(1), &config, &[0]].concat();
            ask(&mut stream, 44, 0, &body).during("IncrementalAlterConfigs")?;
        }
        // ApiVersions 3 with that software, of at most what a short varint can say.
        let software = &name[..name.len().min(120)];
        let compact = [&[software.len() as u8 + 1][..], software].concat();
        let mut other = connect(&address)?;
        other
            .write_all(&frame_of(&name, 18, 3, &[&[0][..], &compact, &compact, &[0]].concat()))
            .during("ApiVersions")?;
        read_frame(&mut other).during("ApiVersions")?;
    }
    siege.honest_is_served()?;
    let said = siege.node.running.said();
    let raw = |c: char| c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{202e}' | '\u{200f}');
    let bad = said.lines().find(|line| line.starts_with(FORGED) || line.chars().any(raw) || line.len() > 2_000);
    if let Some(bad) = bad.filter(|_| siege.node.kind == conformance::node::Kind::Thalweg) {
        return Err(Fault::Failed(format!("a client's bytes stand in the log: {bad:?}")));
    }
    siege.lift(scene, "control characters in names", GROWTH_KIB_MAX)
}

fn good() -> Vec<u8> {
    MadeBatch::of(wall_ms(), &[record(0, Some(b"k"), Some(b"v"))]).bytes()
}

/// Everything below a folder, by name.
fn listing(folder: &Path) -> Result<BTreeSet<String>, Fault> {
    let entries = std::fs::read_dir(folder).during(folder.display())?;
    entries.map(|entry| Ok(entry.during(folder.display())?.file_name().to_string_lossy().into_owned())).collect()
}

/// Names that would be another path, another topic's folder, or the node's own.
pub(in super::super) fn s46_names_on_disk(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?;
    let data = plan.data.clone();
    let siege = Siege::lay(scene, plan)?;
    let mut stream = connect(&siege.node.address)?;
    create_topic(&mut stream, "dots.and_lines", &[])?;
    let (outside, inside) = (listing(&scene.folder)?, listing(&data)?);
    let long = "x".repeat(250);
    let bad = [
        "..",
        ".",
        "",
        "/",
        "a/b",
        "../../tmp/x",
        "%2f",
        "a\\b",
        "nul\0",
        "ümlaut",
        " ",
        long.as_str(),
        "dots_and.lines",
    ];
    for name in bad {
        let error = try_create_topic(&mut stream, name.as_bytes(), &[])?;
        ensure(error == INVALID_TOPIC, || format!("creating {name:?}: error {error}"))?;
        if name != "dots_and.lines" {
            let (error, _) = produce_to(&mut stream, name.as_bytes(), ALL, &good())?;
            ensure(NO_SUCH_TOPIC.contains(&error), || format!("producing to {name:?}: error {error}"))?;
            ask(&mut stream, 3, 4, &[&count(1)[..], &string(name.as_bytes()), &[1]].concat()).during("Metadata")?;
        }
    }
    // The coordinator's own log is not for clients to write to.
    ask(&mut stream, 10, 1, &[&string(b"g")[..], &[0]].concat()).during("FindCoordinator")?;
    let (error, _) = produce_to(&mut stream, b"__consumer_offsets", ALL, &good())?;
    ensure(NO_SUCH_TOPIC.contains(&error), || format!("producing to __consumer_offsets: error {error}"))?;
    for (before, folder) in [(outside, &scene.folder), (inside, &data)] {
        let new: Vec<String> = listing(folder)?.difference(&before).cloned().collect();
        let strange = new.iter().any(|name| !name.starts_with("__consumer_offsets-") && !name.ends_with(".tmp"));
        ensure(!strange, || format!("{} has got {new:?}", folder.display()))?;
    }
    siege.lift(scene, "names that are paths", GROWTH_KIB_MAX)
}
