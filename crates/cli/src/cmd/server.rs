//! `thalweg server`: arguments become a configuration, the node does the rest.

use crate::cmd::storage::{check_config, format_empty, load_properties};
use crate::options::name_and_value;
use crate::output::{Failure, line};
use clap::{Args, ValueEnum};
use config::{NodeConfig, Properties};
use server::{Environment, Node};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use telemetry::LogFormat;
use tokio::time::Duration;

/// How often the node is asked whether it can go on.
const HEALTH_CHECK: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct Server {
    /// The node's server.properties, as Kafka's [default: a single node that formats an empty data dir itself]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where data is kept: `log.dirs` [default without --config: thalweg-data]
    #[arg(long, short, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where clients connect to; port 0 takes a free one [default without --config: 127.0.0.1:9092]
    #[arg(long, short, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Set a config; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
    /// How log lines on stderr look
    #[arg(long, value_enum, default_value_t = Log::Text)]
    log: Log,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

pub(crate) fn run(command: &Server) -> Result<(), Failure> {
    telemetry::init_logs(match command.log {
        Log::Text => LogFormat::Text,
        Log::Json => LogFormat::Json,
    });
    let mut properties = match &command.config {
        Some(path) => load_properties(path)?,
        None => single_node(),
    };
    if let Some(listen) = &command.listen {
        set_listen(&mut properties, listen)?;
    }
    if let Some(data) = &command.data {
        set_data(&mut properties, data);
    }
    for (name, value) in &command.set {
        properties.set(name.as_str(), value.as_str());
    }
    let source = command.config.as_ref().map_or("the configuration".to_owned(), |path| path.display().to_string());
    let config = check_config(&properties, &source, |warning| tracing::warn!("{warning}"))?;
    if command.config.is_none() && format_empty(&config)? {
        tracing::info!(dir = %config.metadata_log_dir.display(), "formatted an empty data dir as a new cluster");
    }
    serve(start(config)?)
}

/// The configuration of a node on its own.
pub(crate) fn single_node() -> Properties {
    let mut properties = Properties::default();
    properties.set("process.roles", "broker,controller");
    properties.set("node.id", "1");
    properties.set("controller.listener.names", "CONTROLLER");
    properties.set("log.dirs", "thalweg-data");
    // There is one node to keep a replica.
    properties.set("offsets.topic.replication.factor", "1");
    set_addresses(&mut properties, "127.0.0.1", 9092);
    properties
}

/// The controller listens on loopback, one port on; nobody but the node itself has to reach it.
fn set_addresses(properties: &mut Properties, host: &str, port: u16) {
    let controller_port = if port == 0 { 0 } else { port.checked_add(1).unwrap_or(port - 1) };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    properties.set("listeners", format!("PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}"));
    if is_every_address(&host) {
        // No client can go to "every address": it is told this machine's name, as for an empty host.
        properties.set("advertised.listeners", format!("PLAINTEXT://:{port}"));
    }
    properties.set("controller.quorum.bootstrap.servers", format!("127.0.0.1:{controller_port}"));
}

fn is_every_address(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "[::]")
}

/// Replaces where clients connect to. With a configuration of its own, the node keeps its other listeners.
pub(crate) fn set_listen(properties: &mut Properties, listen: &str) -> Result<(), Failure> {
    let parsed = listen.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let wrong = || Failure::said(format!("`{}` is not HOST:PORT", listen.escape_debug()));
    let (host, port) = parsed.ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let names: Vec<String> = config::words(properties.get("controller.listener.names").unwrap_or_default())
        .map(str::to_ascii_uppercase)
        .collect();
    let listeners = properties.get("listeners").unwrap_or_default().to_owned();
    let is_controller = |listener: &&str| {
        listener.split_once("://").is_some_and(|(name, _)| names.contains(&name.trim().to_ascii_uppercase()))
    };
    let controllers: Vec<&str> = config::words(&listeners).filter(is_controller).collect();
    if *properties == single_node() {
        set_addresses(properties, host, port);
        return Ok(());
    }
    let mut all = vec![format!("PLAINTEXT://{listen}")];
    all.extend(controllers.into_iter().map(str::to_owned));
    properties.set("listeners", all.join(","));
    let every = is_every_address(listen.rsplit_once(':').map_or("", |(host, _)| host));
    properties.set("inter.broker.listener.name", "");
    properties.set("advertised.listeners", if every { format!("PLAINTEXT://:{port}") } else { String::new() });
    Ok(())
}

/// Replaces where data is kept.
pub(crate) fn set_data(properties: &mut Properties, data: &Path) {
    properties.set("log.dirs", data.display().to_string());
    properties.set("metadata.log.dir", "");
}

