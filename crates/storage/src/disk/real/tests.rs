use super::{PROBE_BYTES, RealDisk};
use crate::{Disk, OpenMode};
use rustix::fs::Advice;
use std::os::fd::AsFd;

#[test]
fn what_the_page_cache_let_go_is_noticed_and_brought_back() {
    let folder = std::env::temp_dir().join(format!("thalweg-cold-{}", std::process::id()));
    RealDisk.create_dir(&folder).unwrap();
    let file = RealDisk.open(&folder.join("f"), OpenMode::Write).unwrap();
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
    RealDisk.remove_dir_all(&folder).unwrap();
    eprintln!("the system told what was cold: {was_cold}");
}
