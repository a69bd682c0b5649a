//! What goes wrong: power, processes, disks. And starting again.

use super::{Stage, World};
use crate::link::Link;
use std::path::{Path, PathBuf};
use storage::{Disk, DiskFault, FaultyMemDisk};

impl World {
    /// Something goes wrong, or is put right.
    pub(super) async fn fault(&mut self) {
        let faults = self.options.faults;
        if self.machine.node.is_none() {
            return;
        }
        if self.is_troubled() {
            return self.repair();
        }
        match self.scheduler.below(20) {
            0..=3 if faults.power_cuts => {
                self.trace.note("power cut", [0; 4]);
                let left = self.machine.disk.crash();
                self.power_cut(left);
            }
            4..=8 if faults.power_cuts => {
                let operations = self.scheduler.below(24);
                self.trace.note("power will be cut", [operations.cast_signed(), 0, 0, 0]);
                self.machine.disk.cut_power_after(operations);
            }
            9..=11 if faults.kills => self.kill(),
            12 | 13 if faults.restarts => self.restart().await,
            14 => {
                let skew = self.scheduler.below(2_400_000).cast_signed() - 1_200_000;
                self.clock.skew(if self.scheduler.below(2) == 0 { 0 } else { skew });
            }
            15..=18 if faults.disk_errors => self.disk_error(),
            19 if faults.bit_flips => self.flip_bit(),
            _ => {}
        }
    }

    /// The disk has done something wrong since the node was started.
    fn is_troubled(&self) -> bool {
        self.machine.disk.faults_struck() > self.struck_before
    }

    fn disk_error(&mut self) {
        let (kind, after) = (self.scheduler.below(6), self.scheduler.below(30));
        self.trace.note("disk error", [kind.cast_signed(), after.cast_signed(), 0, 0]);
        match kind {
            0 | 1 => self.machine.disk.inject(DiskFault::Sync, after / 4),
            2 => self.machine.disk.inject(DiskFault::Write, after),
            3 => self.machine.disk.inject(DiskFault::ShortWrite, after),
            4 => {
                self.machine.disk.limit_room(Some(after * 100));
                self.model.shortages.begin();
            }
            _ => self.machine.disk.inject(DiskFault::Read, after),
        }
    }

    /// The process is ended and the disk put right, so that it can be started again.
    fn repair(&mut self) {
        self.trace.note("repair", [0; 4]);
        self.kill();
        self.machine.disk.clear_faults();
        self.machine.disk.limit_room(None);
        self.model.shortages.end();
    }

    /// One bit of a file flips. One replica cannot heal that; it may only say so.
    fn flip_bit(&mut self) {
        let mut files = Vec::new();
        collect(&self.machine.disk, Path::new("/d1"), &mut files);
        if files.is_empty() {
            return;
        }
        let (file, len) = &files[self.scheduler.below(files.len() as u64) as usize];
        let (at, bit) = (self.scheduler.below(*len), self.scheduler.below(8));
        self.trace.note("flip", [at.cast_signed(), bit.cast_signed(), 0, 0]);
        self.machine.disk.flip_bit(file, usize::try_from(at).unwrap_or(0), bit as u32);
        self.model.damage();
    }

    /// The process ends; what it wrote stays in the page cache.
    pub(super) fn kill(&mut self) {
        self.trace.note("kill", [0; 4]);
        self.model.seen.kills += 1;
        self.break_connections();
        self.machine.kill();
        self.forget_page_cache();
    }

    /// The process has ended, or did not start. Where the disk has failed, the page cache may hold what it will not give back, also after a
    /// clean stop.
    fn forget_page_cache(&mut self) {
        if self.machine.disk.faults_struck() > 0 {
            self.model.power_cut();
        }
    }

    pub(super) fn power_cut(&mut self, left: FaultyMemDisk) {
        self.model.seen.power_cuts += 1;
        self.break_connections();
        self.model.seen.disk_faults += self.machine.disk.faults_struck();
        self.machine.power_cut(left);
        self.model.power_cut();
    }

