//! A broker as a process: Thalweg, or Apache Kafka 4.4.0 in its place.

use crate::fault::{During, Fault, ensure};
use crate::java::{KAFKA_FLAGS, QUICK_FLAGS, jars, java};
use crate::peers;
use crate::process::{Running, now, run};
use crate::rig::Scene;
use crate::wire;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A JVM on a machine that compiles beside it.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// A clean stop flushes everything.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// Registered ports, none of which is ephemeral on Linux (ip_local_port_range starts at 32768).
const PORTS: Range<u16> = 20_000..32_000;

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Thalweg,
    /// Apache Kafka 4.4.0.
    Kafka,
}

/// How to start a broker; starting it again uses the same folder and port.
pub struct Plan {
    /// Which broker it starts.
    pub kind: Kind,
    /// Its log dir; of two the one with the metadata.
    pub data: PathBuf,
    /// Its other log dir, where it has two.
    pub second: Option<PathBuf>,
    /// Where clients connect, on 127.0.0.1.
    pub port: u16,
    controller_port: u16,
    /// Where clients are told to connect, when that is not `port`.
    advertised: Option<u16>,
    /// server.properties, for Kafka always, for Thalweg when [`Plan::configured`].
    pub config: PathBuf,
    configured: bool,
    measured: bool,
    settings: Vec<(String, String)>,
    log: PathBuf,
}

/// A broker that runs.
pub struct Node {
    /// Which broker it is.
    pub kind: Kind,
    /// `HOST:PORT` for clients.
    pub address: String,
    /// Its process.
    pub running: Running,
    /// From the start of the process to its first answer.
    pub first_reply: Duration,
}

impl Plan {
    /// An empty data folder below `folder`.
    pub fn new(kind: Kind, folder: &Path, number: u32) -> Result<Plan, Fault> {
        Ok(Plan {
            kind,
            data: folder.join(format!("data{number}")),
            second: None,
            port: free_port()?,
            controller_port: free_port()?,
            advertised: None,
            config: folder.join(format!("server{number}.properties")),
            configured: kind == Kind::Kafka,
            measured: false,
            settings: Vec::new(),
            log: folder.join(format!("node{number}.log")),
        })
    }

