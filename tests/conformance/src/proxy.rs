//! A proxy between clients and a broker that changes what they say to each other: how the rig is shown a broker that is broken, without
//! a line of broken code in the product.
//!
//! The broker must advertise the proxy's port, so that clients stay on it. It cuts frames, remembers which API an answer belongs to, and
//! finds record batches by their checksums: no codec is needed, and what cannot be found is passed on as it is.

use crate::batches::{Batch, split};
use crate::fault::{During, Fault};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// No frame of a scenario is larger.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Marks the second one of a doubled request; clients count up from 0 or 1.
const DOUBLED: i32 = 0x4000_0000;
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const OFFSET_COMMIT: i16 = 8;
const JOIN_GROUP: i16 = 11;
const API_VERSIONS: i16 = 18;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing: the control.
    Honest,
    /// Fetched batches have checksums that do not match.
    WrongCrc,
    /// Of three or more fetched batches, the second one is missing.
    LostBatch,
    /// Every produced batch is appended twice.
    DoubledBatch,
    /// Fetched records stand one offset later than they are.
    OffByOne,
    /// Fetched records are a millisecond later than they were sent.
    ChangedTimestamps,
    /// Fetched records have no headers.
    DroppedHeaders,
    /// Whatever is fetched, the records are those that were fetched first.
    ForeignRecords,
    /// All commits of a group after its first one are confirmed and forgotten.
    LostCommit,
    /// Nothing, but the answer to every batch is lost with its connection, until the batch comes again: a control for idempotence.
    LostAnswers,
    /// Answers are lost as well, and producers are not known again.
    ForgottenProducers,
    /// Commits of an older generation are taken for the current one's. Knows JoinGroup and OffsetCommit up to their versions 5 and 7.
    StaleGeneration,
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    /// Where clients connect.
    pub address: String,
    stopping: Arc<AtomicBool>,
}

/// What the two directions of a connection share.
struct Shared {
    mutant: Mutant,
    /// The requests whose answers are to come.
    asked: Mutex<BTreeMap<i32, Asked>>,
    of_all: Arc<OfAll>,
}

/// A request.
struct Asked {
    key: i16,
    version: i16,
    then: Then,
}

/// What becomes of its answer.
enum Then {
    /// What the mutant makes of it.
    Changed,
    /// It is lost, and the connection with it.
    Lost,
    /// This one is given instead.
    Replaced(Vec<u8>),
    /// It is kept for later commits of this group.
    Kept(Vec<u8>),
}

/// A group's name and a version.
type OfGroup = (Vec<u8>, i16);

/// What all connections share.
#[derive(Default)]
struct OfAll {
    /// The generation that the last answered JoinGroup began.
    generation: AtomicI32,
    /// The first batches that were fetched.
    first: Mutex<Option<Vec<Batch>>>,
    /// By group, and the version of the request: the answer to its first commit.
    commits: Mutex<BTreeMap<OfGroup, Vec<u8>>>,
    /// Checksums of the batches whose answers were lost.
    lost: Mutex<BTreeSet<u32>>,
}

impl Proxy {
    /// Listens on `port` of 127.0.0.1 for connections to `broker`.
    pub fn start(port: u16, broker: &str, mutant: Mutant) -> Result<Proxy, Fault> {
        let listener = TcpListener::bind(("127.0.0.1", port)).during("the proxy listens")?;
        let address = listener.local_addr().during("the proxy's address")?.to_string();
        let stopping = Arc::new(AtomicBool::new(false));
        let (ends, broker) = (Arc::clone(&stopping), broker.to_owned());
        let of_all = Arc::new(OfAll::default());
        thread("proxy", move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Shared { mutant, asked: Mutex::default(), of_all: Arc::clone(&of_all) };
                // A broker that is gone shows as a connection that closes: so it is for clients without a proxy, too.
                drop(connect(client, &broker, shared));
            }
        })?;
        Ok(Proxy { address, stopping })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Only to wake the accepting thread; if it is gone, that is what is wanted.
        drop(TcpStream::connect(&self.address));
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Fault> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| ()).during("starting a thread")
}

/// One connection of a client: a thread for each direction, both end with either socket.
fn connect(client: TcpStream, broker: &str, shared: Shared) -> Result<(), Fault> {
    let broker = TcpStream::connect(broker).during("the proxy connects")?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let shared = Arc::new(shared);
    let (from_client, to_client) = (client.try_clone()?, client);
    let (from_broker, to_broker) = (broker.try_clone()?, broker);
    let asking = Arc::clone(&shared);
    thread("proxy requests", move || pump(from_client, to_broker, |frame| asking.request(frame)))?;
    thread("proxy answers", move || pump(from_broker, to_client, |frame| shared.answer(frame)))
}

