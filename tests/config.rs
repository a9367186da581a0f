//! The settings: what is taken, what is refused, and in which words.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command as Process;
use std::time::Duration;

use redis_hive::cli::args::{self, Command};
use redis_hive::config::{Announce, Checked, Config, ConfigErrors, LogFormat, Outside};
use redis_hive::secrets::Secrets;
use secrecy::{ExposeSecret, SecretString};

fn judge_in(outside: &Outside, flags: &[&str]) -> Result<Checked, ConfigErrors> {
    let line = ["redis-hive", "run"].iter().chain(flags).copied();
    let (cli, _) = args::parse(line).expect("a command line clap takes");
    let Command::Run(flags) = cli.command else { panic!("run was given") };
    Config::from_flags(&flags, outside)
}

fn judge(flags: &[&str]) -> Result<Checked, ConfigErrors> {
    judge_in(&Outside::default(), flags)
}

fn errors(flags: &[&str]) -> Vec<&'static str> {
    judge(flags).expect_err("must be refused").0.iter().map(|error| error.flag).collect()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = judge(&["--service", "redis-peers"]).expect("defaults").config;
    let t = config.timing;
    assert_eq!(config.services, ["redis-peers"]);
    assert_eq!((config.peer_port, config.proxy_port, config.http_port), (6390, 6380, 6391));
    assert_eq!(config.read_port, Some(6381));
    assert_eq!(config.redis.to_string(), "127.0.0.1:6379");
    assert_eq!(config.bind.to_string(), "::");
    assert_eq!(t.heartbeat, Duration::from_millis(200));
    assert_eq!(t.peer_timeout, Duration::from_secs(1));
    assert_eq!(t.redis_timeout, Duration::from_secs(7));
    assert_eq!(t.election_timeout, Duration::from_millis(250));
    assert_eq!(t.bootstrap_timeout, Duration::from_secs(10));
    assert_eq!(t.hold_timeout, Duration::from_secs(10));
    assert_eq!(t.drain_timeout, Duration::from_secs(15));
    assert_eq!(t.last_copy_timeout, Duration::from_secs(60));
    assert_eq!((config.quorum, config.min_replicas, config.witness), (1, 0, false));
    assert_eq!(config.rescue, None);
    assert_eq!((config.priority, config.proxy_threads, config.max_clients), (100, 2, 10_000));
    assert_eq!(config.log_format, LogFormat::Text);
    assert_eq!((config.advertise, config.name), (None, None));
}

