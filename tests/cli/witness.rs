//! A witness as a process: a hive without a Redis beside one that has data.

use super::stop::Alone;
use super::*;

#[tokio::test]
async fn a_witness_is_ready_with_a_route_alone_and_passes_clients_on() {
    let data = Alone::start(&[]).await;
    let [peer, proxy, port]: [u16; 3] = free_ports();
    let log = std::env::temp_dir().join(format!("redis-hive-witness-{}", std::process::id()));
    let hive = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-hive"))
        .args(["run", "--witness", "--bind=127.0.0.2", "--advertise=127.0.0.2"])
        // Nothing listens there, and nobody may mind.
        .args(["--redis=127.0.0.2:1", "--log-format=text"])
        .args([format!("--peer=127.0.0.1:{}", data.peer), format!("--peer-port={peer}")])
        .args([format!("--proxy-port={proxy}"), format!("--http-port={port}")])
        .arg("--read-port=0")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).expect("a log"))
        .kill_on_drop(true)
        .spawn();
    let _witness = hive.expect("it starts");
    let witness = format!("127.0.0.2:{port}");
    let ready = async {
        while get(&witness, "/readyz").await.0 != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ready = timeout(LONG, ready).await;
    let told = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    assert!(ready.is_ok(), "not ready: {told}");
    assert!(told.contains("--redis is not used: a --witness has no Redis"), "{told}");

    let page = super::hive(&["status", "--http", &witness], &[]).await;
    assert_eq!((page.code, page.err.as_str()), (Some(1), ""), "{}", page.out);
    assert!(page.out.starts_with("! no replica is current"), "{}", page.out);
    assert_eq!(page.out.matches('!').count(), 1, "nothing else is wrong: {}", page.out);
    assert!(page.out.contains("witness") && page.out.contains("none: a witness"), "{}", page.out);
    assert_eq!(get(&witness, "/readyz/read").await.0, 503, "it has nothing to read");
    let status: Status = serde_json::from_str(&get(&witness, "/status").await.1).expect("a status");
    assert_eq!(status.role, redis_hive::http::status::Role::Witness);

    let through = format!("127.0.0.2:{proxy}");
    assert_eq!(stop::client(&through, "SET key value\r\n").await, "+OK\r\n");
    assert!(stop::client(&data.proxy, "GET key\r\n").await.contains("value"));
}

/// A page of a hive: code and body; 0 while nobody answers.
pub async fn get(addr: &str, path: &str) -> (u16, String) {
    use tokio::io::AsyncReadExt;
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(LONG, exchange).await.expect("in time").unwrap_or_default();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (code, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
