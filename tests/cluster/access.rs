//! Whole hives whose Redis servers are locked: a user with few rights, TLS, and both of them changed
//! while clients write.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use redis::{ClientTlsConfig, TlsCertificates};
use redis_hive::cli::dev::nodes::{Part, REDIS_PORT};
use serde_json::Value;

use super::asks::cli;
use super::certs::{Authority, Files, Identity, contents};
use super::clients::{Crew, assert_kept, assert_kept_everywhere, connect, fill, put_soon};
use super::harness::{Agreed, Hive, SOON, redis_server, wait_until};
use super::mount::Mount;

/// The rights that docs/security.md names.
fn rights() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let begin = "ACL SETUSER hive on >PASSWORD ";
    let line = text.lines().find_map(|line| line.trim().strip_prefix(begin)).expect("the rule");
    line.split(' ').map(str::to_owned).collect()
}

/// Three hives with a user of their own, whose password is in this file. Clients need none.
fn with_user(file: &Mount, password: &str) -> Option<Hive> {
    let mut user: Vec<String> = ["--user", "hive", "on"].map(str::to_owned).to_vec();
    user.push(format!(">{password}"));
    user.extend(rights());
    let path = file.path("password").to_string_lossy().into_owned();
    Hive::with(3, |options| {
        options.redis_args = user;
        options.hive_args =
            vec!["--redis-username=hive".into(), format!("--redis-password-file={path}")];
    })
}

