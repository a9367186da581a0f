//! The page at `/`: what it comes with, and what a browser makes of it.

use redis_hive::http::journal::Transition;
use redis_hive::http::status::{PeerStatus, RouteKind};

use super::browser::Browser;
use super::*;

const SOON: Duration = Duration::from_secs(15);
/// What must not come to life, wherever it stands.
const HOSTILE: &str =
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

fn url(site: &Site) -> String {
    format!("http://{}/", site.http.addr)
}

async fn head(site: &Site, path: &str) -> (String, String) {
    let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = exchange(site.http.addr, asked.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn every_file_comes_with_the_policy() {
    let site = Site::start();
    let (_, html) = head(&site, "/").await;
    let mut paths = vec!["/".to_owned()];
    for part in html.split(['"']).filter(|part| part.starts_with("page/")) {
        paths.push(format!("/{part}"));
    }
    let (_, script) = head(&site, "/page/main.js").await;
    for part in script.split('\'').filter(|part| part.starts_with("./")) {
        paths.push(format!("/page/{}", &part[2..]));
    }
    assert_eq!(paths.len(), 10, "{paths:?}");
    for path in paths {
        let (head, body) = head(&site, &path).await;
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(!body.is_empty(), "{path}");
        let kind = match path.rsplit_once('.') {
            None => "text/html; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some(_) => "image/svg+xml",
        };
        for line in [
            &format!("content-type: {kind}"),
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "x-frame-options: deny",
        ] {
            assert!(head.contains(line), "{path}: no {line} in {head}");
        }
        assert!(!head.contains("unsafe"), "{path}: {head}");
        assert_eq!(request(site.http.addr, "POST", &path).await.0, 405, "{path}");
        assert_eq!(request(site.http.addr, "HEAD", &path).await, (200, String::new()), "{path}");
    }
    for path in ["/page", "/page/", "/page/none.js", "/page/../status", "/index.html"] {
        assert_eq!(site.code(path).await, 404, "{path}");
    }
}

/// A hive, or who speaks like one, may say anything: on the page it is text.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_the_network_stays_text() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::start();
    site.set(|status| {
        status.peers.clear();
        status.problems = vec![HOSTILE.to_owned()];
        status.name = HOSTILE.to_owned();
        status.change = HOSTILE.to_owned();
        status.version = HOSTILE.to_owned();
    });
    let text = || HOSTILE.to_owned();
    site.journal.push(Transition {
        kind: "failover".to_owned(),
        reason: text(),
        why: text(),
        at: text(),
        ..Transition::default()
    });
    tokio::task::block_in_place(|| {
        browser.open(&url(&site));
        browser.until("document.querySelectorAll('#timeline li').length === 1", SOON);
        browser.until("document.querySelector('#problems').innerText.includes('<img')", SOON);
        // All of it is there to be read, and opened, and nothing of it is more than text.
        for selector in ["#name", "#where", "#problem-list", "#why", "#timeline .what", "#timeline"]
        {
            let found = browser.text(selector);
            assert!(
                selector == "#timeline .what" || found.contains("<script>"),
                "{selector}: {found}"
            );
        }
        browser.eval("document.querySelector('#timeline summary').focus()");
        browser.press("Enter");
        browser.eval("document.querySelector('#timeline details').open = true");
        browser.until("document.querySelector('.more').innerText.includes('leader')", SOON);
        let alive = "document.querySelectorAll('img, iframe, [onerror], body script').length";
        assert_eq!(browser.eval(alive), 0);
        let title = browser.eval("document.title").to_string();
        assert!(title.contains("1 problem · <img"), "{title}");
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    });
}

fn peer(status: &Status, host: u8) -> PeerStatus {
    let mut peer = status.peers[0].clone();
    peer.addr = SocketAddr::from(([10, 0, 1, host], 6390));
    let mut redis = status.redis.clone();
    redis.addr = Some(SocketAddr::from(([10, 0, 1, host], 6379)));
    (peer.role, peer.reachable, peer.redis) = (Some(Role::Follower), true, Some(redis));
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_nodes_fit_a_desk_and_a_phone() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::start();
    site.set(|status| {
        let peers = (1..=50).map(|host| peer(status, host)).collect();
        status.peers = peers;
        status.peers[7].reachable = false;
        status.peers[7].role = Some(Role::Leader);
        status.redis.addr = Some(SocketAddr::from(([10, 0, 0, 2], 6379)));
        let long = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff".parse().expect("an IP");
        status.peers[8].addr.set_ip(long);
    });
    tokio::task::block_in_place(|| {
        for (width, scheme) in [(1200, "light"), (320, "dark")] {
            browser.screen(width, 800, scheme);
            browser.open(&url(&site));
            browser.until("document.querySelectorAll('#nodes tr').length === 52", SOON);
            let wide = browser.eval("document.documentElement.scrollWidth");
            assert!(wide.as_u64().is_some_and(|wide| wide <= u64::from(width)), "{wide}");
            // The master is a Redis whose hive nobody hears: it is drawn all the same.
            assert_eq!(browser.eval("document.querySelectorAll('#drawing .node').length"), 52);
            assert_eq!(
                browser.eval("document.querySelectorAll('#drawing .ghost.master').length"),
                1
            );
            let overlap = "(() => { const boxes = [...document.querySelectorAll('#drawing rect')]\
                .map((it) => it.getBoundingClientRect()); \
                return boxes.some((a, i) => boxes.some((b, j) => i < j && a.left < b.right \
                && b.left < a.right && a.top < b.bottom && b.top < a.bottom)); })()";
            assert_eq!(browser.eval(overlap), false, "boxes lie on each other");
            browser.picture(&format!("fifty-{width}"));
        }
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    });
}

/// Who opens the page sees the last minutes in its charts, without waiting for what comes.
#[tokio::test(flavor = "multi_thread")]
async fn the_charts_begin_with_the_last_minutes() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::start();
    let mut status = site.status.borrow().as_ref().clone();
    let opened = std::time::Instant::now();
    for ago in (1..=60).rev().map(|step| Duration::from_secs(2 * step)) {
        status.redis.offset += 4_000;
        status.proxy.bytes_down += 20_000;
        let then = opened.checked_sub(ago).expect("the machine runs for two minutes");
        site.history.note(&status, then);
    }
    site.status.send_replace(Arc::new(status));
    tokio::task::block_in_place(|| {
        browser.open(&url(&site));
        let points = |key: &str, line: u8| {
            format!(
                "document.querySelector('[data-key={key}] path.line-{line}')\
                 .getAttribute('d').match(/[ML]/g).length"
            )
        };
        for (key, line) in [("lag", 0), ("lag", 1), ("writes", 0), ("traffic", 1)] {
            browser.until(&format!("{} >= 58", points(key, line)), SOON);
        }
        let most = "document.querySelector('[data-key=traffic] svg').getAttribute('aria-label')";
        browser.until(&format!("{most}.includes('at most 10 kB/s')"), SOON);
        let label = browser.eval("document.querySelector('[data-key=writes] svg').ariaLabel");
        assert!(label.as_str().is_some_and(|it| it.contains("at most 2.0 kB/s")), "{label}");
        browser.picture("opened-just-now");
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    });
}

