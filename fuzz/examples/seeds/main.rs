//! Writes `fuzz/seeds`: one file a target, one input a line in hex, from what Kafka itself wrote (the vectors and golden files of
//! the crates). `cargo run --manifest-path fuzz/Cargo.toml --example seeds`; inputs that were found by fuzzing stand below the line
//! `# found` and are kept.

mod node;

use base::{LeaderEpoch, Offset, Timestamp};
use group::Record;
use protocol::ApiKey;
use protocol::metadata_record::MetadataRecord;
use protocol::testing::CODECS;
use raft::{SnapshotId, SnapshotWriter};
use record::{BatchHeader, Codec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longer inputs are left out: a fuzzer mutates short ones better.
const SEED_BYTES_MAX: usize = 2_500;
/// Below it stands what is kept.
const FOUND: &str = "# found\n";

type Seeds = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// A message that Kafka wrote: name, kind, lowest and highest version of these bytes.
struct Vector {
    message: String,
    kind: String,
    versions: (i16, i16),
    bytes: Vec<u8>,
}

fn main() {
    let mut seeds = Seeds::new();
    let vectors = vectors();
    wire(&mut seeds, &vectors);
    let served: Vec<_> = server::served_apis().into_iter().map(|(key, _)| key.code()).collect();
    let is_served = |frame: &&Vec<u8>| served.contains(&i16::from_be_bytes([frame[0], frame[1]]));
    let frames: Vec<_> = seeds["frame"].iter().filter(is_served).cloned().collect();
    seeds.insert("node", node::inputs(&frames));
    batches(&mut seeds);
    metadata(&mut seeds, &vectors);
    coordinator(&mut seeds, &vectors);
    golden(&mut seeds);
    text(&mut seeds);
    write_ahead(&mut seeds);
    for (target, mut inputs) in seeds {
        inputs.retain(|input| input.len() <= SEED_BYTES_MAX);
        inputs.sort();
        inputs.dedup();
        write(target, &inputs);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map_while(digit).collect()
}

fn write(target: &str, inputs: &[Vec<u8>]) {
    let path = root().join(format!("fuzz/seeds/{target}.txt"));
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let found = old.split_once(FOUND).map_or("", |(_, found)| found);
    let mut out = String::new();
    for input in inputs {
        out.extend(input.iter().map(|byte| format!("{byte:02x}")));
        out.push('\n');
    }
    std::fs::write(&path, format!("{out}{FOUND}{found}")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("{target}: {} inputs", inputs.len());
}

fn vectors() -> Vec<Vector> {
    let (mut vectors, mut message) = (Vec::new(), String::new());
    let range = |text: &str| {
        let (low, high) = text.split_once('-')?;
        Some((low.parse().ok()?, high.parse().ok()?))
    };
    for file in ["requests", "responses", "metadata", "log"] {
        for line in read(&format!("crates/protocol/vectors/{file}.txt")).lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                [name, _] => name.clone_into(&mut message),
                [kind, versions, bytes, _] if bytes != "refused" => vectors.push(Vector {
                    message: message.clone(),
                    kind: kind.to_owned(),
                    versions: range(versions).expect("versions are two numbers"),
                    bytes: unhex(bytes),
                }),
                _ => {}
            }
        }
    }
    vectors
}

fn wire(seeds: &mut Seeds, vectors: &[Vector]) {
    for vector in vectors.iter().filter(|vector| vector.kind == "filled" || vector.kind == "nulls") {
        let Some(at) = CODECS.iter().position(|codec| codec.name == vector.message) else { continue };
        let codec = &CODECS[at];
        let newest = vector.versions.1 == codec.max_version;
        if newest || (vector.kind == "filled" && vector.versions.0 == codec.min_version) {
            let version = if newest { vector.versions.1 } else { vector.versions.0 };
            let choice = (version - codec.min_version) as u8;
            let head = [&(at as u16).to_be_bytes()[..], &[choice, choice]].concat();
            seeds.entry("message").or_default().push([&head[..], &vector.bytes].concat());
        }
        let Some(api) = vector.message.strip_suffix("Request") else { continue };
        let key = (0..1_000).filter_map(ApiKey::from_code).find(|key| key.name() == api);
        let stable = key.and_then(|key| key.stable_versions().filter(|stable| stable.contains(&vector.versions.1)));
        if let (Some(key), Some(_)) = (key, stable) {
            let version = vector.versions.1;
            let mut frame = [key.code().to_be_bytes(), version.to_be_bytes()].concat();
            frame.extend([0, 0, 0, 7, 0, 1, b'c']);
            if key.request_header_version(version) >= 2 {
                frame.push(0);
            }
            frame.extend(&vector.bytes);
            seeds.entry("frame").or_default().push(frame);
        }
    }
}

/// Base64 without padding.
fn unbase64(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

fn batches(seeds: &mut Seeds) {
    for line in read("crates/record/testdata/kafka-batches.txt").lines() {
        let Some((_, encoded)) = line.split_once(' ') else { continue };
        let bytes = unbase64(encoded);
        seeds.entry("batch").or_default().push([&[0, 0][..], &bytes].concat());
        seeds.entry("batch").or_default().push([&[8, 1][..], &bytes].concat());
        let Ok(header) = BatchHeader::parse(&bytes) else { continue };
        let (codec, payload) = (header.attributes as u8 & 7, &bytes[61..]);
        let count = (header.record_count as u16).to_be_bytes();
        seeds.entry("payload").or_default().push([&[0, codec, count[0], count[1]][..], payload].concat());
        seeds.entry("compression").or_default().push([&[codec, 255][..], payload].concat());
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut packed = Vec::new();
        record::compress(record::Compression { codec, level: None }, &[b'x'; 100_000], &mut packed);
        seeds.entry("compression").or_default().push([&[codec as u8, 20][..], &packed].concat());
    }
}

fn metadata(seeds: &mut Seeds, vectors: &[Vector]) {
    let mut frames = Vec::new();
    for vector in vectors {
        let Some(name) = vector.message.strip_suffix("Record") else { continue };
        // The record's key is not in the vectors: the one whose frame says the same name.
        let framed = (0..=127_u8).map(|key| [&[1, key, vector.versions.1 as u8][..], &vector.bytes].concat());
        let found = framed.into_iter().find(|frame| {
            MetadataRecord::decode_frame(frame)
                .is_ok_and(|(record, _)| format!("{record:?}").starts_with(&format!("{name}(")))
        });
        frames.extend(found);
    }
    let sized = |frame: &Vec<u8>| [&(frame.len() as u16).to_be_bytes()[..], frame].concat();
    seeds.entry("metadata").or_default().extend(frames.iter().map(sized));
    for part in frames.chunks(9) {
        seeds.entry("metadata").or_default().push(part.iter().flat_map(sized).collect());
        let id = SnapshotId { end_offset: Offset(9), epoch: LeaderEpoch(2) };
        let mut writer = SnapshotWriter::new(id, Timestamp(8), Timestamp(9), None);
        part.iter().for_each(|frame| writer.append(frame));
        seeds.entry("snapshot").or_default().push([&[1][..], &writer.finish()].concat());
    }
}

fn coordinator(seeds: &mut Seeds, vectors: &[Vector]) {
    for vector in vectors {
        let Some(name) = vector.message.strip_suffix("Key") else { continue };
        let values = vectors.iter().filter(|value| value.message == format!("{name}Value"));
        for value in values.filter(|value| value.kind != "default") {
            for kind in 0..30_u8 {
                let key = [&[0, kind][..], &vector.bytes].concat();
                let value = [&value.versions.1.to_be_bytes()[..], &value.bytes].concat();
                if Record::decode(&key, Some(&value)).is_ok() {
                    let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
                    seeds.entry("coordinator").or_default().push([vec![0], sized(&key), sized(&value)].concat());
                }
            }
        }
    }
    for line in read("crates/group/testdata/kafka-embedded.txt").lines() {
        if let [kind, _, bytes, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
            let kind = u8::from(kind == "assignment");
            seeds.entry("embedded").or_default().push([&[kind][..], &unhex(bytes)].concat());
        }
    }
}

fn golden(seeds: &mut Seeds) {
    let data = root().join("crates/storage/tests/golden/data");
    for (choice, partition) in
        ["codecs-0", "compacted-0", "epochs-0", "rolled-0", "trimmed-0", "txn-0"].iter().enumerate()
    {
        for flags in 0..8 {
            seeds.entry("recovery").or_default().push(vec![choice as u8, flags, 0, 20, 0, 10]);
        }
        for what in 0..8 {
            let edit = [what, 1, 0, 70, 0, 4, 1, 2, 3, 4, 7, 1, 0, 70];
            seeds.entry("recovery").or_default().push([&[choice as u8, 0, 0, 0, 0, 0][..], &edit].concat());
        }
        let entries = std::fs::read_dir(data.join(partition)).expect("Kafka's partitions are checked in");
        for path in entries.map(|entry| entry.expect("a folder can be listed").path()) {
            let bytes = std::fs::read(&path).expect("a file can be read");
            match path.extension().and_then(|suffix| suffix.to_str()) {
                Some("index" | "timeindex" | "txnindex" | "snapshot") => {
                    seeds.entry("indexes").or_default().push(bytes)
                }
                None => seeds.entry("checkpoints").or_default().push([&[1][..], &bytes].concat()),
                _ => {}
            }
        }
    }
    for (kind, file) in
        [(0, "recovery-point-offset-checkpoint"), (0, "replication-offset-checkpoint"), (2, "meta.properties")]
    {
        let bytes = std::fs::read(data.join(file)).expect("Kafka's files are checked in");
        seeds.entry("checkpoints").or_default().push([&[kind][..], &bytes].concat());
    }
}

/// Edits of the log dir that the target makes for itself.
fn write_ahead(seeds: &mut Seeds) {
    let seeds = seeds.entry("write_ahead").or_default();
    for what in 0..8 {
        for which in 0..6 {
            // Segments that lost their ends, and then one edit.
            let lost = [0, which, 0, 100, 1, which + 1, 0, 0];
            seeds.push([&lost[..], &[what, which, 0, 20, 4, 1, 2, 3, 4]].concat());
            seeds.push(vec![what, which, 0, 28, 2, 0, 0, 7, which, 0, 0]);
        }
    }
}

fn text(seeds: &mut Seeds) {
    let states = [
        r#"{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#,
        r#"{"leaderId":-1,"leaderEpoch":0,"votedId":1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAQ","data_version":1}"#,
    ];
    seeds.entry("checkpoints").or_default().extend(states.map(|state| [&[3][..], state.as_bytes()].concat()));
    let names = [
        (4, "topic-with-dashes-12"),
        (4, "gone-0.f377ba25c6d44e2cb543b60e7a7f1fe8-delete"),
        (4, "00000000000000000012.log"),
    ];
    let names = names.into_iter().chain([(5, "00000000000000000012-0000000003.checkpoint")]);
    seeds.entry("checkpoints").or_default().extend(names.map(|(kind, name)| [&[kind][..], name.as_bytes()].concat()));
    let properties = [
        "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\ncontroller.listener.names=CONTROLLER\nlog.dirs=/a,/b\n",
        "# c\n! c\na = b\\\n   c\\u0041\\t\\n\nk\\:\\ x: v\nempty\nlast=1\nlast=2",
        "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\nadvertised.listeners=A://h:1\ncontroller.quorum.voters=1@h:9,2@[::1]:8\n",
        "retention.ms=-1\ncleanup.policy=compact,delete\ncompression.type=zstd\nmin.cleanable.dirty.ratio=0.5\nmessage.timestamp.type=CreateTime\n",
    ];
    seeds.entry("properties").or_default().extend(properties.map(|text| text.as_bytes().to_vec()));
}
