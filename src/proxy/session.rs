//! A client that has no master: held, being connected, or turned away.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use super::moving::outlive;
use super::relay::Relay;
use super::socket;
use super::worker::{Seat, View, Worker};
use crate::election::{RedisAddr, Route};

/// How long a client that was sent an error may take to close. Until then its bytes are read and
/// dropped: a close with unread bytes is a reset, which may overtake the error.
const LINGER: Duration = Duration::from_secs(1);
/// Longest reason passed on to a client, in characters.
const MAX_REASON: usize = 200;

/// Takes a new client through to a relay, or to its end.
pub(super) async fn serve(client: TcpStream, seat: Seat) {
    let mut view = seat.worker().view();
    let mut waited = Waited::default();
    loop {
        match look(&client, &seat, &mut view, &mut waited).await {
            Looked::Changed => {}
            Looked::Gone => return,
            Looked::Over(end) => return leave(&client, &seat, end).await,
            Looked::Elsewhere => return seat.hand_over(client),
            Looked::Master(upstream, generation) => {
                let relay = Relay::new(seat, client, upstream, generation, waited.any());
                tokio::task::spawn_local(relay);
                return;
            }
        }
    }
}

/// What a client without a master has come to.
pub(super) enum Looked {
    /// A connection to the master of this generation.
    Master(TcpStream, u64),
    /// The route, or the state of its master: look again.
    Changed,
    /// The client closed or reset.
    Gone,
    /// It is not served.
    Over(Leave),
    /// There is no route for it here, but another proxy that takes it.
    Elsewhere,
}

/// How a client is let go that has a right to know.
pub(super) enum Leave {
    /// With this error.
    TurnedAway(String),
    /// With the end of file: this hive stops.
    Drained,
}

/// Looks at the route once: connects, or waits until there is something new.
pub(super) async fn look(
    client: &TcpStream,
    seat: &Seat,
    view: &mut watch::Receiver<View>,
    waited: &mut Waited,
) -> Looked {
    let worker = seat.worker();
    let now = view.borrow_and_update().clone();
    let current = &*now.current;
    let error = match &current.route {
        Route::Refuse { reason } if worker.shared().elsewhere.is_none() => {
            return Looked::Over(Leave::TurnedAway(reason.clone()));
        }
        Route::Forward { .. } if !worker.gate_is_open() => NoMaster::Unsure,
        Route::Forward { master, .. } if now.probe == 0 => {
            let generation = current.generation;
            return match attach(client, seat, view, generation, *master, waited).await {
                Attached::To(upstream) => Looked::Master(upstream, generation),
                Attached::Failed => {
                    worker.master_is_silent(generation, *master);
                    Looked::Changed
                }
                Attached::Outdated => Looked::Changed,
                Attached::Gone => Looked::Gone,
            };
        }
        Route::Forward { master, .. } => NoMaster::Silent(*master),
        Route::Held { master, .. } => NoMaster::Changing(*master, current.since),
        Route::Hold | Route::Refuse { .. } => NoMaster::Unknown(current.since),
    };
    if worker.shared().elsewhere.is_some() {
        return Looked::Elsewhere;
    }
    if worker.is_draining() && !waited.owed {
        return Looked::Over(Leave::Drained);
    }
    match hold(client, seat, view, waited).await {
        Held::Changed => Looked::Changed,
        Held::Gone => Looked::Gone,
        Held::TooLong => Looked::Over(Leave::TurnedAway(error.text(waited.since))),
    }
}

/// Lets a client go that is owed nothing.
pub(super) fn drained(client: TcpStream, seat: Seat) {
    tokio::task::spawn_local(async move { leave(&client, &seat, Leave::Drained).await });
}

/// Lets a client go that was not served, and waits for its end.
pub(super) async fn leave(client: &TcpStream, seat: &Seat, how: Leave) {
    match how {
        Leave::TurnedAway(reason) => turn_away(client, seat, &reason).await,
        Leave::Drained => dismiss(client, seat.worker(), "").await,
    }
}

/// Tells a client that there are too many, and waits for its end. It has no seat.
pub(super) async fn too_many(client: TcpStream, worker: &Worker) {
    dismiss(&client, worker, "-ERR max number of clients reached\r\n").await;
}

/// Since when a client is held, if it was ever.
#[derive(Default)]
pub(super) struct Waited {
    since: Option<Instant>,
    /// It has asked something that was not answered: it is not let go without a word.
    owed: bool,
}

impl Waited {
    /// Not held yet.
    pub(super) fn new(owed: bool) -> Waited {
        Waited { since: None, owed }
    }

    /// Then its readiness was taken away, and an end of file means that it gave up.
    pub(super) fn any(&self) -> bool {
        self.since.is_some()
    }
}

enum Attached {
    To(TcpStream),
    /// The master did not take the connection.
    Failed,
    /// The route has changed.
    Outdated,
    /// The client gave up.
    Gone,
}

