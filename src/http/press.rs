//! What many listeners are sent, encoded once for all of them.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::journal::Transition;
use super::status::Status;

/// So many encoded events are kept for those that listen now; who reads old ones has them encoded.
const EVENTS_KEPT: usize = 8;
/// A status this old is not sent to one more listener.
const STATUS_AGE: Duration = Duration::from_millis(200);

/// How much of a transition is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Everything.
    Whole,
    /// Without offers and votes.
    Brief,
}

/// Encodes events. Clones share what is encoded.
#[derive(Clone, Debug)]
pub(super) struct Press(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    run: String,
    status: watch::Receiver<Arc<Status>>,
    plates: Mutex<Plates>,
}

#[derive(Debug, Default)]
struct Plates {
    events: VecDeque<((u64, Detail), Bytes)>,
    status: Option<(Instant, Bytes)>,
}

impl Press {
    /// Of this run of a hive.
    pub fn new(run: String, status: watch::Receiver<Arc<Status>>) -> Press {
        Press(Arc::new(Inner { run, status, plates: Mutex::default() }))
    }

    /// The event of this change of the journal.
    pub fn event(&self, change: u64, transition: &Transition, detail: Detail) -> Bytes {
        let mut plates = self.plates();
        let known = plates.events.iter().find(|(key, _)| *key == (change, detail));
        if let Some((_, encoded)) = known {
            return encoded.clone();
        }
        let encoded = Bytes::from(match detail {
            Detail::Whole => self.write_event(change, transition),
            Detail::Brief => self.write_event(change, &transition.brief()),
        });
        plates.events.push_back(((change, detail), encoded.clone()));
        if plates.events.len() > EVENTS_KEPT {
            plates.events.pop_front();
        }
        encoded
    }

    /// An event with the present status, or one of a moment ago. Its transitions are events already.
    pub fn status(&self, now: Instant) -> Bytes {
        let mut plates = self.plates();
        if let Some((at, encoded)) = &plates.status
            && now.saturating_duration_since(*at) < STATUS_AGE
        {
            return encoded.clone();
        }
        let status = Arc::clone(&self.0.status.borrow());
        let status = Status { transitions: Vec::new(), ..(*status).clone() };
        let data = serde_json::to_string(&status).unwrap_or_default();
        let encoded = Bytes::from(format!("event: status\ndata: {data}\n\n"));
        plates.status = Some((now, encoded.clone()));
        encoded
    }

    fn write_event(&self, change: u64, transition: &Transition) -> String {
        // Numbers and strings: neither fails. JSON on one line has no line end in it.
        let data = serde_json::to_string(transition).unwrap_or_default();
        let mut text = String::with_capacity(data.len() + 64);
        let _ = write!(text, "id: {}-{change}\nevent: transition\ndata: {data}\n\n", self.0.run);
        text
    }

    fn plates(&self) -> MutexGuard<'_, Plates> {
        self.0.plates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press() -> (watch::Sender<Arc<Status>>, Press) {
        let json = include_str!("../../tests/support/status.json");
        let status: Status = serde_json::from_str(json).expect("the example is a status");
        let (sender, status) = watch::channel(Arc::new(status));
        (sender, Press::new("run".to_owned(), status))
    }

    #[test]
    fn listeners_share_what_is_encoded() {
        let (sender, press) = press();
        let transition = Transition::default();
        for detail in [Detail::Whole, Detail::Brief] {
            let (one, two) =
                (press.event(1, &transition, detail), press.event(1, &transition, detail));
            assert_eq!(one.as_ptr(), two.as_ptr());
            assert_ne!(one.as_ptr(), press.event(2, &transition, detail).as_ptr());
        }
        let now = Instant::now();
        let first = press.status(now);
        let mut next = (**sender.borrow()).clone();
        next.epoch = 99;
        sender.send_replace(Arc::new(next));
        assert_eq!(press.status(now).as_ptr(), first.as_ptr());
        let next = press.status(now + STATUS_AGE);
        assert!(next.starts_with(b"event: status\ndata: {"), "{next:?}");
        let text = std::str::from_utf8(&next).expect("text");
        assert!(text.contains("\"epoch\":99") && text.contains("\"transitions\":[]"), "{text}");
    }

    #[test]
    fn no_more_is_kept_than_live_listeners_need() {
        let (_sender, press) = press();
        for change in 0..1000 {
            press.event(change, &Transition::default(), Detail::Whole);
        }
        assert_eq!(press.plates().events.len(), EVENTS_KEPT);
    }
}