    /// A clean stop.
    pub(super) async fn restart(&mut self) {
        self.trace.note("stop", [0; 4]);
        if let Some(node) = &mut self.machine.node {
            node.prepare_stop();
        }
        // Replies that are ready are sent.
        for client in 0..self.links.len() {
            for _ in 0..8 {
                if let Some(link) = self.links[client].as_mut().filter(|link| link.can_settle()) {
                    link.settle(&mut self.trace);
                }
            }
        }
        self.break_connections();
        if self.options.faults.power_cuts && !self.is_ending && self.scheduler.below(4) == 0 {
            self.machine.disk.cut_power_after(self.scheduler.below(40));
        }
        let stopped = self.machine.stop();
        if let Some(left) = self.machine.disk.take_cut() {
            self.trace.note("power cut while stopping", [0; 4]);
            self.model.seen.cuts_in_recovery += 1;
            return self.power_cut(left);
        }
        self.forget_page_cache();
        match stopped {
            Ok(()) => self.model.seen.clean_stops += 1,
            Err(_) if self.is_troubled() || self.model.is_damaged => {}
            Err(what) => self.model.breach(format!("the node does not stop cleanly: {what}")),
        }
    }

    /// Starts the node; the power may be cut while it recovers.
    pub(super) fn start(&mut self) {
        self.trace.note("start", [0; 4]);
        self.struck_before = self.machine.disk.faults_struck();
        if self.options.faults.power_cuts && !self.is_ending && self.scheduler.below(4) == 0 && self.trace.steps() > 0 {
            self.machine.disk.cut_power_after(self.scheduler.below(60));
        }
        let started = self.machine.start(self.options.faults.absences && !self.is_ending && self.trace.steps() > 0);
        if self.machine.is_without_dir {
            self.trace.note("without a log dir", [0; 4]);
        }
        if let Some(left) = self.machine.disk.take_cut() {
            self.trace.note("power cut while starting", [0; 4]);
            self.model.seen.cuts_in_recovery += 1;
            return self.power_cut(left);
        }
        match started {
            Ok(()) => {
                let dirs = self.machine.node.as_ref().map_or(0, server::SteppedNode::log_dirs);
                self.stages = vec![Stage::Idle; dirs];
            }
            Err(_) if self.is_troubled() => {
                self.forget_page_cache();
                self.machine.disk.clear_faults();
                self.machine.disk.limit_room(None);
                self.model.shortages.end();
            }
            Err(_) if self.model.is_damaged => self.is_over = true,
            Err(what) => self.model.breach(format!("the node does not start: {what}")),
        }
    }

    /// Every connection breaks. Of the replies that the node has sent, some still arrive.
    fn break_connections(&mut self) {
        self.orphans.clear();
        for client in 0..self.links.len() {
            let Some(mut link) = self.links[client].take() else { continue };
            self.take_some(client, &mut link);
            drop(link);
            self.with_client(client, |client, cx| client.disconnected(cx));
        }
        self.stages.iter_mut().for_each(|stage| *stage = Stage::Idle);
    }

    fn take_some(&mut self, client: usize, link: &mut Link) {
        while self.network.below(3) != 0 {
            let Some(frame) = link.receive() else { return };
            // What it sends upon the reply gets nowhere.
            let node = self.machine.node.take();
            self.with_client(client, |client, cx| client.answered(cx, &frame));
            self.machine.node = node;
        }
    }
}

/// All files below a folder that hold bytes, with their lengths.
fn collect(disk: &FaultyMemDisk, folder: &Path, files: &mut Vec<(PathBuf, u64)>) {
    for entry in disk.list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        if entry.is_dir {
            collect(disk, &path, files);
        } else if entry.len > 0 {
            files.push((path, entry.len));
        }
    }
}