    /// With one more broker config.
    pub fn with(mut self, key: &str, value: &str) -> Plan {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With two log dirs, which only a configuration file can name.
    pub fn with_two_log_dirs(mut self) -> Plan {
        self.second = Some(self.data.with_extension("second"));
        self.configured()
    }

    /// Started from a server.properties file, as Kafka is.
    pub fn configured(mut self) -> Plan {
        self.configured = true;
        self
    }

    /// Tells its clients to connect to another port, which is given back and where something has to listen for it.
    pub fn behind_a_proxy(mut self) -> Result<(Plan, u16), Fault> {
        let port = free_port()?;
        self.advertised = Some(port);
        Ok((self.configured(), port))
    }

    /// As Kafka's own scripts start it: for figures, and not for a quick start.
    pub fn measured(mut self) -> Plan {
        self.measured = true;
        self
    }

    /// The same folder, ports and config for the other kind of broker.
    pub fn taken_over_by(&self, kind: Kind) -> Plan {
        Plan {
            kind,
            data: self.data.clone(),
            second: self.second.clone(),
            port: self.port,
            controller_port: self.controller_port,
            advertised: self.advertised,
            config: self.config.clone(),
            configured: true,
            measured: self.measured,
            settings: self.settings.clone(),
            log: self.log.with_extension(format!("{kind:?}.log")),
        }
    }

    /// Writes the server.properties that both kinds of broker read.
    pub fn write_config(&self) -> Result<(), Fault> {
        let (port, controller) = (self.port, self.controller_port);
        let dirs: Vec<String> =
            [&self.data].into_iter().chain(&self.second).map(|dir| dir.display().to_string()).collect();
        let mut lines = vec![
            "process.roles=broker,controller".to_owned(),
            format!("node.id={}", self.node_id()),
            format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
            format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{}", self.advertised.unwrap_or(port)),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("log.dirs={}", dirs.join(",")),
            "offsets.topic.replication.factor=1".to_owned(),
            "offsets.topic.num.partitions=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "transaction.state.log.num.partitions=1".to_owned(),
            "share.coordinator.state.topic.replication.factor=1".to_owned(),
            "share.coordinator.state.topic.min.isr=1".to_owned(),
        ];
        lines.extend(self.settings.iter().map(|(key, value)| format!("{key}={value}")));
        std::fs::write(&self.config, lines.join("\n") + "\n").during(self.config.display())
    }

    /// The id in meta.properties, or 1 for a folder that is not formatted yet.
    fn node_id(&self) -> String {
        let meta = std::fs::read_to_string(self.data.join("meta.properties")).unwrap_or_default();
        meta.lines().find_map(|line| line.strip_prefix("node.id=")).unwrap_or("1").to_owned()
    }

    /// Formats the data folder with the broker's own tool and these further arguments.
    pub fn format(&self, scene: &Scene<'_>, further: &[&str]) -> Result<(), Fault> {
        self.write_config()?;
        let config = self.config.display().to_string();
        let args =
            [&["format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", config.as_str(), "--standalone"], further].concat();
        match self.kind {
            Kind::Kafka => scene.java(|java| java.tool("kafka.tools.StorageTool", &args)).map(|_| ()),
            Kind::Thalweg => {
                let mut command = Command::new(peers::thalweg()?);
                run(command.arg("storage").args(&args), START_DEADLINE).map(|_| ())
            }
        }
    }

    /// Starts it and waits until it has answered a request.
    pub fn start(&self, scene: &Scene<'_>) -> Result<Node, Fault> {
        let command = match self.kind {
            Kind::Kafka => {
                self.write_config()?;
                if !self.data.join("meta.properties").exists() {
                    self.format(scene, &[])?;
                }
                let quick = [QUICK_FLAGS, &["-Xmx512m"]].concat();
                let mut command = java(&jars()?, None, if self.measured { KAFKA_FLAGS } else { &quick });
                command.arg("kafka.Kafka").arg(&self.config);
                command
            }
            Kind::Thalweg => self.thalweg()?,
        };
        let mut command = command;
        let started = now();
        let running = Running::start(&mut command, &self.log)?;
        let address = match self.kind {
            Kind::Kafka => {
                running.await_line(START_DEADLINE, |line| line.contains("Kafka Server started").then_some(()))?;
                format!("127.0.0.1:{}", self.port)
            }
            Kind::Thalweg => {
                running.await_line(START_DEADLINE, |line| line.strip_prefix("ready ").map(str::to_owned))?
            }
        };
        wire::api_versions(&mut wire::connect(&address)?).during(format!("first request to {address}"))?;
        let first_reply = now() - started;
        ensure(self.port == 0 || address.ends_with(&format!(":{}", self.port)), || {
            format!("ready at {address}, asked for port {}", self.port)
        })?;
        Ok(Node { kind: self.kind, address, running, first_reply })
    }

    fn thalweg(&self) -> Result<Command, Fault> {
        let mut command = Command::new(peers::thalweg()?);
        command.arg("server");
        if self.configured {
            self.write_config()?;
            command.arg("--config").arg(&self.config);
        } else {
            command.arg("--data").arg(&self.data).arg("--listen").arg(format!("127.0.0.1:{}", self.port));
            for (key, value) in &self.settings {
                command.arg("--set").arg(format!("{key}={value}"));
            }
        }
        Ok(command)
    }
}

impl Node {
    /// SIGTERM; it must end by itself, in time and with status 0 (a JVM ends with 143).
    pub fn stop(self) -> Result<(), Fault> {
        let kind = self.kind;
        let status: ExitStatus = self.running.terminate(STOP_DEADLINE)?;
        let clean = status.success() || (kind == Kind::Kafka && status.code() == Some(143));
        ensure(clean, || format!("SIGTERM ended it with {status}"))
    }

    /// SIGKILL.
    pub fn kill(self) -> Result<(), Fault> {
        self.running.kill()
    }
}

/// A port that nobody listens on now, below those that the kernel gives to outgoing connections: a client that retries
/// while a node is down could otherwise be given the node's own port, and the node would not come back.
fn free_port() -> Result<u16, Fault> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut tried = 0;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = std::process::id().wrapping_mul(61).wrapping_add(number) % u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(place).unwrap_or(0);
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(_) if tried < PORTS.len() => tried += 1,
            Err(error) => return Err(error).during("looking for a free port"),
        }
    }
}
