//! One planned change of the master under ten writers: how long they wait, and what it costs.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use redis_hive::cli::dev::nodes::HTTP_PORT;

use crate::client::{Client, Pace, Seen, USUAL, longest_gap};
use crate::clients::missing;
use crate::faults::PLANNED;
use crate::figures::{Budget, Figure};
use crate::harness::Hive;
use crate::outage::{HOSTS, Story, clock, fresh, healthy, lengths, write_some};

/// Spread over the proxies of all nodes.
const WRITERS: usize = 10;
/// Ten of them at the usual pace would measure how two CPUs are shared.
const WRITE_PAUSE: Duration = Duration::from_millis(1);
/// Writers are watched for so long before the change, for comparison.
const BEFORE: Duration = Duration::from_millis(100);
/// Longer than any answer may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// What one change gave, times in milliseconds.
pub struct Round {
    /// The longest gap of the writer that fared worst.
    pub worst: f64,
    /// The longest time in which no writer had an acknowledgement.
    pub whole: f64,
    /// The longest gap of any writer while nothing happened, in [`BEFORE`].
    pub usual: f64,
    /// From the request to the answer, as the asker sees it.
    pub asked: f64,
    /// What the answer says that it took; `None` where it does not say that it is done.
    pub said: Option<f64>,
    /// The answer.
    pub text: String,
    /// Errors of all writers.
    pub errors: usize,
    /// Acknowledged writes that the hive does not have afterwards.
    pub lost: usize,
    /// Whole copies that any Redis has given away meanwhile.
    pub copies: u64,
    /// What there is to read about it.
    pub story: Story,
}

/// Runs one. The hive is healthy before and afterwards; `number` decides which hive is asked.
pub fn round(hive: &mut Hive, number: usize, reconnect: Duration) -> Round {
    let before = fresh(hive);
    let (logs, full) = (lengths(hive), given(hive));
    let asked = HOSTS[number % HOSTS.len()];
    let mut writers: Vec<Client> = (0..WRITERS).map(|id| writer(hive, id, reconnect)).collect();
    write_some(&writers);
    std::thread::sleep(BEFORE);

    let (at, wall) = (Instant::now(), SystemTime::now());
    let to = SocketAddr::from((hive.ip(asked), HTTP_PORT));
    let text = switch_over(to).unwrap_or_else(|error| error.to_string());
    let answered = Instant::now();
    write_some(&writers);
    let after = healthy(hive);
    let seen: Vec<Seen> = writers.iter_mut().map(Client::stop).collect();
    let numbers = writers.iter().zip(&seen);
    let keys: Vec<String> =
        numbers.flat_map(|(w, seen)| seen.acked.iter().map(|(_, n)| w.key(*n))).collect();
    let lost = missing(hive, hive.proxy(asked), &keys).len();

    let gaps = |from: Instant, until: Instant| {
        let each = seen.iter().map(move |seen| longest_gap(seen.times(), from, Some(until)));
        each.collect::<Vec<(Instant, Duration)>>()
    };
    let pauses = gaps(at, answered);
    let longest = |gaps: &[(Instant, Duration)]| {
        gaps.iter().map(|(_, length)| *length).max().unwrap_or_default()
    };
    let mut all: Vec<Instant> = seen.iter().flat_map(Seen::times).collect();
    all.sort_unstable();
    let whole = longest_gap(all.into_iter(), at, Some(answered));
    let asker = answered - at;
    let mut head = format!(
        "planned change from node {} to node {}, node {asked} asked at {}, answered after {asker:?}: \
         {text}\n",
        before.master,
        after.master,
        clock(wall)
    );
    let end = |(start, length): (Instant, Duration)| {
        let (from, to) = (start.saturating_duration_since(at), (start + length) - at);
        format!("{length:?}, from {from:?} to {to:?} (until {})", clock(wall + to))
    };
    let _ = writeln!(head, "nobody: {}", end(whole));
    for (id, pause) in pauses.iter().enumerate() {
        let _ = writeln!(head, "writer {id} at node {}: {}", HOSTS[id % HOSTS.len()], end(*pause));
    }
    Round {
        worst: millis(longest(&pauses)),
        whole: millis(whole.1),
        usual: millis(longest(&gaps(at - BEFORE, at))),
        asked: millis(asker),
        said: said(&text),
        text,
        errors: seen.iter().map(|seen| seen.errors.len()).sum(),
        lost,
        copies: given(hive) - full,
        story: Story::new(head, logs),
    }
}

