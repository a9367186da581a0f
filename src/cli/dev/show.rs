//! The running `dev`: one thread owns the nodes and waits for keys, lines, signals and news.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::control::{self, Command, Deed, Keys};
use super::http;
use super::nodes::{HTTP_PORT, LocalHive, Node, PROXY_PORT, Part, READ_PORT, REDIS_PORT};
use super::relay::{Endpoint, Targets};
use super::view::{self, Row};

/// How often nodes are asked and the picture is drawn.
const PACE: Duration = Duration::from_millis(250);
/// A node that does not answer within this time is shown without an answer.
const ASK: Duration = Duration::from_millis(400);

enum Event {
    Key(char),
    Line(String),
    Stop,
}

type Answers = Arc<Mutex<Vec<Option<Value>>>>;

/// Shows the hive, serves its two endpoints and does what is typed, until `quit` or a signal.
///
/// # Errors
///
/// A thread or the runtime cannot be started, or standard output is closed.
pub fn show(hive: &mut LocalHive, write: Endpoint, read: Endpoint, port: u16) -> io::Result<()> {
    let (events, inbox) = mpsc::channel();
    let targets = (write.targets(), read.targets());
    serve(write, read, events.clone())?;
    let terminal = Terminal::take();
    listen(events, terminal.is_some())?;
    let answers = ask(hive.nodes())?;
    let mut screen = Screen { live: terminal.is_some(), drawn: 0, told: Vec::new() };
    screen.say(&greeting(hive, port))?;
    let result = attend(hive, &inbox, &answers, &targets, &mut screen);
    drop(terminal);
    result
}