/// Passes frames on, each as the frames that `change` makes of it, until it says to close.
fn pump(mut from: TcpStream, mut to: TcpStream, change: impl Fn(Vec<u8>) -> Option<Vec<Vec<u8>>>) {
    while let Some(frames) = read(&mut from).and_then(&change) {
        for frame in frames {
            let size = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
            if to.write_all(&[&size[..], &frame].concat()).is_err() {
                break;
            }
        }
    }
    // One direction's end is the connection's: the other thread's read ends with it.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

fn read(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size).ok()?;
    let size = u32::from_be_bytes(size) as usize;
    let mut frame = vec![0; (size <= FRAME_BYTES_MAX).then_some(size)?];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn short(frame: &[u8], at: usize) -> i16 {
    frame.get(at..at + 2).map_or(0, |bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
}

fn int(frame: &[u8], at: usize) -> i32 {
    frame.get(at..at + 4).map_or(0, |bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

impl Shared {
    /// What becomes of a request: key (2), version (2), correlation id (4), client id, body.
    fn request(&self, frame: Vec<u8>) -> Option<Vec<Vec<u8>>> {
        let (key, version, id) = (short(&frame, 0), short(&frame, 2), int(&frame, 4));
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = |id, then| drop(asked.insert(id, Asked { key, version, then }));
        let frames = match (self.mutant, key) {
            (Mutant::DoubledBatch, PRODUCE) => {
                note(id, Then::Changed);
                note(id | DOUBLED, Then::Lost);
                let mut second = frame.clone();
                second[4..8].copy_from_slice(&(id | DOUBLED).to_be_bytes());
                vec![frame, second]
            }
            (Mutant::LostAnswers | Mutant::ForgottenProducers, PRODUCE) => {
                note(id, if self.is_new(&frame, version) { Then::Lost } else { Then::Changed });
                let forgets = self.mutant == Mutant::ForgottenProducers;
                let nobodys = |batches: Vec<Batch>| batches.into_iter().map(Batch::without_producer).collect();
                vec![if forgets { with_batches(&frame, version >= 9, nobodys) } else { frame }]
            }
            (Mutant::LostCommit, OFFSET_COMMIT) => {
                let group = group(&frame, version);
                let commits = self.of_all.commits.lock().unwrap_or_else(PoisonError::into_inner);
                let first = commits.get(&(group.clone(), version)).cloned();
                let is_lost = first.is_some();
                note(id, first.map_or(Then::Kept(group), Then::Replaced));
                vec![if is_lost { harmless(id) } else { frame }]
            }
            (Mutant::StaleGeneration, OFFSET_COMMIT) if version <= 7 => {
                note(id, Then::Changed);
                vec![self.of_the_current_generation(frame)]
            }
            _ => {
                note(id, Then::Changed);
                vec![frame]
            }
        };
        Some(frames)
    }

    /// Whether the request brings a batch that has not come before.
    fn is_new(&self, frame: &[u8], version: i16) -> bool {
        let mut lost = self.of_all.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_new = false;
        with_batches(frame, version >= 9, |batches| {
            batches.iter().for_each(|batch| is_new |= lost.insert(batch.checksum()));
            batches
        });
        is_new
    }

    fn of_the_current_generation(&self, mut frame: Vec<u8>) -> Vec<u8> {
        let group = 8 + 2 + usize::try_from(short(&frame, 8)).unwrap_or(0);
        let at = group + 2 + usize::try_from(short(&frame, group)).unwrap_or(0);
        if let Some(generation) = frame.get_mut(at..at + 4) {
            generation.copy_from_slice(&self.of_all.generation.load(Ordering::Relaxed).to_be_bytes());
        }
        frame
    }

    /// What becomes of an answer: correlation id (4), body. None when the connection closes instead.
    fn answer(&self, frame: Vec<u8>) -> Option<Vec<Vec<u8>>> {
        let id = int(&frame, 0);
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(Asked { key, version, then }) = asked else { return Some(vec![frame]) };
        match then {
            Then::Lost if id & DOUBLED != 0 => Some(Vec::new()),
            Then::Lost => None,
            Then::Replaced(first) => Some(vec![[&frame[..4], &first[4..]].concat()]),
            Then::Kept(group) => {
                let mut commits = self.of_all.commits.lock().unwrap_or_else(PoisonError::into_inner);
                commits.insert((group, version), frame.clone());
                Some(vec![frame])
            }
            Then::Changed => Some(vec![self.changed(frame, key, version)]),
        }
    }

    fn changed(&self, frame: Vec<u8>, key: i16, version: i16) -> Vec<u8> {
        match (self.mutant, key) {
            (Mutant::ForeignRecords, FETCH) => with_batches(&frame, version >= 12, |batches| self.foreign(batches)),
            (_, FETCH) => with_batches(&frame, version >= 12, |batches| broken(self.mutant, batches)),
            (Mutant::StaleGeneration, JOIN_GROUP) if version <= 5 => {
                // Throttle time from version 2 on, error code, generation.
                let at = if version >= 2 { 8 } else { 4 };
                if short(&frame, at) == 0 {
                    self.of_all.generation.store(int(&frame, at + 2), Ordering::Relaxed);
                }
                frame
            }
            _ => frame,
        }
    }

    /// The batches that were fetched first, at these ones' place.
    fn foreign(&self, batches: Vec<Batch>) -> Vec<Batch> {
        let mut first = self.of_all.first.lock().unwrap_or_else(PoisonError::into_inner);
        let place = batches.first().map_or(0, Batch::base_offset);
        let foreign = first.get_or_insert(batches);
        let moved = foreign.first().map_or(0, Batch::base_offset) - place;
        foreign.iter().map(|batch| batch.clone().at(batch.base_offset() - moved)).collect()
    }
}

/// The group of an OffsetCommit, which stands first in its body.
fn group(frame: &[u8], version: i16) -> Vec<u8> {
    let body = 8 + 2 + usize::try_from(short(frame, 8)).unwrap_or(0);
    // From version 8 on, tags end the header, and a string's length is an unsigned varint of it and one: groups' names are short.
    let (at, len) = match version {
        8.. => (body + 2, frame.get(body + 1).map_or(0, |len| usize::from(len.saturating_sub(1)))),
        _ => (body + 2, usize::try_from(short(frame, body)).unwrap_or(0)),
    };
    frame.get(at..at + len).unwrap_or_default().to_vec()
}

/// A request that changes nothing: ApiVersions 0, without a client id.
fn harmless(id: i32) -> Vec<u8> {
    [&API_VERSIONS.to_be_bytes()[..], &[0, 0], &id.to_be_bytes(), &[0xFF, 0xFF]].concat()
}

fn broken(mutant: Mutant, mut batches: Vec<Batch>) -> Vec<Batch> {
    match mutant {
        Mutant::WrongCrc => batches.into_iter().map(Batch::with_wrong_crc).collect(),
        Mutant::OffByOne => batches
            .into_iter()
            .map(|batch| {
                let at = batch.base_offset() + 1;
                batch.at(at)
            })
            .collect(),
        Mutant::ChangedTimestamps => batches.into_iter().map(Batch::later).collect(),
        Mutant::DroppedHeaders => batches.into_iter().map(Batch::without_headers).collect(),
        Mutant::LostBatch if batches.len() >= 3 => {
            batches.remove(1);
            batches
        }
        Mutant::LostBatch
        | Mutant::Honest
        | Mutant::DoubledBatch
        | Mutant::ForeignRecords
        | Mutant::LostCommit
        | Mutant::LostAnswers
        | Mutant::ForgottenProducers
        | Mutant::StaleGeneration => batches,
    }
}

/// The frame with each run of whole record batches changed, and the length before it with them: an int32, or in flexible versions an
/// unsigned varint of the length and one.
fn with_batches(frame: &[u8], flexible: bool, mut change: impl FnMut(Vec<Batch>) -> Vec<Batch>) -> Vec<u8> {
    let (mut out, mut copied, mut at) = (Vec::with_capacity(frame.len()), 0, 0);
    while at < frame.len() {
        let Some((prefix, len)) = run_at(frame, at, flexible) else {
            at += 1;
            continue;
        };
        let batches = change(split(&frame[at..at + len]).0);
        let bytes: Vec<u8> = batches.into_iter().flat_map(|batch| batch.0).collect();
        out.extend_from_slice(&frame[copied..at - prefix]);
        let len_after = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if flexible {
            out.extend(uvarint(len_after + 1));
        } else {
            out.extend(len_after.to_be_bytes());
        }
        out.extend(bytes);
        copied = at + len;
        at = copied;
    }
    out.extend_from_slice(&frame[copied..]);
    out
}

/// How many bytes before `at` tell the length of a run of whole batches that begins there, and that length.
fn run_at(frame: &[u8], at: usize, flexible: bool) -> Option<(usize, usize)> {
    // Cheap, and false almost everywhere: the magic byte.
    if frame.get(at + 16) != Some(&2) {
        return None;
    }
    let whole = |len: usize| {
        let run = frame.get(at..at + len)?;
        let (batches, rest) = split(run);
        (!batches.is_empty() && rest.is_empty()).then_some(len)
    };
    if !flexible {
        let len = usize::try_from(int(frame, at.checked_sub(4)?)).ok()?;
        return whole(len).map(|len| (4, len));
    }
    // The bytes before may belong to a field of their own and still look like a longer varint: the longest that holds is it.
    (1..=5.min(at)).rev().find_map(|prefix| {
        let len = usize::try_from(varint(&frame[at - prefix..at])?).ok()?.checked_sub(1)?;
        whole(len).map(|len| (prefix, len))
    })
}

/// The number that exactly these bytes are.
fn varint(bytes: &[u8]) -> Option<u64> {
    let (last, before) = bytes.split_last()?;
    let ends = last & 0x80 == 0 && before.iter().all(|byte| byte & 0x80 != 0);
    ends.then(|| bytes.iter().rev().fold(0, |number, byte| (number << 7) | u64::from(byte & 0x7F)))
}

fn uvarint(mut number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::{Mutant, broken, group, uvarint, varint, with_batches};
    use crate::batches::{Batch, example, split};

    /// Three batches between other fields, of which the one before the length looks like the start of a varint.
    fn frame(flexible: bool, batches: &[Batch]) -> Vec<u8> {
        let run: Vec<u8> = batches.iter().flat_map(|batch| batch.0.clone()).collect();
        let len = u32::try_from(run.len()).expect("small");
        let len = if flexible { uvarint(len + 1) } else { len.to_be_bytes().to_vec() };
        [&b"before\xff\xff\xff\xff"[..], &len, &run, b"after"].concat()
    }

    fn three() -> Vec<Batch> {
        vec![example(7, b"one"), example(8, b"the second"), example(9, &[9; 300])]
    }

    #[test]
    fn varints_are_read_as_they_are_written() {
        for number in [0, 1, 127, 128, 300, 1 << 20] {
            assert_eq!(varint(&uvarint(number)), Some(u64::from(number)));
        }
        assert_eq!((varint(&[0x80]), varint(&[1, 1])), (None, None));
    }

    #[test]
    fn runs_of_batches_are_found_and_nothing_else_is_touched() {
        for flexible in [false, true] {
            for batches in [three(), vec![example(0, b"x")]] {
                let frame = frame(flexible, &batches);
                assert_eq!(with_batches(&frame, flexible, |batches| batches), frame);
                assert_eq!(with_batches(b"no batch here", flexible, |_| Vec::new()), b"no batch here");
            }
        }
    }

    #[test]
    fn the_group_of_a_commit_is_found_in_old_and_new_versions() {
        let header = [0, 8, 0, 7, 0, 0, 0, 1, 0, 2, b'i', b'd'];
        assert_eq!(group(&[&header[..], &[0, 3, b'a', b'b', b'c', 9]].concat(), 7), b"abc");
        assert_eq!(group(&[&header[..], &[0, 4, b'a', b'b', b'c', 9]].concat(), 8), b"abc");
        assert_eq!(group(&header, 8), b"");
    }

    #[test]
    fn each_mutant_breaks_what_it_says() {
        for flexible in [false, true] {
            let changed =
                |mutant| with_batches(&frame(flexible, &three()), flexible, |batches| broken(mutant, batches));
            assert_eq!(changed(Mutant::LostBatch), frame(flexible, &[three()[0].clone(), three()[2].clone()]));
            let later: Vec<Batch> = three().into_iter().zip(8..).map(|(batch, at)| batch.at(at)).collect();
            assert_eq!(changed(Mutant::OffByOne), frame(flexible, &later));
            let wrong = changed(Mutant::WrongCrc);
            assert_eq!(wrong.len(), frame(flexible, &three()).len());
            assert!((0..wrong.len()).all(|at| split(&wrong[at..]).0.is_empty()));
        }
    }
}
