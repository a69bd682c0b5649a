//! S16: batches that are small until they are decompressed, made by hand for each codec.

use super::requests::{ALL, ask, count, create_topic, list_offset, list_offsets_body, produce, string, wall_ms};
use super::siege::{GROWTH_KIB_MAX, Siege, resident_kib};
use conformance::fault::{During, Fault, ensure};
use conformance::made_batch::{MadeBatch, varint};
use conformance::rig::Scene;
use conformance::wire::{connect, frame};
use std::io::Write;

const MESSAGE_TOO_LARGE: i16 = 10;

const GZIP: i16 = 1;
const SNAPPY: i16 = 2;
const LZ4: i16 = 3;
const ZSTD: i16 = 4;

/// What a zstd frame may ask for: a window of 128 MiB, which Kafka's own producers ask for at their highest level, whatever their
/// batch. Each of the node's loops holds one while it decompresses.
const WINDOW_KIB_MAX: u64 = 128 << 10;
/// Event loops that may decompress at the same time here.
const LOOPS_MAX: u64 = 2;

/// The value's bytes, all zero.
const MIB: usize = 1 << 20;

/// Batches of one request that together would decompress to more than one alone may.
const TOGETHER: usize = 6;
/// Look-ups by time that a connection pipelines, and such connections.
const PIPELINED: i32 = 300;
const IMPATIENT: usize = 4;
/// Topics that one look-up names, and connections with two of those.
const LOOKED_UP: usize = 8;
const THOROUGH: usize = 2;

/// Name, codec, and the payload of a record whose value is so many zeros.
fn bombs() -> Vec<(&'static str, i16, Vec<u8>)> {
    vec![
        ("a gzip bomb of 100 MiB with a wrong checksum", GZIP, gzip(100 * MIB)),
        ("a snappy bomb of 19 MiB", SNAPPY, snappy(19 * MIB, None)),
        ("a snappy block that claims 4 GiB", SNAPPY, snappy(64, Some(u32::MAX))),
        ("an lz4 bomb of 200 MiB", LZ4, lz4(50)),
        ("a zstd bomb of 500 MiB", ZSTD, zstd(500 * MIB, 20)),
        ("a zstd bomb beyond 2 GiB", ZSTD, zstd(2100 * MIB, 20)),
    ]
}

/// The batch that carries such a payload.
fn batch(codec: i16, payload: Vec<u8>) -> Vec<u8> {
    let time = wall_ms();
    let attributes = codec;
    MadeBatch { attributes, count: 1, last_offset_delta: 0, payload, ..MadeBatch::of(time, &[]) }.bytes()
}

pub(in super::super) fn s16_bombs(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut stream = connect(&siege.node.address)?;
    create_topic(&mut stream, "bounded", &[("max.decompressed.message.bytes", "1048576")])?;
    for (number, (what, codec, payload)) in bombs().into_iter().enumerate() {
        let bytes = batch(codec, payload);
        ensure(bytes.len() < MIB, || format!("{what} takes {} bytes itself", bytes.len()))?;
        let (error, _) = produce(&mut stream, "bounded", ALL, &bytes).during(what)?;
        ensure(error != 0, || format!("{what} got past max.decompressed.message.bytes"))?;
        // By default a record may be as large as a Java array: what is taken must do no harm when it is looked at again.
        let topic = format!("any{number}");
        create_topic(&mut stream, &topic, &[])?;
        let (error, _) = produce(&mut stream, &topic, ALL, &bytes).during(what)?;
        scene.figure(&format!(
            "{what} in {} bytes: error {error}, {} KiB resident",
            bytes.len(),
            resident_kib(&siege.node)?
        ));
        let refused = what.contains("wrong") || what.contains("claims") || what.contains("beyond");
        ensure(error != 0 || !refused, || format!("{what} was taken"))?;
        let (again, offset) = list_offset(&mut stream, &topic, wall_ms() - 1_000_000).during(what)?;
        ensure((again, offset) == (0, if error == 0 { 0 } else { -1 }), || {
            format!("{what} was answered {error}, and its look-up by time error {again}, offset {offset}")
        })?;
    }
    siege.lift(scene, "bombs of every codec", GROWTH_KIB_MAX)
}

