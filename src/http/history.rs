//! The last minutes in a few numbers, so that the charts of a page that is opened now begin with them.
//!
//! Taken from statuses that are made anyway, every other second. Bounded: about 23 KiB.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::status::{RedisStatus, Status};

/// The least time between two samples.
const EVERY: Duration = Duration::from_secs(2);
/// So many are kept: five minutes.
const KEPT: usize = 150;
/// With more replicas only the one that is furthest behind is kept, as on the page.
const COLUMNS: usize = 5;

/// The samples of this run of the hive: written by the driver, read by requests.
#[derive(Clone, Debug)]
pub struct History(Arc<Mutex<Samples>>);

#[derive(Debug)]
struct Samples {
    /// Oldest first.
    kept: VecDeque<Sample>,
    /// Whose lag each column is.
    replicas: [Option<IpAddr>; COLUMNS],
    /// The master of the newest sample.
    master: Option<SocketAddr>,
}

/// One moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// Grows when the master becomes another one: offsets compare only under the same number.
    reign: u32,
    /// Where the master's stream is, bytes.
    offset: Option<u64>,
    /// Bytes from clients and to them since the start of the hive.
    up: u64,
    down: u64,
    /// Bytes that each replica lacks.
    lags: [Option<u64>; COLUMNS],
    /// The most that one of many lacks.
    most: Option<u64>,
}

/// What `/page/history` tells. Rows are short, as there are many.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Told {
    /// The run of the hive.
    run: String,
    /// The master of the newest row, and of all with its reign.
    master: Option<SocketAddr>,
    replicas: Vec<Option<IpAddr>>,
    rows: Vec<Row>,
}

/// Milliseconds ago, reign, offset, bytes up and down, lags, the most of many.
type Row = (u64, u32, Option<u64>, u64, u64, Vec<Option<u64>>, Option<u64>);

impl Default for History {
    /// Nothing yet, with room for all that is kept: growing would take room for more.
    fn default() -> History {
        let kept = VecDeque::with_capacity(KEPT);
        History(Arc::new(Mutex::new(Samples { kept, replicas: [None; COLUMNS], master: None })))
    }
}

impl History {
    /// Takes a sample of this status, if it is time for one.
    pub fn note(&self, status: &Status, now: Instant) {
        let mut samples = self.lock();
        let last = samples.kept.back().map(|sample| sample.at);
        if last.is_none_or(|at| now.saturating_duration_since(at) >= EVERY) {
            samples.add(status, now);
        }
    }

