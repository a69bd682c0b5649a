//! One flusher a log dir, beside which commits go on. It has no clock and no queue: others say what they want, and wants of a kind are
//! one. What it does then is in [`flush`](crate::flush).

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// What a flusher is to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The write-ahead file's space is to be given back.
    pub(crate) retire: bool,
    /// Recovery points are to move and to be written.
    pub(crate) checkpoint: bool,
    /// Log starts are to be written, for those who wait for it.
    pub(crate) log_starts: bool,
    closing: bool,
}

/// The wants of one log dir.
#[derive(Default)]
pub(crate) struct Flusher {
    wanted: Mutex<Wanted>,
    woken: Condvar,
    /// Who waits for log starts to be written: one a request, so bounded by the requests in flight.
    waiting: Mutex<Vec<oneshot::Sender<bool>>>,
}

impl Flusher {
    /// Asks for the write-ahead file's space.
    pub(crate) fn want_retire(&self) {
        self.wanted.lock().retire = true;
        self.woken.notify_one();
    }

    /// Asks for new recovery points.
    pub(crate) fn want_checkpoint(&self) {
        self.wanted.lock().checkpoint = true;
        self.woken.notify_one();
    }

    /// Asks for the log starts to be written; says whether they were, since DeleteRecords moves a start for good or not at all.
    pub(crate) fn want_log_starts(&self) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().push(sender);
        self.wanted.lock().log_starts = true;
        self.woken.notify_one();
        receiver
    }

    /// Lets [`Flusher::run`] return; what is still wanted is left to the stop.
    pub(crate) fn close(&self) {
        self.wanted.lock().closing = true;
        self.woken.notify_one();
    }

    /// Lets `carry_out` do what is wanted until [`Flusher::close`]: the body of the flusher's thread. It says whether it was done.
    pub(crate) fn run(&self, carry_out: impl Fn(Wanted) -> bool) {
        loop {
            let wanted = {
                let mut wanted = self.wanted.lock();
                while *wanted == Wanted::default() {
                    self.woken.wait(&mut wanted);
                }
                if wanted.closing {
                    return;
                }
                std::mem::take(&mut *wanted)
            };
            self.turn(wanted, &carry_out);
        }
    }

    /// One turn without a thread: lets `carry_out` do what is wanted by now.
    pub(crate) fn step(&self, carry_out: impl Fn(Wanted) -> bool) {
        let wanted = std::mem::take(&mut *self.wanted.lock());
        self.turn(wanted, &carry_out);
    }

    fn turn(&self, wanted: Wanted, carry_out: &impl Fn(Wanted) -> bool) {
        // Before the starts are looked at: who comes later is told the next time.
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let done = carry_out(wanted);
        for waiter in waiting {
            let _unheard = waiter.send(done);
        }
    }
}
