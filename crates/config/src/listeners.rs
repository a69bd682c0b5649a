//! A node's listeners: where they listen, what clients are told, how they are protected.
//!
//! What Kafka refuses at a start is refused here, with every contradiction named at once.

use crate::list::words;
use crate::values::{Roles, Values};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How a listener's connections are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Not at all.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    fn parse(name: &str) -> Option<SecurityProtocol> {
        Some(match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => SecurityProtocol::Plaintext,
            "SSL" => SecurityProtocol::Ssl,
            "SASL_PLAINTEXT" => SecurityProtocol::SaslPlaintext,
            "SASL_SSL" => SecurityProtocol::SaslSsl,
            _ => return None,
        })
    }

    /// Its number in registrations.
    #[must_use]
    pub const fn id(self) -> i16 {
        match self {
            SecurityProtocol::Plaintext => 0,
            SecurityProtocol::Ssl => 1,
            SecurityProtocol::SaslPlaintext => 2,
            SecurityProtocol::SaslSsl => 3,
        }
    }
}

/// Where a listener listens, or is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address; empty for all addresses.
    pub host: String,
    /// Port; 0 for any.
    pub port: u16,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, upper case.
    pub name: String,
    /// Where it listens.
    pub bind: Endpoint,
    /// Where clients are told to connect to.
    pub advertised: Endpoint,
    /// How it is protected.
    pub protocol: SecurityProtocol,
    /// Whether it is named in controller.listener.names.
    pub is_controller: bool,
}

/// `NAME://host:port`, with the name in upper case.
fn endpoint(text: &str) -> Result<(String, Endpoint), String> {
    let wrong = || format!("`{text}` is not a listener: NAME://HOST:PORT is expected");
    let (name, address) = text.split_once("://").ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((name.to_ascii_uppercase(), Endpoint { host: host.to_owned(), port }))
}

fn endpoints(list: &str, errors: &mut Vec<String>) -> Vec<(String, Endpoint)> {
    let parsed = words(list).map(endpoint);
    parsed.filter_map(|parsed| parsed.map_err(|why| errors.push(why)).ok()).collect()
}

/// All listeners, in the order they are written in; what stands in the way of a start goes to `errors`.
pub(crate) fn listeners(values: &Values<'_>, roles: Roles, errors: &mut Vec<String>) -> Vec<Listener> {
    let binds = endpoints(values.text("listeners").unwrap_or_default(), errors);
    let advertised = endpoints(values.given("advertised.listeners").unwrap_or_default(), errors);
    let controllers: Vec<String> =
        words(values.given("controller.listener.names").unwrap_or_default()).map(str::to_ascii_uppercase).collect();
    let listeners = protected(values, binds, &advertised, &controllers, errors);
    if roles.controller {
        check_controllers(&listeners, &controllers, errors);
    }
    check_ports(&listeners, errors);
    check_advertised(&listeners, &advertised, &controllers, errors);
    if roles.broker && !listeners.iter().any(|listener| !listener.is_controller) {
        errors.push("listeners names no listener for clients".into());
    } else if roles.broker {
        check_inter_broker(values, &listeners, &advertised, errors);
    }
    listeners
}

/// The listeners with how they are protected.
fn protected(
    values: &Values<'_>,
    binds: Vec<(String, Endpoint)>,
    advertised: &[(String, Endpoint)],
    controllers: &[String],
    errors: &mut Vec<String>,
) -> Vec<Listener> {
    let map: BTreeMap<String, &str> = words(values.text("listener.security.protocol.map").unwrap_or_default())
        .filter_map(|pair| pair.split_once(':'))
        .map(|(name, protocol)| (name.trim().to_ascii_uppercase(), protocol.trim()))
        .collect();
    let map_is_default = values.given("listener.security.protocol.map").is_none();
    let mut listeners: Vec<Listener> = Vec::new();
    for (name, bind) in binds {
        let is_controller = controllers.contains(&name);
        // Without a map of its own, Kafka takes a controller listener for PLAINTEXT.
        let protocol = map.get(&name).copied().or((map_is_default && is_controller).then_some("PLAINTEXT"));
        let Some(protocol) = protocol.and_then(SecurityProtocol::parse) else {
            errors.push(format!("listener {name} has no security protocol in listener.security.protocol.map"));
            continue;
        };
        if protocol != SecurityProtocol::Plaintext {
            errors.push(format!(
                "listener {name} is to be protected by TLS or SASL, which this version does not serve yet"
            ));
        }
        if listeners.iter().any(|known| known.name == name) {
            errors.push(format!("listener {name} is named twice"));
        }
        let told = advertised.iter().find(|(other, _)| *other == name).map(|(_, endpoint)| endpoint.clone());
        let advertised = told.unwrap_or_else(|| bind.clone());
        listeners.push(Listener { name, bind, advertised, protocol, is_controller });
    }
    listeners
}

