//! What Kafka's cleaner has left of a topic that is compacted no more.

use super::*;

const CHECKPOINT: &str = "/d1/cleaner-offset-checkpoint";

/// A log dir, cleanly stopped, with a topic of offsets 0 and 2 whose middle segment, of offset 1, is empty.
fn emptied() -> FaultyMemDisk {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1"]);
    let mut driven = Driven::start(Arc::new(disk.clone()), &["/d1"]);
    driven.create("t", 1);
    assert_eq!(driven.produce("t", 1, -1), [0]);
    stop(driven);
    let file = |base: i64, suffix: &str| PathBuf::from(format!("/d1/t-0/{base:020}.{suffix}"));
    let write = |path: &Path, bytes: &[u8]| disk.replace(path, bytes).expect("a write");
    let mut batch = disk.read(&file(0, "log")).expect("a read").expect("the segment");
    batch[..8].copy_from_slice(&2_i64.to_be_bytes());
    for (base, log) in [(1, &[][..]), (2, &batch)] {
        write(&file(base, "log"), log);
        ["index", "timeindex"].iter().for_each(|suffix| write(&file(base, suffix), &[]));
    }
    write(Path::new("/d1/recovery-point-offset-checkpoint"), b"0\n1\nt 0 3\n");
    disk
}

fn stop(driven: Driven) {
    let Driven { node, connection, .. } = driven;
    drop(connection);
    node.stop().expect("a clean stop");
}

#[tokio::test]
async fn a_segment_below_what_was_compacted_may_be_empty_whatever_the_policy_is_now() {
    for (compacted_to, outcome) in [(None, STORAGE_ERROR), (Some(1), STORAGE_ERROR), (Some(2), 0)] {
        let disk = emptied();
        if let Some(offset) = compacted_to {
            let checkpoint = format!("0\n1\nt 0 {offset}\n");
            disk.replace(Path::new(CHECKPOINT), checkpoint.as_bytes()).expect("a write");
        }
        let mut driven = Driven::start(Arc::new(disk), &["/d1"]);
        assert_eq!(driven.produce("t", 1, -1), [outcome], "compacted to {compacted_to:?}");
        if outcome == 0 {
            assert_eq!(driven.ends("t"), [(0, 4)]);
        }
    }
}

/// A hole in the log of a new topic is damage, wherever an older one of the name was compacted (R30).
#[tokio::test]
async fn what_was_compacted_of_an_older_topic_is_not_believed_of_a_new_one() {
    let disk = emptied();
    disk.replace(Path::new(CHECKPOINT), b"0\n2\nt 0 2\nother 0 7\n").expect("a write");
    let mut driven = Driven::start(Arc::new(disk.clone()), &["/d1"]);
    driven.delete("t");
    driven.create("t", 1);
    let told = disk.read(Path::new(CHECKPOINT)).expect("a read").expect("the checkpoint");
    assert_eq!(String::from_utf8_lossy(&told), "0\n1\nother 0 7\n");
    assert_eq!(driven.produce("t", 1, -1), [0]);
    assert_eq!(driven.ends("t"), [(0, 1)]);
}
