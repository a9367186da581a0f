//! Discovery against a DNS server inside the test: every way to answer, and to fail to.

#[path = "support/dns.rs"]
mod dns;

use std::net::IpAddr;
use std::time::Duration;

use dns::{Dns, Reply, Zone};
use hickory_resolver::proto::rr::RecordType;
use redis_hive::discovery::{
    self, Discovery, DiscoverySettings, Failure, Outcome, Search, resolve_once,
};
use redis_hive::election::Input;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, timeout};

const NAME: &str = "peers.test.";
const LONG: Duration = Duration::from_secs(3600);

fn settings(dns: &Dns, services: &[&str], interval: Duration) -> DiscoverySettings {
    DiscoverySettings {
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        peer_port: 6390,
        nameserver: Some(dns.addr),
        search: Search::default(),
        interval,
    }
}

fn start(dns: &Dns, services: &[&str], interval: Duration) -> (Discovery, Receiver<Input>) {
    let (inputs, outputs) = mpsc::channel(16);
    let discovery = discovery::start(settings(dns, services, interval), inputs).expect("starts");
    (discovery, outputs)
}

async fn next(inputs: &mut Receiver<Input>) -> Input {
    timeout(Duration::from_secs(5), inputs.recv()).await.expect("in time").expect("still running")
}

/// `Dns 10.0.0.1:6390 ...`, `DnsPartly ...` or `DnsFailed`.
fn show(input: Input) -> String {
    let (word, nodes) = match input {
        Input::Dns(nodes) => ("Dns", nodes),
        Input::DnsPartly(nodes) => ("DnsPartly", nodes),
        Input::DnsFailed => ("DnsFailed", Vec::new()),
        other => panic!("not of discovery: {other:?}"),
    };
    nodes.iter().fold(word.to_owned(), |text, node| format!("{text} {node}"))
}

/// The first round against one zone.
async fn first(zone: Zone) -> String {
    let dns = Dns::start().await;
    dns.set(NAME, zone);
    let (_discovery, mut inputs) = start(&dns, &[NAME], LONG);
    show(next(&mut inputs).await)
}

#[tokio::test]
async fn both_families_are_asked_and_listed() {
    let both = first(Zone::of(&["10.0.0.2", "10.0.0.1", "fd00::1"])).await;
    assert_eq!(both, "Dns 10.0.0.1:6390 10.0.0.2:6390 [fd00::1]:6390");
    assert_eq!(first(Zone::of(&["10.0.0.1"])).await, "Dns 10.0.0.1:6390");
    assert_eq!(first(Zone::of(&["fd00::1", "fd00::2"])).await, "Dns [fd00::1]:6390 [fd00::2]:6390");
}

