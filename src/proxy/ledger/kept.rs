//! A blocking command that waits, or requests that were refused: kept, so that another master can be
//! asked the same.

use std::borrow::Cow;

use super::super::commands::Timeout;
use super::super::resp::args;
use super::settings::put_request;

/// The longest request that is kept.
const BYTES_MAX: usize = 64 * 1024;

/// A blocking command that can be sent again, or others.
#[derive(Debug)]
pub(super) struct Kept {
    request: Vec<u8>,
    /// So many requests, none of which blocks; 0: the one that does.
    plain: u64,
    /// Which of its words is its timeout.
    word: usize,
    seconds: bool,
    /// Milliseconds it may take; 0: for ever.
    limit: u64,
    /// Milliseconds of the clock that [`super::Ledger::requests`] is given.
    since: u64,
}

impl Kept {
    /// `None` if it cannot be sent again: too long, its timeout is not understood, or what it asks
    /// for depends on when it is sent.
    pub(super) fn new(request: &[u8], timeout: Timeout, now: u64) -> Option<Kept> {
        let words: Vec<Cow<'_, [u8]>> = args(request).collect();
        let word = timeout_word(&words, timeout)?;
        if request.len() > BYTES_MAX || (timeout == Timeout::Block && names_the_end(&words)) {
            return None;
        }
        let seconds = timeout != Timeout::Block;
        let text = std::str::from_utf8(words.get(word)?).ok()?;
        let limit = if seconds { milliseconds(text)? } else { text.parse().ok()? };
        Some(Kept { request: request.to_vec(), plain: 0, word, seconds, limit, since: now })
    }

    /// So many requests that do not block.
    pub(super) fn plain(requests: &[u8], count: u64) -> Kept {
        let request = requests.to_vec();
        Kept { request, plain: count, word: 0, seconds: false, limit: 0, since: 0 }
    }

    /// One whose time is over.
    pub(super) fn over() -> Kept {
        Kept { request: Vec::new(), plain: 0, word: 0, seconds: false, limit: 1, since: 0 }
    }

    /// How many requests that do not block.
    pub(super) fn plain_count(&self) -> u64 {
        self.plain
    }

    /// The request with what is left of its time, which it has from now on; `false`: nothing is.
    pub(super) fn renew(&mut self, now: u64) -> bool {
        if self.limit == 0 {
            return true;
        }
        let waited = now.saturating_sub(self.since);
        let left = self.limit.saturating_sub(waited);
        let text = match self.seconds {
            true => format!("{}.{:03}", left / 1000, left % 1000),
            false => left.to_string(),
        };
        let words: Vec<Cow<'_, [u8]>> = args(&self.request).collect();
        let renewed = words.iter().enumerate().map(|(at, word)| match at {
            _ if at == self.word => text.as_bytes(),
            _ => word,
        });
        let mut request = Vec::with_capacity(self.request.len() + 16);
        put_request(&mut request, words.len(), renewed);
        self.request = request;
        (self.limit, self.since) = (left, now);
        left > 0
    }

    /// The request as it was or will be sent.
    pub(super) fn request(&self) -> &[u8] {
        &self.request
    }
}

/// Whether this request waits for something to come.
pub(super) fn blocks(request: &[u8], timeout: Timeout) -> bool {
    timeout != Timeout::Block || {
        let words: Vec<Cow<'_, [u8]>> = args(request).collect();
        option(&words, "BLOCK").is_some()
    }
}

fn timeout_word(words: &[Cow<'_, [u8]>], timeout: Timeout) -> Option<usize> {
    match timeout {
        Timeout::First => Some(1),
        Timeout::Last => words.len().checked_sub(1),
        Timeout::Block => option(words, "BLOCK").map(|at| at + 1),
    }
}

/// Whether a stream is read from where it ends when the request comes (`$`), or from its last entry.
fn names_the_end(words: &[Cow<'_, [u8]>]) -> bool {
    let behind = option(words, "STREAMS").and_then(|at| words.get(at + 1..)).unwrap_or_default();
    behind[behind.len() / 2..].iter().any(|id| matches!(&**id, b"$" | b"+"))
}

/// Where an option of XREAD or XREADGROUP is; STREAMS is the last.
fn option(words: &[Cow<'_, [u8]>], wanted: &str) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is(wanted) {
            return Some(at);
        }
        at += match () {
            () if is("STREAMS") => return None,
            () if is("GROUP") => 3,
            () if is("BLOCK") || is("COUNT") || is("CLAIM") => 2,
            () => 1,
        };
    }
    None
}

/// Rounded up, so that some time never becomes none, which would be for ever.
fn milliseconds(seconds: &str) -> Option<u64> {
    let seconds = seconds.parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0)?;
    Some((seconds * 1000.0).ceil() as u64)
}
