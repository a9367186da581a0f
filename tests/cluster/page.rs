//! The page of a real hive in a real browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use redis_hive::cli::dev::nodes::{HTTP_PORT, Part};

use super::browser::Browser;
use super::clients::Login;
use super::harness::{Agreed, Hive, SOON, wait_until};

/// Writes until it is dropped, as well as it can.
struct Writer(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Writer {
    fn to(login: Login, addr: SocketAddr) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writing = std::thread::spawn(move || {
            let mut connection = None;
            while !stopped.load(Ordering::Relaxed) {
                if connection.is_none() {
                    connection = login.connect(addr).ok();
                }
                let set = connection.as_mut().map(|connection| {
                    redis::cmd("SET").arg("key").arg("x".repeat(500)).exec(connection)
                });
                if !matches!(set, Some(Ok(()))) {
                    connection = None;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Writer(stop, Some(writing))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(JoinHandle::join);
    }
}

fn url(hive: &Hive, host: u8) -> String {
    format!("http://{}:{HTTP_PORT}/", hive.ip(host))
}

/// What the table says, a line for each node: address, hive, Redis, safe to drain.
const TABLE: &str = "[...document.querySelectorAll('#nodes tr')].map((row) => \
    [0, 1, 2, 5].map((at) => row.children[at].innerText).join('; '))";

/// Waits until the page shows what the hives agree on.
#[track_caller]
fn shows(browser: &mut Browser, hive: &Hive, own: u8, agreed: Agreed) {
    let mut expected = Vec::new();
    for host in 1..=3 {
        let role = if host == agreed.leader { "leader" } else { "follower" };
        let here = if host == own { " (this hive)" } else { "" };
        let (redis, drain) = match host == agreed.master {
            true => ("● master", "yes: it hands the master over first"),
            false => ("● replica, current", "yes: it is not the master"),
        };
        expected.push(format!("{}; {role}{here}; {redis}; {drain}", hive.ip(host)));
    }
    let expected = serde_json::to_string(&expected).expect("JSON");
    browser.until(&format!("JSON.stringify({TABLE}) === {expected:?}"), SOON);
    let master = hive.redis(agreed.master);
    assert_eq!(browser.text("#master"), master.to_string());
    assert_eq!(browser.text("#live"), "live");
    assert_eq!(browser.text("#drain"), "yes, any one node at a time");
    // The drawing says the same: a box for each, an arrow to each but the master.
    assert_eq!(browser.eval("document.querySelectorAll('#drawing .node.good').length"), 3);
    assert_eq!(browser.eval("document.querySelectorAll('#drawing .feed.good').length"), 2);
    let drawn = browser.eval("document.querySelector('#drawing .master').textContent");
    let ip = hive.ip(agreed.master).to_string();
    assert!(drawn.as_str().is_some_and(|text| text.contains(&ip)), "{drawn}");
}

/// Who looks at a survivor's page sees the master go and the next one come, without doing anything.
#[test]
fn the_page_shows_a_failover_and_its_own_hives_death() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(mut hive) = Hive::of(3) else { return };
    let before = hive.settle();
    let own = hive.follower(before);
    let writer = Writer::to(hive.login(), hive.proxy(own));
    browser.screen(1200, 900, "light");
    browser.open(&url(&hive, own));
    browser.until("document.querySelectorAll('#nodes tr').length === 3", SOON);
    shows(&mut browser, &hive, own, before);
    let rate =
        "/^[1-9].* k?B.s$/.test(document.querySelector('[data-key=writes] .legend').innerText)";
    browser.until(rate, SOON);
    browser.eval("globalThis.marker = 'the same page'");
    // By keyboard: the first stop leads past the head.
    browser.press("Tab");
    browser.until(
        "document.activeElement.getBoundingClientRect().left >= 0 \
         && document.activeElement.className === 'skip'",
        SOON,
    );
    browser.picture("settled");
    browser.screen(320, 640, "dark");
    browser.until("document.documentElement.scrollWidth <= 320", SOON);
    browser.picture("settled-phone-dark");
    browser.screen(1200, 900, "light");

    hive.kill(before.master, Part::Both).expect("kill");
    let after = hive.settle();
    let (from, to) = (hive.redis(before.master), hive.redis(after.master));
    let told = format!(
        "document.querySelector('#timeline .failover .what')?.innerText === '{from} → {to}'"
    );
    browser.until(&told, SOON);
    browser.until(&format!("document.querySelector('#master').innerText === '{to}'"), SOON);
    let gone = hive.ip(before.master);
    let silent = format!("document.querySelector('#problems').innerText.includes('{gone}')");
    browser.until(&silent, SOON);
    let why = browser.text("#why");
    assert!(why.starts_with(&format!("failover from {from}, within ")), "{why}");
    browser.until("!document.querySelector('#loss').innerText.includes('not known')", SOON);
    let lost = browser.text("#loss");
    assert!(lost.contains(" bytes "), "{lost}");
    let table = browser.eval(TABLE).to_string();
    assert!(table.contains(&format!("{gone}; was leader; ✕ not heard; no: ")), "{table}");
    browser.picture("failover");

    hive.revive(before.master, Part::Both).expect("revive");
    let again = hive.settle();
    shows(&mut browser, &hive, own, again);
    assert_eq!(browser.eval("globalThis.marker"), "the same page", "it was loaded again");
    drop(writer);

    hive.kill(own, Part::Hive).expect("kill");
    browser.until("!document.querySelector('#lost').hidden", SOON);
    assert_eq!(browser.text("#live"), "no answer");
    let links = "[...document.querySelectorAll('#lost-links a')].map((it) => it.href).join()";
    let others = (1..=3).filter(|host| *host != own).map(|host| url(&hive, host));
    assert_eq!(browser.eval(links), others.collect::<Vec<_>>().join(","));
    // What was safe before may not be any more.
    assert_eq!(browser.text("#drain"), "not known now");
    assert!(!browser.eval(TABLE).to_string().contains("yes: "));
    browser.picture("lost");
    hive.revive(own, Part::Hive).expect("revive");
    hive.settle();
    browser.until("document.querySelector('#lost').hidden", SOON);
    wait_until("it is live again", SOON, || (browser.text("#live") == "live").then_some(()));
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}
