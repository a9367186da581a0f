//! The script that starts Redis, with real servers.

mod container;
mod passwords;
mod users;

use std::ffi::OsString;
use std::path::Path;

use super::support::servers::{BOOT_FLAGS, binary};
use container::{Container, PASSWORD, each_server};

const NEXT_PASSWORD: &str = "the-one-after";
/// What somebody might write who does not know of the fence.
const UNDOING: &str = "save 60 1\nappendonly yes\nreplica-serve-stale-data yes\nrepl-backlog-ttl 3600\n\
    dbfilename kept\nrepl-diskless-load swapdb\nrequirepass other\nmaxmemory 64mb";

#[test]
fn no_setting_undoes_the_boot_fence() {
    let prepare = |container: &mut Container| container.write("conf/redis.conf", UNDOING);
    each_server(prepare, |name, container| {
        let role = container.ask(&[PASSWORD], &["ROLE"]).expect("a role");
        let shown = format!("{role:?}");
        assert!(
            shown.contains("slave") && shown.contains("127.0.0.1") && shown.contains("int(1)"),
            "{shown}"
        );
        let [_, ip, port, settings @ ..] = BOOT_FLAGS;
        assert_eq!((ip, port), ("127.0.0.1", "1"));
        for pair in settings.chunks(2) {
            let setting = pair[0].trim_start_matches("--");
            assert_eq!(container.setting(setting), pair[1], "{name}: {setting}");
        }
        for (setting, value) in [("repl-diskless-load", "disabled"), ("dbfilename", "dump.rdb")] {
            assert_eq!(container.setting(setting), value, "{name}: {setting}");
        }
        assert_eq!(
            container.setting("maxmemory"),
            (64 << 20).to_string(),
            "{name}: its own settings"
        );
    });
}

/// Also those whose names come before it.
#[test]
fn files_beside_redis_conf_win_over_it() {
    let prepare = |container: &mut Container| {
        container.write("conf/my.conf", "maxmemory 32mb\n");
        container.write("conf/redis.conf", "maxmemory 64mb\nmaxclients 99\n");
        container.write("conf/tls.conf", "maxclients 98\n");
    };
    each_server(prepare, |name, container| {
        assert_eq!(container.setting("maxmemory"), (32 << 20).to_string(), "{name}");
        assert_eq!(container.setting("maxclients"), "98", "{name}");
    });
}

#[test]
fn all_passwords_of_the_file_are_accepted_and_the_first_is_used() {
    let both = format!("{PASSWORD}\n\n{NEXT_PASSWORD}\n");
    for (file, second_works) in [(PASSWORD, false), (both.as_str(), true)] {
        let prepare = |container: &mut Container| container.write("secrets/redis-password", file);
        each_server(prepare, |name, container| {
            assert!(container.ask(&[PASSWORD], &["ROLE"]).is_ok(), "{name}");
            let second = container.ask(&[NEXT_PASSWORD], &["ROLE"]);
            assert_eq!(second.is_ok(), second_works, "{name}: {second:?}");
            let nobody = container.ask(&[], &["ROLE"]).expect_err("a password is asked for");
            assert_eq!(nobody.code(), Some("NOAUTH"), "{name}");
            assert_eq!(container.setting("masterauth"), PASSWORD, "{name}");
        });
    }
}

#[test]
fn no_password_is_in_arguments_environment_or_files() {
    each_server(
        |_| {},
        |name, container| {
            assert!(container.ask(&[PASSWORD], &["ROLE"]).is_ok(), "{name}");
            for file in ["cmdline", "environ"] {
                let text =
                    std::fs::read(format!("/proc/{}/{file}", container.pid())).expect("it runs");
                let text = String::from_utf8_lossy(&text);
                assert!(!text.contains("quoted"), "{name}: {file}: {text}");
            }
            let left: Vec<OsString> = std::fs::read_dir(container.dir.join("data"))
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name())
                .collect();
            assert!(left.is_empty(), "{name}: {left:?}");
        },
    );
}

/// The process that was started is the server: signals reach it, and no shell stays behind.
#[test]
fn the_server_takes_the_place_of_the_shell() {
    each_server(
        |_| {},
        |name, container| {
            assert!(container.ask(&[PASSWORD], &["ROLE"]).is_ok(), "{name}");
            let pid = container.pid().to_string();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            assert_eq!(children.expect("it runs").trim(), "", "{name}");
            let info = container.ask(&[PASSWORD], &["INFO", "server"]).expect("an answer");
            let info: String = redis::from_redis_value(info).expect("text");
            assert!(info.contains(&format!("process_id:{pid}\r\n")), "{name}: {info}");
        },
    );
}

#[test]
fn files_of_a_former_run_are_removed() {
    let prepare = |container: &mut Container| {
        for file in ["dump.rdb", "temp-123.rdb", ".settings"] {
            container.write(&format!("data/{file}"), "REDIS0009 what was once");
        }
    };
    each_server(prepare, |name, container| {
        assert!(container.ask(&[PASSWORD], &["ROLE"]).is_ok(), "{name}");
        let left = std::fs::read_dir(container.dir.join("data")).expect("a folder").count();
        assert_eq!(left, 0, "{name}");
    });
}

#[test]
fn without_a_password_file_others_may_connect() {
    let Some(path) = binary("redis-system") else { return };
    let mut container = Container::new(Some((&path, "redis-server")));
    let mut command = container.command();
    command.env_remove("REDIS_PASSWORD_FILE");
    container.start_as(command);
    let mode = container.ask(&[], &["CONFIG", "GET", "protected-mode"]).expect("an answer");
    assert_eq!(
        redis::from_redis_value::<Vec<String>>(mode).expect("a pair"),
        ["protected-mode", "no"]
    );
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let server = Some((Path::new("/bin/false"), "redis-server"));
    for (prepare, words) in [
        ("rename-command CONFIG \"\"", "renames config"),
        ("  Rename-Command \"replicaof\" x", "renames replicaof"),
        ("maxmemory 1gb\nrename-command client hidden", "renames client"),
        ("\"rename-command\" CONFIG \"\"", "renames config"),
        ("'Rename-Command' 'Script' x\r\n", "renames script"),
        ("maxmemory 1gb\ninclude \"/etc/other.conf\"", "includes /etc/other.conf"),
    ] {
        let container = Container::new(server);
        container.write("conf/redis.conf", prepare);
        refused(&container, words);
    }
    refused(&Container::new(None), "neither redis-server nor valkey-server");
}

#[test]
fn other_commands_may_be_renamed() {
    let Some(path) = binary("redis-system") else { return };
    let mut container = Container::new(Some((&path, "redis-server")));
    container
        .write("conf/redis.conf", "rename-command FLUSHALL \"\"\n# rename-command CONFIG \"\"\n");
    container.start();
    assert!(container.ask(&[PASSWORD], &["ROLE"]).is_ok());
    let error = container.ask(&[PASSWORD], &["FLUSHALL"]).expect_err("it is gone");
    assert!(error.to_string().contains("unknown command"), "{error}");
}

/// It ends with the code for bad usage and says this.
#[track_caller]
fn refused(container: &Container, words: &str) {
    let output = container.fail();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains(words), "{said}");
}