/// Without a seat for its events the page asks, and takes a seat when there is one again.
#[tokio::test(flavor = "multi_thread")]
async fn without_events_the_page_asks() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::start();
    site.set(|status| (status.master, status.route) = (None, RouteKind::Hold));
    let mut seats = Vec::new();
    for _ in 0..128 {
        let mut seat = TcpStream::connect(site.http.addr).await.expect("it listens");
        seat.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
        seat.read_u8().await.expect("an answer");
        seats.push(seat);
    }
    tokio::task::block_in_place(|| {
        browser.open(&url(&site));
        browser.until("document.querySelector('#live').dataset.state === 'polling'", SOON);
        let told = browser.text("#problems");
        assert!(told.contains("there is no master: writes wait"), "{told}");
        assert_eq!(browser.text("#master"), "none");
        assert!(browser.eval("document.title").to_string().contains('✕'));
        site.set(|_| {});
        browser.until("document.querySelector('#master').innerText === '10.0.0.1:6379'", SOON);
        assert_eq!(browser.eval("document.querySelectorAll('#timeline li').length"), 1);
        drop(seats);
        browser.until("document.querySelector('#live').dataset.state === 'live'", SOON);
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    });
}

/// What the page would say of drains for this status.
fn drains(browser: &mut Browser, bend: impl FnOnce(&mut Status)) -> String {
    let mut status = status::follower();
    bend(&mut status);
    let status = serde_json::to_string(&status).expect("JSON");
    let asked = format!(
        "import('/page/model.js').then((it) => it.drainWords(it.nodes({status}), {status}))"
    );
    browser.eval(&asked).as_str().expect("words").to_owned()
}

