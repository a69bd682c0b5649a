//! A graceful end: accept nothing more, finish the replies in flight until a deadline, close.

use tokio::sync::watch;
use tokio::time::{Duration, Instant};

/// Begins the end. Dropping it begins the end too, with no time left.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<Option<Instant>>);

/// Tells connections and listeners that the end has begun. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Option<Instant>>);

impl ShutdownTrigger {
    /// A trigger and what listens to it.
    #[must_use]
    pub fn new() -> (ShutdownTrigger, Shutdown) {
        let (sender, receiver) = watch::channel(None);
        (ShutdownTrigger(sender), Shutdown(receiver))
    }

    /// Stops accepting and reading; replies in flight have `grace` to be sent.
    pub fn begin(&self, grace: Duration) {
        self.0.send_replace(Some(Instant::now() + grace));
    }
}

impl Shutdown {
    /// Waits for the beginning of the end; returns the deadline.
    pub async fn begun(&mut self) -> Instant {
        match self.0.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.has_changed().unwrap_or(true) || self.0.borrow().is_some()
    }
}
