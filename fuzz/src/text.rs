//! Text that operators and clients write: properties files, the values of configs.

use crate::heap::bounded;
use config::{NodeConfig, Properties, validate_topic};

/// A properties file, as a node's configuration and its values as those of topics.
pub fn properties(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parsed = bounded(data.len(), 64 * data.len(), || Properties::parse(&text));
    for (key, value) in parsed.iter() {
        assert_eq!(parsed.get(key), Some(value), "`{key}` = `{value}` is found again");
    }
    let values = parsed.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    bounded(data.len(), 64 * data.len(), || drop(validate_topic(&values)));
    // Defaults and warnings of a whole configuration, whatever the file says.
    bounded(data.len(), (4 << 20) + 256 * data.len(), || drop(NodeConfig::from_properties(&parsed)));
}