/// Asks a Redis past its sidecar.
#[track_caller]
fn ask(hive: &Hive, host: u8, words: &[&str]) -> redis::Value {
    let mut connection = hive.connect(hive.redis(host)).expect("its Redis");
    let mut command = redis::Cmd::new();
    words.iter().for_each(|word| {
        command.arg(*word);
    });
    command.query(&mut connection).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn masterauth(hive: &Hive, host: u8) -> String {
    let redis::Value::Array(pair) = ask(hive, host, &["CONFIG", "GET", "masterauth"]) else {
        panic!("no pair")
    };
    redis::from_redis_value(pair[1].clone()).expect("text")
}

/// What a node says is wrong with its password and certificates.
fn troubles(hive: &Hive, host: u8) -> Option<Vec<String>> {
    let problems = hive.status(host)?["problems"].as_array()?.clone();
    let text = |it: &Value| it.as_str().map(str::to_owned);
    let ours = |it: &String| it.contains("--redis-") || it.contains("does not accept what is new");
    Some(problems.iter().filter_map(text).filter(ours).collect())
}

/// Waits until the hive of every node is content with what is in its files.
#[track_caller]
fn await_content(hive: &Hive, hosts: &[u8]) {
    wait_until("no hive has a word about its files", SOON, || {
        hosts.iter().all(|host| troubles(hive, *host).is_some_and(|it| it.is_empty())).then_some(())
    });
}

/// Waits until every hive has taken so many changes of its files into use.
#[track_caller]
fn await_changes(hive: &mut Hive, hosts: &[u8], count: usize) {
    for host in hosts {
        wait_until("the change is in use", SOON, || {
            let log = hive.hive_log(*host);
            (log.matches("certificates of Redis are in use").count() >= count).then_some(())
        });
    }
}

/// Breaks all replication links; they come back without a full copy.
#[track_caller]
fn break_links(hive: &Hive, master: u8) {
    let (fulls, partials) = (hive.counter(master, "sync_full"), "sync_partial_ok");
    let before = hive.counter(master, partials);
    ask(hive, master, &["CLIENT", "KILL", "TYPE", "replica"]);
    wait_until("both replicas are back", SOON, || {
        (hive.counter(master, partials) >= before + 2).then_some(())
    });
    assert_eq!(hive.counter(master, "sync_full"), fulls, "a full copy was made");
}

#[track_caller]
fn assert_nothing_has_moved(hive: &mut Hive, before: Agreed) {
    assert_eq!(hive.settle(), before);
}

/// With exactly the rights of docs/security.md: start, planned change, failover, and a Redis that
/// comes back. No server has ever denied the hive's user anything.
#[test]
fn the_rights_that_are_written_down_suffice_for_all_a_hive_does() {
    let file = Mount::new(&[("password", "sesame\n")]);
    let Some(mut hive) = with_user(&file, "sesame") else { return };
    let before = hive.settle();
    let keys = fill(&hive, before.leader, "kept", 200, 2);
    let said = cli(&hive, before.leader, &["switchover"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let moved = hive.settle();
    assert_ne!(moved.master, before.master);
    hive.kill(moved.master, Part::Both).expect("kill");
    let after = hive.settle();
    hive.revive(moved.master, Part::Both).expect("revive");
    hive.settle();
    assert_kept(&hive, after.leader, &[1, 2, 3], &keys);
    for host in 1..=3 {
        let denied = ask(&hive, host, &["ACL", "LOG"]);
        assert_eq!(denied, redis::Value::Array(Vec::new()), "node {host}");
    }
}

/// The Secret comes first, the servers learn of it later: the old password serves as long. Then the
/// old one is dropped, links break, and the master dies.
#[test]
fn a_password_is_changed_while_clients_write() {
    let file = Mount::new(&[("password", "old-password\n")]);
    let Some(mut hive) = with_user(&file, "old-password") else { return };
    let before = hive.settle();
    let hosts = [1, 2, 3];
    let crew = Crew::start(&hive, "w", &hosts, 6);
    file.swap(&[("password", "new-password\n")]);
    for host in hosts {
        wait_until("it is told that the new password comes too early", SOON, || {
            let told = troubles(&hive, host)?;
            told.iter().any(|it| it.contains("does not accept what is new")).then_some(())
        });
    }
    crew.wait_for(20);
    for host in hosts {
        ask(&hive, host, &["ACL", "SETUSER", "hive", ">new-password"]);
    }
    await_content(&hive, &hosts);
    for host in hosts {
        wait_until("replicas log in with the new one", SOON, || {
            (masterauth(&hive, host) == "new-password").then_some(())
        });
    }
    for host in hosts {
        ask(&hive, host, &["ACL", "SETUSER", "hive", "<old-password"]);
    }
    crew.wait_for(20);
    break_links(&hive, before.master);
    crew.wait_for(20);
    let (keys, errors, _) = crew.stop();
    assert_eq!(errors, 0, "no client noticed");
    assert_nothing_has_moved(&mut hive, before);
    assert_kept_everywhere(&mut hive, before.leader, &keys);
    // And what counts in the end: with the new one alone the next master is found.
    hive.kill(before.master, Part::Both).expect("kill");
    let after = hive.settle();
    put_soon(&hive, after.leader, "after", "written");
    for host in hosts {
        let log = hive.hive_log(host);
        assert!(!log.contains("old-password") && !log.contains("new-password"), "node {host}");
    }
}

/// A hive of servers that speak nothing but TLS, and the files that both sides read.
struct Secured {
    hive: Hive,
    mount: Mount,
    addresses: Vec<IpAddr>,
}

impl Secured {
    fn start(authority: &Authority) -> Option<Secured> {
        if !speaks_tls(&redis_server()?) {
            eprintln!("SKIPPED, NOTHING WAS TESTED: this server was built without TLS");
            return None;
        }
        let mount = Mount::new(&[("ca.pem", ""), ("cert.pem", ""), ("key.pem", "")]);
        let files = Files::inside(mount.dir());
        let mut hive = Hive::empty(|options| {
            options.redis_args = files.redis_flags(REDIS_PORT);
            options.hive_args = files.hive_flags();
        })?;
        let addresses: Vec<IpAddr> = (1..=3).map(|host| hive.ip(host).into()).collect();
        let identity = authority.identity(&addresses);
        mount.swap(&contents(&authority.pem, &identity));
        hive.talk_tls(shown(&authority.pem, &identity));
        (1..=3).for_each(|host| hive.start(host).expect("start a node"));
        hive.settle();
        Some(Secured { hive, mount, addresses })
    }
}

/// Whether this server could speak TLS: then it misses a certificate, else it does not know what that is.
fn speaks_tls(server: &Path) -> bool {
    let ran = Command::new(server).args(["--port", "0", "--tls-port", "1"]).output();
    let said = ran.expect("the server runs").stdout;
    String::from_utf8_lossy(&said).contains("No tls-cert-file configured")
}

/// What a client trusts and shows.
fn shown(ca: &str, identity: &Identity) -> TlsCertificates {
    let (client_cert, client_key) = (identity.cert.clone().into(), identity.key.clone().into());
    let client_tls = Some(ClientTlsConfig { client_cert, client_key });
    TlsCertificates { client_tls, root_cert: Some(ca.as_bytes().to_vec()) }
}

/// Clients talk TLS through the write endpoint, which holds no certificate.
#[test]
fn servers_that_speak_nothing_but_tls_elect_copy_and_fail_over() {
    let Some(Secured { mut hive, mount: _mount, .. }) = Secured::start(&Authority::new("CA"))
    else {
        return;
    };
    let before = hive.settle();
    let plain = connect(hive.proxy(before.leader), &hive.options().auth);
    assert!(plain.is_err(), "a plain client gets nowhere");
    let keys = fill(&hive, before.leader, "kept", 500, 2);
    let said = cli(&hive, before.leader, &["switchover"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let moved = hive.settle();
    assert_ne!(moved.master, before.master);
    assert_kept(&hive, before.leader, &[1, 2, 3], &keys);
    hive.kill(moved.master, Part::Both).expect("kill");
    let after = hive.settle();
    put_soon(&hive, after.leader, "after", "written");
    hive.revive(moved.master, Part::Both).expect("revive");
    hive.settle();
    assert_kept(&hive, after.leader, &[1, 2, 3], &keys);
}

/// Both CAs, then the new certificates, then the new CA alone.
#[test]
fn certificates_are_changed_while_clients_write() {
    let (old, new) = (Authority::new("old CA"), Authority::new("new CA"));
    let Some(Secured { mut hive, mount, addresses }) = Secured::start(&old) else { return };
    let before = hive.settle();
    let hosts = [1, 2, 3];
    let crew = Crew::start(&hive, "w", &hosts, 4);
    let (first, second) = (old.identity(&addresses), new.identity(&addresses));
    let both = format!("{}{}", old.pem, new.pem);
    let steps = [contents(&both, &first), contents(&both, &second), contents(&new.pem, &second)];
    for (count, step) in (1..).zip(steps) {
        mount.swap(&step);
        await_changes(&mut hive, &hosts, count);
        crew.wait_for(20);
    }
    // From here on only what belongs to the new CA counts, on all servers.
    hive.talk_tls(shown(&new.pem, &second));
    for host in hosts {
        let redis = wait_until("the server shows the new one", SOON, || {
            hive.connect(hive.redis(host)).ok()
        });
        drop(redis);
    }
    break_links(&hive, before.master);
    crew.wait_for(20);
    let (keys, errors, _) = crew.stop();
    assert_eq!(errors, 0, "no client noticed");
    await_content(&hive, &hosts);
    assert_nothing_has_moved(&mut hive, before);
    assert_kept_everywhere(&mut hive, before.leader, &keys);
    hive.kill(before.master, Part::Both).expect("kill");
    let after = hive.settle();
    put_soon(&hive, after.leader, "after", "written");
}
