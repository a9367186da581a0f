//! Probes and status over real sockets, also against clients that mean no good.

#[path = "http/asks.rs"]
mod asks;
#[path = "support/browser.rs"]
mod browser;
#[path = "http/events.rs"]
mod events;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/page.rs"]
mod page;
#[path = "support/status.rs"]
mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use redis_hive::election::{Ask, Verdict};
use redis_hive::http::status::{Role, Status};
use redis_hive::http::{
    self, Asked, Figures, History, Http, Journal, Outcome, Pulse, Sources, Told,
};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct Site {
    http: Http,
    status: watch::Sender<Arc<Status>>,
    pulse: Arc<Pulse>,
    figures: watch::Sender<Arc<Figures>>,
    journal: Journal,
    history: History,
    asked: mpsc::Receiver<Asked>,
}

impl Site {
    fn start() -> Site {
        Site::at(LOCAL)
    }

    fn at(bind: IpAddr) -> Site {
        Site::with(bind, Secrets::default())
    }

    fn with(bind: IpAddr, secrets: Secrets) -> Site {
        let (status, seen) = watch::channel(Arc::new(status::follower()));
        let pulse = Arc::new(Pulse::default());
        let (asks, asked) = mpsc::channel(2);
        let keyring = Keyring::fixed(secrets);
        let (figures, measured) = watch::channel(Arc::default());
        let journal = Journal::new("00000000000000ab".to_owned());
        let (pulse_of, pages) = (Arc::clone(&pulse), journal.clone());
        let history = History::default();
        let sources = Sources {
            status: seen,
            figures: measured,
            journal: pages,
            history: history.clone(),
            pulse: pulse_of,
        };
        let http = http::start(bind, 0, sources, asks, keyring).expect("a free port");
        Site { http, status, pulse, figures, journal, history, asked }
    }

    /// Answers the next question with this verdict, and says what it was.
    async fn tell(&mut self, verdict: Verdict, text: &str) -> Ask {
        let asked = timeout(Duration::from_secs(5), self.asked.recv()).await.expect("in time");
        let Asked { ask, told } = asked.expect("the site lives");
        told.send(Told { verdict, text: text.to_owned() }).expect("somebody waits");
        ask
    }

    fn set(&self, bend: impl FnOnce(&mut Status)) {
        let mut status = status::follower();
        bend(&mut status);
        self.status.send_replace(Arc::new(status));
    }

    async fn get(&self, path: &str) -> (u16, String) {
        request(self.http.addr, "GET", path).await
    }

    async fn code(&self, path: &str) -> u16 {
        self.get(path).await.0
    }
}

/// One request on a connection of its own: status code and body.
async fn request(addr: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let asked = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = exchange(addr, asked.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, body.to_owned())
}

/// Sends bytes and reads until the other side closes.
async fn exchange(addr: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        // Whoever is turned away may find the connection closed while still writing.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(Duration::from_secs(20), exchange).await.expect("in time")
}

#[tokio::test]
async fn the_status_has_the_fields_of_the_contract() {
    let site = Site::start();
    let (code, body) = site.get("/status").await;
    assert_eq!(code, 200);
    let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    for field in [
        "/node",
        "/name",
        "/role",
        "/epoch",
        "/leader",
        "/master",
        "/paused",
        "/redis/up",
        "/redis/role",
        "/redis/state",
        "/redis/run_id",
        "/redis/replid",
        "/redis/offset",
        "/redis/link_up",
        "/redis/lag_bytes",
        "/redis/complete",
        "/redis/current",
        "/peers/0/addr",
        "/peers/0/role",
        "/peers/0/epoch",
        "/peers/0/last_heard_ms",
        "/peers/0/offset",
        "/proxy/clients",
        "/proxy/held",
        "/proxy/migrated",
        "/transitions/0/at",
        "/transitions/0/epoch",
        "/transitions/0/from",
        "/transitions/0/to",
        "/transitions/0/kind",
        "/transitions/0/reason",
        "/transitions/0/took_ms",
        "/version",
        "/incarnation",
        "/dns/outcome",
        "/dns/age_ms",
        "/dns/addresses",
        "/problems",
        "/route",
        "/change",
        "/quorum",
        "/lease_ms",
        "/at",
        "/priority",
        "/redis/addr",
        "/peers/0/reachable",
        "/peers/0/priority",
        "/proxy/bytes_up",
        "/proxy/bytes_down",
    ] {
        assert!(json.pointer(field).is_some(), "{field} is missing in {body}");
    }
    assert_eq!(json["node"], "10.0.0.2");
    assert_eq!(json["role"], "follower");
    assert_eq!(json["leader"], "10.0.0.1");
    assert_eq!(json["master"], "10.0.0.1:6379");
    assert_eq!(json["route"], "forward");
    assert_eq!(json["peers"][0]["addr"], "10.0.0.1:6390");
    let back: Status = serde_json::from_str(&body).expect("what it wrote it reads");
    assert_eq!(back, status::follower());
}