fn attend(
    hive: &mut LocalHive,
    inbox: &Receiver<Event>,
    answers: &Answers,
    (write, read): &(Targets, Targets),
    screen: &mut Screen,
) -> io::Result<()> {
    let mut keys = Keys::default();
    let mut next = Instant::now();
    loop {
        let wait = next.saturating_duration_since(Instant::now());
        let command = match inbox.recv_timeout(wait) {
            Ok(Event::Stop) => return Ok(()),
            Ok(Event::Key(key)) => keys.press(key),
            Ok(Event::Line(line)) => {
                let command = control::line(&line);
                if command.is_none() && !line.trim().is_empty() {
                    screen.say(&[control::LINES.to_owned()])?;
                }
                command
            }
            Err(RecvTimeoutError::Timeout) => {
                next = Instant::now() + PACE;
                let rows = rows(hive, answers);
                write.set(write_targets(&rows));
                read.set(read_targets(&rows));
                screen.draw(&rows)?;
                None
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        match command {
            Some(Command::Quit) => return Ok(()),
            Some(Command::Help) => screen.say(&[screen.help().to_owned()])?,
            Some(Command::Node { deed, part, host }) => {
                screen.say(&[act(hive, deed, part, host)])?;
                next = Instant::now();
            }
            None => {}
        }
    }
}

/// Does it and says so.
fn act(hive: &mut LocalHive, deed: Deed, part: Part, host: u8) -> String {
    let Ok(node) = hive.node(host) else {
        return format!("there is no node {host}");
    };
    let deed = match deed {
        Deed::Toggle if node.alive(part) => Deed::Kill,
        Deed::Toggle => Deed::Revive,
        Deed::ToggleFreeze if node.frozen(part) => Deed::Thaw,
        Deed::ToggleFreeze => Deed::Freeze,
        other => other,
    };
    let (said, done) = match deed {
        Deed::Kill => ("killed", hive.kill(host, part)),
        Deed::Revive => ("started, empty,", hive.revive(host, part)),
        Deed::Freeze => ("frozen", hive.freeze(host, part)),
        Deed::Thaw => ("thawed", hive.thaw(host, part)),
        // Its end is seen in the picture; waiting for it here would stop everything else.
        _ => ("sent SIGTERM", hive.stop(host, part, Duration::ZERO).map(|_| ())),
    };
    let what = match part {
        Part::Redis => "the Redis of ",
        Part::Hive => "the hive of ",
        Part::Both => "",
    };
    match done {
        Ok(()) => format!("{said} {what}node {host}"),
        Err(e) => format!("{what}node {host}: {e}"),
    }
}

fn rows(hive: &mut LocalHive, answers: &Answers) -> Vec<Row> {
    let known = answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let row = |(node, status): (&mut Node, Option<Value>)| Row {
        host: node.host(),
        ip: node.ip(),
        redis: node.alive(Part::Redis),
        hive: node.alive(Part::Hive),
        frozen: node.frozen(Part::Both),
        pids: node.pids(),
        status,
    };
    hive.nodes_mut().iter_mut().zip(known).map(row).collect()
}

fn write_targets(rows: &[Row]) -> Vec<SocketAddr> {
    let lives = |r: &&Row| r.hive && !r.frozen;
    rows.iter().filter(lives).map(|r| (r.ip, PROXY_PORT).into()).collect()
}

/// Those with a current copy; if nobody says so, all that live.
fn read_targets(rows: &[Row]) -> Vec<SocketAddr> {
    let current = |r: &Row| {
        r.status.as_ref().is_some_and(|s| s.pointer("/redis/current") == Some(&Value::Bool(true)))
    };
    let pick = |all: bool| -> Vec<SocketAddr> {
        let fit = |r: &&Row| r.redis && !r.frozen && (all || (r.hive && current(r)));
        rows.iter().filter(fit).map(|r| (r.ip, REDIS_PORT).into()).collect()
    };
    let best = pick(false);
    if best.is_empty() { pick(true) } else { best }
}

fn greeting(hive: &LocalHive, port: u16) -> Vec<String> {
    let nodes = hive.nodes();
    let list = |port: u16| {
        let each = nodes.iter().map(|n| format!("{}:{port}", n.ip()));
        each.collect::<Vec<_>>().join(" ")
    };
    let mut lines = vec![
        format!("A hive of {}: its files are in {}", nodes.len(), hive.dir().display()),
        format!("  write endpoint  127.0.0.1:{port}   try: redis-cli -p {port} SET key value"),
        format!("  read endpoint   127.0.0.1:{}   try: redis-cli -p {0} GET key", port + 1),
        format!("  every hive takes writes too: {}", list(PROXY_PORT)),
        format!("  and passes on reads: {}", list(READ_PORT)),
        format!("  every hive tells its status: {}", list(HTTP_PORT)),
    ];
    if let Some(first) = nodes.first() {
        let (exe, ip) = (hive.options().exe.display(), first.ip());
        lines.push(format!("  watch it in a browser: http://{ip}:{HTTP_PORT}/"));
        lines.push(format!("  planned change: {exe} switchover --http {ip}:{HTTP_PORT}"));
    }
    lines.push(String::new());
    lines
}

/// Two endpoints and the signals on a thread of their own.
fn serve(write: Endpoint, read: Endpoint, events: Sender<Event>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = Vec::new();
    {
        let _inside = runtime.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            signals.push(signal(kind)?);
        }
    }
    std::thread::Builder::new().name("dev-endpoints".into()).spawn(move || {
        runtime.block_on(async move {
            for mut signal in signals {
                let events = events.clone();
                tokio::spawn(async move {
                    signal.recv().await;
                    let _ = events.send(Event::Stop);
                });
            }
            let _ = tokio::join!(write.serve(), read.serve());
        });
    })?;
    Ok(())
}

/// A thread that reads standard input: keys of a terminal, or lines. Its end is no reason to end.
fn listen(events: Sender<Event>, keys: bool) -> io::Result<()> {
    std::thread::Builder::new().name("dev-input".into()).spawn(move || {
        let stdin = io::stdin();
        if keys {
            let mut key = [0_u8; 1];
            while stdin.lock().read_exact(&mut key).is_ok() {
                if events.send(Event::Key(char::from(key[0]))).is_err() {
                    return;
                }
            }
        } else {
            for line in stdin.lock().lines().map_while(Result::ok) {
                if events.send(Event::Line(line)).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(())
}

/// A thread a node asks its status again and again; a hung one delays nobody.
fn ask(nodes: &[Node]) -> io::Result<Answers> {
    let answers: Answers = Arc::new(Mutex::new(vec![None; nodes.len()]));
    for (index, node) in nodes.iter().enumerate() {
        let (ip, answers): (Ipv4Addr, Answers) = (node.ip(), Arc::clone(&answers));
        std::thread::Builder::new().name(format!("dev-ask-{}", node.host())).spawn(move || {
            loop {
                let answer = http::get((ip, HTTP_PORT).into(), "/status", ASK);
                let status = answer.ok().and_then(|(_, body)| serde_json::from_str(&body).ok());
                let mut all = answers.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(mine) = all.get_mut(index) {
                    *mine = status;
                }
                drop(all);
                std::thread::sleep(PACE);
            }
        })?;
    }
    Ok(answers)
}

/// Where the picture goes: redrawn in place on a terminal, a line for each change elsewhere.
struct Screen {
    live: bool,
    /// Lines of the last picture, to be overdrawn.
    drawn: usize,
    /// What was told of each node last, without a terminal.
    told: Vec<String>,
}

impl Screen {
    fn help(&self) -> &'static str {
        if self.live { control::KEYS } else { control::LINES }
    }

    /// Lines that stay, above the picture.
    fn say(&mut self, lines: &[String]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        self.erase(&mut out)?;
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    fn draw(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.live {
            self.erase(&mut out)?;
            let mut lines = view::table(rows);
            lines.push(self.help().to_owned());
            for line in &lines {
                // No wrapping: a wrapped line would be two to overdraw.
                writeln!(out, "\x1b[?7l{line}\x1b[?7h")?;
            }
            self.drawn = lines.len();
        } else {
            if self.told.is_empty() {
                writeln!(out, "{}", self.help())?;
            }
            self.told.resize(rows.len(), String::new());
            for (row, told) in rows.iter().zip(&mut self.told) {
                let now = view::summary(row);
                if *told != now {
                    writeln!(out, "{now}")?;
                    *told = now;
                }
            }
        }
        out.flush()
    }

    fn erase(&mut self, out: &mut impl io::Write) -> io::Result<()> {
        match std::mem::take(&mut self.drawn) {
            0 => Ok(()),
            lines => write!(out, "\x1b[{lines}A\r\x1b[J"),
        }
    }
}

/// A terminal that gives keys at once and does not echo them, until the value is dropped.
struct Terminal(Termios);

impl Terminal {
    /// `None` unless both standard input and output are a terminal.
    fn take() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        // Ctrl-C stays a signal.
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
