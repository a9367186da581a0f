//! What a hive says of itself where others reach its peer port, with and without a secret.

use super::witness::get;
use super::*;

const WITHOUT: &str = "no secret (--secret-file)";

/// The problems in `/status`, and the log.
async fn said(secret: &str) -> (Vec<String>, String) {
    let [peer, proxy, http]: [u16; 3] = free_ports();
    let name = format!("redis-hive-open-{}-{}", secret.len(), std::process::id());
    let log = std::env::temp_dir().join(name);
    let hive = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-hive"))
        .args(["run", "--witness", "--bind=0.0.0.0", "--advertise=127.0.0.2", "--read-port=0"])
        .args(["--peer=127.0.0.2".to_owned(), format!("--peer-port={peer}")])
        .args([format!("--proxy-port={proxy}"), format!("--http-port={http}")])
        .env("HIVE_SECRET", secret)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).expect("a log"))
        .kill_on_drop(true)
        .spawn();
    let _hive = hive.expect("it starts");
    let addr = format!("127.0.0.2:{http}");
    let answer = async {
        loop {
            // The first status is there before the first turn.
            match serde_json::from_str::<Status>(&get(&addr, "/status").await.1) {
                Ok(status) if !status.problems.is_empty() => return status.problems,
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let problems = timeout(LONG, answer).await;
    let log_text = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    (problems.unwrap_or_else(|_| panic!("no problems: {log_text}")), log_text)
}

#[tokio::test]
async fn an_open_peer_port_is_a_problem_and_a_warning() {
    let (problems, log) = said("").await;
    assert!(problems.iter().any(|problem| problem.starts_with(WITHOUT)), "{problems:?}");
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains(WITHOUT)), "{log}");
}

#[tokio::test]
async fn a_locked_one_is_none() {
    let (problems, log) = said("correct-horse-battery-staple").await;
    assert!(!problems.iter().any(|problem| problem.contains("secret")), "{problems:?}");
    assert!(!log.contains("secret") && !log.contains("horse"), "{log}");
}
