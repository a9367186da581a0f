//! An ACL user for the hive, made of the password file.

use std::path::Path;
use std::process::Command;

use super::container::{Container, PASSWORD, each_server};
use super::{NEXT_PASSWORD, refused};
use crate::tools::{root, stdout};

const HIVE: &str = "hive";

/// Two passwords, as while they are rotated.
fn rotating(container: &mut Container) {
    container.username = HIVE;
    container.write("secrets/redis-password", &format!("{PASSWORD}\n{NEXT_PASSWORD}\n"));
}

/// What follows `ACL SETUSER hive on >PASSWORD` in the documentation.
fn documented_rights() -> String {
    let text = std::fs::read_to_string(root().join("docs/security.md")).expect("the page");
    let begin = "ACL SETUSER hive on >PASSWORD ";
    let rights = text.lines().find_map(|line| line.trim().strip_prefix(begin));
    rights.expect("the rights are told").to_owned()
}

/// May what the hive does, and touch no key.
fn is_the_hives_user(name: &str, container: &Container) {
    for password in [PASSWORD, NEXT_PASSWORD] {
        let login = [HIVE, password];
        let info = container.ask(&login, &["INFO", "replication"]);
        assert!(info.is_ok(), "{name}: {info:?}");
        let error = container.ask(&login, &["GET", "key"]).expect_err("keys are not its business");
        assert_eq!(error.code(), Some("NOPERM"), "{name}: {error}");
    }
    assert_eq!(container.setting_as(&[HIVE, PASSWORD], "masteruser"), HIVE, "{name}");
    assert_eq!(container.setting_as(&[HIVE, PASSWORD], "masterauth"), PASSWORD, "{name}");
    let nobody = container.ask(&[], &["GET", "key"]).expect_err("a password is asked for");
    assert_eq!(nobody.code(), Some("NOAUTH"), "{name}");
}

#[test]
fn the_user_of_the_hive_has_all_passwords_and_the_documented_rights() {
    let script = std::fs::read_to_string(super::container::script()).expect("the script");
    assert!(script.contains(&format!("rights='{}'", documented_rights())), "others are written");
    each_server(rotating, |name, container| {
        is_the_hives_user(name, container);
        // As without such a user.
        for password in [PASSWORD, NEXT_PASSWORD] {
            assert!(container.ask(&[password], &["ROLE"]).is_ok(), "{name}");
        }
    });
}

#[test]
fn other_users_are_those_of_the_settings() {
    let prepare = |container: &mut Container| {
        rotating(container);
        let users = "user default off\nuser app on >of-the-app ~app:* +get\n";
        container.write("conf/users.conf", users);
    };
    each_server(prepare, |name, container| {
        is_the_hives_user(name, container);
        assert!(container.ask(&[PASSWORD], &["ROLE"]).is_err(), "{name}: default is off");
        let app = ["app", "of-the-app"];
        let denied = container.ask(&app, &["GET", "other"]).expect_err("a key of others");
        assert_eq!(denied.code(), Some("NOPERM"), "{name}: {denied}");
    });
}

/// A password as a word of an ACL rule.
fn hash(password: &str) -> String {
    let sum = stdout(&mut Command::new("sha256sum"), password.as_bytes());
    format!("#{}", sum.split_whitespace().next().expect("a sum"))
}

/// Redis does not start with users from a file and from elsewhere.
#[test]
fn beside_an_acl_file_no_user_is_made() {
    let prepare = |container: &mut Container| {
        rotating(container);
        let file = container.dir.join("users.acl");
        // Words of such a file cannot be quoted, and a password with blanks is known by its hash.
        let [one, two] = [PASSWORD, NEXT_PASSWORD].map(hash);
        let rights = documented_rights();
        let users = format!("user default off\nuser {HIVE} on {one} {two} {rights}\n");
        std::fs::write(&file, users).expect("a file");
        container.write("conf/users.conf", &format!("aclfile \"{}\"\n", file.display()));
    };
    each_server(prepare, is_the_hives_user);
}

#[test]
fn the_hives_user_comes_from_the_password_file_alone() {
    for (username, setting, words) in [
        ("", "user default on nopass ~* +@all", "has the user default"),
        ("Hive", "\"user\" 'Hive' on nopass", "has the user hive"),
    ] {
        let mut container = Container::new(Some((Path::new("/bin/false"), "redis-server")));
        container.username = username;
        container.write("conf/redis.conf", setting);
        refused(&container, words);
    }
}
