//! `/transitions` and `/events`: what is kept, in order, from where one was, and not for everybody.

use redis_hive::http::journal::{Offer, Transition};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

fn entry(epoch: u64) -> Transition {
    let offer = Offer {
        node: LOCAL,
        state: Some("complete".to_owned()),
        offset: 1,
        keys: 1,
        priority: 100,
    };
    let kind = "failover".to_owned();
    Transition { epoch, kind, offers: vec![offer], ..Transition::default() }
}

/// A listener, behind the head of its answer.
struct Listener(BufReader<TcpStream>);

impl Listener {
    async fn to(site: &Site, path: &str, head: &str) -> Listener {
        let mut stream = TcpStream::connect(site.http.addr).await.expect("it listens");
        let asked = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n");
        stream.write_all(asked.as_bytes()).await.expect("it reads");
        let mut listener = Listener(BufReader::new(stream));
        let line = listener.line().await;
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        listener.until("retry: 1000").await;
        listener
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        timeout(Duration::from_secs(15), read).await.expect("in time").expect("it goes on");
        line.trim_end().to_owned()
    }

    async fn until(&mut self, start: &str) -> String {
        loop {
            let line = self.line().await;
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// The next event: its id and its transition.
    async fn event(&mut self) -> (String, Transition) {
        let id = self.until("id: ").await;
        assert_eq!(self.line().await, "event: transition");
        let data = self.line().await;
        let data = data.strip_prefix("data: ").expect("data");
        (id["id: ".len()..].to_owned(), serde_json::from_str(data).expect("a transition"))
    }
}

#[tokio::test]
async fn transitions_are_told_with_everything() {
    let site = Site::start();
    (1..=3).for_each(|epoch| _ = site.journal.push(entry(epoch)));
    let told = |body: String| -> Vec<Transition> { serde_json::from_str(&body).expect("JSON") };
    let all = told(site.get("/transitions").await.1);
    assert_eq!(all.iter().map(|it| it.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all[0].offers.len(), 1);
    assert_eq!(told(site.get("/transitions?since=2").await.1), all[2..]);
    assert_eq!(told(site.get("/transitions?since=99").await.1), []);
    assert_eq!(site.code("/transitions?since=last").await, 400);
}

/// A journal of megabytes comes in pieces; who goes on where it was gets all of it.
#[tokio::test]
async fn a_large_journal_is_told_in_pieces() {
    let site = Site::start();
    let large = |epoch| Transition { why: "x".repeat(10_000), ..entry(epoch) };
    (1..=256).for_each(|epoch| _ = site.journal.push(large(epoch)));
    let (mut all, mut pieces) = (Vec::new(), 0);
    loop {
        let since = all.last().map_or(0, |last: &Transition| last.seq);
        let (_, body) = site.get(&format!("/transitions?since={since}")).await;
        assert!(body.len() < 64 * 1024 + 12_000, "{} bytes", body.len());
        let mut piece: Vec<Transition> = serde_json::from_str(&body).expect("JSON");
        if piece.is_empty() {
            break;
        }
        all.append(&mut piece);
        pieces += 1;
    }
    assert_eq!(all.iter().map(|it| it.seq).collect::<Vec<_>>(), (1..=256).collect::<Vec<_>>());
    assert!(pieces > 20, "{pieces}");
}

#[tokio::test]
async fn events_come_as_they_happen_and_when_they_are_completed() {
    let site = Site::start();
    let first = site.journal.push(entry(1));
    let mut listener = Listener::to(&site, "/events", "").await;
    let (id, told) = listener.event().await;
    assert_eq!((id.as_str(), told.epoch), ("00000000000000ab-1", 1));
    site.journal.push(entry(2));
    assert_eq!(listener.event().await.1.epoch, 2);
    site.journal.amend(first, |entry| entry.bytes_given_up = Some(5));
    let (id, told) = listener.event().await;
    assert_eq!((id.as_str(), told.seq), ("00000000000000ab-3", first));
    assert_eq!(told.bytes_given_up, Some(5));
}

#[tokio::test]
async fn who_comes_back_goes_on_where_it_was() {
    let site = Site::start();
    (1..=3).for_each(|epoch| _ = site.journal.push(entry(epoch)));
    let head = "Last-Event-ID: 00000000000000ab-2\r\n";
    assert_eq!(Listener::to(&site, "/events", head).await.event().await.1.epoch, 3);
    let query = "/events?last=00000000000000ab-1";
    assert_eq!(Listener::to(&site, query, "").await.event().await.1.epoch, 2);
    // Of another run, of the future, or nonsense: everything.
    for id in ["00000000000000ac-2", "00000000000000ab-99", "2", "-", ""] {
        let mut anew = Listener::to(&site, "/events", &format!("Last-Event-ID: {id}\r\n")).await;
        assert_eq!(anew.event().await.1.epoch, 1, "{id}");
    }
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let site = Site::start();
    let mut listener = Listener::to(&site, "/events", "").await;
    assert_eq!(listener.until(":").await, ": still here");
}

/// The seat of a listener that goes is free again; probes are not kept out by those that stay.
#[tokio::test]
async fn only_so_many_listen() {
    let site = Site::start();
    let mut listeners = Vec::new();
    for _ in 0..128 {
        listeners.push(Listener::to(&site, "/events", "").await);
    }
    assert_eq!(site.get("/events").await, (503, "too many listen already\n".to_owned()));
    assert_eq!(site.code("/livez").await, 200);
    let (_, page) = site.get("/metrics").await;
    assert!(page.contains("redis_hive_event_listeners 128\n"), "{page}");
    listeners.pop();
    let free = async {
        while !site.get("/metrics").await.1.contains("redis_hive_event_listeners 127\n") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(5), free).await.expect("the seat is free");
    Listener::to(&site, "/events", "").await;
}

/// What the page lives on: the status at once, every second and after a transition, and transitions
/// without their bulk.
#[tokio::test]
async fn a_brief_stream_tells_the_status_too() {
    let site = Site::start();
    site.journal.push(entry(1));
    let mut listener = Listener::to(&site, "/events?brief", "").await;
    assert_eq!(listener.until("event: ").await, "event: status");
    let data = listener.line().await;
    let data = data.strip_prefix("data: ").expect("data");
    let told: Status = serde_json::from_str(data).expect("a status");
    assert_eq!(told, Status { transitions: Vec::new(), ..status::follower() });
    let (id, told) = listener.event().await;
    assert_eq!((id.as_str(), told.epoch, told.offers.len()), ("00000000000000ab-1", 1, 0));
    site.set(|status| status.epoch = 8);
    let begun = std::time::Instant::now();
    for _ in 0..3 {
        listener.until("event: status").await;
        assert!(listener.line().await.contains("\"epoch\":8"));
    }
    let took = begun.elapsed().as_millis();
    assert!((1200..4000).contains(&took), "{took} ms for the next three");
    site.journal.push(entry(2));
    assert_eq!(listener.event().await.1.epoch, 2);
    let brief = "/events?last=00000000000000ab-1&brief=1";
    assert_eq!(Listener::to(&site, brief, "").await.event().await.1.epoch, 2);
}

/// Sixty megabytes happen while it does not read: none of it is kept for it.
#[tokio::test]
async fn nothing_is_kept_for_who_does_not_read() {
    let site = Site::start();
    let mut deaf = Listener::to(&site, "/events", "Connection: close\r\n").await;
    for epoch in 0..2000 {
        site.journal.push(Transition { why: "x".repeat(30_000), ..entry(epoch) });
        tokio::task::yield_now().await;
    }
    let mut read = Vec::new();
    let end = deaf.0.read_to_end(&mut read);
    let _ = timeout(Duration::from_secs(15), end).await.expect("its stream is closed");
    // What the kernel took for it, no more.
    assert!((30_000..20_000_000).contains(&read.len()), "{} bytes", read.len());
}

/// `redis-hive explain` asks until it has all pieces: the oldest and the newest are both known to it.
#[tokio::test(flavor = "multi_thread")]
async fn explain_reads_all_of_a_large_journal() {
    let site = Site::start();
    let large = |epoch| Transition { why: "x".repeat(10_000), ..entry(epoch) };
    (1..=256).for_each(|epoch| _ = site.journal.push(large(epoch)));
    for (asked, told) in
        [("1", "Epoch 1 began"), ("256", "Epoch 256 began"), ("999", "epochs 1 to 256")]
    {
        let addr = site.http.addr.to_string();
        let said = tokio::task::block_in_place(|| {
            let mut explain = std::process::Command::new(env!("CARGO_BIN_EXE_redis-hive"));
            explain.args(["explain", asked, "--http", &addr]).output().expect("it runs")
        });
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text).replace('\n', " ");
        assert!(text.contains(told), "{}", &text[..text.len().min(500)]);
    }
}
