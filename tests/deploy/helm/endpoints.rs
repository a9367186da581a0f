//! The script of `helm test`, with a real server.

use std::process::{Command, Output};

use super::chart::dir;
use crate::support::servers::{Server, binary};

const PASSWORD: &str = "a-password";

/// Runs the script against this server, with a file that says this; `None` where there is no client.
fn run(server: &Server, password_file: &str) -> Option<Output> {
    if Command::new("redis-cli").arg("--version").output().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "redis-cli is missing");
        eprintln!("SKIPPED: redis-cli is missing: run deploy/local/install tls");
        return None;
    }
    let file = std::env::temp_dir().join(format!("redis-hive-endpoints-{}", server.addr.ip));
    std::fs::write(&file, password_file).expect("a file");
    let at = format!("{}:{}", server.addr.ip, server.addr.port);
    let mut script = Command::new("/bin/sh");
    script.arg(dir().join("files/test.sh")).env("TRIES", "1").env("PASSWORD_FILE", &file);
    let output = script.env("WRITE_AT", &at).env("READ_AT", &at).output().expect("a shell");
    std::fs::remove_file(file).expect("it is there");
    Some(output)
}

fn server(flags: &[&str]) -> Option<Server> {
    let flags = [&["--requirepass", PASSWORD], flags].concat();
    Some(Server::start_with_password(&binary("redis-system")?, &flags, Some(PASSWORD)))
}

#[test]
fn the_test_of_the_chart_writes_and_reads() {
    let Some(server) = server(&[]) else { return };
    // With and without an end of its line, and while the next password is there already.
    for end in ["", "\n", "\r\n", "\nnext\n"] {
        let file = format!("{PASSWORD}{end}");
        let Some(output) = run(&server, &file) else { return };
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("written through") && told.contains("read through"), "{told}");
    }
}

#[test]
fn the_test_of_the_chart_finds_a_fault() {
    let Some(master) = server(&[]) else { return };
    let Some(parked) = server(&["--replicaof", "127.0.0.1", "1"]) else { return };
    for (server, password, word) in
        [(&master, "wrong", "WRONGPASS"), (&parked, PASSWORD, "READONLY")]
    {
        let Some(output) = run(server, password) else { return };
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(word), "{told}");
    }
}
