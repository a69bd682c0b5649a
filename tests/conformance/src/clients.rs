//! The clients as one kind of thing: each sends a file's lines to partition 0 with a codec, and prints partition 0 line by line.

use conformance::fault::{During, Fault, ensure};
use conformance::peers;
use conformance::process::{CLIENT_DEADLINE, run};
use conformance::rig::Scene;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Kafka's names of its codecs.
pub(crate) const CODECS: &[&str] = &["none", "gzip", "snappy", "lz4", "zstd"];

/// A client that is there.
pub(crate) enum Client {
    /// librdkafka in Debian's kcat.
    Kcat(PathBuf),
    /// Apache Kafka's console producer (idempotent, acks=all) and console consumer.
    JavaConsole,
    /// confluent-kafka or kafka-python.
    Python { interpreter: PathBuf, client: &'static str },
    /// @platformatic/kafka.
    Node(PathBuf),
}

/// Every client that can be had here; the others are noted as skipped.
pub(crate) fn all(scene: &Scene<'_>) -> Result<Vec<(&'static str, Client)>, Fault> {
    let mut clients = Vec::new();
    clients.extend(scene.peer("kcat", peers::kcat())?.map(|path| ("kcat", Client::Kcat(path))));
    clients.extend(scene.peer("java-console", peers::kafka_jars())?.map(|_| ("java-console", Client::JavaConsole)));
    for (name, client) in [("confluent-kafka", "confluent"), ("kafka-python", "pure")] {
        let found = scene.peer(name, peers::python())?;
        clients.extend(found.map(|interpreter| (name, Client::Python { interpreter, client })));
    }
    clients.extend(scene.peer("node", peers::node_script("peer.mjs"))?.map(|script| ("node", Client::Node(script))));
    Ok(clients)
}

impl Client {
    /// Sends every line of `file` to partition 0 of `topic`.
    pub(crate) fn produce(
        &self,
        scene: &Scene<'_>,
        address: &str,
        topic: &str,
        codec: &str,
        file: &Path,
    ) -> Result<(), Fault> {
        let mut command = match self {
            Client::JavaConsole => {
                let args = ["--bootstrap-server", address, "--topic", topic, "--compression-codec", codec];
                let answer = scene.java(|java| java.tool_any("ConsoleProducer", Some(file), &args))?;
                return ensure(answer.code == 0 && !answer.stderr.contains("Error when sending"), || answer.stderr);
            }
            Client::Kcat(path) => {
                let mut command = Command::new(path);
                command.args(["-P", "-b", address, "-t", topic, "-p", "0", "-z", codec, "-X", "linger.ms=5", "-l"]);
                command
            }
            Client::Python { interpreter, client } => {
                let mut command = Command::new(interpreter);
                command.arg(peers::manifests().join("python_peer.py")).args([client, "produce", address, topic, codec]);
                command
            }
            Client::Node(script) => {
                let mut command = Command::new("node");
                command.arg(script).args(["produce", address, topic, codec]);
                command
            }
        };
        run(command.arg(file), CLIENT_DEADLINE).map(|_| ())
    }

    /// Whether it can read what `producer` compresses. The Node client takes snappy only as one raw block, as librdkafka and it
    /// write it, and not in the frames that Java (and kafka-python) put around blocks; Kafka's own answers it cannot read either.
    pub(crate) fn can_read(&self, codec: &str, producer: &str) -> bool {
        !(matches!(self, Client::Node(_)) && codec == "snappy" && matches!(producer, "java-console" | "kafka-python"))
    }

    /// Partition 0 of each topic from its start to its end, a line a record; in one process where starting one is dear.
    pub(crate) fn consume(
        &self,
        scene: &Scene<'_>,
        address: &str,
        topics: &[String],
        count: usize,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let mut command = match self {
            Client::JavaConsole => {
                return topics.iter().map(|topic| java_console(scene, address, topic, count)).collect();
            }
            Client::Kcat(path) => {
                let from = ["-p", "0", "-o", "beginning", "-e", "-q", "-X", "check.crcs=true"];
                let one = |topic: &String| {
                    let said =
                        run(Command::new(path).args(["-C", "-b", address, "-t", topic]).args(from), CLIENT_DEADLINE)?;
                    Ok(said.stdout)
                };
                return topics.iter().map(one).collect();
            }
            Client::Python { interpreter, client } => {
                let mut command = Command::new(interpreter);
                command.arg(peers::manifests().join("python_peer.py")).args([client, "consume", address]);
                command
            }
            Client::Node(script) => {
                let mut command = Command::new("node");
                command.arg(script).args(["consume", address]);
                command
            }
        };
        let folder = scene.path("back");
        std::fs::create_dir_all(&folder).during(folder.display())?;
        run(command.arg(&folder).args(topics), CLIENT_DEADLINE)?;
        topics.iter().map(|topic| std::fs::read(folder.join(topic)).during(topic)).collect()
    }
}

fn java_console(scene: &Scene<'_>, address: &str, topic: &str, count: usize) -> Result<Vec<u8>, Fault> {
    let count = count.to_string();
    let args = ["--bootstrap-server", address, "--topic", topic, "--partition", "0", "--offset", "earliest"];
    let limits = ["--max-messages", count.as_str(), "--timeout-ms", "30000"];
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    scene.java(|java| java.tool(class, &[&args[..], &limits].concat())).map(String::into_bytes)
}