/// 10.0.0.1 leads beside the master, 10.0.0.2 and 10.0.0.3 follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_called_safe_only_where_it_is() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::start();
    tokio::task::block_in_place(|| {
        browser.open(&url(&site));
        browser.until("document.querySelectorAll('#nodes tr').length === 3", SOON);
        let mut told = |bend: fn(&mut Status)| drains(&mut browser, bend);
        assert_eq!(told(|_| {}), "yes, any one node at a time");
        assert_eq!(
            told(|status| _ = status.peers.pop()),
            "yes, any one node at a time; one copy is left then"
        );
        assert_eq!(
            told(|status| {
                status.peers.pop();
                status.redis.current = false;
            }),
            "yes, but for 10.0.0.1 (no other node holds a current copy)"
        );
        assert_eq!(told(|status| status.peers.clear()), "no: no other node holds a current copy");
        assert_eq!(
            told(|status| status.paused = true),
            "yes, but for 10.0.0.1 (paused: it would hand nothing over)"
        );
        assert_eq!(
            told(|status| status.peers[0].reachable = false),
            "yes, but for 10.0.0.1 (not heard: nothing is known of it)"
        );
        assert_eq!(
            told(|status| status.peers[1].role = Some(Role::Draining)),
            "no: 10.0.0.1 (wait: 10.0.0.3 is stopping), 10.0.0.2 (wait: 10.0.0.3 is stopping), \
             10.0.0.3 (it is stopping already)"
        );
        assert_eq!(told(|status| status.quorum = 3), "no: 2 hives would be left, --quorum is 3");
        assert_eq!(told(|status| status.quorum = 2), "yes, any one node at a time");
        assert_eq!(told(|status| status.master = None), "no: there is no master now");
        assert_eq!(
            told(|status| {
                let witness = &mut status.peers[1];
                (witness.role, witness.redis) = (Some(Role::Witness), None);
                status.redis.up = false;
            }),
            "yes, but for 10.0.0.1 (no other node holds a current copy)"
        );
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_told_as_it_was() {
    let Some(mut browser) = Browser::start() else { return };
    let site = Site::start();
    tokio::task::block_in_place(|| {
        browser.open(&url(&site));
        browser.until("document.querySelectorAll('#nodes tr').length === 3", SOON);
        let mut told = |kind: &str, bytes_given_up| {
            let from = "10.0.0.1:6379".parse().ok();
            let kind = kind.to_owned();
            let it = Transition { kind, from, bytes_given_up, ..Transition::default() };
            let it = serde_json::to_string(&it).expect("JSON");
            let asked = format!("import('/page/model.js').then((it) => it.loss({it}).words)");
            browser.eval(&asked).as_str().expect("words").to_owned()
        };
        assert_eq!(told("switchover", Some(0)), "nothing: planned");
        assert_eq!(told("failover", Some(0)), "0 bytes of what the old master had stated");
        assert_eq!(told("failover", None), "not known to this hive: ask the one that leads");
        assert_eq!(told("leads", None), "nothing: the master stayed");
        for kind in ["failover", "switchover"] {
            let lost = "71234 bytes that the old master had stated and this one does not have";
            assert_eq!(told(kind, Some(71_234)), lost);
        }
    });
}
