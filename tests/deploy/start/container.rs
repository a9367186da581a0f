//! A container around the script that starts Redis, as far as the script sees one.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::servers::{binary, eventually, send, unused_address};
use crate::tools::root;

const SERVERS: [(&str, &str); 4] = [
    ("redis-6.2", "redis-server"),
    ("redis-system", "redis-server"),
    ("redis-8.2", "redis-server"),
    ("valkey-9.1", "valkey-server"),
];

/// The first password, and all there is unless a test writes others.
pub const PASSWORD: &str = r#"a "quoted" \x41 $word 'and' more"#;

/// What a container has: folders for settings, secrets and data, and few programs.
pub struct Container {
    /// Where they are: `bin`, `conf`, `data`, `secrets`.
    pub dir: PathBuf,
    /// The ACL user of the hive; empty: the default one.
    pub username: &'static str,
    ip: String,
    child: Option<Child>,
}

impl Container {
    /// With this server under this name, if any.
    pub fn new(server: Option<(&Path, &str)>) -> Container {
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
        let container = Container { dir, username: "", ip, child: None };
        container.write("conf/a.conf", &format!("bind {}\n", container.ip));
        container.write("secrets/redis-password", PASSWORD);
        container
    }

    /// Makes a file below its folder.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.dir.join(file), text).expect("a file");
    }

    /// The script, as the container starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .arg(script())
            .env_clear()
            .env("PATH", self.dir.join("bin"))
            .env("REDIS_CONF_DIR", self.dir.join("conf"))
            .env("REDIS_DATA", self.dir.join("data"))
            .env("REDIS_PASSWORD_FILE", self.dir.join("secrets/redis-password"))
            .env("HIVE_REDIS_USERNAME", self.username)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to an end that comes by itself.
    pub fn fail(&self) -> Output {
        self.command().output().expect("a shell")
    }

    /// Starts it; what it says goes to a file `log`.
    pub fn start(&mut self) {
        self.start_as(self.command());
    }

    /// Starts this in its place.
    pub fn start_as(&mut self, mut command: Command) {
        let log = std::fs::File::create(self.dir.join("log")).expect("a log");
        let child = command.stdout(log.try_clone().expect("the log")).stderr(log).spawn();
        self.child = Some(child.expect("a shell"));
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// Sends a command once the server answers, after AUTH with these words, if any.
    pub fn ask(&self, login: &[&str], words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://{}:6379/", self.ip)).expect("an address");
        let mut connection =
            eventually("the server takes a connection", || client.get_connection().ok());
        if !login.is_empty() {
            send(&mut connection, &[&["AUTH"], login].concat())?;
        }
        send(&mut connection, words)
    }

    /// What the server has for a setting.
    pub fn setting(&self, name: &str) -> String {
        self.setting_as(&[PASSWORD], name)
    }

    /// The same, after AUTH with these words.
    pub fn setting_as(&self, login: &[&str], name: &str) -> String {
        let answer = self.ask(login, &["CONFIG", "GET", name]).expect("an answer");
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
pub fn each_server(prepare: impl Fn(&mut Container), check: impl Fn(&str, &Container)) {
    for (name, program) in SERVERS {
        let Some(path) = binary(name) else { continue };
        let path = std::fs::canonicalize(path).expect("a program");
        let mut container = Container::new(Some((&path, program)));
        prepare(&mut container);
        container.start();
        check(name, &container);
    }
}

/// Where it is.
pub fn script() -> PathBuf {
    root().join("deploy/kubernetes/base/config/start-redis.sh")
}
