//! A hive that is asked, told to stop, and told again, as a process beside a real Redis.

use super::*;

/// A hive alone with its Redis, and clients of both.
pub struct Alone {
    _redis: Redis,
    pub hive: tokio::process::Child,
    pub peer: u16,
    pub proxy: String,
    pub http: String,
    log: PathBuf,
}

impl Alone {
    /// Leads when this returns.
    pub async fn start(flags: &[&str]) -> Alone {
        let program = tokio::process::Command::new(env!("CARGO_BIN_EXE_redis-hive"));
        Alone::launch(program, flags).await
    }

    /// The same, with a limit on open files as `ulimit` takes it.
    async fn limited(ulimit: &str, flags: &[&str]) -> Alone {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit {ulimit}; exec \"$0\" \"$@\"")]);
        shell.arg(env!("CARGO_BIN_EXE_redis-hive"));
        Alone::launch(shell, flags).await
    }

    /// The same, started by this command, which is given the flags.
    pub async fn launch(mut program: tokio::process::Command, flags: &[&str]) -> Alone {
        let redis = Redis::start(&BOOT_FENCE).await;
        let [peer, proxy, http]: [u16; 3] = free_ports();
        let log = redis.dir.join("hive.log");
        let hive = program
            .args(["run", "--bind=127.0.0.1", "--advertise=127.0.0.1", "--log-format=text"])
            .args(["--bootstrap-timeout=1s", "--redis", &redis.addr])
            .args([format!("--peer=127.0.0.1:{peer}"), format!("--peer-port={peer}")])
            .args([format!("--proxy-port={proxy}"), format!("--http-port={http}")])
            .arg("--read-port=0")
            .args(flags)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let (proxy, http) = (format!("127.0.0.1:{proxy}"), format!("127.0.0.1:{http}"));
        let alone = Alone { _redis: redis, hive, peer, proxy, http, log };
        alone.until("leader", "it leads").await;
        alone
    }

    async fn status(&self) -> String {
        super::hive(&["status", "--json", "--http", &self.http], &[]).await.out
    }

    /// Waits until `/status` has this role or says this.
    async fn until(&self, words: &str, what: &str) {
        let there = async {
            while !self.status().await.contains(words) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, there).await.unwrap_or_else(|_| panic!("{what}: {}", self.told()));
    }

    /// Writes a key, and waits until the hive has seen that there is something to lose.
    async fn write(&self) {
        let offset = async || {
            let status = serde_json::from_str::<Status>(&self.status().await);
            status.expect("a status").redis.offset
        };
        let before = offset().await;
        assert_eq!(client(&self.proxy, "SET key value\r\n").await, "+OK\r\n");
        let seen = async {
            while offset().await <= before {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, seen).await.expect("the hive sees the write");
    }

    fn terminate(&self) {
        let pid = self.hive.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// The exit code, if it ends in time.
    async fn ends(&mut self, limit: Duration) -> Option<i32> {
        let ended = timeout(limit, self.hive.wait()).await;
        ended.unwrap_or_else(|_| panic!("still there: {}", self.told())).expect("waited").code()
    }

    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// One command through a proxy, and how its answer begins.
pub async fn client(proxy: &str, command: &str) -> String {
    use tokio::io::AsyncReadExt;
    let exchange = async {
        let mut stream = TcpStream::connect(proxy).await.expect("it takes clients");
        stream.write_all(command.as_bytes()).await.expect("written");
        let mut answer = vec![0; 64];
        let len = stream.read(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer[..len]).into_owned()
    };
    timeout(LONG, exchange).await.expect("in time")
}

#[tokio::test]
async fn the_only_copy_stays_and_says_so_every_second_until_its_time_is_over() {
    let mut alone = Alone::start(&["--last-copy-timeout=3s", "--drain-timeout=0s"]).await;
    alone.write().await;
    alone.terminate();
    alone.until("stopping, and still here: ", "says why it stays").await;
    assert!(alone.status().await.contains("\"role\": \"draining\""));
    assert!(client(&alone.proxy, "GET key\r\n").await.contains("value"), "it serves");
    assert_eq!(alone.ends(LONG).await, Some(0), "{}", alone.told());
    let said = alone.told().matches("stopping, and still serving").count();
    assert!((2..=4).contains(&said), "said {said} times in 3 s:\n{}", alone.told());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut alone = Alone::start(&["--last-copy-timeout=1h", "--drain-timeout=1h"]).await;
    alone.write().await;
    alone.terminate();
    alone.until("stopping, and still here: ", "says why it stays").await;
    alone.terminate();
    assert_eq!(alone.ends(Duration::from_secs(5)).await, Some(0));
}

/// Nothing is lost with it: nobody needs it to stay.
#[tokio::test]
async fn an_empty_hive_does_not_stay() {
    let mut alone = Alone::start(&["--last-copy-timeout=1h", "--drain-timeout=0s"]).await;
    alone.terminate();
    assert_eq!(alone.ends(Duration::from_secs(5)).await, Some(0));
    assert!(!alone.told().contains("still serving"), "{}", alone.told());
}

#[tokio::test]
async fn a_hive_is_paused_and_resumed_and_has_nobody_to_switch_to() {
    let alone = Alone::start(&[]).await;
    let ask = async |words: &[&str]| {
        let ran = super::hive(&[words, &["--http", &alone.http]].concat(), &[]).await;
        let told = format!("{}{}", ran.out, ran.err);
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(told.lines().last().is_some_and(|line| line.contains("next: ")), "{told}");
        ran.code
    };
    assert_eq!(ask(&["switchover"]).await, Some(1), "nobody is fit");
    assert_eq!(ask(&["switchover", "--to=192.0.2.1"]).await, Some(1), "nobody is there");
    assert_eq!(ask(&["pause"]).await, Some(0));
    alone.until("\"paused\": true", "is paused").await;
    let page = super::hive(&["status", "--http", &alone.http], &[]).await;
    assert_eq!(page.code, Some(1));
    assert!(page.out.contains("! paused: no fail-over until `redis-hive resume`"), "{}", page.out);
    assert_eq!(ask(&["switchover"]).await, Some(1), "paused");
    assert_eq!(ask(&["resume"]).await, Some(0));
    alone.until("\"paused\": false", "is not paused any more").await;
    let status: Status = serde_json::from_str(&alone.status().await).expect("a status");
    let kinds: Vec<&str> = status.transitions.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["leads", "paused", "resumed"]);
}

#[tokio::test]
async fn what_comes_again_and_again_is_counted_and_told_at_the_end() {
    let mut alone = Alone::start(&["--drain-timeout=0s"]).await;
    for _ in 0..7 {
        for (command, now) in [("pause", "\"paused\": true"), ("resume", "\"paused\": false")] {
            let ran = super::hive(&[command, "--http", &alone.http], &[]).await;
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            alone.until(now, command).await;
        }
    }
    assert_eq!(alone.told().matches("INFO pause mode").count(), 10, "{}", alone.told());
    alone.terminate();
    assert_eq!(alone.ends(LONG).await, Some(0), "{}", alone.told());
    for paused in [true, false] {
        let line =
            format!("INFO more lines like one before count=2 like=\"pause mode paused={paused}\"");
        assert!(alone.told().contains(&line), "{}", alone.told());
    }
}

/// Clients must not take the files that the hive needs: it takes as many as it may, and counts.
#[tokio::test]
async fn the_limit_on_open_files_is_raised_and_kept_to() {
    let limits = |alone: &Alone| {
        let pid = alone.hive.id().expect("it runs");
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
        let line = text.lines().find(|line| line.starts_with("Max open files")).expect("a line");
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        (words[3].clone(), words[4].clone())
    };
    let alone = Alone::limited("-S -n 256", &["--max-clients=10"]).await;
    let (soft, hard) = limits(&alone);
    assert_eq!(soft, hard);
    assert!(!alone.told().contains("ulimit"), "{}", alone.told());

    let alone = Alone::limited("-n 256", &["--max-clients=100"]).await;
    assert_eq!(limits(&alone), ("256".to_owned(), "256".to_owned()));
    let told = "fitting=64 max_clients=100 open_files=256";
    assert!(alone.told().contains(told), "{}", alone.told());
    assert_eq!(client(&alone.proxy, "SET key value\r\n").await, "+OK\r\n");
}

#[tokio::test]
async fn a_hive_with_a_secret_is_asked_with_it_or_in_vain() {
    let dir = std::env::temp_dir().join(format!("redis-hive-secret-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a file");
        format!("--secret-file={}", path.display())
    };
    let of_hive = file("hive", "the-next-secret-of-this-test\nthe-secret-of-this-test\n");
    let (right, wrong) =
        (file("right", "the-secret-of-this-test\n"), file("wrong", "0123456789abcdef"));
    let alone = Alone::start(&[&of_hive]).await;
    let pause = ["pause", "--http", &alone.http];
    for args in [&pause[..], &[&pause[..], &[wrong.as_str()]].concat()] {
        let ran = super::hive(args, &[]).await;
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("Authorization: Bearer"), "{}", ran.err);
    }
    assert!(alone.told().contains("without the secret"), "{}", alone.told());
    assert!(!alone.status().await.contains("\"paused\": true"));
    let ran = super::hive(&[&pause[..], &[right.as_str()]].concat(), &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let secret = [("HIVE_SECRET", "the-next-secret-of-this-test")];
    let ran = super::hive(&["resume", "--http", &alone.http], &secret).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = super::hive(&[&pause[..], &[right.as_str()]].concat(), &secret).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "two places: {}", ran.err);
    let told = alone.told() + &alone.status().await;
    assert!(!told.contains("secret-of-this-test"), "{told}");
    std::fs::remove_dir_all(&dir).expect("the directory");
}