/// Connects to the master of this generation.
///
/// A client that has never been held may have closed its sending side already and wait for its
/// replies; one that was held and closed has given up.
async fn attach(
    client: &TcpStream,
    seat: &Seat,
    view: &mut watch::Receiver<View>,
    generation: u64,
    master: RedisAddr,
    waited: &Waited,
) -> Attached {
    let worker = seat.worker();
    let connected = async {
        // Never closed, so never an error.
        let _turn = worker.connecting.acquire().await;
        socket::connect(master).await
    };
    let changed = |view: &View| {
        let current = &*view.current;
        current.generation != generation || !matches!(current.route, Route::Forward { .. })
    };
    let outdated = || {
        let stamp = worker.shared().routes.stamp();
        stamp.generation() != generation || stamp.is_held()
    };
    let result = tokio::select! {
        biased;
        () = gone(client), if waited.any() => return Attached::Gone,
        _ = view.wait_for(|view| changed(view) || view.probe != 0) => return Attached::Outdated,
        result = connected => result,
    };
    if outdated() {
        // The control plane is ahead of this worker's bell, or is back already.
        let _ = view.wait_for(|view| changed(view) || !outdated()).await;
        return Attached::Outdated;
    }
    match result {
        Ok(upstream) => Attached::To(upstream),
        Err(error) => {
            tracing::debug!(%master, %error, "the master does not take a connection");
            Attached::Failed
        }
    }
}

pub(super) enum Held {
    /// The route, or the state of its master.
    Changed,
    /// The client closed or reset.
    Gone,
    /// `--hold-timeout` is over.
    TooLong,
}

/// Waits for something new while the client is held.
pub(super) async fn hold(
    client: &TcpStream,
    seat: &Seat,
    view: &mut watch::Receiver<View>,
    waited: &mut Waited,
) -> Held {
    let worker = seat.worker();
    let since = *waited.since.get_or_insert_with(Instant::now);
    let _counted = Counted::new(worker);
    tokio::select! {
        biased;
        () = gone(client) => return Held::Gone,
        changed = view.changed() => if changed.is_err() { return Held::Gone },
        () = tokio::time::sleep_until(since + worker.shared().settings.hold_timeout) => {
            return Held::TooLong;
        }
    }
    // Its end may have come before the change and wait to be told: let the sockets be asked.
    tokio::task::yield_now().await;
    tokio::select! {
        biased;
        () = gone(client) => Held::Gone,
        () = std::future::ready(()) => Held::Changed,
    }
}

/// Returns when the client has closed or reset, whatever it sent before. Takes its readiness away:
/// the next to read must not wait to be told that there is something.
pub(super) async fn gone(client: &TcpStream) {
    loop {
        match client.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                let drained = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
                let _ = client.try_io(Interest::READABLE, drained);
            }
            _ => return,
        }
    }
}

/// Counts a client as held.
struct Counted<'a>(&'a Worker);

impl Counted<'_> {
    fn new(worker: &Worker) -> Counted<'_> {
        worker.tally().held.add(1);
        Counted(worker)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.tally().held.take_one();
    }
}

/// Why a client is held.
enum NoMaster {
    Unknown(std::time::Instant),
    Changing(RedisAddr, std::time::Instant),
    Silent(RedisAddr),
    /// The gate is closed.
    Unsure,
}

impl NoMaster {
    fn text(&self, held: Option<Instant>) -> String {
        let held = held.map_or(0.0, |since| since.elapsed().as_secs_f64());
        match self {
            NoMaster::Unknown(since) => {
                let age = since.elapsed().as_secs_f64();
                format!("no master is known since {age:.1} s (redis-hive)")
            }
            NoMaster::Changing(master, since) => {
                let age = since.elapsed().as_secs_f64();
                format!("the master {master} is being replaced since {age:.1} s (redis-hive)")
            }
            NoMaster::Silent(master) => {
                format!("the master {master} takes no connections since {held:.1} s (redis-hive)")
            }
            NoMaster::Unsure => {
                format!("nobody confirms the master since {held:.1} s (redis-hive)")
            }
        }
    }
}

async fn turn_away(client: &TcpStream, seat: &Seat, reason: &str) {
    seat.worker().tally().refused.add(1);
    let mut line = String::from("-MASTERDOWN ");
    // An error is one line.
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    line.extend(reason.chars().take(MAX_REASON).map(clean));
    let _ = line.write_str("\r\n");
    dismiss(client, seat.worker(), &line).await;
}

async fn dismiss(client: &TcpStream, worker: &Worker, line: &str) {
    let farewell = async {
        client.writable().await?;
        // A fresh socket takes a line whole.
        if !line.is_empty() {
            client.try_write(line.as_bytes())?;
        }
        socket::shutdown_write(client);
        discard(client, worker).await
    };
    let _ = tokio::time::timeout(LINGER, farewell).await;
}

/// Reads and drops until the client closes.
async fn discard(client: &TcpStream, worker: &Worker) -> io::Result<()> {
    let mut received = socket::recv_now(client, &mut worker.buffer.borrow_mut());
    loop {
        match received {
            Ok(0) => return Ok(()),
            Err(error) if !socket::is_retry(&error) => return Err(error),
            _ => {}
        }
        client.readable().await?;
        received = socket::recv(client, &mut worker.buffer.borrow_mut());
    }
}
