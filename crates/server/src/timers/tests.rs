use super::{KEPT_MAX, Timers};
use std::future::{pending, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn kept(timers: &Timers) -> usize {
    timers.kept.borrow().len()
}

/// What happens after this time.
async fn after(time: Duration) {
    assert_eq!(Timers::default().within(time, pending::<()>()).await, None);
}

/// How long a wait for nothing takes.
async fn wait(timers: &Timers, time: Duration) -> Duration {
    let began = Instant::now();
    assert_eq!(timers.within(time, pending::<()>()).await, None);
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_time_whatever_its_timer_was_set_to() {
    let timers = Timers::default();
    for time in [SECOND, 3 * SECOND, 30 * SECOND, SECOND / 2, SECOND, Duration::ZERO, SECOND] {
        assert_eq!(wait(&timers, time).await, time);
        // One that is still running: for longer, and for shorter.
        assert_eq!(timers.within(10 * SECOND, after(SECOND)).await, Some(()));
        assert_eq!(wait(&timers, time).await, time);
    }
    assert_eq!(kept(&timers), 1, "each wait took the same timer");
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_still_runs_is_not_set_anew_for_a_later_time() {
    let timers = Timers::default();
    let began = Instant::now();
    for _ in 0..1_000 {
        timers.within(30 * SECOND, after(Duration::from_millis(1))).await.expect("it happens");
    }
    assert_eq!(kept(&timers), 1);
    assert_eq!(timers.kept.borrow()[0].deadline(), began + 30 * SECOND, "as the first wait has set it");
}

#[tokio::test(start_paused = true)]
async fn what_happens_at_once_takes_no_timer() {
    let timers = Timers::default();
    assert_eq!(timers.within(SECOND, ready(7)).await, Some(7));
    assert_eq!(kept(&timers), 0);
}

#[tokio::test(start_paused = true)]
async fn what_happens_at_the_same_time_as_the_deadline_counts() {
    let timers = Timers::default();
    assert_eq!(timers.within(SECOND, after(SECOND)).await, Some(()));
}

#[tokio::test(start_paused = true)]
async fn many_waits_have_a_timer_each_and_few_are_kept() {
    let timers = Timers::default();
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut waits: Vec<_> = (0..2 * KEPT_MAX).map(|_| Box::pin(timers.within(SECOND, pending::<()>()))).collect();
        for wait in &mut waits {
            assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
        }
        assert_eq!(kept(&timers), 0);
    }
    assert_eq!(kept(&timers), KEPT_MAX, "given up as they were");
    let mut wait = pin!(timers.within(2 * SECOND, pending::<()>()));
    assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
    tokio::time::advance(SECOND + Duration::from_millis(1)).await;
    assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending, "fires too early, and is set anew");
    tokio::time::advance(SECOND).await;
    assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(None));
}
