//! Explains full resyncs that never end and raises the settings that end them too soon, on the
//! running Redis and within bounds.

use tokio::time::Instant;

use super::attend::Attended;
use super::connection::Link;
use super::info::{Info, Memory};
use super::keeper::{ANSWER_TIMEOUT, Charge, Keeper};
use super::resync::Failure;
use super::settings::{get_text, set};
use crate::election::Version;

const BUFFER: &str = "client-output-buffer-limit";
const BACKLOG: &str = "repl-backlog-size";
const TIMEOUT: &str = "repl-timeout";

const MIB: u64 = 1 << 20;
/// The least and the most that the output buffer of a replica is raised to.
const BUFFER_RANGE: (u64, u64) = (256 * MIB, 1024 * MIB);
/// The same for the backlog.
const BACKLOG_RANGE: (u64, u64) = (16 * MIB, 256 * MIB);
/// The same for `repl-timeout`, in seconds.
const TIMEOUT_RANGE: (u64, u64) = (120, 600);
/// Before this version a backlog that is resized forgets what it has.
const BACKLOG_GROWS: Version = Version { major: 7, minor: 0, patch: 0 };

/// What was found and done.
struct Mended {
    problem: String,
    changed: Vec<String>,
}

impl Keeper {
    /// Looks for full resyncs that never end, where this Redis is the local one; explains them and
    /// mends what can be mended.
    pub(super) async fn watch_resyncs(&mut self, info: &Info) {
        if !matches!(self.charge, Charge::Local(_)) {
            return;
        }
        let failures = self.resync.see(info, Instant::now());
        if !self.resync.troubled() {
            self.trouble = None;
        }
        // One at a time: what is raised for one replica is raised for all.
        let (Some(failure), Some(link)) =
            (failures.into_iter().max_by_key(|it| it.tries), self.link.clone())
        else {
            return;
        };
        let info = info.clone();
        let mend = async move { mend(&link, &info, &failure).await };
        if let Attended::Done(mended) =
            self.attend(Instant::now() + ANSWER_TIMEOUT, Box::pin(mend)).await
        {
            mended.changed.into_iter().for_each(|it| self.board.changed(it));
            self.trouble = Some(mended.problem);
        }
    }
}

async fn mend(link: &Link, info: &Info, failure: &Failure) -> Mended {
    let mut changed = Vec::new();
    let timeout = number(link, TIMEOUT).await;
    // Nothing came for all that time, or the copy took about as long.
    let late = timeout.filter(|timeout| failure.lasted.as_secs() * 5 >= timeout * 4);
    let mut causes = Vec::new();
    if let Some(timeout) = late.filter(|timeout| *timeout > 0) {
        causes.push(format!("{TIMEOUT} ({timeout} s) is shorter than the resync takes"));
        raise(link, &mut changed, TIMEOUT, timeout, TIMEOUT_RANGE).await;
    } else if failure.replica.is_some() {
        let limit = buffer_limit(link).await;
        if let Some(limit) = limit.filter(|it| it.hard > 0 || it.soft > 0) {
            causes.push(format!("{BUFFER} replica ({limit}) is too small"));
            raise_buffer(link, &mut changed, limit).await;
        }
        if let Some(backlog) = number(link, BACKLOG).await {
            causes.push(format!("{BACKLOG} ({backlog}) is too small"));
            if failure.tries > 2 && info.passport.version >= BACKLOG_GROWS {
                raise(link, &mut changed, BACKLOG, backlog, BACKLOG_RANGE).await;
            }
        }
    } else {
        causes.push(format!("its master's {BUFFER} replica or {BACKLOG} is too small"));
    }
    let Memory { used, max, .. } = info.memory;
    if max > 0 && used / 4 >= max / 5 {
        causes.push(format!("memory is short ({used} of {max} bytes are in use)"));
    }
    let who = match &failure.replica {
        Some(replica) => format!("The replica {replica}"),
        None => "The local Redis".to_owned(),
    };
    Mended {
        problem: format!(
            "{who} began a full resync {} times and never came to its end: for the data set and the \
             rate of writes {}, or the link breaks, or a server has too little memory.",
            failure.tries,
            causes.join(", or "),
        ),
        changed,
    }
}

async fn number(link: &Link, name: &str) -> Option<u64> {
    get_text(link, name).await?.parse().ok()
}

/// Doubles a setting, within these bounds; never lowers it.
async fn raise(
    link: &Link,
    changed: &mut Vec<String>,
    name: &str,
    old: u64,
    (least, most): (u64, u64),
) {
    let new = old.saturating_mul(2).clamp(least, most);
    if new > old && set(link, name, &new.to_string()).await == Some(Ok(())) {
        changed.push(format!("{name}: {old} -> {new}"));
    }
}

/// What the buffer of a replica may hold, in bytes and seconds; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    hard: u64,
    soft: u64,
    seconds: u64,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.hard, self.soft, self.seconds)
    }
}

impl Limit {
    /// Reads `normal 0 0 0 slave 268435456 67108864 60 pubsub …`.
    fn parse(text: &str) -> Option<Limit> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let limits =
            words.chunks_exact(4).find(|it| matches!(it.first(), Some(&"slave" | &"replica")))?;
        let number = |at: usize| limits.get(at)?.parse().ok();
        Some(Limit { hard: number(1)?, soft: number(2)?, seconds: number(3)? })
    }

    fn raised(self) -> Limit {
        let (least, most) = BUFFER_RANGE;
        let raise =
            |old: u64| if old == 0 { 0 } else { old.max(old.saturating_mul(2).clamp(least, most)) };
        let hard = raise(self.hard);
        let soft = if self.soft == 0 { 0 } else { raise(self.soft).max(hard) };
        Limit { hard, soft, seconds: self.seconds.max(60) }
    }
}

async fn buffer_limit(link: &Link) -> Option<Limit> {
    Limit::parse(&get_text(link, BUFFER).await?)
}

async fn raise_buffer(link: &Link, changed: &mut Vec<String>, old: Limit) {
    let new = old.raised();
    if new != old && set(link, BUFFER, &format!("replica {new}")).await == Some(Ok(())) {
        changed.push(format!("{BUFFER} replica: {old} -> {new}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_raised_within_bounds_and_never_lowered() {
        let text = "normal 0 0 0 slave 1048576 1048576 1 pubsub 33554432 8388608 60";
        let limit = Limit::parse(text).expect("it is there");
        assert_eq!(limit.to_string(), "1048576 1048576 1");
        let raised = limit.raised();
        assert_eq!(raised.to_string(), "268435456 268435456 60");
        assert_eq!(raised.raised().raised().raised().to_string(), "1073741824 1073741824 60");
        let large = Limit { hard: 5 << 30, soft: 0, seconds: 90 };
        assert_eq!(large.raised(), large);
        assert_eq!(Limit::parse("replica 1 2"), None);
        assert_eq!(Limit::parse("normal 1 2 3 replica x 2 3"), None);
    }
}
