//! librdkafka as a load: the client that most others are made of, in a process of its own.

use conformance::fault::{During, Fault, ensure};
use conformance::peers;
use conformance::process::run;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Start, load, and the last deliveries.
const DEADLINE: Duration = Duration::from_secs(120);

/// What the script says at its end.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// Delivered.
    pub records: u64,
    /// From the first record to the last delivery.
    pub seconds: f64,
    /// Delivery reports with an error.
    pub errors: u64,
}

/// Sends records of `record` bytes to partition 0 for so long, linger 5 ms.
pub fn produce(address: &str, topic: &str, record: usize, acks: i16, time: Duration) -> Result<Said, Fault> {
    let mut command = Command::new(peers::python()?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/load/rdkafka.py"));
    command.args([address, topic, &time.as_secs_f64().to_string(), &record.to_string(), &acks.to_string(), "5"]);
    let said: Said = serde_json::from_str(run(&mut command, DEADLINE)?.text().trim())
        .map_err(|error| Fault::Failed(error.to_string()))
        .during("what librdkafka's load says")?;
    ensure(said.errors == 0, || format!("{} records were refused", said.errors))?;
    Ok(said)
}