/// A name that is no listener would turn the controller's listener into one for clients.
fn check_controllers(listeners: &[Listener], controllers: &[String], errors: &mut Vec<String>) {
    if controllers.is_empty() {
        errors.push("controller.listener.names is missing: name the listener that controllers use".into());
    }
    for name in controllers.iter().filter(|name| !listeners.iter().any(|listener| listener.name == **name)) {
        errors.push(format!("controller.listener.names names {name}, which is not in listeners"));
    }
}

/// Two listeners share a port only when one has an IPv4 and the other an IPv6 address.
fn check_ports(listeners: &[Listener], errors: &mut Vec<String>) {
    let family = |listener: &Listener| listener.bind.host.parse::<IpAddr>().ok().map(|address| address.is_ipv4());
    for (at, later) in listeners.iter().enumerate() {
        let port = later.bind.port;
        let other_family = |earlier: &Listener| matches!((family(earlier), family(later)), (Some(first), Some(second)) if first != second);
        for earlier in listeners[..at].iter().filter(|earlier| earlier.bind.port == port && port != 0) {
            if earlier.name != later.name && !other_family(earlier) {
                let (first, second) = (&earlier.name, &later.name);
                errors.push(format!("listeners {first} and {second} both want port {port}: give each its own"));
            }
        }
    }
}

/// What clients are told must be somewhere that they can go to, and a listener of this node.
fn check_advertised(
    listeners: &[Listener],
    advertised: &[(String, Endpoint)],
    controllers: &[String],
    errors: &mut Vec<String>,
) {
    for (name, _) in advertised {
        if !listeners.iter().any(|listener| listener.name == *name) && !controllers.contains(name) {
            errors.push(format!("advertised.listeners names {name}, which is not in listeners"));
        }
    }
    if !advertised.is_empty() && advertised.iter().all(|(name, _)| controllers.contains(name)) {
        errors.push("advertised.listeners names no listener for clients".into());
    }
    for listener in listeners.iter().filter(|listener| !listener.is_controller) {
        if listener.advertised.host == "0.0.0.0" {
            errors.push(format!(
                "advertised.listeners would send clients of {} to 0.0.0.0, which is nowhere: set it to an address of this machine",
                listener.name
            ));
        }
    }
}

/// A single node talks to no other broker, so what names the listener for that is checked and no more.
fn check_inter_broker(
    values: &Values<'_>,
    listeners: &[Listener],
    advertised: &[(String, Endpoint)],
    errors: &mut Vec<String>,
) {
    let (named, protocol) =
        (values.given("inter.broker.listener.name"), values.given("security.inter.broker.protocol"));
    if named.is_some() && protocol.is_some() {
        errors
            .push("inter.broker.listener.name and security.inter.broker.protocol exclude each other: keep one".into());
        return;
    }
    let (config, wanted) = match (named, protocol) {
        (Some(name), _) => ("inter.broker.listener.name", name.to_ascii_uppercase()),
        (None, Some(protocol)) => ("security.inter.broker.protocol", protocol.to_ascii_uppercase()),
        (None, None) => return,
    };
    let told = |listener: &Listener| advertised.is_empty() || advertised.iter().any(|(name, _)| *name == listener.name);
    if !listeners.iter().any(|listener| listener.name == wanted && !listener.is_controller && told(listener)) {
        errors.push(format!("{config} says {wanted}, which is no listener that advertised.listeners tells clients of"));
    }
}
