//! What the codecs cut bytes into.

/// Bytes that go from a decompressor to its consumer at a time.
pub(super) const CHUNK: usize = 16 * 1024;

/// Moves as many bytes as fit from the front of `from`.
pub(super) fn copy(from: &mut &[u8], out: &mut [u8]) -> usize {
    let n = from.len().min(out.len());
    let (taken, rest) = from.split_at(n);
    out[..n].copy_from_slice(taken);
    *from = rest;
    n
}

/// Cuts what is written into blocks of a fixed size, of which only the last is shorter.
pub(super) struct Blocks<'a> {
    size: usize,
    pending: &'a mut Vec<u8>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(size: usize, pending: &'a mut Vec<u8>) -> Self {
        pending.clear();
        Self { size, pending }
    }

    pub(super) fn write(&mut self, mut input: &[u8], mut each: impl FnMut(&[u8])) {
        while !input.is_empty() {
            // A whole block goes by without being copied.
            if self.pending.is_empty() && input.len() >= self.size {
                let (block, rest) = input.split_at(self.size);
                each(block);
                input = rest;
                continue;
            }
            let (taken, rest) = input.split_at(input.len().min(self.size - self.pending.len()));
            self.pending.extend_from_slice(taken);
            input = rest;
            if self.pending.len() == self.size {
                each(self.pending);
                self.pending.clear();
            }
        }
    }

    pub(super) fn finish(self, each: impl FnOnce(&[u8])) {
        if !self.pending.is_empty() {
            each(self.pending);
        }
    }
}
