//! What a connection may cost: slow, endless, silent and crowding clients.

use std::time::Instant;

use super::asks::post;
use super::*;

/// The status line of an answer, and nothing where there was none.
fn line(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

/// Where a head stopped in the middle the client is told; where there was none there is nothing to
/// answer, and an answer could be taken for that of the next request.
#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let site = Site::start();
    let begun = Instant::now();
    let part = "GET /livez HTTP/1.1\r\nHost: x\r\n";
    let whole = format!("{part}\r\n");
    let (silent, partial, idle) = tokio::join!(
        exchange(site.http.addr, b""),
        exchange(site.http.addr, part.as_bytes()),
        exchange(site.http.addr, whole.as_bytes()),
    );
    assert_eq!(silent, "");
    assert!(partial.starts_with("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"));
    assert!(idle.starts_with("HTTP/1.1 200 OK") && idle.ends_with("ok\n"), "{idle}");
    let took = begun.elapsed();
    assert!((5..10).contains(&took.as_secs()), "{took:?}");
}

/// The deadline is of the whole head, not of a pause in it.
#[tokio::test]
async fn a_head_that_drips_is_cut() {
    let site = Site::start();
    let mut stream = TcpStream::connect(site.http.addr).await.expect("it listens");
    let begun = Instant::now();
    let dripping = async {
        let head = b"GET /livez HTTP/1.1\r\nX: ".iter().copied().chain(std::iter::repeat(b'x'));
        for byte in head {
            if stream.write_all(&[byte]).await.is_err() || begun.elapsed().as_secs() > 15 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    dripping.await;
    let took = begun.elapsed();
    assert!((4..10).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let mut site = Site::start();
    let head = "POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{";
    let begun = Instant::now();
    let answer = exchange(site.http.addr, head.as_bytes()).await;
    assert_eq!(line(&answer), "HTTP/1.1 408 Request Timeout", "{answer}");
    assert!((5..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(site.asked.try_recv().is_err(), "half a question reached the hive");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read() {
    let mut site = Site::start();
    let addr = site.http.addr;
    let sent = post(addr, "/switchover", "", &"x".repeat(4097)).await;
    assert_eq!(sent.0, 413);
    let head = "POST /switchover HTTP/1.1\r\nHost: x\r\n";
    let announced = format!("{head}Content-Length: 1099511627776\r\n\r\n");
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(5));
    let begun = Instant::now();
    for request in [announced, chunks] {
        let answer = exchange(addr, request.as_bytes()).await;
        assert_eq!(line(&answer), "HTTP/1.1 413 Payload Too Large", "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "nothing was waited for");
    assert!(site.asked.try_recv().is_err());
}

#[tokio::test]
async fn nonsense_and_excess_are_refused() {
    let site = Site::start();
    let long = format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(60_000));
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for excess in [&long, &path, &many] {
        let answer = exchange(site.http.addr, excess.as_bytes()).await;
        assert_eq!(line(&answer), "HTTP/1.1 431 Request Header Fields Too Large", "{answer}");
    }
    let mut seed = 1_u32;
    let noise: Vec<u8> = (0..1_000_000)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .collect();
    let answer = exchange(site.http.addr, &noise).await;
    assert_eq!(line(&answer), "HTTP/1.1 400 Bad Request", "{answer}");
    assert_eq!(site.code("/livez").await, 200);
}

/// A thousand connections say nothing: probes get through, and so does who waits for the hive.
#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let mut site = Site::start();
    let addr = site.http.addr;
    let asking = tokio::spawn(post(addr, "/pause", "", ""));
    let asked = timeout(Duration::from_secs(5), site.asked.recv()).await.expect("in time");
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(TcpStream::connect(addr).await.expect("it listens"));
    }
    assert_eq!(site.code("/livez").await, 200);
    assert_eq!(site.code("/readyz").await, 200);
    // The oldest of them has been cut to make room.
    let mut byte = [0];
    let cut = timeout(Duration::from_secs(2), silent[0].read(&mut byte)).await.expect("in time");
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    let told = Told { verdict: Verdict::Done, text: String::new() };
    asked.expect("the site lives").told.send(told).expect("it was not cut");
    assert_eq!(asking.await.expect("it ends").0, 200);
}

/// Whoever asks and never reads is waited for, and nobody else is.
#[tokio::test]
async fn who_does_not_read_holds_up_nobody() {
    let site = Site::start();
    let mut deaf = TcpStream::connect(site.http.addr).await.expect("it listens");
    let asking = "GET /status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    // Ends when all buffers between are full.
    let full = async { while deaf.write_all(asking.as_bytes()).await.is_ok() {} };
    assert!(timeout(Duration::from_secs(2), full).await.is_err(), "it never stopped reading");
    assert_eq!(site.code("/livez").await, 200);
}