    /// All that is kept, by the clock of who asks `now`.
    pub(super) fn told(&self, run: &str, now: Instant) -> Told {
        let samples = self.lock();
        let row = |it: &Sample| {
            let ago = now.saturating_duration_since(it.at).as_millis() as u64;
            (ago, it.reign, it.offset, it.up, it.down, it.lags.to_vec(), it.most)
        };
        Told {
            run: run.to_owned(),
            master: samples.master,
            replicas: samples.replicas.to_vec(),
            rows: samples.kept.iter().map(row).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Samples> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Samples {
    fn add(&mut self, status: &Status, at: Instant) {
        let reign = self.kept.back().map_or(0, |last| last.reign);
        let reign = reign.wrapping_add(u32::from(self.master != status.master));
        self.master = status.master;
        let (up, down) = (status.proxy.bytes_up, status.proxy.bytes_down);
        let offset = master_offset(status);
        let (lags, most) = match replicas(status).count() {
            0..=COLUMNS => (self.columns(status), None),
            _ => ([None; COLUMNS], replicas(status).map(|(_, lag)| lag).max()),
        };
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Sample { at, reign, offset, up, down, lags, most });
    }

    /// The lags in their columns. Where all are taken a new replica takes that of one that is gone.
    fn columns(&mut self, status: &Status) -> [Option<u64>; COLUMNS] {
        let mut lags = [None; COLUMNS];
        for (ip, lag) in replicas(status) {
            let column = |wanted: &dyn Fn(Option<IpAddr>) -> bool| {
                self.replicas.iter().position(|name| wanted(*name))
            };
            let gone = |name: IpAddr| !replicas(status).any(|(known, _)| known == name);
            let known = column(&|name| name == Some(ip));
            let free =
                || column(&|name| name.is_none()).or_else(|| column(&|it| it.is_some_and(gone)));
            let Some(column) = known.or_else(free) else { continue };
            if known.is_none() {
                self.replicas[column] = Some(ip);
                self.kept.iter_mut().for_each(|sample| sample.lags[column] = None);
            }
            lags[column] = Some(lag);
        }
        lags
    }
}

/// The replicas that are heard, and the bytes that each lacks.
fn replicas(status: &Status) -> impl Iterator<Item = (IpAddr, u64)> {
    let peers = status.peers.iter().filter(|peer| peer.reachable);
    let peers = peers.filter_map(|peer| Some((peer.addr.ip(), peer.redis.as_ref()?)));
    let lag = |(ip, redis): (IpAddr, &RedisStatus)| {
        (redis.addr != status.master).then_some((ip, redis.lag_bytes?))
    };
    peers.chain([(status.node, &status.redis)]).filter_map(lag)
}

/// What this hive lacks of the stream is known even where the master's hive is silent.
fn master_offset(status: &Status) -> Option<u64> {
    let mut redis = status.peers.iter().filter_map(|peer| peer.redis.as_ref());
    match status.redis.lag_bytes {
        Some(lag) => Some(status.redis.offset.saturating_add(lag)),
        None => redis.find(|redis| redis.addr == status.master).map(|redis| redis.offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::status::PeerStatus;

    /// 10.0.0.2 follows 10.0.0.1, as 10.0.0.3 does.
    fn example() -> Status {
        let json = include_str!("../../tests/support/status.json");
        serde_json::from_str(json).expect("the example is a status")
    }

    /// 10.0.0.1 is the master, `hosts` are replicas.
    fn with_replicas(hosts: std::ops::RangeInclusive<u8>) -> Status {
        let mut status = example();
        let replica = status.peers.pop().expect("10.0.0.3");
        status.peers.extend(hosts.map(|host| {
            let mut peer: PeerStatus = replica.clone();
            peer.addr.set_ip([10, 0, 0, host].into());
            if let Some(redis) = &mut peer.redis {
                redis.addr = Some(([10, 0, 0, host], 6379).into());
                redis.lag_bytes = Some(u64::from(host));
            }
            peer
        }));
        status
    }

    fn seconds(from: Instant, count: u64) -> Instant {
        from + Duration::from_secs(count)
    }

    #[test]
    fn a_sample_is_what_the_page_would_note() {
        let (history, status, start) = (History::default(), example(), Instant::now());
        history.note(&status, start);
        let told = history.told("ab", start + Duration::from_millis(1500));
        assert_eq!((&*told.run, told.master), ("ab", status.master));
        assert_eq!(told.replicas[..2], [Some([10, 0, 0, 3].into()), Some([10, 0, 0, 2].into())]);
        let lags = vec![Some(1024), Some(100), None, None, None];
        let (up, down) = (status.proxy.bytes_up, status.proxy.bytes_down);
        assert_eq!(told.rows, [(1500, 1, Some(123_556), up, down, lags, None)]);
    }

    #[test]
    fn samples_are_two_seconds_apart_and_five_minutes_are_kept() {
        let (history, status, start) = (History::default(), example(), Instant::now());
        for tenth in 0..4_000 {
            history.note(&status, start + Duration::from_millis(tenth * 100));
        }
        let rows = history.told("ab", seconds(start, 400)).rows;
        assert_eq!(rows.len(), KEPT);
        let ages: Vec<u64> = rows.iter().map(|row| row.0).collect();
        assert_eq!((ages[0], ages[1], ages[149]), (300_000, 298_000, 2_000));
        let room = history.lock().kept.capacity() * size_of::<Sample>();
        assert!((22 << 10..=23 << 10).contains(&room), "{room} bytes");
    }

    #[test]
    fn offsets_of_another_master_are_marked() {
        let (history, mut status, start) = (History::default(), example(), Instant::now());
        history.note(&status, start);
        status.master = None;
        history.note(&status, seconds(start, 2));
        status.master = Some(([10, 0, 0, 3], 6379).into());
        status.redis.lag_bytes = None;
        history.note(&status, seconds(start, 4));
        let told = history.told("ab", seconds(start, 4));
        assert_eq!(told.rows.iter().map(|row| row.1).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(told.rows[2].2, Some(122_532), "what the new master says of itself");
    }

    #[test]
    fn a_new_replica_takes_the_column_of_one_that_is_gone() {
        let (history, start) = (History::default(), Instant::now());
        // 10.0.0.2 is one of them.
        history.note(&with_replicas(3..=6), start);
        history.note(&with_replicas(4..=7), seconds(start, 2));
        let told = history.told("ab", seconds(start, 2));
        let of = |row: usize, host: u8| {
            let ip = Some([10, 0, 0, host].into());
            told.replicas.iter().position(|it| *it == ip).and_then(|at| told.rows[row].5[at])
        };
        assert_eq!((of(0, 4), of(1, 4), of(0, 3)), (Some(4), Some(4), None));
        assert_eq!((of(0, 7), of(1, 7)), (None, Some(7)), "nothing is said of before");
    }

    #[test]
    fn of_many_replicas_the_last_one_is_kept() {
        let (history, start) = (History::default(), Instant::now());
        history.note(&with_replicas(3..=50), start);
        let told = history.told("ab", start);
        assert_eq!((told.rows[0].5.clone(), told.rows[0].6), (vec![None; COLUMNS], Some(100)));
    }

    #[test]
    fn who_is_silent_has_no_lag() {
        let (history, mut status, start) = (History::default(), example(), Instant::now());
        status.peers.iter_mut().for_each(|peer| peer.reachable = false);
        history.note(&status, start);
        assert_eq!(history.told("ab", start).rows[0].5, [Some(100), None, None, None, None]);
    }
}