pub(in super::super) fn s16_windows(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut streams = [connect(&siege.node.address)?, connect(&siege.node.address)?];
    create_topic(&mut streams[0], "any", &[])?;
    let bytes = batch(ZSTD, zstd(300 * MIB, 27));
    for turn in 0..4 {
        let (error, _) = produce(&mut streams[turn % 2], "any", ALL, &bytes)?;
        ensure(error == 0, || format!("a record of 300 MiB is refused with error {error}"))?;
    }
    let (error, _) = produce(&mut streams[0], "any", ALL, &batch(ZSTD, zstd(1000, 31)))?;
    ensure(error != 0, || "a window of 2 GiB was taken".to_owned())?;
    siege.lift(scene, "zstd windows of 128 MiB", LOOPS_MAX * WINDOW_KIB_MAX + GROWTH_KIB_MAX)
}

/// Many batches in one request, which is answered at once: together they may decompress to what one alone may.
pub(in super::super) fn s16_bombs_of_one_request(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut stream = connect(&siege.node.address)?;
    let bytes = batch(ZSTD, zstd(600 * MIB, 20));
    let mut body =
        [&(-1_i16).to_be_bytes()[..], &ALL.to_be_bytes(), &30_000_i32.to_be_bytes(), &count(TOGETHER)].concat();
    for number in 0..TOGETHER {
        let topic = format!("any{number}");
        create_topic(&mut stream, &topic, &[])?;
        body.extend([&string(topic.as_bytes())[..], &count(1), &0_i32.to_be_bytes(), &count(bytes.len())].concat());
        body.extend(&bytes);
    }
    let answer = ask(&mut stream, 0, 7, &body)?;
    // Correlation id and count; of each topic its name, a count, an index, the error, and three longs.
    let error = |number: usize| answer.get(8 + number * 40 + 6 + 4 + 4..).and_then(|rest| rest.first_chunk::<2>());
    let errors: Vec<_> =
        (0..TOGETHER).map(|number| error(number).map_or(-1, |code| i16::from_be_bytes(*code))).collect();
    ensure(errors == [0, 0, 0, MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE], || {
        format!("batches of 600 MiB in one request are answered {errors:?}")
    })?;
    siege.lift(scene, "bombs in one request", GROWTH_KIB_MAX)
}

/// Look-ups by time in such a batch, pipelined by few connections and many in one request: each takes a tenth of a second, and whoever else is
/// on the same loop has its turn between any two.
pub(in super::super) fn s16_look_ups(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut stream = connect(&siege.node.address)?;
    let bytes = batch(ZSTD, zstd(600 * MIB, 20));
    let topics: Vec<String> = (0..LOOKED_UP).map(|number| format!("any{number}")).collect();
    for topic in &topics {
        create_topic(&mut stream, topic, &[])?;
        let (error, _) = produce(&mut stream, topic, ALL, &bytes)?;
        ensure(error == 0, || format!("a record of 600 MiB is refused with error {error}"))?;
    }
    let (alone, all) = (list_offsets_body(&topics[..1], wall_ms() - 1_000_000), list_offsets_body(&topics, 0));
    let mut impatient = Vec::new();
    for (connections, look_ups, body) in [(IMPATIENT, PIPELINED, alone), (THOROUGH, 2, all)] {
        let frames: Vec<u8> = (0..look_ups).flat_map(|id| frame(2, 1, id, &body)).collect();
        for _ in 0..connections {
            let mut stream = connect(&siege.node.address)?;
            stream.write_all(&frames).during("look-ups")?;
            impatient.push(stream);
        }
    }
    for _ in 0..3 {
        siege.honest_is_served().during("beside look-ups by time")?;
    }
    drop(impatient);
    siege.lift(scene, "look-ups by time in bombs", GROWTH_KIB_MAX)
}

