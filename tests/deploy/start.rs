//! The script that starts Redis, with real servers.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::support::servers::{BOOT_FLAGS, binary, eventually, send, unused_address};
use super::tools::root;

const SERVERS: [(&str, &str); 4] = [
    ("redis-6.2", "redis-server"),
    ("redis-system", "redis-server"),
    ("redis-8.2", "redis-server"),
    ("valkey-9.1", "valkey-server"),
];
const PASSWORD: &str = r#"a "quoted" \x41 $word 'and' more"#;
const NEXT_PASSWORD: &str = "the-one-after";
/// What somebody might write who does not know of the fence.
const UNDOING: &str = "save 60 1\nappendonly yes\nreplica-serve-stale-data yes\nrepl-backlog-ttl 3600\n\
    repl-diskless-load swapdb\nrequirepass other\nmaxmemory 64mb";

fn script() -> PathBuf {
    root().join("deploy/kubernetes/base/config/start-redis.sh")
}

/// What a container has: folders for settings, secrets and data, and few programs.
struct Container {
    dir: PathBuf,
    ip: String,
    child: Option<Child>,
}

impl Container {
    /// With this server under this name, if any.
    fn new(server: Option<(&Path, &str)>) -> Container {
        let ip = unused_address().ip.to_string();
        let dir = std::env::temp_dir().join(format!("redis-hive-start-{ip}"));
        for folder in ["bin", "conf", "data", "secrets"] {
            std::fs::create_dir_all(dir.join(folder)).expect("a folder");
        }
        for program in ["rm", "mkfifo", "sed", "tr"] {
            let places = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(program));
            let found = places.into_iter().find(|path| path.exists()).expect("a usual program");
            symlink(found, dir.join("bin").join(program)).expect("a link");
        }
        if let Some((binary, name)) = server {
            symlink(binary, dir.join("bin").join(name)).expect("a link");
        }
        let container = Container { dir, ip, child: None };
        container.write("conf/a.conf", &format!("bind {}\n", container.ip));
        container.write("secrets/redis-password", PASSWORD);
        container
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.join(file), text).expect("a file");
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .arg(script())
            .env_clear()
            .env("PATH", self.dir.join("bin"))
            .env("REDIS_CONF_DIR", self.dir.join("conf"))
            .env("REDIS_DATA", self.dir.join("data"))
            .env("REDIS_PASSWORD_FILE", self.dir.join("secrets/redis-password"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to an end that comes by itself.
    fn fail(&self) -> Output {
        self.command().output().expect("a shell")
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.dir.join("log")).expect("a log");
        let mut command = self.command();
        let child = command.stdout(log.try_clone().expect("the log")).stderr(log).spawn();
        self.child = Some(child.expect("a shell"));
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// Sends a command as somebody with this password, once the server answers.
    fn ask(&self, password: Option<&str>, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://{}:6379/", self.ip)).expect("an address");
        let mut connection =
            eventually("the server takes a connection", || client.get_connection().ok());
        if let Some(password) = password {
            send(&mut connection, &["AUTH", password])?;
        }
        send(&mut connection, words)
    }

    fn setting(&self, name: &str) -> String {
        let answer = self.ask(Some(PASSWORD), &["CONFIG", "GET", name]).expect("an answer");
        let (_, value): (String, String) = redis::from_redis_value(answer).expect("a pair");
        value
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A container of each server, started, with what it says where a check fails.
fn each_server(prepare: impl Fn(&Container), check: impl Fn(&str, &Container)) {
    for (name, program) in SERVERS {
        let Some(path) = binary(name) else { continue };
        let path = std::fs::canonicalize(path).expect("a program");
        let mut container = Container::new(Some((&path, program)));
        prepare(&container);
        container.start();
        check(name, &container);
    }
}

#[test]
fn no_setting_undoes_the_boot_fence() {
    let prepare = |container: &Container| container.write("conf/redis.conf", UNDOING);
    each_server(prepare, |name, container| {
        let role = container.ask(Some(PASSWORD), &["ROLE"]).expect("a role");
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
        assert_eq!(container.setting("repl-diskless-load"), "disabled", "{name}");
        assert_eq!(
            container.setting("maxmemory"),
            (64 << 20).to_string(),
            "{name}: its own settings"
        );
    });
}

#[test]
fn all_passwords_of_the_file_are_accepted_and_the_first_is_used() {
    let both = format!("{PASSWORD}\n\n{NEXT_PASSWORD}\n");
    for (file, second_works) in [(PASSWORD, false), (both.as_str(), true)] {
        let prepare = |container: &Container| container.write("secrets/redis-password", file);
        each_server(prepare, |name, container| {
            assert!(container.ask(Some(PASSWORD), &["ROLE"]).is_ok(), "{name}");
            let second = container.ask(Some(NEXT_PASSWORD), &["ROLE"]);
            assert_eq!(second.is_ok(), second_works, "{name}: {second:?}");
            let nobody = container.ask(None, &["ROLE"]).expect_err("a password is asked for");
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
            assert!(container.ask(Some(PASSWORD), &["ROLE"]).is_ok(), "{name}");
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
            assert!(container.ask(Some(PASSWORD), &["ROLE"]).is_ok(), "{name}");
            let pid = container.pid().to_string();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            assert_eq!(children.expect("it runs").trim(), "", "{name}");
            let info = container.ask(Some(PASSWORD), &["INFO", "server"]).expect("an answer");
            let info: String = redis::from_redis_value(info).expect("text");
            assert!(info.contains(&format!("process_id:{pid}\r\n")), "{name}: {info}");
        },
    );
}

#[test]
fn files_of_a_former_run_are_removed() {
    let prepare = |container: &Container| {
        for file in ["dump.rdb", "temp-123.rdb", ".settings"] {
            container.write(&format!("data/{file}"), "REDIS0009 what was once");
        }
    };
    each_server(prepare, |name, container| {
        assert!(container.ask(Some(PASSWORD), &["ROLE"]).is_ok(), "{name}");
        let left = std::fs::read_dir(container.dir.join("data")).expect("a folder").count();
        assert_eq!(left, 0, "{name}");
    });
}

#[test]
fn without_a_password_file_others_may_connect() {
    let Some(path) = binary("redis-system") else { return };
    let mut container = Container::new(Some((&path, "redis-server")));
    let log = std::fs::File::create(container.dir.join("log")).expect("a log");
    let mut command = container.command();
    command.env_remove("REDIS_PASSWORD_FILE").stdout(log);
    container.child = Some(command.spawn().expect("a shell"));
    let mode = container.ask(None, &["CONFIG", "GET", "protected-mode"]).expect("an answer");
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
    ] {
        let container = Container::new(server);
        container.write("conf/redis.conf", prepare);
        refused(&container, words);
    }
    let container = Container::new(server);
    container.write("secrets/redis-password", "\n\n");
    refused(&container, "holds no password");
    refused(&Container::new(None), "neither redis-server nor valkey-server");
}

#[test]
fn other_commands_may_be_renamed() {
    let Some(path) = binary("redis-system") else { return };
    let mut container = Container::new(Some((&path, "redis-server")));
    container
        .write("conf/redis.conf", "rename-command FLUSHALL \"\"\n# rename-command CONFIG \"\"\n");
    container.start();
    assert!(container.ask(Some(PASSWORD), &["ROLE"]).is_ok());
    let error = container.ask(Some(PASSWORD), &["FLUSHALL"]).expect_err("it is gone");
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
