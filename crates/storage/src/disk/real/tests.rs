use super::{PROBE_BYTES, RealDisk};
use crate::{Disk, OpenMode};
use rustix::fs::Advice;
use std::os::fd::AsFd;

#[test]
fn what_the_page_cache_let_go_is_noticed_and_brought_back() {
    let folder = std::env::temp_dir().join(format!("thalweg-cold-{}", std::process::id()));
    RealDisk::new().create_dir(&folder).unwrap();
    assert!(RealDisk::new().open(&folder.join("f"), OpenMode::Existing).is_err(), "nothing is made");
    let file = RealDisk::new().open(&folder.join("f"), OpenMode::Write).unwrap();
    let bytes = vec![7; 5 * PROBE_BYTES + 77];
    file.write_all_at(&[&bytes], 0).unwrap();
    assert!(file.is_in_memory(0, bytes.len()), "just written");
    file.sync_data().unwrap();
    let fd = file.fd().unwrap();
    rustix::fs::fadvise(fd.as_fd(), 0, None, Advice::DontNeed).unwrap();
    // A file system in memory lets nothing go, and one that cannot tell says yes; then only the second half says something.
    let was_cold = !file.is_in_memory(0, bytes.len());
    file.read_ahead(0, bytes.len()).unwrap();
    assert!(file.is_in_memory(0, bytes.len()));
    file.drop_behind(0, bytes.len());
    assert_eq!(was_cold, !file.is_in_memory(0, bytes.len()), "dropped behind");
    RealDisk::new().remove_dir_all(&folder).unwrap();
    eprintln!("the system told what was cold: {was_cold}");
}

#[test]
fn a_watched_file_system_is_synced_by_the_descriptor_from_before() {
    let folder = std::env::temp_dir().join(format!("thalweg-watched-{}", std::process::id()));
    let (disk, moved) = (RealDisk::new(), folder.with_extension("moved"));
    disk.create_dir(&folder).unwrap();
    disk.watch_filesystem(&folder).unwrap();
    // Only who has kept a descriptor finds the folder now.
    disk.rename(&folder, &moved).unwrap();
    disk.sync_filesystem(&folder).unwrap();
    RealDisk::new().sync_filesystem(&folder).unwrap_err();
    disk.remove_dir_all(&moved).unwrap();
}

#[test]
fn a_file_says_when_it_was_written_to() {
    let folder = std::env::temp_dir().join(format!("thalweg-modified-{}", std::process::id()));
    let (disk, path) = (RealDisk::new(), folder.join("f"));
    disk.create_dir(&folder).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_234_567);
    file.set_modified(time).unwrap();
    assert_eq!(disk.modified(&path).unwrap(), base::Timestamp(1_234_567));
    disk.open(&path, OpenMode::Write).unwrap().write_all_at(&[b"more"], 0).unwrap();
    assert!(disk.modified(&path).unwrap() > base::Timestamp(1_234_567));
    disk.modified(&folder.join("none")).unwrap_err();
    disk.remove_dir_all(&folder).unwrap();
}
