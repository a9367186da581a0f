//! Scripts that sessions run are where the next master may be before it is one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_hive::election::{Id, RedisAddr};
use redis_hive::proxy::Why;

use crate::fake::*;
use crate::pair::{Column, Pair, cut};
use crate::rows::SCRIPT;
use crate::servers::{self, on_every_server};
use crate::support::*;

on_every_server!(
    scripts_are_at_a_replica_before_it_is_the_master,
    what_another_hive_has_brought_is_enough,
    scripts_are_brought_as_the_user_who_runs_them,
);

const TEXT: &str = "return 1";
const SHA: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

/// A server whose every script was forgotten, and that does not learn them from its master.
fn forgets(words: &[String]) -> Option<Act> {
    match words {
        [first, second, rest @ ..] if first == "SCRIPT" && second == "EXISTS" => {
            Some(Act::Say(format!("*{}\r\n{}", rest.len(), ":0\r\n".repeat(rest.len()))))
        }
        [first, second, ..] if first == "SCRIPT" && second == "LOAD" => {
            Some(Act::Say(format!("$40\r\n{SHA}\r\n")))
        }
        _ => None,
    }
}

fn successor(fake: &Fake, run: u8) -> Vec<(RedisAddr, Id)> {
    let addr = fake.server.addr;
    vec![(RedisAddr::new(addr.ip(), addr.port()), Id([run; 20]))]
}

fn loads(fake: &Fake) -> usize {
    fake.asked().iter().filter(|asked| asked.starts_with("SCRIPT LOAD")).count()
}

/// One connection for all sessions, and nothing again of what was brought, unless another one may be
/// the next master.
#[test]
fn scripts_are_brought_once_for_all_sessions() {
    let old = Fake::with(Data::default(), forgets);
    let [next, other] = [(); 2].map(|()| Fake::with(Data::default(), forgets));
    let (hive, mut first) = served_with(&old, |settings| settings.threads = 1);
    first.ok(&["AUTH", "secret"]);
    assert_eq!(first.call(&["SCRIPT", "LOAD", TEXT]), SHA);
    let mut sessions: Vec<_> = (0..50).map(|_| answered(&hive)).collect();
    for session in &mut sessions {
        session.ok(&["AUTH", "secret"]);
        session.ok(&["EVALSHA", SHA, "0"]);
    }
    hive.proxy.successors(successor(&next, 1));
    let exists = format!("SCRIPT EXISTS {SHA}");
    let brought = ["AUTH secret".to_owned(), exists, format!("SCRIPT LOAD {TEXT}")];
    wait_until("it is brought", || loads(&next) == 1);
    hive.proxy.successors(successor(&next, 1));
    let mut late = answered(&hive);
    late.ok(&["AUTH", "secret"]);
    late.ok(&["EVALSHA", SHA, "0"]);
    hive.proxy.successors(successor(&other, 2));
    wait_until("it is brought to the other", || loads(&other) == 1);
    assert_eq!(next.asked(), brought, "once, and for all");
    assert_eq!(other.asked(), brought);
    assert_eq!(loads(&old), 1, "nothing but what the client itself has asked for");
}

/// Nobody is bothered who has nothing to bring, or where there is nobody to bring it to.
#[test]
fn without_scripts_or_successors_nothing_is_connected() {
    let (old, next) = (Fake::with(Data::default(), forgets), Fake::with(Data::default(), forgets));
    let (hive, mut client) = served(&old);
    client.ok(&["EVAL", TEXT, "0"]);
    hive.proxy.successors(successor(&next, 1));
    client.ok(&["EVALSHA", "0000000000000000000000000000000000000000", "0"]);
    assert_eq!(answered(&hive).call(&["PING"]), "PONG");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(next.server.accepted(), 0);
    client.ok(&["EVALSHA", SHA, "0"]);
    wait_until("it is brought", || loads(&next) == 1);
}

#[test]
fn where_no_session_is_moved_nothing_is_brought() {
    let (old, next) = (Fake::with(Data::default(), forgets), Fake::with(Data::default(), forgets));
    let (hive, mut client) = served_with(&old, |settings| settings.move_sessions = false);
    client.call(&["SCRIPT", "LOAD", TEXT]);
    hive.proxy.successors(successor(&next, 1));
    client.ok(&["EVALSHA", SHA, "0"]);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(next.server.accepted(), 0);
}

/// As libraries do it: EVALSHA, and after NOSCRIPT the text.
#[test]
fn a_text_that_comes_later_is_brought() {
    let (old, next) = (Fake::with(Data::default(), forgets), Fake::with(Data::default(), forgets));
    let (hive, mut client) = served(&old);
    hive.proxy.successors(successor(&next, 1));
    client.ok(&["EVALSHA", SHA, "0"]);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(next.server.accepted(), 0, "there is nothing to bring yet");
    client.ok(&["EVAL", TEXT, "0"]);
    wait_until("it is brought", || loads(&next) == 1);
}

