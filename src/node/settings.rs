//! From flags to what each room is started with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::descriptors;
use crate::config::{self, Config};
use crate::discovery::{self, DiscoverySettings, Search};
use crate::election::{Incarnation, NodeId, RedisAddr, Settings};
use crate::listener;
use crate::peer::PeerSettings;
use crate::proxy::{self, Proxy, ProxyError, ProxySettings};
use crate::redis::{Access, AccessSettings, Password, RedisSettings, Rescue, TlsFiles};
use crate::secrets::Keyring;

/// Threads of the read endpoint: those at a master elsewhere are with the threads of the write
/// endpoint.
const READ_THREADS: usize = 1;

/// The name that hives of one kind share: `--name`, else the first service's, else the usual one.
pub(super) fn hive_name(config: &Config, search: &Search) -> String {
    config.name.clone().unwrap_or_else(|| match config.services.first() {
        Some(service) => discovery::absolute_name(service, search),
        None => config::defaults::NAME.to_owned(),
    })
}

/// Who this hive is towards its peers: told, found out from DNS, or the address of the default route.
pub(super) async fn identity(config: &Config, search: &Search) -> anyhow::Result<NodeId> {
    if let Some(ip) = config.advertise {
        return Ok(NodeId::new(ip, config.peer_port));
    }
    let states = discovery::resolve_once(&discovery_settings(config, search.clone())).await?;
    let mut listed: Vec<IpAddr> = states.into_iter().flat_map(|state| state.addresses).collect();
    listed.extend(config.peers.iter().map(|peer| peer.ip));
    match config::advertised(&listed) {
        Some(ip) => Ok(NodeId::new(ip, config.peer_port)),
        None => anyhow::bail!(
            "--advertise: no address of this machine is known to others; give it, or POD_IP"
        ),
    }
}

/// How the service is resolved.
pub(super) fn discovery_settings(config: &Config, search: Search) -> DiscoverySettings {
    DiscoverySettings {
        services: config.services.clone(),
        peer_port: config.peer_port,
        nameserver: config.dns_server,
        search,
        interval: Duration::from_secs(1),
    }
}

/// What the links are kept with.
pub(super) fn peer_settings(
    config: &Config,
    me: NodeId,
    incarnation: Incarnation,
    name: String,
    keyring: Keyring,
) -> PeerSettings {
    PeerSettings {
        me,
        incarnation,
        name,
        bind: config.bind,
        heartbeat: config.timing.heartbeat,
        peer_timeout: config.timing.peer_timeout,
        keyring,
    }
}

/// Which of the two endpoints for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `--proxy-port`
    Write,
    /// `--read-port`
    Read,
}

/// Opens the write endpoint, and the read endpoint if there is to be one; `routed` hears of every
/// route that all threads of one of them have.
pub(super) fn start_proxies(
    config: &Config,
    origin: Instant,
    routed: &mpsc::UnboundedSender<(Endpoint, u64)>,
) -> anyhow::Result<(Proxy, Option<Proxy>)> {
    let confirm = |endpoint: Endpoint| -> proxy::Routed {
        let routed = routed.clone();
        Arc::new(move |id| {
            // The receiver only goes with the whole node.
            let _ = routed.send((endpoint, id));
        })
    };
    let settings = ProxySettings {
        listen: vec![SocketAddr::new(config.bind, config.proxy_port)],
        threads: config.proxy_threads,
        hold_timeout: config.timing.hold_timeout,
        max_clients: descriptors::clients(config.max_clients, config.sentinel.is_some()),
        origin,
        splice: config.splice,
        move_sessions: config.move_sessions,
        freshness: true,
    };
    let write =
        listening(settings.clone(), |settings| proxy::start(settings, confirm(Endpoint::Write)))?;
    let Some(port) = config.read_port else { return Ok((write, None)) };
    let listen = vec![SocketAddr::new(config.bind, port)];
    let settings = ProxySettings { listen, threads: READ_THREADS, ..settings };
    let read = listening(settings, |settings| {
        proxy::start_reads(settings, confirm(Endpoint::Read), &write)
    })?;
    Ok((write, Some(read)))
}

/// Starts a proxy; where there is no IPv6 the dual-stack default means IPv4.
fn listening(
    mut settings: ProxySettings,
    start: impl Fn(ProxySettings) -> Result<Proxy, ProxyError>,
) -> Result<Proxy, ProxyError> {
    let started = start(settings.clone());
    let instead = match (&started, &settings.listen[..]) {
        (Err(ProxyError::Listen { source, .. }), [only]) => listener::instead(only.ip(), source),
        _ => None,
    };
    let Some(ip) = instead else { return started };
    settings.listen.iter_mut().for_each(|addr| addr.set_ip(ip));
    start(settings)
}

/// How the Redis servers are reached.
pub(super) fn redis_settings(config: &Config, me: NodeId) -> anyhow::Result<RedisSettings> {
    let redis = RedisAddr::new(config.redis.ip(), config.redis.port());
    Ok(RedisSettings {
        local: (!config.witness).then(|| redis.into()),
        access: access(config)?,
        redis_timeout: config.timing.redis_timeout,
        election_timeout: config.timing.election_timeout,
        heartbeat: config.timing.heartbeat,
        node_name: me.to_string(),
        rescue: config
            .rescue
            .as_ref()
            .map(|rescue| Rescue { dir: rescue.dir.clone(), max_bytes: rescue.max_bytes }),
    })
}

/// How Redis servers are logged in to.
///
/// # Errors
///
/// A file that was fine when the flags were read and is not any more.
pub fn access(config: &Config) -> anyhow::Result<Access> {
    let password = match (&config.redis_password_file, &config.redis_password) {
        (Some(file), _) => Password::File(file.clone()),
        (None, Some(password)) => Password::Given(password.clone()),
        (None, None) => Password::None,
    };
    let tls = config.redis_tls.as_ref().map(|tls| TlsFiles {
        ca: tls.ca.clone(),
        pair: tls.pair.clone(),
        server_name: tls.server_name.clone(),
    });
    let settings = AccessSettings { username: config.redis_username.clone(), password, tls };
    Access::open(settings).map_err(|errors| {
        let errors: Vec<String> =
            errors.iter().map(|error| format!("{}: {}", error.flag, error.problem)).collect();
        anyhow::anyhow!(errors.join("; "))
    })
}

/// What the core decides with.
pub(super) fn core_settings(config: &Config, me: NodeId, incarnation: Incarnation) -> Settings {
    let timing = config.timing;
    Settings {
        me,
        incarnation,
        // Others reach the local Redis at this hive's own address.
        redis: RedisAddr::new(me.ip, config.redis.port()),
        priority: config.priority,
        witness: config.witness,
        fixed_peers: config.peers.clone(),
        service: !config.services.is_empty(),
        heartbeat: timing.heartbeat,
        peer_timeout: timing.peer_timeout,
        redis_timeout: timing.redis_timeout,
        election_timeout: timing.election_timeout,
        bootstrap_timeout: timing.bootstrap_timeout,
        last_copy_timeout: timing.last_copy_timeout,
        quorum: config.quorum,
        min_replicas: config.min_replicas,
        // A witness has no copy to save.
        rescue: config.rescue.is_some() && !config.witness,
        seed: random(),
        ablation: Default::default(),
    }
}

/// A number that differs from start to start and from hive to hive.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
