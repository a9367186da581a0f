//! `redis-hive switchover`, `pause` and `resume`, asked of a server that answers as a hive would.

use std::process::Stdio;

use redis_hive::http::Journal;
use redis_hive::http::journal::{Phase, Transition};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::witness::get;
use super::*;

/// A hive that answers one question with this verdict; gives what was asked.
fn answering(
    verdict: Verdict,
    text: &'static str,
) -> (Http, watch::Sender<Arc<Status>>, tokio::task::JoinHandle<Ask>) {
    let (keep, seen) = watch::channel(Arc::new(status::follower()));
    let (asks, mut asked) = mpsc::channel::<http::Asked>(1);
    let keyring = Keyring::fixed(Secrets::default());
    let http = http::start(LOCAL, 0, Sources::of(seen), asks, keyring).expect("a free port");
    let answerer = tokio::spawn(async move {
        let http::Asked { ask, told } = asked.recv().await.expect("a question");
        told.send(http::Told { verdict, text: text.to_owned() }).expect("somebody waits");
        ask
    });
    (http, keep, answerer)
}

#[tokio::test]
async fn switchover_pause_and_resume_ask_and_print_what_became_of_it() {
    let three = "10.0.0.3".parse().expect("an IP");
    let cases: [(&[&str], Ask); 4] = [
        (&["switchover"], Ask::Switchover { to: None }),
        (&["switchover", "--to", "10.0.0.3"], Ask::Switchover { to: Some(three) }),
        (&["pause"], Ask::Pause),
        (&["resume"], Ask::Resume),
    ];
    for (args, asked) in cases {
        let (http, _keep, answerer) = answering(Verdict::Done, "10.0.0.3 leads\x1b, 12 ms");
        let addr = http.addr.to_string();
        let ran = hive(&[args, &["--http", &addr]].concat(), &[]).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
        let mut lines = ran.out.lines();
        assert_eq!(lines.next(), Some("10.0.0.3 leads?, 12 ms"));
        assert!(lines.next().is_some_and(|line| line.starts_with("next: ")), "{}", ran.out);
        assert_eq!(answerer.await.expect("asked"), asked);
    }
    for verdict in [Verdict::Conflict, Verdict::Unfit, Verdict::Failed] {
        let (http, _keep, _answerer) = answering(verdict, "10.0.0.9 is no hive here");
        let ran = hive(&["switchover", "--http", &http.addr.to_string()], &[]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{verdict:?}");
        let mut lines = ran.err.lines();
        assert_eq!(lines.next(), Some("redis-hive: 10.0.0.9 is no hive here"));
        let next = lines.next().unwrap_or_default();
        assert!(next.starts_with("redis-hive: next: "), "{verdict:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_question_to_nobody_or_in_wrong_words_has_its_exit_code() {
    let [port] = free_ports();
    let ran = hive(&["pause", "--http", &format!("127.0.0.1:{port}")], &[]).await;
    assert_eq!((ran.code, ran.err.lines().count()), (Some(69), 1), "{}", ran.err);
    let (stranger, _talker) = talker(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let ran = hive(&["switchover", "--http", &stranger], &[]).await;
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    let ran = hive(&["switchover", "--to", "redis-1"], &[]).await;
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains("--to"), "{}", ran.err);
}

/// What a hive says while it moves the master, and a person sees of it: a line a step in a pipe.
#[tokio::test]
async fn a_switchover_shows_how_far_it_is() {
    let (seen, watched) = watch::channel(Arc::new(status::follower()));
    let (asks, mut asked) = mpsc::channel::<http::Asked>(1);
    let keyring = Keyring::fixed(Secrets::default());
    let http = http::start(LOCAL, 0, Sources::of(watched), asks, keyring).expect("a free port");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-hive"));
    command.args(["switchover", "--http", &http.addr.to_string()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut step = async |words: &str| loop {
        let next = timeout(LONG, lines.next_line()).await.expect("a step in time");
        let line = next.expect("text").expect("it waits");
        assert!(line.starts_with("... "), "{line}");
        if line.ends_with(words) {
            return;
        }
    };
    let http::Asked { told, .. } = asked.recv().await.expect("a question");
    step("10.0.0.1, which leads, was asked").await;
    let change = "the master moves to 10.0.0.3:6390: waiting for its offset";
    seen.send_modify(|status| Arc::make_mut(status).change = change.to_owned());
    step(change).await;
    seen.send_modify(|status| {
        let status = Arc::make_mut(status);
        (status.epoch, status.change) = (8, String::new());
        status.master = "10.0.0.3:6379".parse().ok();
        status.redis.current = false;
    });
    step("10.0.0.3:6379 is the master, the followers turn to it").await;
    let text = "10.0.0.3 leads".to_owned();
    told.send(http::Told { verdict: Verdict::Done, text }).expect("somebody waits");
    step("2 of 3 copies are current").await;
    seen.send_modify(|status| Arc::make_mut(status).redis.current = true);
    let mut out = String::new();
    let mut stdout = child.stdout.take().expect("a pipe");
    timeout(LONG, stdout.read_to_string(&mut out)).await.expect("in time").expect("text");
    assert!(out.starts_with("10.0.0.3 leads\nall 3 copies are current\nnext: "), "{out}");
    assert!(!out.contains('\x1b') && child.wait().await.expect("it ends").success());
}

/// A journal of several answers, whose last entry is the change of the master to epoch 8.
fn write_a_long_journal(journal: &Journal) {
    for epoch in 0..200 {
        let reason = "the leader was silent ".repeat(50);
        journal.push(Transition {
            epoch,
            reason,
            kind: "failover".into(),
            ..Transition::default()
        });
    }
    let phases =
        vec![Phase { name: "hold".into(), us: 7_000 }, Phase { name: "promote".into(), us: 5_000 }];
    journal.push(Transition {
        epoch: 8,
        kind: "switchover".into(),
        phases,
        ..Transition::default()
    });
}

/// One answer of `/transitions` holds 64 KiB of a long journal, the oldest.
#[tokio::test]
async fn a_switchover_is_found_at_the_end_of_a_long_journal() {
    let (seen, watched) = watch::channel(Arc::new(status::follower()));
    let (asks, mut asked) = mpsc::channel::<http::Asked>(1);
    let sources = Sources::of(watched);
    write_a_long_journal(&sources.journal);
    let keyring = Keyring::fixed(Secrets::default());
    let http = http::start(LOCAL, 0, sources, asks, keyring).expect("a free port");
    let addr = http.addr.to_string();
    let answerer = tokio::spawn(async move {
        let http::Asked { told, .. } = asked.recv().await.expect("a question");
        seen.send_modify(|status| Arc::make_mut(status).epoch = 8);
        let text = "10.0.0.3 leads".to_owned();
        told.send(http::Told { verdict: Verdict::Done, text }).expect("somebody waits");
        seen
    });
    let ran = hive(&["switchover", "--http", &addr], &[]).await;
    let _seen = answerer.await.expect("it was asked");
    let (first, rest) = ran.out.split_once('\n').expect("lines");
    assert_eq!((ran.code, first), (Some(0), "10.0.0.3 leads"), "{}", ran.err);
    assert!(rest.starts_with("It took 12.0 ms (holding clients"), "{rest}");
    let (_, body) = get(&addr, "/transitions").await;
    assert!(!body.contains("switchover"), "one answer has it: the journal is too short");
}