/// Who may not bring a script is not tried for ever, and does not keep others from bringing it.
#[test]
fn what_one_user_could_not_bring_another_one_does() {
    const TRIES: usize = 5;
    let refused = Arc::new(AtomicUsize::new(0));
    let next = Fake::with(Data::default(), move |words| {
        let refuse = words[0] == "SCRIPT" && refused.fetch_add(1, Ordering::SeqCst) < TRIES;
        let refusal = || Some(Act::Say("-NOPERM no permissions\r\n".to_owned()));
        if refuse { refusal() } else { forgets(words) }
    });
    let old = Fake::with(Data::default(), forgets);
    let (hive, mut client) = served_with(&old, |settings| settings.threads = 1);
    hive.proxy.successors(successor(&next, 1));
    client.ok(&["AUTH", "refused"]);
    client.ok(&["EVAL", TEXT, "0"]);
    client.ok(&["EVALSHA", SHA, "0"]);
    let asked = || next.asked().iter().filter(|asked| asked.starts_with("SCRIPT")).count();
    wait_until("it was tried", || asked() == TRIES);
    client.ok(&["EVALSHA", SHA, "0"]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(asked(), TRIES, "no more of that");
    let mut other = answered(&hive);
    other.ok(&["AUTH", "secret"]);
    other.ok(&["EVALSHA", SHA, "0"]);
    wait_until("it is brought", || loads(&next) == 1);
}

/// Whoever may be the next master may change at any time, also while scripts are being brought.
#[test]
fn who_runs_scripts_is_asked_again_by_each_change() {
    let (old, next) = (Fake::with(Data::default(), forgets), Fake::with(Data::default(), forgets));
    let (hive, mut client) = served(&old);
    client.call(&["SCRIPT", "LOAD", TEXT]);
    for run in 1..=50 {
        hive.proxy.successors(successor(&next, run));
        wait_until("it is brought", || loads(&next) == usize::from(run));
        // Until about the moment at which the worker looks whether that was all.
        std::thread::sleep(Duration::from_micros(18_000 + 80 * u64::from(run)));
    }
}

fn exists(pair: &Pair, sha: &str) -> bool {
    let known = pair.replica.ask(&["SCRIPT", "EXISTS", sha]);
    known == redis::Value::Array(vec![redis::Value::Int(1)])
}

fn name_successor(pair: &Pair, run: u8) {
    pair.hive.proxy.successors(vec![(pair.replica.addr, Id([run; 20]))]);
}

fn scripts_are_at_a_replica_before_it_is_the_master(binary: &Path) {
    let mut pair = Pair::start(binary);
    name_successor(&pair, 1);
    let mut session = pair.client();
    let sha = session.call(&["SCRIPT", "LOAD", SCRIPT]);
    assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "1");
    wait_until("it is there", || exists(&pair, &sha));
    // 6.2 gives scripts to replicas by itself, so it has to lose it once.
    pair.replica.await_copy_of(&pair.master);
    pair.replica.ask(&["SCRIPT", "FLUSH"]);
    name_successor(&pair, 2);
    wait_until("it is there again", || exists(&pair, &sha));
    pair.change(Column::Planned);
    assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "2");
    assert_eq!(pair.counters().moved_total, 1);
    // Its replica is the next one.
    pair.replica.ask(&["SCRIPT", "FLUSH"]);
    name_successor(&pair, 3);
    wait_until("it is at the old master", || exists(&pair, &sha));
}

/// The text was never seen here, but the next master has it.
fn what_another_hive_has_brought_is_enough(binary: &Path) {
    let mut pair = Pair::start(binary);
    let other = Hive::start();
    other.route(forward(1, std::net::SocketAddr::new(pair.master.addr.ip, pair.master.addr.port)));
    let mut elsewhere = Client::new(other.client());
    let sha = elsewhere.call(&["SCRIPT", "LOAD", SCRIPT]);
    elsewhere.call(&["EVALSHA", &sha, "1", "count"]);
    let mut session = pair.client();
    assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "2");
    pair.replica.await_copy_of(&pair.master);
    pair.replica.ask(&["SCRIPT", "FLUSH"]);
    other.proxy.successors(vec![(pair.replica.addr, Id([1; 20]))]);
    wait_until("it is there", || exists(&pair, &sha));
    pair.change(Column::Planned);
    assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "3");
    let counters = pair.counters();
    assert_eq!((counters.moved_total, cut(&counters, Why::Script)), (1, 0));
}

fn scripts_are_brought_as_the_user_who_runs_them(binary: &Path) {
    let pair = Pair::start(binary);
    pair.on_both(&["ACL", "SETUSER", "user", "on", ">secret", "~*", "&*", "+@all"]);
    pair.on_both(&["ACL", "SETUSER", "other", "on", ">secret", "~*", "+@all", "-script"]);
    let mut refused = pair.client();
    refused.ok(&["AUTH", "other", "secret"]);
    let mut session = pair.client();
    session.ok(&["AUTH", "user", "secret"]);
    let sha = session.call(&["SCRIPT", "LOAD", SCRIPT]);
    pair.replica.await_copy_of(&pair.master);
    pair.replica.ask(&["SCRIPT", "FLUSH"]);
    drop(session);
    pair.hive.wait_for("it has left", |c| c.clients == 1);
    assert_eq!(refused.call(&["EVALSHA", &sha, "1", "count"]), "1");
    name_successor(&pair, 1);
    let log = || format!("{:?}", pair.replica.ask(&["ACL", "LOG"]));
    wait_until("it has tried", || log().contains("script"));
    assert!(!exists(&pair, &sha));
    let mut session = pair.client();
    session.ok(&["AUTH", "user", "secret"]);
    assert_eq!(session.call(&["EVALSHA", &sha, "1", "count"]), "2");
    name_successor(&pair, 2);
    wait_until("it is there", || exists(&pair, &sha));
}