pub(crate) fn start(config: NodeConfig) -> Result<Node, Failure> {
    let environment = Environment { release_memory: crate::allocator::release, ..Environment::real() };
    Node::start(config, environment).map_err(|error| Failure::said(format!("the node does not start: {error}")))
}

/// Says that the node is ready, and serves until it is told to stop or cannot go on.
pub(crate) fn serve(node: Node) -> Result<(), Failure> {
    let bound: SocketAddr = node.bound();
    let ended = wait_for_the_end(&node, || say_ready(bound));
    tracing::info!("stopping");
    let stopped = node.shutdown();
    match (ended, stopped) {
        (Err(failure), _) => Err(failure),
        (Ok(Some(why)), _) => Err(Failure::said(why)),
        (Ok(None), Err(error)) => Err(Failure::said(format!("the node did not stop cleanly: {error}"))),
        (Ok(None), Ok(())) => Ok(()),
    }
}

/// The one line on stdout. A node whose starter does not read it has clients all the same.
fn say_ready(bound: SocketAddr) -> Result<(), Failure> {
    match line(format_args!("ready {bound}")) {
        Err(Failure::ReaderGone) => {
            tracing::warn!(%bound, "ready, and nobody reads the standard output");
            Ok(())
        }
        said => said,
    }
}

/// Waits for a signal to end, or for the node to fail; returns why it did. `ready` is called once a signal would be heard, so that
/// whoever reads of it may stop the node at once.
fn wait_for_the_end(node: &Node, ready: impl FnOnce() -> Result<(), Failure>) -> Result<Option<String>, Failure> {
    let failed = async {
        ready()?;
        loop {
            tokio::time::sleep(HEALTH_CHECK).await;
            if let Some(why) = node.failed() {
                return Ok::<_, Failure>(why);
            }
        }
    };
    on_a_signal_or(failed)?.transpose()
}

/// What `job` comes to; `None` when a signal to end came first: SIGTERM, SIGINT, or SIGHUP of a terminal that is closed, as for Kafka.
/// `job` begins when signals are heard.
pub(crate) fn on_a_signal_or<T>(job: impl Future<Output = T>) -> Result<Option<T>, Failure> {
    let cannot = |error: std::io::Error| Failure::said(format!("cannot wait for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
        tokio::select! {
            _ = terminate.recv() => Ok(None),
            _ = interrupt.recv() => Ok(None),
            _ = hangup.recv() => Ok(None),
            done = job => Ok(Some(done)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_moves_a_single_node_with_its_controller() {
        let mut properties = single_node();
        set_listen(&mut properties, "0.0.0.0:7000").expect("an address");
        assert_eq!(properties.get("listeners"), Some("PLAINTEXT://0.0.0.0:7000,CONTROLLER://127.0.0.1:7001"));
        assert!(check_config(&properties, "test", |warning| panic!("{warning}")).is_ok());
        let mut properties = single_node();
        set_listen(&mut properties, "[::1]:0").expect("an address");
        assert_eq!(properties.get("listeners"), Some("PLAINTEXT://[::1]:0,CONTROLLER://127.0.0.1:0"));
        assert!(set_listen(&mut properties, "nonsense").is_err());
    }

    #[test]
    fn clients_are_not_told_to_go_to_every_address() {
        let of_its_own = "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://a:1,CONTROLLER://b:2\n\
                          controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=b:2\n";
        for mut properties in [single_node(), Properties::parse(of_its_own)] {
            for (listen, bind) in [("0.0.0.0:7000", "0.0.0.0"), ("[::]:7000", "::")] {
                set_listen(&mut properties, listen).expect("an address");
                let config = check_config(&properties, "test", |_| {}).expect("a configuration");
                let listener = config.listener("PLAINTEXT").expect("a listener");
                assert_eq!((&*listener.bind.host, listener.bind.port), (bind, 7000));
                // An empty host stands for the name of the machine.
                assert_eq!((&*listener.advertised.host, listener.advertised.port), ("", 7000));
            }
        }
    }

    #[test]
    fn listen_keeps_the_controller_listener_of_a_configuration() {
        let text =
            "process.roles=broker,controller\nlisteners=PLAINTEXT://a:1,CTL://b:2\ncontroller.listener.names=CTL\n";
        let mut properties = Properties::parse(text);
        set_listen(&mut properties, "127.0.0.1:5").expect("an address");
        assert_eq!(properties.get("listeners"), Some("PLAINTEXT://127.0.0.1:5,CTL://b:2"));
    }
}
