//! `redis-hive check` knows TLS.

use std::path::Path;
use std::process::Command;

use crate::support::certs::{Authority, Files, NAME, contents};
use crate::support::mount::Mount;
use crate::support::servers::{BOOT_FLAGS, PORT, Server};
use crate::system;

/// What `check` says of the Redis at this place, with its lines joined.
fn check(server: &Server, flags: &[String]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_redis-hive"))
        .args(["check", "--peer=127.0.0.1:1", "--advertise=127.0.0.1", "--bind=127.0.0.1"])
        .arg(format!("--redis={}", server.addr))
        .args(flags)
        .env_clear()
        .output()
        .expect("it runs");
    let text = [ran.stdout, ran.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn flags(dir: &Path) -> Vec<String> {
    Files::inside(dir).hive_flags()
}

#[test]
fn every_mistake_is_told_with_how_to_mend_it() {
    let Some(binary) = system() else { return };
    let authority = Authority::new("test CA");
    let identity = authority.identity(&[]);
    let mount = Mount::new(&contents(&authority.pem, &identity));
    let server = Server::with_tls(&binary, &Files::inside(mount.dir()).redis_flags(PORT));

    let good = check(&server, &flags(mount.dir()));
    assert!(good.contains("is trusted and expires in 24 days"), "{good}");
    assert!(good.contains("tls-replication is not on"), "{good}");
    server.ask(&["CONFIG", "SET", "tls-replication", "yes"]);
    assert!(!check(&server, &flags(mount.dir())).contains("tls-replication"));

    let stranger = Mount::new(&contents(&Authority::new("another CA").pem, &identity));
    let told = check(&server, &flags(stranger.dir()));
    assert!(
        told.contains("signed by no CA of --redis-ca") && told.contains("give the CA"),
        "{told}"
    );

    let wrong = |from: &str, to: &str| -> Vec<String> {
        flags(mount.dir()).into_iter().map(|flag| flag.replace(from, to)).collect()
    };
    let told = check(&server, &wrong(NAME, "other.test"));
    assert!(told.contains("is not for other.test, but for") && told.contains(NAME), "{told}");

    let alone: Vec<String> = flags(mount.dir())
        .into_iter()
        .filter(|flag| !flag.starts_with("--redis-cert") && !flag.starts_with("--redis-key"))
        .collect();
    let told = check(&server, &alone);
    assert!(told.contains("demands a certificate") && told.contains("--redis-cert"), "{told}");

    let told = check(&server, &[]);
    assert!(told.contains("also --redis-tls and --redis-ca"), "{told}");
    let told = check(&server, &wrong("ca.pem", "missing.pem"));
    assert!(told.contains("--redis-ca: cannot read"), "{told}");
    let told = check(&server, &wrong("key.pem", "cert.pem"));
    assert!(told.contains("--redis-key: there is no unencrypted private key"), "{told}");
}

#[test]
fn certificates_that_end_or_have_ended_are_told() {
    let Some(binary) = system() else { return };
    let authority = Authority::new("test CA");
    let mount = Mount::new(&contents(&authority.pem, &authority.lasting(&[], 3)));
    let redis_flags = Files::inside(mount.dir()).redis_flags(PORT);
    let server = Server::with_tls(&binary, &redis_flags);
    let told = check(&server, &flags(mount.dir()));
    assert!(told.contains("The certificate in --redis-cert expires in 3 days"), "{told}");
    assert!(told.contains("tls-cert-file"), "{told}");

    let ended = authority.lasting(&[], -2);
    mount.swap(&contents(&authority.pem, &ended));
    server.ask(&["CONFIG", "SET", "tls-cert-file", &mount.path("cert.pem").to_string_lossy()]);
    let told = check(&server, &flags(mount.dir()));
    assert!(told.contains("its certificate has expired") && told.contains("renew it"), "{told}");
}

#[test]
fn a_server_without_tls_is_told() {
    let Some(binary) = system() else { return };
    let authority = Authority::new("test CA");
    let mount = Mount::new(&contents(&authority.pem, &authority.identity(&[])));
    let server = Server::start(&binary, &BOOT_FLAGS);
    let told = check(&server, &flags(mount.dir()));
    assert!(told.contains("speak TLS on this port"), "{told}");
}