/// One that begins at the proxy of one node, and after an error goes on to the next.
fn writer(hive: &Hive, id: usize, reconnect: Duration) -> Client {
    let mut addrs: Vec<SocketAddr> = HOSTS.into_iter().map(|host| hive.proxy(host)).collect();
    addrs.rotate_left(id % HOSTS.len());
    Client::paced(&format!("w{id}"), addrs, Pace { reconnect, write: WRITE_PAUSE })
}

/// How many whole copies all of them have given away.
fn given(hive: &Hive) -> u64 {
    hive.fulls(&HOSTS).into_iter().sum()
}

/// Asks a hive: the text of its answer.
fn switch_over(addr: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /switchover HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: serde_json::Value = serde_json::from_str(body).map_err(io::Error::other)?;
    Ok(body["text"].as_str().unwrap_or_default().to_owned())
}

/// The milliseconds in "10.0.0.2:7000 leads since epoch 5, after 7 ms".
fn said(text: &str) -> Option<f64> {
    let (_, took) = text.split_once("leads since epoch")?.1.split_once(", after ")?;
    took.split_once(" ms")?.0.parse().ok()
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// The figures of all changes.
pub struct Table {
    pauses: Vec<Figure>,
    whole: Figure,
    usual: Figure,
    asked: Figure,
    said: Figure,
    refused: Figure,
    errors: Figure,
    lost: Figure,
    copies: Figure,
}

/// How the writers of a round reconnect, and how that is called.
pub const WAYS: [(&str, Duration); 2] =
    [("reconnecting after 10 ms", USUAL.reconnect), ("reconnecting at once", Duration::ZERO)];

impl Table {
    pub fn new() -> Table {
        let row = |what: &str, unit, digits| {
            Figure::new(format!("planned switchover: {what}"), unit, digits)
        };
        let pause = |(way, _)| {
            row(&format!("pause of the worst of 10 writers, {way}"), "ms", 1).within(PLANNED)
        };
        Table {
            pauses: WAYS.into_iter().map(pause).collect(),
            whole: row("no writer at all is served", "ms", 1),
            usual: row("the worst writer's longest gap just before it", "ms", 1),
            asked: row("request to answer", "ms", 1),
            said: row("how long the answer says that it took", "ms", 0),
            refused: row("answers that do not say that it is done", "", 0)
                .within(Budget::worst(0.0)),
            errors: row("errors of all writers", "", 0),
            lost: row("acknowledged writes lost", "", 0).within(Budget::worst(0.0)),
            copies: row("whole copies", "", 0).within(Budget::worst(0.0)),
        }
    }

    /// Takes a round in which the writers reconnected in that of the [`WAYS`]; `true`: its story is
    /// worth keeping.
    pub fn add(&mut self, way: usize, round: &Round) -> bool {
        self.refused.add(f64::from(u8::from(round.said.is_none())));
        if let Some(said) = round.said {
            self.pauses[way].add(round.worst);
            self.whole.add(round.whole);
            self.asked.add(round.asked);
            self.said.add(said);
        }
        self.usual.add(round.usual);
        self.errors.add(round.errors as f64);
        self.lost.add(round.lost as f64);
        self.copies.add(round.copies as f64);
        let clean = round.lost == 0 && round.copies == 0 && round.said.is_some();
        !clean || PLANNED.exceeded_by(round.worst)
    }

    pub fn figures(self) -> Vec<Figure> {
        let Table { mut pauses, whole, usual, asked, said, refused, errors, lost, copies } = self;
        pauses.extend([whole, usual, asked, said, refused, errors, lost, copies]);
        pauses
    }
}
