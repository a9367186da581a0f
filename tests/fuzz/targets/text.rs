//! Text: what Redis says of itself, and what people write.

use clap::Parser;
use redis_hive::cli::args::{Cli, Command};
use redis_hive::config::{Checked, Config, Outside};
use redis_hive::redis::{Info, OLDEST};

/// The body of an `INFO`: lines that nobody knows change nothing.
pub fn info(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let read = Info::parse(&text);
    if let Ok(info) = &read {
        assert!(info.passport.version >= OLDEST);
        assert!(info.attached.len() <= 64);
    }
    assert_eq!(Info::parse(&format!("unknown_field:1\r\n{text}\r\n# Unknown\r\n")), read);
}

/// Flags of `run`, one a line; a line `env NAME` says that the value came from the environment, and
/// `POD_IP VALUE` is the variable. Settings that pass keep what the rooms rely on, and every error
/// names its flag.
pub fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut outside = Outside::default();
    let mut args = vec!["redis-hive", "run"];
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("env", name)) => _ = outside.from_env.insert(name.to_owned()),
            Some(("POD_IP", ip)) => outside.pod_ip = Some(ip.to_owned()),
            _ => args.push(line),
        }
    }
    let Ok(Cli { command: Command::Run(flags) }) = Cli::try_parse_from(args) else { return };
    match Config::from_flags(&flags, &outside) {
        Ok(checked) => keeps_its_promises(&checked),
        Err(errors) => {
            assert!(!errors.0.is_empty());
            for error in &errors.0 {
                assert!(error.to_string().starts_with("--"), "{error}");
            }
        }
    }
}

fn keeps_its_promises(Checked { config, .. }: &Checked) {
    let timing = &config.timing;
    assert!(timing.heartbeat * 2 <= timing.peer_timeout);
    assert!(timing.election_timeout < timing.peer_timeout);
    assert!(timing.bootstrap_timeout >= timing.peer_timeout);
    assert!(config.max_clients > 0 && config.proxy_threads > 0 && config.quorum > 0);
    let ports = config.ports();
    for (at, (_, port)) in ports.iter().enumerate() {
        assert!(*port > 0 && ports.iter().skip(at + 1).all(|(_, other)| other != port));
    }
}
