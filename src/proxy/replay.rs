//! Brings a new connection to where a session's old one was: what it has set, and its scripts.

use std::time::Duration;

use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::ledger::{Ledger, Why};
use super::resp::{Replies, Reply};
use super::scripts::Sha;
use super::socket;
use super::worker::Worker;
use crate::election::RedisAddr;

/// Longest time the new master may take for all of it.
const LONGEST: Duration = Duration::from_millis(100);
/// Most bytes it may answer. (HELLO says a few hundred.)
const MOST: usize = 64 * 1024;

/// Why a connection is not where it should be.
pub(super) enum Failed {
    /// The master may not be asked any more: another route, or the gate is closed.
    Outdated,
    /// The master closed without a word.
    Closed,
    /// The session cannot go on.
    Cut(Why),
}

/// Repeats on `master`, a new connection, what this session has set, and sees to its scripts.
///
/// # Errors
///
/// [`Failed`]; the connection is of no use then.
pub(super) async fn replay(
    master: &TcpStream,
    worker: &Worker,
    generation: u64,
    ledger: &Ledger,
) -> Result<(), Failed> {
    let talk = Talk { master, worker, generation: Some(generation) };
    let all = async {
        let (requests, replies) = ledger.replay();
        talk.ask(&requests, replies).await?;
        talk.bring_scripts(ledger.scripts()).await
    };
    tokio::time::timeout(LONGEST, all).await.unwrap_or(Err(Failed::Cut(Why::Refused)))
}

/// Loads those of these scripts that a Redis lacks which is no master yet. `login`: requests, and how
/// many replies they get.
///
/// # Errors
///
/// [`Failed`]; some may have been loaded.
pub(super) async fn supply(
    to: RedisAddr,
    worker: &Worker,
    (login, replies): &(Zeroizing<Vec<u8>>, u32),
    shas: &[Sha],
) -> Result<(), Failed> {
    let stream = socket::connect(to).await.map_err(|_| Failed::Closed)?;
    let talk = Talk { master: &stream, worker, generation: None };
    talk.ask(login, *replies).await?;
    talk.bring_scripts(shas).await
}

struct Talk<'a> {
    master: &'a TcpStream,
    worker: &'a Worker,
    /// Whose master it is, as long as it may be asked as such.
    generation: Option<u64>,
}

impl Talk<'_> {
    /// Loads those of these scripts that the master lacks.
    async fn bring_scripts(&self, shas: &[Sha]) -> Result<(), Failed> {
        if shas.is_empty() {
            return Ok(());
        }
        let words = [&b"SCRIPT"[..], b"EXISTS"].into_iter().chain(shas.iter().map(|sha| &sha[..]));
        let answer = self.ask(&request(words), 1).await?;
        let known: Vec<bool> = integers(&answer).map(|integer| integer == b"1").collect();
        if known.len() != shas.len() {
            return Err(Failed::Cut(Why::Refused));
        }
        let missing = shas.iter().zip(known).filter_map(|(sha, known)| (!known).then_some(sha));
        let (mut loads, mut count) = (Vec::new(), 0);
        for sha in missing {
            let Some(text) = self.worker.shared().scripts.get(sha) else {
                return Err(Failed::Cut(Why::Script));
            };
            loads.extend(request([&b"SCRIPT"[..], b"LOAD", &text]));
            count += 1;
        }
        self.ask(&loads, count).await.map(drop)
    }

    /// Sends these requests and returns their replies, none of which is an error.
    async fn ask(&self, requests: &[u8], replies: u32) -> Result<Vec<u8>, Failed> {
        if replies == 0 {
            return Ok(Vec::new());
        }
        let mut rest = requests;
        while !rest.is_empty() {
            if self.generation.is_some_and(|generation| !self.worker.may_ask(generation)) {
                return Err(Failed::Outdated);
            }
            match socket::send(self.master, rest) {
                Ok(0) => self.master.writable().await.map_err(|_| Failed::Closed)?,
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(_) => return Err(Failed::Closed),
            }
        }
        self.hear(replies).await
    }

    /// Receives exactly so many replies.
    async fn hear(&self, mut replies: u32) -> Result<Vec<u8>, Failed> {
        let (mut heard, mut at) = (Vec::new(), 0);
        let mut scanner = Replies::default();
        while replies > 0 {
            self.receive(&mut heard).await?;
            while let Some(rest) = heard.get(at..).filter(|rest| !rest.is_empty()) {
                match scanner.next(rest) {
                    Reply::Whole { end, frame } if !matches!(frame.kind, b'-' | b'!') => {
                        at += end;
                        // What is pushed is no reply, and more than was asked for no good sign.
                        let reply = u32::from(frame.kind != b'>');
                        replies = replies.checked_sub(reply).ok_or(Failed::Cut(Why::Refused))?;
                    }
                    Reply::Part { .. } => at = heard.len(),
                    Reply::Whole { .. } | Reply::Lost => return Err(Failed::Cut(Why::Refused)),
                }
            }
            if heard.len() > MOST {
                return Err(Failed::Cut(Why::Refused));
            }
        }
        Ok(heard)
    }

    async fn receive(&self, into: &mut Vec<u8>) -> Result<(), Failed> {
        loop {
            self.master.readable().await.map_err(|_| Failed::Closed)?;
            let mut buffer = self.worker.buffer.borrow_mut();
            match socket::recv(self.master, &mut buffer) {
                Ok(1..) if into.len() > MOST => return Err(Failed::Cut(Why::Refused)),
                Ok(received @ 1..) => {
                    into.extend_from_slice(buffer.get(..received).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if socket::is_retry(&error) => {}
                _ => return Err(Failed::Closed),
            }
        }
    }
}

/// A request of these words.
fn request<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut body, mut count) = (Vec::new(), 0);
    for word in words {
        body.extend(format!("${}\r\n", word.len()).as_bytes());
        body.extend(word);
        body.extend(b"\r\n");
        count += 1;
    }
    let mut request = format!("*{count}\r\n").into_bytes();
    request.append(&mut body);
    request
}

/// The integers in a flat reply.
fn integers(reply: &[u8]) -> impl Iterator<Item = &[u8]> {
    reply
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b":")?.strip_suffix(b"\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_integers() {
        let words = request([&b"SCRIPT"[..], b"LOAD", b"return\r\n1"]);
        assert_eq!(words, b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$9\r\nreturn\r\n1\r\n");
        let found: Vec<_> = integers(b"*3\r\n:1\r\n:0\r\n:1\r\n").collect();
        assert_eq!(found, [b"1", b"0", b"1"]);
    }
}
