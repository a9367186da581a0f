//! The numbers behind `/metrics` that are in no status: plain data, put together by the driver.

use std::time::Duration;

/// How many kinds of an election's phases there are.
const PHASES: usize = PHASE_NAMES.len();
/// The phases a change of the leadership may have, in the order in which they come: `prepare` to
/// `handover` are of a planned change, `ask` to `promote` of an election, `open` of both.
pub const PHASE_NAMES: [&str; 8] =
    ["prepare", "hold", "handover", "ask", "consent", "freeze", "promote", "open"];
/// Upper bounds of the buckets of every histogram, in seconds.
pub const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// What a change of the leadership can be.
pub const KINDS: [&str; 4] = ["leads", "follows", "failover", "switchover"];

/// One moment's numbers. All counters count from the start of this hive unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// When this hive started, in seconds since the Unix epoch.
    pub started_at: f64,
    /// Peers that are heard and hear this hive.
    pub reachable: u64,
    /// The offset the master last stated, in bytes of its stream.
    pub master_offset: Option<u64>,
    /// What the journal has counted.
    pub told: Told,
    /// What the local Redis says of its replication.
    pub redis: ReplicationFigures,
    /// Rounds of DNS questions by outcome, for all services together.
    pub dns: DnsFigures,
    /// The write endpoint.
    pub write: ProxyFigures,
    /// The read endpoint, where there is one.
    pub read: Option<ProxyFigures>,
    /// The links to other hives.
    pub links: LinkFigures,
    /// The copies that this hive knows of: its own and those of hives in reach.
    pub copies: CopyFigures,
    /// The local Redis was started so that it cannot be a master by accident; `None` while unknown.
    pub boot_fence: Option<bool>,
    /// Secrets, passwords and certificates.
    pub secrets: SecretFigures,
}

/// What the journal counts.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Changes of the leadership, by kind ([`KINDS`]) and cause, those that never happened too.
    pub changes: Vec<Change>,
    /// From the loss of the leader to the next one, where the master changed unplanned.
    pub failovers: Histogram,
    /// The same where it was planned.
    pub switchovers: Histogram,
    /// How long clients of this hive were held or turned away, once there had been a route.
    pub holds: Histogram,
    /// The phases of all changes, in the order of [`PHASE_NAMES`].
    pub phases: [Histogram; PHASES],
    /// Bytes that old masters had stated and new ones did not have.
    pub given_up: u64,
}

/// How often one kind of change happened for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// What ended the leadership before, in one word.
    pub cause: &'static str,
    /// How often.
    pub count: u64,
}

/// Spans, counted by how long they were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// For every one of [`BUCKETS`] those that fall between it and the one before; then the rest.
    pub counts: [u64; BUCKETS.len() + 1],
    /// Seconds, all together.
    pub sum: f64,
}

impl Histogram {
    /// Counts one more.
    pub fn observe(&mut self, span: Duration) {
        let seconds = span.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What the local Redis says of its replication. The counters are Redis's own.
#[derive(Clone, Debug, Default)]
pub struct ReplicationFigures {
    /// Full copies it gave to others.
    pub full: u64,
    /// Replicas that could go on where they were.
    pub partial: u64,
    /// Replicas that asked to go on and had to take a full copy.
    pub partial_refused: u64,
    /// Of a replica: how long its master has been silent.
    pub master_silent: Option<Duration>,
    /// Of a master: its replicas, `ip:port`, and how long ago each acknowledged the stream.
    pub acknowledged: Vec<(String, Duration)>,
}

/// Copies, by their state, of Redis servers that answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyFigures {
    /// Whole and up to date.
    pub current: u64,
    /// Whole, and not known to be up to date.
    pub complete: u64,
    /// Being received.
    pub coming: u64,
    /// Empty.
    pub blank: u64,
}

/// What the hive shows to others, by what it is for: `hive` is `--secret-file`, `redis` are the password
/// and the certificates for Redis.
#[derive(Clone, Debug, Default)]
pub struct SecretFigures {
    /// How long what is in force has been so.
    pub ages: Vec<(&'static str, Duration)>,
    /// Where there are files: how long ago they were read and could be used.
    pub read_ages: Vec<(&'static str, Duration)>,
    /// A Redis does not accept what is new in the files.
    pub refused: bool,
    /// The last second of each certificate, in seconds since the Unix epoch.
    pub certificates: Vec<(&'static str, u64)>,
}

/// Rounds of DNS questions, by outcome.
#[derive(Clone, Copy, Debug, Default)]
pub struct DnsFigures {
    /// Both address families answered.
    pub complete: u64,
    /// One failed.
    pub partly: u64,
    /// Nothing was learnt.
    pub failed: u64,
}

/// One endpoint of the proxy.
#[derive(Clone, Debug, Default)]
pub struct ProxyFigures {
    /// Clients connected now.
    pub clients: u64,
    /// Of these, those that wait for a master.
    pub held: u64,
    /// Of these, those with a connection to a Redis.
    pub attached: u64,
    /// Connections accepted, those over the limit included.
    pub accepted: u64,
    /// Clients turned away because there were too many.
    pub over_limit: u64,
    /// Clients turned away because no master was known for too long.
    pub no_master: u64,
    /// Sessions that went on with another master.
    pub moved: u64,
    /// Sessions cut, by the reason in one word.
    pub cut: Vec<(&'static str, u64)>,
    /// Bytes from clients to masters.
    pub up: u64,
    /// Bytes from masters to clients.
    pub down: u64,
    /// Bytes of both that went through pipes.
    pub spliced: u64,
}

/// The links to other hives.
#[derive(Clone, Debug, Default)]
pub struct LinkFigures {
    /// Live links now.
    pub links: u64,
    /// Frames received.
    pub frames_in: u64,
    /// Frames written.
    pub frames_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Connections closed, by the reason in one word.
    pub closed: Vec<(&'static str, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_counted_once_and_a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::default();
        for ms in [0, 1, 2, 500, 501, 60_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let mut counts = [0; BUCKETS.len() + 1];
        (counts[0], counts[1], counts[8], counts[9], counts[14]) = (2, 1, 1, 1, 1);
        assert_eq!(histogram.counts, counts);
        assert_eq!(histogram.count(), 6);
        assert!((histogram.sum - 61.004).abs() < 1e-9);
    }
}
