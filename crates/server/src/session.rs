//! What the node remembers of one connection, and what the loop that serves it shares among its connections.

use crate::timers::Timers;
use record::Scratch;
use std::cell::{RefCell, RefMut};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// What the connections of one event loop share.
#[derive(Debug, Default)]
pub(crate) struct LoopShared {
    scratch: RefCell<Scratch>,
    timers: Timers,
}

impl LoopShared {
    /// For requests that wait.
    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    listener: Arc<str>,
    is_controller: bool,
    client_id: String,
    client_host: String,
    of_loop: Rc<LoopShared>,
}

impl Session {
    pub(crate) fn new(listener: Arc<str>, is_controller: bool, remote: IpAddr, of_loop: Rc<LoopShared>) -> Self {
        Self { listener, is_controller, client_id: String::new(), client_host: format!("/{remote}"), of_loop }
    }

    /// The listener's name.
    pub(crate) fn listener_name(&self) -> &str {
        &self.listener
    }

    /// Whether the connection came in on a controller's listener.
    pub(crate) fn is_controller_listener(&self) -> bool {
        self.is_controller
    }

    /// What the client called itself in its last request.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The client's address as Kafka writes it into groups, `/127.0.0.1`.
    pub(crate) fn client_host(&self) -> &str {
        &self.client_host
    }

    /// Clients send the same id with every request, so it is copied only when it changes.
    pub(crate) fn set_client_id(&mut self, id: Option<&str>) {
        let id = id.unwrap_or_default();
        if self.client_id != id {
            id.clone_into(&mut self.client_id);
        }
    }

    /// The loop's buffers for validation.
    pub(crate) fn scratch(&self) -> RefMut<'_, Scratch> {
        self.of_loop.scratch.borrow_mut()
    }

    /// What the loop shares, for a request that outlives its call.
    pub(crate) fn of_loop(&self) -> Rc<LoopShared> {
        Rc::clone(&self.of_loop)
    }
}
