//! The commands as a person runs them: what they print, and their exit codes.

#[path = "cli/asks.rs"]
mod asks;
#[path = "support/dns.rs"]
mod dns;
#[path = "support/files.rs"]
mod files;
#[path = "peer_protocol/frames.rs"]
#[allow(dead_code)]
mod frames;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/look.rs"]
mod look;
#[path = "cli/paper.rs"]
mod paper;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/secret.rs"]
mod secret;
#[path = "support/status.rs"]
mod status;
#[path = "cli/stop.rs"]
mod stop;
#[path = "cli/witness.rs"]
mod witness;

use std::net::{IpAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redis_hive::cli::dev::launch::BOOT_FENCE;
use redis_hive::election::{Ask, Verdict};
use redis_hive::http::{self, Http, Sources, Status};
use redis_hive::secrets::{Keyring, Secrets};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// Longest time for one run of the program.
const LONG: Duration = Duration::from_secs(20);

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn hive(args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-hive"));
    command.args(args).envs(env.iter().copied()).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await.expect("in time").expect("it starts");
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn serve(bend: impl FnOnce(&mut Status)) -> (Http, watch::Sender<Arc<Status>>) {
    serve_at(0, bend)
}

fn serve_at(port: u16, bend: impl FnOnce(&mut Status)) -> (Http, watch::Sender<Arc<Status>>) {
    let mut status = status::follower();
    bend(&mut status);
    let (sender, seen) = watch::channel(Arc::new(status));
    let keyring = Keyring::fixed(Secrets::default());
    let http = http::start(LOCAL, port, Sources::of(seen), mpsc::channel(1).0, keyring);
    (http.expect("a free port"), sender)
}

/// Ports nobody has at this moment.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| StdListener::bind((LOCAL, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("bound").port())
}

/// Says the same to everybody and hangs up.
async fn talker(words: &'static [u8]) -> (String, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind((LOCAL, 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("bound").to_string();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(words).await;
            let _ = stream.shutdown().await;
        }
    });
    (addr, task)
}

/// A real server in a directory of its own; both are gone when this is dropped.
struct Redis {
    child: Child,
    dir: PathBuf,
    addr: String,
}

