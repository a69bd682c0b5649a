//! The timers of one event loop, for requests that wait until something happens or their time is over.
//!
//! Nearly every wait ends long before its time. A timer made anew for each would be the earliest of its loop, and tokio wakes its own driver
//! for such a one: a write and an epoll_wait a request. So a timer goes on running when its wait is over, and the next wait takes it as it
//! is; one that fires before its wait's time is set to that time then.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::time::{Duration, Instant, Sleep};

/// Timers that go on running without a wait, at most. More requests than this wait at once only where each waits for long.
const KEPT_MAX: usize = 64;

/// The timers of one loop. All waits have to be polled within the same runtime.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    kept: RefCell<Vec<Pin<Box<Sleep>>>>,
}

impl Timers {
    /// Waits for `event`, but at most for `time`; `None` when that came first.
    pub(crate) async fn within<T>(&self, time: Duration, event: impl Future<Output = T>) -> Option<T> {
        let deadline = Instant::now() + time;
        let mut event = pin!(event);
        let mut timer = None;
        poll_fn(|cx| match event.as_mut().poll(cx) {
            Poll::Ready(happened) => Poll::Ready(Some(happened)),
            Poll::Pending => timer.get_or_insert_with(|| self.lend(deadline)).poll(cx).map(|()| None),
        })
        .await
    }

    fn lend(&self, deadline: Instant) -> Lent<'_> {
        let kept = self.kept.borrow_mut().pop();
        let mut sleep = kept.unwrap_or_else(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        Lent { timers: self, sleep: Some(sleep), deadline }
    }
}

/// A timer while a wait has it.
struct Lent<'t> {
    timers: &'t Timers,
    /// Always there until it is given back.
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Instant,
}

impl Lent<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(()) };
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut kept = self.timers.kept.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.extend(self.sleep.take());
        }
    }
}

#[cfg(test)]
mod tests;
