//! What the node remembers of one connection, and the buffers of the loop that serves it.

use record::Scratch;
use std::cell::{RefCell, RefMut};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    listener: Arc<str>,
    is_controller: bool,
    client_id: String,
    client_host: String,
    scratch: Rc<RefCell<Scratch>>,
}

impl Session {
    pub(crate) fn new(listener: Arc<str>, is_controller: bool, remote: IpAddr, scratch: Rc<RefCell<Scratch>>) -> Self {
        Self { listener, is_controller, client_id: String::new(), client_host: format!("/{remote}"), scratch }
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
        self.scratch.borrow_mut()
    }
}
