//! File ranges inside replies.

use super::*;
use std::os::unix::fs::FileExt;

#[derive(Debug)]
struct OsFile(std::fs::File);

impl SendFile for OsFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }
}

/// A file that only memory holds, as in simulation.
#[derive(Debug)]
struct MemFile(Vec<u8>);

impl SendFile for MemFile {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(position).expect("a small file").min(self.0.len())..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// Header bytes around the ranges, and the ranges.
type Case = (&'static [usize], &'static [(u64, usize)]);

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 253) as u8).collect()
}

fn os_file(content: &[u8]) -> Arc<dyn SendFile> {
    let file = nameless_file();
    file.write_all_at(content, 0).expect("writes");
    Arc::new(OsFile(file))
}

/// A file without a name.
fn nameless_file() -> std::fs::File {
    let path = std::env::temp_dir().join(format!("thalweg-net-{}-{:p}", std::process::id(), &std::sync::Mutex::new(0)));
    let file =
        std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("a temporary file");
    std::fs::remove_file(path).expect("removes");
    file
}

/// Sets up an answer: `gaps[i]` header bytes, then piece i; the last gap is the tail.
fn answer(service: &Script, gaps: &[usize], pieces: &[(Arc<dyn SendFile>, u64, usize)], content: &[u8]) -> Vec<u8> {
    let total: usize = gaps.iter().sum::<usize>() + pieces.iter().map(|piece| piece.2).sum::<usize>();
    let mut header = i32::try_from(total).expect("small").to_be_bytes().to_vec();
    let mut expected = Vec::new();
    let mut files = Vec::new();
    for (i, gap) in gaps.iter().enumerate() {
        header.extend(std::iter::repeat_n(b'A' + i as u8, *gap));
        expected.extend(std::iter::repeat_n(b'A' + i as u8, *gap));
        if let Some((file, position, len)) = pieces.get(i) {
            files.push((header.len(), Arc::clone(file), *position, *len));
            expected.extend_from_slice(&content[*position as usize..*position as usize + len]);
        }
    }
    *service.header.borrow_mut() = header;
    *service.files.borrow_mut() = files;
    expected
}

#[tokio::test]
async fn file_ranges_arrive_where_they_belong() {
    let content = content(3_000_000);
    let service = Rc::new(Script::default());
    serving(options(), Rc::clone(&service), async |running: Running| {
        let mut stream = running.connect().await;
        for file in [os_file(&content), Arc::new(MemFile(content.clone())) as Arc<dyn SendFile>] {
            let cases: [Case; 7] = [
                (&[10, 0], &[(5, 100)]),
                (&[10, 20, 5], &[(5, 100), (7, 8000)]),
                (&[0, 0, 0], &[(100, 9000), (0, 300_000)]),
                (&[30, 40, 50, 60], &[(1, 262_144), (2, 262_145), (3, 1)]),
                (&[100_000, 1], &[(0, 3_000_000)]),
                (&[7, 7, 7], &[(9, 0), (10, 20_000)]),
                (&[1, 0, 0, 2], &[(9, 70_000), (10, 65_536), (11, 65_537)]),
            ];
            for (gaps, ranges) in cases {
                let pieces: Vec<_> = ranges.iter().map(|(at, len)| (Arc::clone(&file), *at, *len)).collect();
                let expected = answer(&service, gaps, &pieces, &content);
                stream.write_all(&[framed(b"f"), framed(b"e"), framed(b"f")].concat()).await.expect("writes");
                assert!(read_frame(&mut stream).await.expect("a reply") == expected, "{gaps:?} {ranges:?}");
                assert_eq!(read_frame(&mut stream).await.expect("a reply"), b"e");
                assert!(
                    read_frame(&mut stream).await.expect("a reply") == expected,
                    "{gaps:?} {ranges:?}, second time"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_ends_too_early_closes_the_connection_instead_of_lying() {
    let content = content(400_000);
    for file in [os_file(&content[..300_000]), Arc::new(MemFile(content[..300_000].to_vec())) as Arc<dyn SendFile>] {
        let service = Rc::new(Script::default());
        answer(&service, &[4, 0], &[(file, 0, 400_000)], &content);
        serving(options(), Rc::clone(&service), async |running: Running| {
            let mut stream = running.connect().await;
            stream.write_all(&[framed(b"f"), framed(b"e")].concat()).await.expect("writes");
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.expect("an orderly end");
            assert_eq!(received.len(), 4 + 4 + 300_000);
        })
        .await;
    }
}

#[tokio::test]
async fn kafka_7504_a_cold_slice_waits_for_its_warming_and_stalls_nobody_else() {
    let content = content(2_300_000);
    let gate = Rc::new(Gate::default());
    let service = Rc::new(Script { warming_gate: Some(Rc::clone(&gate)), ..Script::default() });
    let expected = answer(&service, &[4, 0], &[(os_file(&content), 0, 2_300_000)], &content);
    serving(options(), Rc::clone(&service), async |running: Running| {
        let mut cold = running.connect().await;
        let mut hot = running.connect().await;
        cold.write_all(&framed(b"f")).await.expect("writes");
        while service.warmings.get() == 0 {
            tokio::task::yield_now().await;
        }
        hot.write_all(&framed(b"e")).await.expect("writes");
        assert_eq!(read_frame(&mut hot).await.expect("a reply"), b"e");
        gate.open();
        assert!(read_frame(&mut cold).await.expect("a reply") == expected);
        assert!(service.warmings.get() >= 3, "every slice is asked for");
    })
    .await;
}
