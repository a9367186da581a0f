//! The file of passwords has two readers, the script and the hive: they read the same.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use redis_hive::redis::first_password;
use secrecy::ExposeSecret as _;

use super::container::Container;

/// What a file holds, and the passwords in it; none: it is refused.
const FILES: &[(&str, &[&str])] = &[
    ("one", &["one"]),
    ("one\n", &["one"]),
    ("one\r\n", &["one"]),
    ("one\ntwo", &["one", "two"]),
    ("one\r\ntwo\r\n", &["one", "two"]),
    ("one\n\n\r\ntwo\n\n", &["one", "two"]),
    // No part of the end of a line.
    ("one\r\r\ntwo\r", &["one\r", "two\r"]),
    (" one \n\ttwo", &[" one ", "\ttwo"]),
    ("one\ntwo\nthree\nfour\n", &["one", "two", "three", "four"]),
    ("one\ntwo\nthree\nfour\nfive\n", &[]),
    ("\none\n", &[]),
    ("\r\none\n", &[]),
    ("\n\n", &[]),
    ("", &[]),
];

/// The passwords that the script gives to Redis, or nothing where it refuses the file.
fn given_by_the_script(file: &str) -> Vec<String> {
    let container = Container::new(None);
    // Its configuration comes on standard input.
    let server = container.dir.join("bin/redis-server");
    std::fs::write(&server, "#!/bin/sh\nwhile IFS= read -r line; do echo \"$line\"; done\n")
        .expect("a program");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&server, executable).expect("it may be run");
    container.write("secrets/redis-password", file);
    let output = container.fail();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("password"), "{file:?}: {said}");
        return Vec::new();
    }
    let config = String::from_utf8(output.stdout).expect("text");
    // No password of the table has a quote in it.
    let quoted = |line: &str| -> Vec<String> {
        let words = line.split('"').skip(1).step_by(2);
        words.map(|word| word.trim_start_matches('>').to_owned()).collect()
    };
    let line = |start: &str| config.lines().find(|line| line.starts_with(start)).map(quoted);
    let used = line("masterauth").expect("Redis logs in to its master");
    let accepted = line("user default").unwrap_or_else(|| used.clone());
    assert_eq!(accepted.first(), used.first(), "{file:?}");
    accepted
}

fn used_by_the_hive(path: &Path) -> Option<String> {
    first_password(path).ok().map(|password| password.expose_secret().to_owned())
}

#[test]
fn the_script_and_the_hive_read_the_same_passwords() {
    for (file, passwords) in FILES {
        assert_eq!(given_by_the_script(file), *passwords, "the script: {file:?}");
        let container = Container::new(None);
        container.write("secrets/redis-password", file);
        let used = used_by_the_hive(&container.dir.join("secrets/redis-password"));
        assert_eq!(used.as_deref(), passwords.first().copied(), "the hive: {file:?}");
    }
}
