use super::{Index, OffsetEntry, TAIL_MAX};
use crate::{Disk, FaultyMemDisk};
use std::path::{Path, PathBuf};

const ENTRIES: i32 = 5 * TAIL_MAX as i32 + 77;

fn index(disk: &FaultyMemDisk, path: &Path) -> Index<OffsetEntry> {
    disk.create_dir(path.parent().unwrap()).unwrap();
    let mut index = Index::empty();
    for at in 1..=ENTRIES {
        let entry = OffsetEntry { relative_offset: at * 10, position: at * 100 };
        index.append(disk, || path.to_owned(), entry).unwrap();
    }
    index
}

#[test]
fn look_ups_in_any_order_find_the_entry_before() {
    let (disk, path) = (FaultyMemDisk::new(1), PathBuf::from("/d/i"));
    let mut index = index(&disk, &path);
    let up = 0..=ENTRIES;
    let zigzag = up.clone().map(|at| if at % 2 == 0 { at } else { ENTRIES - at });
    for at in up.clone().chain(up.rev()).chain(zigzag) {
        for (offset, expected) in [(at * 10, at), (at * 10 + 9, at), (at * 10 - 1, at - 1)] {
            let found = index.floor(&disk, || path.to_owned(), i64::from(offset)).unwrap();
            assert_eq!(found.map_or(0, |entry| entry.position), expected.max(0) * 100, "offset {offset}");
        }
    }
}

#[test]
fn a_reader_that_goes_on_where_it_was_opens_the_file_once_a_page() {
    let (disk, path) = (FaultyMemDisk::new(1), PathBuf::from("/d/i"));
    let mut index = index(&disk, &path);
    let mut opened = 0;
    for at in 1..=ENTRIES {
        let named = || {
            opened += 1;
            path.to_owned()
        };
        index.floor(&disk, named, i64::from(at * 10 + 1)).unwrap();
    }
    assert!(opened <= 7, "{opened} times for 6 pages");
}

#[test]
fn what_is_cut_off_is_not_found_in_the_page_kept() {
    let (disk, path) = (FaultyMemDisk::new(1), PathBuf::from("/d/i"));
    let mut index = index(&disk, &path);
    assert!(index.floor(&disk, || path.to_owned(), 3_000).unwrap().is_some_and(|entry| entry.position == 30_000));
    index.truncate(&disk, &path, |entry| entry.position >= 20_000).unwrap();
    assert_eq!(index.floor(&disk, || path.to_owned(), 3_000).unwrap().map(|entry| entry.position), Some(19_900));
    for at in 200..=ENTRIES {
        let entry = OffsetEntry { relative_offset: at * 10 + 1, position: at * 100 + 1 };
        index.append(&disk, || path.to_owned(), entry).unwrap();
    }
    assert_eq!(index.floor(&disk, || path.to_owned(), 3_002).unwrap().map(|entry| entry.position), Some(30_001));
}