#[tokio::test]
async fn every_role_has_its_word() {
    let words = ["starting", "follower", "candidate", "leader", "draining", "witness"];
    use Role::*;
    for (role, word) in [Starting, Follower, Candidate, Leader, Draining, Witness].iter().zip(words)
    {
        assert_eq!(role.word(), word);
        assert_eq!(serde_json::to_value(role).expect("JSON"), word);
    }
}

#[tokio::test]
async fn a_probe_that_fails_says_why() {
    let site = Site::start();
    assert_eq!(site.get("/readyz").await, (200, "ok\n".to_owned()));
    site.set(|status| status.readiness.was_current = false);
    let (code, why) = site.get("/readyz").await;
    assert_eq!(code, 503);
    assert!(why.contains("has not been current"), "{why}");
    site.set(|status| status.readiness.routeless_ms = Some(31_000));
    assert_eq!(site.get("/readyz").await.1, "no route to a live master for 31 s\n");
    assert_eq!(site.code("/livez").await, 200, "it lives all the same");
}

#[tokio::test]
async fn readers_are_sent_only_to_a_current_copy() {
    let site = Site::start();
    assert_eq!(site.code("/readyz/read").await, 200);
    assert_eq!(site.code("/readyz/read?max_lag_bytes=100").await, 200);
    assert_eq!(site.code("/readyz/read?x=1&max_lag_bytes=99").await, 503);
    assert_eq!(site.code("/readyz/read?max_lag_bytes=much").await, 400);
    let bends: [fn(&mut Status); 3] = [
        |status| status.redis.up = false,
        |status| status.redis.complete = false,
        |status| status.redis.current = false,
    ];
    for bend in bends {
        site.set(bend);
        assert_eq!(site.code("/readyz/read").await, 503);
    }
    site.set(|status| status.redis.lag_bytes = None);
    assert_eq!(site.code("/readyz/read").await, 200);
    assert_eq!(site.code("/readyz/read?max_lag_bytes=99").await, 503);
}

#[tokio::test]
async fn only_known_pages_and_reading_methods() {
    let site = Site::start();
    assert_eq!(site.code("/status/x").await, 404);
    assert_eq!(request(site.http.addr, "POST", "/status").await.0, 405);
    assert_eq!(request(site.http.addr, "DELETE", "/livez").await.0, 405);
    assert_eq!(request(site.http.addr, "HEAD", "/livez").await, (200, String::new()));
}

#[tokio::test]
async fn a_taken_port_is_told_by_its_flag() {
    let site = Site::start();
    let (_keep, seen) = watch::channel(Arc::new(status::follower()));
    let (port, asks) = (site.http.addr.port(), mpsc::channel(1).0);
    let keyring = Keyring::fixed(Secrets::default());
    let refused = http::start(LOCAL, port, Sources::of(seen), asks, keyring);
    let told = refused.expect_err("the port is taken").to_string();
    assert!(told.starts_with(&format!("--http-port {}: ", site.http.addr.port())), "{told}");
}

#[tokio::test]
async fn an_unspecified_address_serves_ipv4_too() {
    let site = Site::at(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED));
    let addr = SocketAddr::new(LOCAL, site.http.addr.port());
    assert_eq!(request(addr, "GET", "/livez").await.0, 200);
}

/// A loop that does not turn is dead, and nothing it said counts as ready.
#[tokio::test]
async fn a_silent_control_loop_is_not_alive() {
    let site = Site::start();
    site.pulse.beat();
    assert_eq!(site.code("/livez").await, 200);
    let dies = async {
        while site.code("/livez").await == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(10), dies).await.expect("red after 5 s without a beat");
    assert!(site.pulse.age() >= Duration::from_secs(5));
    assert_eq!(site.code("/readyz").await, 503);
    site.pulse.beat();
    assert_eq!(site.code("/livez").await, 200);
}
