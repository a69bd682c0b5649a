//! A file system of its own for a node: ext4 on a loop device, so that its power can be cut; or a small one that fills up.
//!
//! Needs root and loop devices; without them whatever wants one is skipped. It is unmounted when dropped.

use crate::native;
use conformance::fault::{During, Fault};
use conformance::process::{CLIENT_DEADLINE, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a power cut treats the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The running transaction is written first: names and sizes may be there without their data.
    JournalKept,
    /// The running transaction is lost.
    JournalLost,
}

/// A mounted file system.
pub struct Volume {
    image: PathBuf,
    options: String,
    /// Where it is mounted.
    pub mounted: PathBuf,
}

impl Volume {
    /// Makes an ext4 file system of `mib` and mounts it in `folder` with these options.
    pub fn ext4(folder: &Path, name: &str, mib: u64, options: &str) -> Result<Volume, Fault> {
        Volume::on(image(folder, name), folder, name, mib, options)
    }

    /// As [`Volume::ext4`], on an image that may be larger than what it is kept on.
    pub fn on(image: PathBuf, folder: &Path, name: &str, mib: u64, options: &str) -> Result<Volume, Fault> {
        needs_root()?;
        let file = std::fs::File::create(&image).during(image.display())?;
        file.set_len(mib << 20).during(image.display())?;
        let mut command = Command::new("mkfs.ext4");
        command.args(["-q", "-F", "-m", "0", "-J", "size=4"]).arg(&image);
        run(&mut command, CLIENT_DEADLINE).map_err(skip)?;
        let mounted = folder.join(name);
        std::fs::create_dir_all(&mounted).during(mounted.display())?;
        let volume = Volume { image, options: format!("loop{options}"), mounted };
        volume.mount().map_err(skip)?;
        Ok(volume)
    }

    fn mount(&self) -> Result<(), Fault> {
        let mut command = Command::new("mount");
        command.args(["-o", &self.options]).arg(&self.image).arg(&self.mounted);
        run(&mut command, CLIENT_DEADLINE).map(|_| ())
    }

    /// Cuts the power, after some ranges of files (path, offset, length) were written back.
    pub fn cut(&self, cut: Cut, written_back: &[(PathBuf, u64, u64)]) -> Result<(), Fault> {
        let mut command = Command::new(native::powercut()?);
        command.arg(&self.mounted).arg(if cut == Cut::JournalKept { "1" } else { "2" });
        for (path, offset, len) in written_back {
            command.arg(path).arg(offset.to_string()).arg(len.to_string());
        }
        run(&mut command, CLIENT_DEADLINE).map(|_| ())
    }

    /// Bytes that are free.
    pub fn free(&self) -> Result<u64, Fault> {
        let said = run(Command::new("df").args(["--output=avail", "-B1"]).arg(&self.mounted), CLIENT_DEADLINE)?.text();
        let free = said.lines().nth(1).and_then(|line| line.trim().parse().ok());
        free.ok_or_else(|| Fault::Failed(format!("df says: {said}")))
    }

    /// Brings the file system back; nobody may have a file of it open.
    pub fn remount(&self) -> Result<(), Fault> {
        run(Command::new("umount").arg(&self.mounted), CLIENT_DEADLINE)?;
        self.mount()
    }
}

fn needs_root() -> Result<(), Fault> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Fault::Skipped("only root may mount a file system".to_owned()))
}

/// A file system in memory with a size.
pub struct Memory {
    /// Where it is mounted.
    pub mounted: PathBuf,
}

impl Memory {
    /// Mounts one of `mib`.
    pub fn new(folder: &Path, name: &str, mib: u64) -> Result<Memory, Fault> {
        needs_root()?;
        let mounted = folder.join(name);
        std::fs::create_dir_all(&mounted).during(mounted.display())?;
        let size = format!("size={mib}m");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&mounted), CLIENT_DEADLINE)
            .map_err(skip)?;
        Ok(Memory { mounted })
    }

    /// Gives it another size.
    pub fn resize(&self, mib: u64) -> Result<(), Fault> {
        let options = format!("remount,size={mib}m");
        run(Command::new("mount").args(["-o", &options]).arg(&self.mounted), CLIENT_DEADLINE).map(|_| ())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        drop(run(Command::new("umount").arg("-l").arg(&self.mounted), CLIENT_DEADLINE));
        drop(std::fs::remove_dir(&self.mounted));
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Detached even while a process of a failed scenario still holds a file; the kernel ends the mount with it.
        drop(run(Command::new("umount").arg("-l").arg(&self.mounted), CLIENT_DEADLINE));
        drop(std::fs::remove_file(&self.image));
        drop(std::fs::remove_dir(&self.mounted));
    }
}

/// Where the image goes: into memory if there is a file system for that, so that the machine's own disk is neither a brake nor worn. What
/// a power cut takes is decided above it, in the page cache and the journal of the mounted file system.
fn image(folder: &Path, name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return memory.join(format!("crash-{}-{name}.img", std::process::id()));
    }
    folder.join(format!("{name}.img"))
}

/// A machine that lets nobody mount is no failure of the node.
fn skip(fault: Fault) -> Fault {
    match fault {
        Fault::Failed(why) => Fault::Skipped(format!("no file system can be made and mounted here: {why}")),
        skipped @ Fault::Skipped(_) => skipped,
    }
}
