//! The HTTP port.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use redis_hive::election::Verdict;
use redis_hive::http::{self, Http, Sources, Status, Told};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::sync::{mpsc, watch};

use super::{exchange, forever};

#[path = "../../support/status.rs"]
mod status;

/// Nobody guesses it.
const SECRET: &str = "9aed8dc1c1e0f1fb0f4a3e1e0d55b6cc";
/// All codes that there are.
const CODES: [&str; 15] = [
    "200", "400", "401", "403", "404", "405", "408", "409", "413", "414", "422", "431", "500",
    "503", "505",
];

/// A hive's pages, and how often somebody got through to the hive itself.
struct Site {
    http: Http,
    asked: Arc<AtomicU64>,
    _status: watch::Sender<Arc<Status>>,
}

impl Site {
    fn start(secrets: Secrets) -> Site {
        forever(move || async move {
            let (_status, seen) = watch::channel(Arc::new(status::follower()));
            let (asks, mut questions) = mpsc::channel::<http::Asked>(16);
            let asked = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&asked);
            tokio::spawn(async move {
                while let Some(question) = questions.recv().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    // Whoever asked may have gone.
                    let _ = question.told.send(Told { verdict: Verdict::Done, text: "".into() });
                }
            });
            let (local, keyring) = (IpAddr::V4(Ipv4Addr::LOCALHOST), Keyring::fixed(secrets));
            let http = http::start(local, 0, Sources::of(seen), asks, keyring);
            Site { http: http.expect("a free port"), asked, _status }
        })
    }

    fn exchange(&self, input: &[u8]) {
        let answer = exchange(self.http.addr, input);
        let line = answer.strip_prefix(b"HTTP/1.1 ").or(answer.strip_prefix(b"HTTP/1.0 "));
        let known =
            line.is_some_and(|line| CODES.iter().any(|code| line.starts_with(code.as_bytes())));
        assert!(answer.is_empty() || known, "{}", answer.escape_ascii());
    }
}

/// Whatever is said, the answers are ours, and where there is a secret nobody gets through.
pub fn http(input: &[u8]) {
    static OPEN: LazyLock<Site> = LazyLock::new(|| Site::start(Secrets::default()));
    static LOCKED: LazyLock<Site> =
        LazyLock::new(|| Site::start(Secrets::parse(SECRET).expect("a secret")));
    OPEN.exchange(input);
    LOCKED.exchange(input);
    assert_eq!(LOCKED.asked.load(Ordering::SeqCst), 0, "it was asked without the secret");
}
