//! What a cluster gives to pods: a network, a DNS that lists them, and Services that lead to those
//! that are ready.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};

use redis_hive::cli::dev::dns::DnsServer;
use serde_json::Value;

use super::engine::Engine;

/// The network of all pods.
pub const NETWORK: Network = Network {
    name: "pods",
    subnet: "10.89.7.0/24",
    gateway: Ipv4Addr::new(10, 89, 7, 1),
    domain: "test.svc.cluster.local",
};

/// A bridge in a namespace that leads nowhere. Not `--internal`: then this process had no address on it.
pub struct Network {
    name: &'static str,
    subnet: &'static str,
    gateway: Ipv4Addr,
    domain: &'static str,
}

impl Network {
    /// What makes a pod one of it: the kubelet's `resolv.conf`, and an address.
    pub fn of_a_pod(&self) -> Vec<String> {
        let parents = self.domain.match_indices('.').map(|(dot, _)| &self.domain[dot + 1..]);
        let search = std::iter::once(self.domain).chain(parents.take(2));
        let mut flags: Vec<String> = search.map(|name| format!("--dns-search={name}")).collect();
        flags.extend([format!("--network={}", self.name), format!("--dns={}", self.gateway)]);
        flags.push("--dns-option=ndots:5".to_owned());
        flags
    }
}

/// The network with its DNS, and who may be reached by Services.
pub struct Site {
    dns: DnsServer,
    /// The addresses of ready pods, which a Service chooses from.
    pub ready: Endpoints,
}

impl Site {
    /// Makes the network, and the headless Service of these objects in its DNS.
    pub fn new(engine: &Engine, objects: &[Value]) -> Site {
        let subnet = format!("--subnet={}", NETWORK.subnet);
        let create = ["network", "create", "--disable-dns", &subnet, NETWORK.name];
        engine.podman(&create);
        let headless = |object: &&Value| object["spec"]["clusterIP"] == "None";
        let mut services = objects.iter().filter(|object| object["kind"] == "Service");
        let service = services.find(headless).expect("a headless Service");
        // So they are listed from their first moment on, as `publish` does.
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
        let name = service["metadata"]["name"].as_str().expect("a name");
        let at = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 53);
        let dns = DnsServer::start_at(at, &format!("{name}.{}.", NETWORK.domain));
        Site { dns: dns.expect("port 53 of this namespace is free"), ready: Endpoints::default() }
    }

    /// A pod has an address.
    pub fn publish(&self, ip: Ipv4Addr) {
        self.dns.list(ip);
    }

    /// A pod is gone.
    pub fn forget(&self, ip: Ipv4Addr) {
        self.ready.remove(ip);
        self.dns.unlist(ip);
    }
}

/// The pods a Service leads to; shared by all who ask.
#[derive(Clone, Default)]
pub struct Endpoints(Arc<Mutex<Vec<Ipv4Addr>>>);

impl Endpoints {
    /// A pod is ready.
    pub fn add(&self, ip: Ipv4Addr) {
        self.all().push(ip);
    }

    /// A pod is ready no more, or is told to stop.
    pub fn remove(&self, ip: Ipv4Addr) {
        self.all().retain(|other| *other != ip);
    }

    /// Where a Service leads the `turn`th connection.
    pub fn pick(&self, turn: usize, port: u16) -> Option<SocketAddr> {
        let all = self.all();
        Some((*all.get(turn % all.len().max(1))?, port).into())
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Ipv4Addr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
