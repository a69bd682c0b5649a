//! The controller's own registration (KIP-919): how it is reached, and which feature levels it runs. From metadata.version 3.7-IV0 on it
//! stands in the log, for those who look at the metadata and for the controllers that are to come.

use crate::{Controller, VersionedRecord};
use base::NodeId;
use metadata::MetadataVersion;
use protocol::messages::register_controller_record::RegisterControllerRecord;

impl Controller {
    /// Takes down what this controller says of itself, and returns the record that the log lacks of it, if the cluster's metadata.version
    /// has any.
    #[must_use]
    pub fn register_controller(&mut self, own: RegisterControllerRecord<'static>) -> Option<VersionedRecord> {
        self.own = Some(own);
        self.own_registration(self.version())
    }

    /// The record that the log lacks of this controller once the cluster has the metadata.version `version`.
    pub(crate) fn own_registration(&self, version: MetadataVersion) -> Option<VersionedRecord> {
        let own = self.own.as_ref().filter(|_| version.has_controller_registration())?;
        let is_known = self.image.controller(NodeId(own.controller_id)) == Some(own);
        (!is_known).then(|| (own.clone().into(), 0))
    }
}
