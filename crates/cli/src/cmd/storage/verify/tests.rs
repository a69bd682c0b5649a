use super::*;
use base::{Offset, Timestamp};
use record::{BatchBuilder, BatchOptions, NewRecord};

fn batch(base_offset: i64, records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { base_offset: Offset(base_offset), ..BatchOptions::default() });
    for i in 0..records {
        let value = format!("value {i}");
        builder.append(&NewRecord { timestamp: Timestamp(1), key: None, value: Some(value.as_bytes()), headers: &[] });
    }
    builder.build()
}

fn faults(name: &str, bytes: &[u8]) -> Vec<String> {
    let dir = std::env::temp_dir().join(format!("thalweg-verify-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder");
    std::fs::write(dir.join("00000000000000000000.log"), bytes).expect("writes");
    let mut found = Found::default();
    verify_folder(&dir, &mut found).expect("reads");
    std::fs::remove_dir_all(&dir).expect("removes");
    found.faults
}

#[test]
fn a_sound_segment_has_no_fault() {
    assert_eq!(faults("sound", &[batch(0, 3), batch(3, 2)].concat()), Vec::<String>::new());
}

#[test]
fn every_turned_bit_of_a_segment_is_noticed() {
    let sound = [batch(0, 3), batch(3, 2)].concat();
    for at in 0..sound.len() {
        // The checksum leaves out base offset, length and leader epoch; a changed epoch is a valid batch of another epoch, and a
        // larger base offset is what compaction leaves.
        let in_batch = at % batch(0, 3).len();
        if (12..16).contains(&in_batch) || in_batch < 8 {
            continue;
        }
        let mut damaged = sound.clone();
        damaged[at] ^= 0x10;
        assert!(!faults("bit", &damaged).is_empty(), "byte {at}");
    }
}

#[test]
fn offsets_that_go_back_and_torn_ends_are_noticed() {
    let back = faults("back", &[batch(5, 3), batch(6, 2)].concat());
    assert!(back[0].contains("comes after 7"), "{back:?}");
    let sound = [batch(0, 3), batch(3, 2)].concat();
    let torn = faults("torn", &sound[..sound.len() - 1]);
    assert!(torn[0].contains("longer than"), "{torn:?}");
}

#[test]
fn an_index_that_was_cut_is_noticed() {
    let dir = std::env::temp_dir().join(format!("thalweg-verify-cut-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder");
    std::fs::write(dir.join("00000000000000000000.log"), batch(0, 3)).expect("writes");
    for (extension, entry) in [("index", 8), ("timeindex", 12), ("txnindex", 34)] {
        let (path, mut found) = (dir.join("00000000000000000000").with_extension(extension), Found::default());
        std::fs::write(&path, vec![0; entry - 1]).expect("writes");
        verify_folder(&dir, &mut found).expect("reads");
        std::fs::remove_file(&path).expect("removes");
        assert!(found.faults.len() == 1 && found.faults[0].contains(extension), "{:?}", found.faults);
    }
    std::fs::remove_dir_all(&dir).expect("removes");
}

#[test]
fn a_folder_without_a_segment_is_not_sound() {
    let dir = std::env::temp_dir().join(format!("thalweg-verify-none-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder");
    let refused = run(&dir, Format::Text);
    std::fs::remove_dir_all(&dir).expect("removes");
    assert!(matches!(refused, Err(Failure::Said(why)) if why.contains("has no segment to check")));
}