/// One run of the program tells everything that is to be mended.
#[test]
fn all_errors_come_at_once_and_name_their_flags() {
    let found = errors(&[
        "--service=two words",
        "--peer=nonsense",
        "--advertise=here",
        "--bind=there",
        "--peer-port=0",
        "--proxy-port=70000",
        "--read-port=-1",
        "--sentinel-port=x",
        "--sentinel-name=two words",
        "--sentinel-announce=both",
        "--redis=redis.example",
        "--redis-memory-limit=-1",
        "--heartbeat=5",
        "--priority=low",
        "--max-clients=0",
        "--last-copy-timeout=60",
        "--quorum=0",
        "--min-replicas-to-write=-1",
        "--rescue-max-bytes=10cats",
        "--witness=maybe",
        "--proxy-threads=0",
        "--log-format=xml",
        "--log-level=loud",
        "--redis-username=hive",
        "--dns-server=x",
    ]);
    let expected = [
        "--service",
        "--peer",
        "--advertise",
        "--bind",
        "--peer-port",
        "--proxy-port",
        "--read-port",
        "--sentinel-port",
        "--sentinel-name",
        "--sentinel-announce",
        "--redis",
        "--redis-memory-limit",
        "--heartbeat",
        "--priority",
        "--max-clients",
        "--last-copy-timeout",
        "--quorum",
        "--min-replicas-to-write",
        "--rescue-max-bytes",
        "--witness",
        "--proxy-threads",
        "--log-format",
        "--log-level",
        "--redis-username",
        "--dns-server",
    ];
    let sorted = |flags: &[&'static str]| flags.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&found), sorted(&expected));
    assert_eq!(found.len(), expected.len(), "none twice: {found:?}");
}

#[test]
fn impossible_timings_are_refused() {
    let with = |flags: &[&str]| errors(&[&["--peer=10.0.0.1"], flags].concat());
    assert_eq!(with(&["--heartbeat=1s"]), ["--heartbeat"]);
    assert_eq!(with(&["--heartbeat=501ms"]), ["--heartbeat"]);
    assert_eq!(with(&["--election-timeout=1s"]), ["--election-timeout"]);
    assert_eq!(with(&["--bootstrap-timeout=900ms"]), ["--bootstrap-timeout"]);
    assert_eq!(with(&["--hold-timeout=25h"]), ["--hold-timeout"]);
    let fitting = ["--peer=10.0.0.1", "--heartbeat=500ms", "--election-timeout=999ms"];
    assert_eq!(judge(&fitting).expect("just possible").warnings, [""; 0]);
}

#[test]
fn a_short_redis_timeout_is_only_a_warning() {
    let checked = judge(&["--peer=10.0.0.1", "--redis-timeout=3s"]).expect("allowed");
    assert_eq!(checked.warnings.len(), 1);
    assert!(checked.warnings[0].contains("busy-reply-threshold"), "{:?}", checked.warnings);
}

#[test]
fn ports_must_differ_from_each_other_and_from_redis() {
    assert_eq!(errors(&["--peer=10.0.0.1", "--proxy-port=6390"]), ["--proxy-port"]);
    assert_eq!(errors(&["--peer=10.0.0.1", "--http-port=6379"]), ["--http-port"]);
    for taken in ["6379", "6380", "6390", "6391"] {
        let read = format!("--read-port={taken}");
        assert_eq!(errors(&["--peer=10.0.0.1", &read]), ["--read-port"], "{taken}");
    }
    assert_eq!(errors(&["--peer=10.0.0.1", "--http-port=6381"]), ["--read-port"]);
}

/// Without it nothing is listened on, and its usual port is free for others.
#[test]
fn the_read_endpoint_can_be_switched_off() {
    let off = ["--peer=10.0.0.1", "--read-port=0", "--http-port=6381"];
    let config = judge(&off).expect("fine").config;
    assert_eq!(config.read_port, None);
    let ports: Vec<_> = config.ports().into_iter().map(|(flag, _)| flag).collect();
    assert_eq!(ports, ["--peer-port", "--proxy-port", "--http-port"]);
    let moved = judge(&["--peer=10.0.0.1", "--read-port=7001"]).expect("fine").config;
    assert_eq!(moved.read_port, Some(7001));
    assert_eq!(moved.ports().last(), Some(&("--read-port", 7001)));
    assert_eq!(errors(&["--peer=10.0.0.1", "--peer-port=0"]), ["--peer-port"]);
}

#[test]
fn the_port_for_clients_of_sentinel_is_off_until_it_is_given() {
    let sentinel = |flags: &[&str]| {
        let flags = [&["--peer=10.0.0.1"], flags].concat();
        judge(&flags).expect("fine").config.sentinel
    };
    assert_eq!(sentinel(&["--sentinel-announce=master", "--sentinel-name=x"]), None);
    let on = sentinel(&["--sentinel-port=26379"]).expect("a port");
    assert_eq!((on.port, on.name.as_str(), on.announce), (26379, "mymaster", Announce::Proxy));
    let other =
        sentinel(&["--sentinel-port=1", "--sentinel-announce=master", "--sentinel-name=x.y"]);
    let other = other.expect("a port");
    assert_eq!((other.name.as_str(), other.announce), ("x.y", Announce::Master));
    assert_eq!(errors(&["--peer=10.0.0.1", "--sentinel-port=6390"]), ["--sentinel-port"]);
}

#[test]
fn somebody_to_talk_to_is_needed() {
    assert_eq!(errors(&[]), ["--service"]);
}

#[test]
fn peers_and_services_are_read_in_all_their_forms() {
    let flags = ["--peer=10.0.0.1,10.0.0.2:7000", "--peer=[fd00::1]:7001", "--peer=fd00::2"];
    let more =
        ["--service=A.b.", "--service=a.b.", "--peer=10.0.0.1:6390", "--peer=::ffff:10.0.0.1"];
    let config = judge(&[flags.as_slice(), &more].concat()).expect("fine").config;
    let peers: Vec<String> = config.peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.0.0.1:6390", "10.0.0.2:7000", "[fd00::1]:7001", "[fd00::2]:6390"]);
    assert_eq!(config.services, ["a.b."]);
}

#[test]
fn the_pod_ip_is_advertised_unless_a_flag_says_otherwise() {
    let outside = Outside { pod_ip: Some("10.0.0.9".into()), ..Outside::default() };
    let pod = judge_in(&outside, &["--service=x"]).expect("fine").config;
    assert_eq!(pod.advertise, Some("10.0.0.9".parse().expect("an address")));
    let flag = judge_in(&outside, &["--service=x", "--advertise=10.0.0.8"]).expect("fine").config;
    assert_eq!(flag.advertise, Some("10.0.0.8".parse().expect("an address")));
}

/// Kubernetes puts such values into the environment of every pod beside a Service `hive-peer`.
#[test]
fn a_service_link_in_a_port_variable_is_ignored_with_a_warning() {
    for name in ["peer-port", "read-port"] {
        let given = format!("--{name}=tcp://10.0.0.1:6379");
        let flags = ["--service=x", given.as_str()];
        let outside = Outside { from_env: [name.to_owned()].into(), ..Outside::default() };
        let checked = judge_in(&outside, &flags).expect("ignored");
        assert_eq!((checked.config.peer_port, checked.config.read_port), (6390, Some(6381)));
        let variable = format!("HIVE_{}", name.replace('-', "_").to_uppercase());
        assert!(checked.warnings[0].contains(&variable), "{:?}", checked.warnings);
        assert_eq!(errors(&flags), [format!("--{name}")], "typed by a person it is an error");
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let all =
        ["peer-port", "read-port", "heartbeat", "name", "advertise", "bind", "log-level", "redis"];
    let outside =
        Outside { from_env: all.map(str::to_owned).into_iter().collect(), ..Outside::default() };
    let flags = all.map(|flag| format!("--{flag}="));
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--service=x"]).collect();
    let config = judge_in(&outside, &flags).expect("defaults").config;
    assert_eq!((config.peer_port, config.name), (6390, None));
}

#[test]
fn a_password_is_kept_and_never_shown() {
    let secret = || SecretString::from("correct-horse");
    let outside = Outside { password: Some(Ok(secret())), ..Outside::default() };
    let config = judge_in(&outside, &["--service=x", "--redis-username=u"]).expect("fine").config;
    assert_eq!(config.redis_password.as_ref().map(|p| p.expose_secret()), Some("correct-horse"));
    assert!(!format!("{config:?}{outside:?}").contains("correct-horse"));

    let both = Outside {
        password: Some(Ok(secret())),
        password_file: Some(Ok(secret())),
        ..Outside::default()
    };
    let refused = judge_in(&both, &["--service=x"]).expect_err("two places");
    assert_eq!(refused.0[0].flag, "--redis-password-file");
}

#[test]
fn secrets_come_from_one_place_and_are_never_shown() {
    let secrets = |text: &str| Secrets::parse(text).expect("secrets");
    let (one, two) = ("correct-horse-battery", "staple-horse-battery");
    let variable = Outside {
        secret: Some(Ok(SecretString::from(format!("{one}\n{two}\n")))),
        ..Outside::default()
    };
    let config = judge_in(&variable, &["--service=x"]).expect("fine").config;
    assert_eq!(*config.secrets.secrets, secrets(&[one, two].join("\n")));
    assert_eq!(config.secrets.file, None);
    assert!(!format!("{config:?}{variable:?}").contains("horse"));

    let file = Outside { secret_file: Some(Ok(secrets(one))), ..Outside::default() };
    let config = judge_in(&file, &["--service=x", "--secret-file=/s"]).expect("fine").config;
    assert_eq!(config.secrets.file.as_deref(), Some("/s".as_ref()));
    assert!(config.secrets.secrets.accepts(one) && !config.is_open());

    let none = judge_in(&Outside::default(), &["--service=x"]).expect("fine").config;
    assert!(none.secrets.secrets.is_empty() && none.is_open());
    let alone = judge_in(&Outside::default(), &["--service=x", "--bind=127.0.0.1"]).expect("fine");
    assert!(!alone.config.is_open());

    let short = || Some(Ok(SecretString::from("horse")));
    for outside in [
        Outside { secret: short(), ..Outside::default() },
        Outside { secret: short(), ..file.clone() },
        Outside { secret_file: Some(Secrets::parse("horse")), ..Outside::default() },
    ] {
        let refused = judge_in(&outside, &["--service=x"]).expect_err("no secret");
        assert_eq!((refused.0.len(), refused.0[0].flag), (1, "--secret-file"));
        assert!(!refused.to_string().contains("horse"), "{refused}");
    }
}

#[test]
fn threads_are_at_most_the_cpus() {
    let outside = Outside { cpus: 1, ..Outside::default() };
    let quiet = judge_in(&outside, &["--service=x"]).expect("fine");
    assert_eq!((quiet.config.proxy_threads, quiet.warnings.len()), (1, 0));
    let asked = judge_in(&outside, &["--service=x", "--proxy-threads=8"]).expect("fine");
    assert_eq!((asked.config.proxy_threads, asked.warnings.len()), (1, 1));
}

#[test]
fn quorum_and_replicas_are_bounded() {
    let with = |flags: &[&str]| errors(&[&["--peer=10.0.0.1"], flags].concat());
    assert_eq!(with(&["--quorum=1002"]), ["--quorum"]);
    assert_eq!(with(&["--min-replicas-to-write=1001"]), ["--min-replicas-to-write"]);
    let fine = ["--peer=10.0.0.1", "--quorum=2", "--min-replicas-to-write=1", "--witness"];
    let checked = judge(&fine).expect("fine");
    let config = checked.config;
    assert_eq!((config.quorum, config.min_replicas, config.witness), (2, 1, true));
    assert_eq!(checked.warnings, [""; 0]);
}

/// It has no Redis, but watches the master's like every other hive.
#[test]
fn a_witness_is_told_which_flags_it_does_not_use() {
    let secret = Some(Ok(SecretString::from("x")));
    let outside = Outside { password: secret, ..Outside::default() };
    let flags = ["--peer=10.0.0.1", "--witness=yes", "--redis=127.0.0.1:6390"];
    let checked = judge_in(&outside, &flags).expect("nothing collides with no Redis");
    assert!(checked.config.witness && checked.config.redis_password.is_some());
    assert_eq!(checked.warnings.len(), 1, "{:?}", checked.warnings);
    assert!(checked.warnings[0].starts_with("--redis is not used"), "{:?}", checked.warnings);
    assert!(!judge(&["--peer=10.0.0.1", "--witness=false"]).expect("fine").config.witness);
}

#[test]
fn tls_to_redis_needs_a_ca_and_whole_pairs() {
    let with = |flags: &[&str]| errors(&[&["--peer=10.0.0.1"], flags].concat());
    assert_eq!(with(&["--redis-tls"]), ["--redis-ca"]);
    assert_eq!(with(&["--redis-tls", "--redis-ca=/ca", "--redis-cert=/c"]), ["--redis-key"]);
    assert_eq!(with(&["--redis-tls", "--redis-ca=/ca", "--redis-key=/k"]), ["--redis-cert"]);
    assert_eq!(with(&["--redis-tls=perhaps"]), ["--redis-tls"]);
    let wrong = Outside {
        redis_tls: vec![("--redis-ca", "there is no certificate in it".to_owned())],
        ..Outside::default()
    };
    let refused = judge_in(&wrong, &["--peer=10.0.0.1", "--redis-tls", "--redis-ca=/ca"]);
    assert_eq!(refused.expect_err("a broken file").0[0].flag, "--redis-ca");

    let given = ["--peer=10.0.0.1", "--redis-tls=true", "--redis-ca=/ca", "--redis-cert=/c"];
    let given = [&given[..], &["--redis-key=/k", "--redis-tls-server-name=redis"]].concat();
    let tls = judge(&given).expect("fine").config.redis_tls.expect("TLS");
    assert_eq!((tls.ca.to_str(), tls.server_name.as_deref()), (Some("/ca"), Some("redis")));
    assert_eq!(tls.pair, Some(("/c".into(), "/k".into())));
    let off = judge(&["--peer=10.0.0.1", "--redis-ca=/ca"]).expect("fine");
    assert_eq!((off.config.redis_tls, off.warnings.len()), (None, 1), "{:?}", off.warnings);
}

/// Kubernetes gives a limit as plain bytes, and 0 for a native sidecar without one.
#[test]
fn the_memory_of_redis_is_told_in_bytes_or_not_at_all() {
    let limit = |given: &[&str]| {
        let given = [&["--peer=10.0.0.1"], given].concat();
        judge(&given).expect("fine").config.redis_memory_limit
    };
    assert_eq!(limit(&["--redis-memory-limit=1073741824"]), 1 << 30);
    assert_eq!(limit(&["--redis-memory-limit=1GiB"]), 1 << 30);
    assert_eq!([limit(&[]), limit(&["--redis-memory-limit=0"])], [0, 0]);
}

#[test]
fn a_rescue_directory_is_one_that_can_be_written_to() {
    let given = ["--peer=10.0.0.1", "--rescue-dir=/rescue", "--rescue-max-bytes=512MB"];
    let outside = |seen| Outside { rescue_dir: Some(seen), ..Outside::default() };
    let config = judge_in(&outside(Ok(())), &given).expect("fine").config;
    let rescue = config.rescue.expect("asked for");
    assert_eq!((rescue.dir.to_str(), rescue.max_bytes), (Some("/rescue"), 512_000_000));
    let usual = judge_in(&outside(Ok(())), &given[..2]).expect("fine").config;
    assert_eq!(usual.rescue.map(|rescue| rescue.max_bytes), Some(1 << 30));

    let refused = judge_in(&outside(Err("cannot find /rescue".to_owned())), &given);
    let refused = refused.expect_err("it is not there").0;
    assert_eq!((refused.len(), refused[0].flag), (1, "--rescue-dir"));
    assert!(refused[0].problem.starts_with("cannot find /rescue"), "{}", refused[0]);
    let idle = judge(&["--peer=10.0.0.1", "--rescue-max-bytes=2GiB"]).expect("odd, no error");
    assert_eq!((idle.config.rescue, idle.warnings.len()), (None, 1));
    assert_eq!(errors(&["--peer=10.0.0.1", "--rescue-max-bytes=1000"]), ["--rescue-max-bytes"]);
}

/// The program itself looks at the directory.
#[test]
fn a_rescue_directory_that_cannot_be_used_is_bad_usage() {
    let file = std::env::temp_dir().join(format!("redis-hive-config-{}", std::process::id()));
    std::fs::write(&file, "no directory").expect("a file");
    let seen = [file.to_str().expect("text"), "/does/not/exist", "/proc"].map(|path| {
        let program = env!("CARGO_BIN_EXE_redis-hive");
        let flags = ["check", "--peer=10.0.0.1", "--rescue-dir", path];
        let refused = Process::new(program).args(flags).output().expect("it starts");
        (refused.status.code(), String::from_utf8_lossy(&refused.stderr).into_owned())
    });
    let _ = std::fs::remove_file(&file);
    for ((code, told), why) in seen.iter().zip(["is no directory", "cannot find", "cannot write"]) {
        assert_eq!(*code, Some(64), "{told}");
        assert!(told.starts_with("redis-hive: --rescue-dir: ") && told.contains(why), "{told}");
    }
}

/// What cannot be used as a secret must not count as no secret.
#[test]
fn a_secret_that_cannot_be_read_is_bad_usage() {
    for flag in ["--secret-file", "--redis-password-file"] {
        for empty in ["", " "] {
            assert_eq!(errors(&["--peer=10.0.0.1", &format!("{flag}={empty}")]), [flag]);
        }
    }
    let no_text = OsStr::from_bytes(b"correct-horse-battery-\xff");
    let variables =
        [("HIVE_SECRET", "--secret-file"), ("HIVE_REDIS_PASSWORD", "--redis-password-file")];
    let commands: [(&[&str], _); 2] =
        [(&["run", "--peer=10.0.0.1"], &variables[..]), (&["pause"], &variables[..1])];
    for (args, variables) in commands {
        for (variable, flag) in variables {
            let mut program = Process::new(env!("CARGO_BIN_EXE_redis-hive"));
            let refused = program.args(args).env(variable, no_text).output().expect("it starts");
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(64), "{told}");
            let wanted = format!("redis-hive: {flag}: {variable} is no text");
            assert!(told.starts_with(&wanted) && !told.contains("horse"), "{told}");
        }
    }
}

/// The program itself: exit code 64, and one line for each error.
#[test]
fn bad_usage_exits_with_64() {
    let run = |args: &[&str], env: &[(&str, &str)]| {
        let program = env!("CARGO_BIN_EXE_redis-hive");
        Process::new(program).args(args).envs(env.iter().copied()).output().expect("it starts")
    };
    assert_eq!(run(&["run", "--no-such-flag"], &[]).status.code(), Some(64));
    assert_eq!(run(&["dance"], &[]).status.code(), Some(64));
    assert_eq!(run(&["run", "--redis-password=x"], &[]).status.code(), Some(64));
    let secret = run(&["run", "--secret=correct-horse-battery"], &[]);
    assert_eq!(secret.status.code(), Some(64));
    assert!(!String::from_utf8_lossy(&secret.stderr).contains("horse"), "{secret:?}");
    assert_eq!(run(&["--version"], &[]).status.code(), Some(0));

    let env = [
        ("HIVE_PRIORITY", "x"),
        ("HIVE_REDIS_PASSWORD_FILE", "/does/not/exist"),
        ("HIVE_SECRET_FILE", "/does/not/exist"),
    ];
    let refused = run(&["run", "--heartbeat=2s", "--peer=10.0.0.1"], &env);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64));
    for flag in ["--heartbeat", "--priority", "--redis-password-file", "--secret-file"] {
        let lines = told.lines().filter(|line| line.starts_with(&format!("redis-hive: {flag}: ")));
        assert_eq!(lines.count(), 1, "{flag} in:\n{told}");
    }
}
