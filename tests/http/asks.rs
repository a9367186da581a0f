//! What people ask a hive to do over HTTP, and who may not.

use super::*;

/// `POST`, with these lines more in its head and this body.
pub async fn post(addr: SocketAddr, path: &str, head: &str, body: &str) -> (u16, String) {
    let len = body.len();
    let asked = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{head}\r\n{body}"
    );
    let answer = exchange(addr, asked.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, body.to_owned())
}

fn outcome(body: &str) -> Outcome {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[tokio::test]
async fn a_question_reaches_the_hive_and_its_verdict_comes_back() {
    let mut site = Site::start();
    let addr = site.http.addr;
    let verdicts = [
        (Verdict::Done, 200, "done"),
        (Verdict::Conflict, 409, "conflict"),
        (Verdict::Unfit, 422, "unfit"),
        (Verdict::Failed, 500, "failed"),
    ];
    for (verdict, code, word) in verdicts {
        let asking = post(addr, "/switchover", "", "");
        let ((answered, body), ask) = tokio::join!(asking, site.tell(verdict, "so it went"));
        assert_eq!(ask, Ask::Switchover { to: None });
        let text = "so it went".to_owned();
        assert_eq!((answered, outcome(&body)), (code, Outcome { verdict: word.to_owned(), text }));
    }
    for (path, ask) in [("/pause", Ask::Pause), ("/resume", Ask::Resume)] {
        let ((code, _), asked) =
            tokio::join!(post(addr, path, "", ""), site.tell(Verdict::Done, ""));
        assert_eq!((code, asked), (200, ask));
    }
}

#[tokio::test]
async fn a_successor_is_named_in_the_query_or_in_the_body() {
    let mut site = Site::start();
    let addr = site.http.addr;
    let named = [
        ("/switchover?to=10.0.0.3", "", "10.0.0.3"),
        ("/switchover?x=1&to=fd00%3A%3A3", "", "fd00::3"),
        ("/switchover", "{\"to\": \"::ffff:10.0.0.3\"}", "10.0.0.3"),
        ("/switchover?to=10.0.0.3", "{\"to\":\"10.0.0.3\"}", "10.0.0.3"),
    ];
    for (path, body, ip) in named {
        let (_, ask) = tokio::join!(post(addr, path, "", body), site.tell(Verdict::Done, ""));
        assert_eq!(ask, Ask::Switchover { to: Some(ip.parse().expect("an IP")) }, "{path} {body}");
    }
    let bad = [
        ("/switchover?to=redis-1", ""),
        ("/switchover", "{\"to\":\"redis-1\"}"),
        ("/switchover?to=10.0.0.3", "{\"to\":\"10.0.0.4\"}"),
        ("/switchover", "{\"two\":\"10.0.0.4\"}"),
        ("/switchover", "to=10.0.0.4"),
    ];
    for (path, body) in bad {
        let (code, told) = post(addr, path, "", body).await;
        assert_eq!((code, outcome(&told).verdict.as_str()), (400, "refused"), "{path} {body}");
    }
    assert!(site.asked.try_recv().is_err(), "a bad question reached the hive");
}

/// No web page may ask, not even through a browser in the pod, and nobody without `POST`.
#[tokio::test]
async fn web_pages_and_other_methods_are_turned_away() {
    let mut site = Site::start();
    let addr = site.http.addr;
    for path in ["/switchover", "/pause", "/resume"] {
        let (code, body) = post(addr, path, "Origin: http://127.0.0.1:6391\r\n", "").await;
        assert_eq!((code, outcome(&body).verdict.as_str()), (403, "refused"));
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            assert_eq!(request(addr, method, path).await.0, 405, "{method} {path}");
        }
    }
    assert!(site.asked.try_recv().is_err());
}