/// A record up to its value, which is `zeros` zeros; the count of headers behind it is another one.
fn head(zeros: usize) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1];
    varint(&mut body, zeros as i64);
    let mut head = Vec::new();
    varint(&mut head, (body.len() + zeros + 1) as i64);
    [head, body].concat()
}

/// RLE blocks: four bytes for 128 KiB.
fn zstd(zeros: usize, window_log: u8) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let block = |last: bool, kind: u32, size: usize| {
        let header = u32::from(last) | kind << 1 | (size as u32) << 3;
        header.to_le_bytes()[..3].to_vec()
    };
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let head = head(zeros);
    out.extend([block(false, 0, head.len()), head].concat());
    let mut left = zeros + 1;
    while left > 0 {
        let size = left.min(BLOCK);
        left -= size;
        out.extend(block(left == 0, 1, size));
        out.push(0);
    }
    out
}

/// Blocks of 4 MiB less what their ends need, each one match of zeros; 255 for each byte.
fn lz4(blocks: usize) -> Vec<u8> {
    const EXTENSIONS: usize = 16_000;
    const TAIL: usize = 5;
    // The first literal, the match (4 and 15 of its token, 255 for each extension and a last one of 0), the last literals.
    let plain = 1 + 4 + 15 + 255 * EXTENSIONS + TAIL;
    // The count of headers is the last zero.
    let zeros = blocks * plain - 1;
    let mut out = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, LZ4_HEADER_SUM_4_MIB];
    let stored = head(zeros);
    out.extend((stored.len() as u32 | 0x8000_0000).to_le_bytes());
    out.extend(stored);
    for _ in 0..blocks {
        let mut block = vec![0x1f, 0, 1, 0];
        block.extend([255; EXTENSIONS]);
        block.extend([0, (TAIL as u8) << 4]);
        block.extend([0; TAIL]);
        out.extend((block.len() as u32).to_le_bytes());
        out.extend(block);
    }
    out.extend([0; 4]);
    out
}

/// The second byte of XXH32 over the descriptor of a frame with independent blocks of 4 MiB.
const LZ4_HEADER_SUM_4_MIB: u8 = 0x73;

/// One block in xerial framing, copies of 64 bytes; `claim` in place of its real size.
fn snappy(zeros: usize, claim: Option<u32>) -> Vec<u8> {
    let head = head(zeros);
    let copies = zeros.div_ceil(64);
    let plain = claim.unwrap_or((head.len() + 1 + copies * 64) as u32);
    let mut block = Vec::new();
    let mut left = plain;
    while left >= 0x80 {
        block.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    block.push(left as u8);
    // Literals: the record's head and one zero; then zeros from one byte back.
    block.push(((head.len() as u8 + 1) - 1) << 2);
    block.extend(head);
    block.push(0);
    for _ in 0..copies {
        block.extend([0xfe, 1, 0]);
    }
    let mut out = vec![0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
    out.extend((block.len() as u32).to_be_bytes());
    out.extend(block);
    out
}

/// Bits of a deflate stream, lowest first.
#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    used: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used == 0 {
                self.out.push(0);
            }
            if let Some(last) = self.out.last_mut() {
                *last |= ((value >> bit & 1) as u8) << self.used;
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// A Huffman code, highest bit first.
    fn code(&mut self, code: u32, count: u32) {
        (0..count).rev().for_each(|bit| self.put(code >> bit & 1, 1));
    }

    /// A literal in the fixed code.
    fn literal(&mut self, byte: u8) {
        match byte {
            0..=143 => self.code(0x30 + u32::from(byte), 8),
            _ => self.code(0x190 + u32::from(byte) - 144, 9),
        }
    }
}

/// One block in the fixed code: 13 bits for 258 zeros. Its checksum is wrong, which shows only at its end.
fn gzip(zeros: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0b011, 3);
    head(zeros).into_iter().chain([0]).for_each(|byte| bits.literal(byte));
    for _ in 0..zeros / 258 {
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    (0..zeros % 258).for_each(|_| bits.literal(0));
    bits.code(0, 7);
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    [&header[..], &bits.out, &[1; 8]].concat()
}