impl Redis {
    async fn start(flags: &[&str]) -> Redis {
        let [port] = free_ports();
        let dir =
            std::env::temp_dir().join(format!("redis-hive-cli-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let server = ["redis-server", "valkey-server"].into_iter().find_map(|server| {
            Command::new(server)
                .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
                .arg(&dir)
                // `check` compares maxclients with what a hive needs.
                .args(["--loglevel", "warning", "--maxclients", "10064"])
                .args(flags)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
        let child =
            server.expect("redis-server or valkey-server is needed (apt-get install redis-server)");
        let redis = Redis { child, dir, addr: format!("127.0.0.1:{port}") };
        let listening = async {
            while TcpStream::connect(&redis.addr).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, listening).await.expect("the server listens");
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// `check` against this Redis, with free ports and a DNS that lists one peer beside us.
async fn check(redis: &str, more: &[&str], env: &[(&str, &str)]) -> Ran {
    let dns = dns::Dns::start().await;
    dns.set("peers.test.", dns::Zone::of(&["127.0.0.1", "192.0.2.1"]));
    let server = dns.addr.to_string();
    let ports: [String; 4] = free_ports().map(|port: u16| port.to_string());
    let mut args = vec![
        "check",
        "--service=peers.test.",
        "--advertise=192.0.2.2",
        "--bind=127.0.0.1",
        "--dns-server",
        &server,
        "--redis",
        redis,
        "--peer-port",
        &ports[0],
        "--proxy-port",
        &ports[1],
        "--http-port",
        &ports[2],
        "--read-port",
        &ports[3],
    ];
    args.extend(more);
    let ran = hive(&args, env).await;
    // Lines are broken to fit a terminal: sentences are looked for as if they were not.
    Ran { out: ran.out.split_whitespace().collect::<Vec<_>>().join(" "), ..ran }
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_a_fenced_redis() {
    let redis = Redis::start(&BOOT_FENCE).await;
    let ran = check(&redis.addr, &[], &[]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("peers.test. lists 2 addresses"), "{}", ran.out);
    assert!(ran.out.contains("the boot fence is there"), "{}", ran.out);
    assert!(ran.out.contains("0 to mend, "), "{}", ran.out);
}

#[tokio::test]
async fn check_misses_the_boot_fence_and_the_settings() {
    let redis = Redis::start(&["--repl-backlog-ttl", "3600", "--loglevel", "warning"]).await;
    let ran = check(&redis.addr, &[], &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.out.contains("the boot fence is missing"), "{}", ran.out);
    assert!(ran.out.contains("mend: start it with --replicaof 127.0.0.1 1"), "{}", ran.out);
    assert!(ran.out.contains("repl-backlog-ttl is '3600'"), "{}", ran.out);
}

#[tokio::test]
async fn check_tells_a_missing_and_a_wrong_password() {
    let redis = Redis::start(&[BOOT_FENCE.as_slice(), &["--requirepass", "right"]].concat()).await;
    let none = check(&redis.addr, &[], &[]).await;
    assert_eq!(none.code, Some(1));
    assert!(none.out.contains("demands a password"), "{}", none.out);

    let wrong = check(&redis.addr, &[], &[("HIVE_REDIS_PASSWORD", "wr0ng-secret")]).await;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.out.contains("refuses the user or the password"), "{}", wrong.out);
    assert!(!format!("{}{}", wrong.out, wrong.err).contains("wr0ng-secret"));

    let file = redis.dir.join("password");
    std::fs::write(&file, "right\n").expect("a file");
    let file = file.to_str().expect("text");
    let right = check(&redis.addr, &["--redis-password-file", file], &[]).await;
    assert_eq!(right.code, Some(0), "{}", right.out);
}

#[tokio::test]
async fn check_names_what_an_acl_user_may_not_do() {
    let user = ["--user", "hive", "on", ">pass", "~*", "&*", "+@all", "-replicaof", "-slaveof"];
    let redis = Redis::start(&[BOOT_FENCE.as_slice(), &user].concat()).await;
    let password = [("HIVE_REDIS_PASSWORD", "pass")];
    let ran = check(&redis.addr, &["--redis-username=hive"], &password).await;
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.out.contains("hive may not: REPLICAOF NO ONE"), "{}", ran.out);
}

#[tokio::test]
async fn check_refuses_a_cluster_node() {
    let redis = Redis::start(&["--cluster-enabled", "yes", "--loglevel", "warning"]).await;
    let ran = check(&redis.addr, &[], &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("Cluster mode"), "{}", ran.out);
}

#[tokio::test]
async fn check_tells_who_is_not_there() {
    let [port] = free_ports();
    let nobody = check(&format!("127.0.0.1:{port}"), &[], &[]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.out.contains("nothing listens on 127.0.0.1"), "{}", nobody.out);

    let (stranger, _talker) = talker(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let foreign = check(&stranger, &[], &[]).await;
    assert_eq!(foreign.code, Some(1));
    assert!(foreign.out.contains("BAD redis"), "{}", foreign.out);

    let silent = StdListener::bind((LOCAL, 0)).expect("a free port");
    let addr = silent.local_addr().expect("bound").to_string();
    let hung = check(&addr, &["--service=gone.test."], &[]).await;
    assert_eq!(hung.code, Some(1));
    assert!(hung.out.contains("does not answer within 3 s"), "{}", hung.out);
    assert!(hung.out.contains("no such name (NXDOMAIN)"), "{}", hung.out);
}

#[tokio::test]
async fn check_names_a_taken_port_by_its_flag_and_knows_a_hive() {
    let redis = Redis::start(&BOOT_FENCE).await;
    let taken = StdListener::bind((LOCAL, 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let ran = check(&redis.addr, &["--proxy-port", &port], &[]).await;
    assert_eq!(ran.code, Some(64), "given twice is bad usage: {}", ran.err);

    let [peer_port, http_port]: [String; 2] = free_ports().map(|port: u16| port.to_string());
    let flags = |http_port: &str| -> Vec<String> {
        [
            "check",
            "--peer=127.0.0.9",
            "--bind=127.0.0.1",
            "--read-port=0",
            "--redis",
            &redis.addr,
            "--proxy-port",
            &port,
        ]
        .into_iter()
        .chain(["--peer-port", &peer_port, "--http-port", http_port])
        .map(str::to_owned)
        .collect()
    };
    let given = flags(&http_port);
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let ran = hive(&given, &[]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains(&format!("--proxy-port {port} on 127.0.0.1")), "{}", ran.out);

    let (http, _keep) = serve(|_| {});
    let given = flags(&http.addr.port().to_string());
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let ran = hive(&given, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.out.contains("a hive runs here already"), "{}", ran.out);
}

#[tokio::test]
async fn check_passes_on_the_warnings_of_the_settings() {
    let redis = Redis::start(&BOOT_FENCE).await;
    let link = [("HIVE_UNKNOWN_PORT", "x"), ("HIVE_PEER_PORT", "tcp://10.0.0.1:6390")];
    let ran = hive(&["check", "--peer=127.0.0.9", "--redis", &redis.addr], &link).await;
    assert!(ran.out.contains("HIVE_PEER_PORT=tcp://10.0.0.1:6390"), "{}{}", ran.out, ran.err);
}

/// What `check --json` prints.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    id: String,
    level: String,
    seen: String,
    why: String,
    mend: String,
}

#[tokio::test]
async fn check_tells_programs_the_same() {
    let flags = ["--witness", "--quorum=2", "--json"];
    let well = check("127.0.0.1:1", &flags, &[]).await;
    let nowhere = [&flags[..], &["--service=gone.test."]].concat();
    let ill = check("127.0.0.1:1", &nowhere, &[]).await;
    for (ran, code) in [(well, 0), (ill, 1)] {
        let told: Vec<Told> = serde_json::from_str(&ran.out).expect("JSON and nothing else");
        assert!(told.len() > 5, "{}", ran.out);
        for it in &told {
            let wrong = it.level != "ok";
            assert!(["ok", "warn", "bad"].contains(&it.level.as_str()), "{}", it.level);
            assert_eq!((it.why.is_empty(), it.mend.is_empty()), (!wrong, !wrong), "{}", it.id);
            assert!(!it.seen.is_empty() && !it.id.is_empty(), "{}", ran.out);
        }
        let bad = told.iter().any(|it| it.level == "bad");
        assert_eq!((ran.code, bad), (Some(code), code == 1), "{}", ran.out);
    }
}

/// No Redis runs there, and none is asked for.
#[tokio::test]
async fn check_of_a_witness_asks_no_redis_and_weighs_the_quorum() {
    let ran = check("127.0.0.1:1", &["--witness", "--quorum=2"], &[]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("none: a witness"), "{}", ran.out);
    assert!(ran.out.contains("--quorum 2, and 3 hives are listed"), "{}", ran.out);
    assert!(ran.out.contains("--redis is not used"), "{}", ran.out);
}