/// The address that counts is the one the connection came to, not the one it came from.
#[tokio::test]
async fn only_who_is_in_the_pod_may_ask() {
    let any = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
    let mut site = Site::at(any);
    let port = site.http.addr.port();
    for ip in [LOCAL, IpAddr::from([127, 9, 9, 9])] {
        let asking = post(SocketAddr::new(ip, port), "/pause", "", "");
        let ((code, _), ask) = tokio::join!(asking, site.tell(Verdict::Done, "paused"));
        assert_eq!((code, ask), (200, Ask::Pause), "{ip}");
    }
    // Where this machine has no other address there is nothing to be turned away at.
    let Some(ip) = redis_hive::config::default_route_address() else { return };
    let (code, body) = post(SocketAddr::new(ip, port), "/pause", "", "").await;
    assert_eq!(code, 403);
    assert!(outcome(&body).text.contains("kubectl port-forward"), "{body}");
    assert!(site.asked.try_recv().is_err());
}

/// In the pod too, and each of two secrets while one replaces the other.
#[tokio::test]
async fn with_a_secret_only_who_knows_it_may_ask() {
    let secrets = "the-secret-of-this-test\nthe-next-secret-of-it\n";
    let mut site = Site::with(LOCAL, Secrets::parse(secrets).expect("secrets"));
    let addr = site.http.addr;
    let wrong =
        ["", "Authorization: Bearer the-secret-of-this-tesT\r\n", "Authorization: Basic x\r\n"];
    for head in wrong {
        let (code, body) = post(addr, "/pause", head, "").await;
        assert_eq!((code, outcome(&body).verdict.as_str()), (401, "refused"), "{head}");
    }
    let asked =
        b"POST /pause HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let answer = exchange(addr, asked).await;
    assert!(answer.contains("\r\nwww-authenticate: Bearer\r\n"), "{answer}");
    for secret in secrets.lines() {
        let head = format!("Authorization: Bearer {secret}\r\n");
        let (code, _) = post(addr, "/pause", &format!("{head}Origin: null\r\n"), "").await;
        assert_eq!(code, 403, "a web page");
        let asking = post(addr, "/pause", &head, "");
        let ((code, _), ask) = tokio::join!(asking, site.tell(Verdict::Done, "paused"));
        assert_eq!((code, ask), (200, Ask::Pause));
    }
    assert_eq!(site.code("/status").await, 200, "reading needs none");
    assert!(site.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_hive_that_takes_no_questions_says_so_at_once() {
    let mut site = Site::start();
    let addr = site.http.addr;
    let mut waiting: Vec<_> =
        (0..5).map(|_| tokio::spawn(async move { post(addr, "/pause", "", "").await })).collect();
    // The channel holds two: three are told at once that they must come again.
    let mut turned_away = 0;
    let enough = async {
        while turned_away < 3 {
            let done = waiting.iter().position(tokio::task::JoinHandle::is_finished);
            match done {
                Some(at) => {
                    assert_eq!(waiting.swap_remove(at).await.expect("answered").0, 503);
                    turned_away += 1;
                }
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(Duration::from_secs(5), enough).await.expect("in time");
    for _ in 0..2 {
        assert_eq!(site.tell(Verdict::Done, "").await, Ask::Pause);
    }
    for asking in waiting {
        assert_eq!(asking.await.expect("answered").0, 200);
    }
    site.asked.close();
    assert_eq!(post(addr, "/pause", "", "").await.0, 503);
}

/// Whoever hangs up is not kept waiting for.
#[tokio::test]
async fn a_client_that_leaves_withdraws_its_question() {
    let mut site = Site::start();
    let mut stream = TcpStream::connect(site.http.addr).await.expect("it listens");
    let head = b"POST /switchover HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(head).await.expect("written");
    let asked = timeout(Duration::from_secs(5), site.asked.recv()).await.expect("in time");
    let mut told = asked.expect("the site lives").told;
    drop(stream);
    timeout(Duration::from_secs(5), told.closed()).await.expect("seen in time");
}
