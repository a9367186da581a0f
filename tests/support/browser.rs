//! A headless browser, asked over the pipe of its DevTools.
//!
//! `HIVE_TEST_BROWSER` names another program than the one in PATH. With `HIVE_SCREENSHOTS` a directory,
//! pictures of what tests see are left there.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The longest wait for an answer of the browser.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);
const NAMES: [&str; 2] = ["chromium-headless-shell", "chromium"];
/// The pipe is on descriptors 3 and 4, where a shell can put it.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

/// A browser with one page.
pub struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    profile: PathBuf,
    complaints: Vec<String>,
}

impl Browser {
    /// `None`, said loudly, where there is none; fails the test if `CI` is `true`.
    pub fn start() -> Option<Browser> {
        let program = program()?;
        let profile = profile();
        let mut child = Command::new("sh")
            .args(["-c", START])
            .arg(&program)
            .args(["--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            // What is shared there is small in containers.
            .arg("--disable-dev-shm-usage")
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let said = listen(child.stdout.take().expect("it is piped"));
        let input = child.stdin.take();
        let (session, complaints) = (None, Vec::new());
        let mut browser = Browser { child, input, said, session, calls: 0, profile, complaints };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({}));
        }
        Some(browser)
    }

    /// Goes to a page.
    pub fn open(&mut self, url: &str) {
        let gone = self.call("Page.navigate", json!({"url": url}));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
    }

    /// What the screen is like.
    pub fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        let mobile = width < 600;
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", scheme);
    }

    /// The value of an expression.
    ///
    /// # Panics
    ///
    /// It throws.
    pub fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.call("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// The text of the first element that a selector finds; empty if there is none.
    pub fn text(&mut self, selector: &str) -> String {
        let of = format!("document.querySelector({selector:?})?.innerText ?? ''");
        self.eval(&of).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    ///
    /// It is not within `limit`; shows what the page has.
    #[track_caller]
    pub fn until(&mut self, expression: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        // As long as the page is not there it throws.
        let tried =
            format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        while self.eval(&tried) != true {
            if Instant::now() >= deadline {
                let page = self.text("body");
                panic!("not within {limit:?}: {expression}\n{page}\n{:?}", self.complaints);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Presses and releases a key.
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key}));
        }
    }

    /// Leaves a picture of the whole page, if somebody wants to look at it.
    pub fn picture(&mut self, name: &str) {
        let Some(dir) = std::env::var_os("HIVE_SCREENSHOTS") else { return };
        let metrics = self.call("Page.getLayoutMetrics", json!({}));
        let size = &metrics["cssContentSize"];
        let clip =
            json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let whole = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.call("Page.captureScreenshot", whole);
        let file = Path::new(&dir).join(format!("{name}.png"));
        let mut decode = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(&file).expect("a file"))
            .spawn()
            .expect("base64");
        let data = taken["data"].as_str().expect("a picture");
        decode.stdin.take().expect("it is piped").write_all(data.as_bytes()).expect("it reads");
        assert!(decode.wait().expect("it ends").success());
    }

    /// What pages threw, what the policy forbade, and what else the browser did not like; that
    /// something could not be loaded is left out.
    pub fn complaints(&mut self) -> &[String] {
        // An answer comes after all that was said before.
        self.eval("0");
        &self.complaints
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut asked = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            asked["sessionId"] = json!(session);
        }
        let input = self.input.as_mut().expect("it runs");
        input.write_all(format!("{asked}\0").as_bytes()).expect("the browser reads");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let said = self.said.recv_timeout(left);
            let mut said = said.unwrap_or_else(|error| panic!("{method}: no answer: {error}"));
            if said["id"] == id {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].take();
            }
            self.note(&said);
        }
    }

    fn note(&mut self, said: &Value) {
        let bad = match said["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => said["params"]["type"] == "error",
            Some("Log.entryAdded") => said["params"]["entry"]["source"] != "network",
            _ => false,
        };
        if bad {
            self.complaints.push(said["params"].to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends, with its children, when its pipe does.
        drop(self.input.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("HIVE_TEST_BROWSER") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let everywhere = std::env::split_paths(&path).flat_map(|dir| NAMES.map(|name| dir.join(name)));
    let found = everywhere.into_iter().find(|file| file.is_file());
    if found.is_none() {
        let missing = "there is no browser: run deploy/local/install browser";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        eprintln!("SKIPPED, THE PAGE WAS NOT TESTED: {missing}");
    }
    found
}

/// A directory that no other browser of this machine uses.
fn profile() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    std::env::temp_dir().join(format!("redis-hive-browser-{}-{number}", std::process::id()))
}

/// Messages end with a zero byte.
fn listen(output: ChildStdout) -> Receiver<Value> {
    let (send, said) = mpsc::channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut message = Vec::new();
        while output.read_until(0, &mut message).is_ok_and(|read| read > 0) {
            message.pop();
            let Ok(value) = serde_json::from_slice(&message) else { break };
            if send.send(value).is_err() {
                break;
            }
            message.clear();
        }
        // Whoever writes on must not wait for ever.
        let _ = output.read_to_end(&mut message);
    });
    said
}