#[tokio::test]
async fn sixty_addresses_come_over_tcp_after_truncation() {
    let dns = Dns::start().await;
    let all: Vec<String> = (1..=60).map(|n| format!("10.0.0.{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    dns.set(NAME, Zone { truncate: true, ..Zone::of(&all) });
    let (_discovery, mut inputs) = start(&dns, &[NAME], LONG);
    let Input::Dns(nodes) = next(&mut inputs).await else { panic!("a whole answer") };
    assert_eq!(nodes.len(), 60);
    assert!(dns.asked().iter().any(|asked| asked.tcp && asked.kind == RecordType::A));
}

#[tokio::test]
async fn a_name_without_addresses_is_no_information() {
    assert_eq!(first(Zone::both(Reply::NxDomain)).await, "DnsFailed");
    assert_eq!(first(Zone::of(&[])).await, "DnsFailed");
    assert_eq!(first(Zone::both(Reply::ServFail)).await, "DnsFailed");
}

#[tokio::test]
async fn one_family_alone_only_adds() {
    let failing = [Reply::ServFail, Reply::Drop, Reply::NxDomain];
    for reply in failing {
        let partly = first(Zone { aaaa: reply.clone(), ..Zone::of(&["10.0.0.1"]) }).await;
        assert_eq!(partly, "DnsPartly 10.0.0.1:6390", "{reply:?}");
    }
    let partly = first(Zone { a: Reply::ServFail, ..Zone::of(&["fd00::1"]) }).await;
    assert_eq!(partly, "DnsPartly [fd00::1]:6390");
}

#[tokio::test]
async fn silence_is_told_within_the_deadline() {
    let begun = Instant::now();
    assert_eq!(first(Zone::both(Reply::Drop)).await, "DnsFailed");
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

/// A slow server is waited for while it is within the deadline, and its late truth is taken.
#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let zone = Zone { delay: Duration::from_millis(300), ..Zone::of(&["10.0.0.1"]) };
    assert_eq!(first(zone).await, "Dns 10.0.0.1:6390");
}

/// Nothing is remembered between two rounds: what DNS says is passed on as it is, also when it is
/// old, and our own address need not be in it.
#[tokio::test]
async fn every_round_tells_what_dns_says_now() {
    let dns = Dns::start().await;
    let (discovery, mut inputs) = start(&dns, &[NAME], LONG);
    assert_eq!(show(next(&mut inputs).await), "DnsFailed");
    let story = [
        (Zone::of(&["10.0.0.1"]), "Dns 10.0.0.1:6390"),
        (Zone::of(&["10.0.0.1", "10.0.0.2"]), "Dns 10.0.0.1:6390 10.0.0.2:6390"),
        (Zone::both(Reply::ServFail), "DnsFailed"),
        (Zone::of(&["10.0.0.1"]), "Dns 10.0.0.1:6390"),
        (Zone::of(&["10.0.0.3"]), "Dns 10.0.0.3:6390"),
    ];
    for (zone, expected) in story {
        dns.set(NAME, zone);
        discovery.resolve_now();
        assert_eq!(show(next(&mut inputs).await), expected);
    }
    let last = discovery.last();
    assert_eq!(last[0].name.as_deref(), Some(NAME));
    assert_eq!(last[0].outcome, Some(Outcome::Complete));
    assert_eq!(last[0].addresses, ["10.0.0.3".parse::<IpAddr>().expect("an IP")]);
}

#[tokio::test]
async fn it_resolves_again_after_the_interval() {
    let dns = Dns::start().await;
    dns.set(NAME, Zone::of(&["10.0.0.1"]));
    let (_discovery, mut inputs) = start(&dns, &[NAME], Duration::from_millis(50));
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(show(next(&mut inputs).await), "Dns 10.0.0.1:6390");
    }
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
}

/// However often it is asked, rounds keep their distance and never overlap.
#[tokio::test]
async fn impatience_does_not_flood_dns() {
    let dns = Dns::start().await;
    dns.set(NAME, Zone::of(&["10.0.0.1"]));
    let (discovery, mut inputs) = start(&dns, &[NAME], LONG);
    next(&mut inputs).await;
    let begun = Instant::now();
    for _ in 0..10 {
        (0..100).for_each(|_| discovery.resolve_now());
        next(&mut inputs).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(9 * 20), "{:?}", begun.elapsed());
    assert!(dns.asked().len() <= 24, "{} questions", dns.asked().len());
}

#[tokio::test]
async fn several_services_are_one_set_and_whole_only_together() {
    let dns = Dns::start().await;
    dns.set("a.test.", Zone::of(&["10.0.0.1", "10.0.0.2"]));
    dns.set("b.test.", Zone::of(&["10.0.0.2", "10.0.0.3"]));
    let (discovery, mut inputs) = start(&dns, &["a.test.", "b.test."], LONG);
    let whole = "Dns 10.0.0.1:6390 10.0.0.2:6390 10.0.0.3:6390";
    assert_eq!(show(next(&mut inputs).await), whole);
    dns.set("b.test.", Zone::both(Reply::ServFail));
    discovery.resolve_now();
    assert_eq!(show(next(&mut inputs).await), "DnsPartly 10.0.0.1:6390 10.0.0.2:6390");
}

#[tokio::test]
async fn a_short_name_is_expanded_once_and_kept() {
    let dns = Dns::start().await;
    let domains = ["shop.svc.test", "svc.test", "test"].map(str::to_owned).to_vec();
    let search = Search { domains, ndots: 5 };
    let settings = DiscoverySettings { search, ..settings(&dns, &["peers"], LONG) };
    let (inputs, mut outputs) = mpsc::channel(16);
    let discovery = discovery::start(settings, inputs).expect("starts");
    assert_eq!(show(next(&mut outputs).await), "DnsFailed");
    assert_eq!(discovery.last()[0].name, None);

    // A likelier name fails: nobody knows whether it exists, so no other is settled on.
    dns.set("peers.shop.svc.test.", Zone::both(Reply::ServFail));
    dns.set("peers.test.", Zone::of(&["10.9.9.9"]));
    discovery.resolve_now();
    assert_eq!(show(next(&mut outputs).await), "DnsFailed");

    dns.set("peers.shop.svc.test.", Zone::of(&["10.0.0.1"]));
    discovery.resolve_now();
    assert_eq!(show(next(&mut outputs).await), "Dns 10.0.0.1:6390");
    assert_eq!(discovery.last()[0].name.as_deref(), Some("peers.shop.svc.test."));

    // From now on only that name is asked for, also while it is gone.
    let before = dns.asked().len();
    dns.set("peers.shop.svc.test.", Zone::both(Reply::NxDomain));
    discovery.resolve_now();
    assert_eq!(show(next(&mut outputs).await), "DnsFailed");
    assert!(dns.asked()[before..].iter().all(|asked| asked.name == "peers.shop.svc.test."));
}

#[tokio::test]
async fn a_single_look_tells_each_service() {
    let dns = Dns::start().await;
    dns.set(NAME, Zone::of(&["10.0.0.1"]));
    let settings = settings(&dns, &[NAME, "none.test."], LONG);
    let states = resolve_once(&settings).await.expect("a server is named");
    assert_eq!(states[0].outcome, Some(Outcome::Complete));
    assert_eq!(states[1].outcome, Some(Outcome::Failed(Failure::NoSuchName)));
}

#[tokio::test]
async fn without_services_nothing_is_ever_said() {
    let dns = Dns::start().await;
    let (discovery, mut inputs) = start(&dns, &[], Duration::from_millis(1));
    discovery.resolve_now();
    assert_eq!(inputs.recv().await, None, "the sender is gone at once");
    assert!(discovery.last().is_empty());
}
