//! A client and a master with nothing but an account between them.

use super::ledger::{Again, Change, Down, Ledger, Mark, Up, Why};

/// A request: words divided by blanks; `''` is an empty one.
pub fn request(words: &str) -> Vec<u8> {
    let words: Vec<&[u8]> =
        words.split(' ').map(|word| if word == "''" { &[][..] } else { word.as_bytes() }).collect();
    encode(&words)
}

/// A request of these words.
pub fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend_from_slice(word);
        out.extend(b"\r\n");
    }
    out
}

/// Keeps what was not sent on, in both directions, as a relay does.
#[derive(Default)]
pub struct Conversation {
    pub ledger: Ledger,
    /// Milliseconds.
    pub now: u64,
    /// Whether a planned change is under way.
    pub held: bool,
    /// What the client has sent and the master has not got.
    pub up: Vec<u8>,
    /// What the master has sent and the client has not got.
    pub down: Vec<u8>,
    /// All that the master has got.
    pub to_master: Vec<u8>,
    /// All that the client has got.
    pub to_client: Vec<u8>,
    /// What the master got last, if it is remembered.
    pub last: Option<Vec<u8>>,
}

impl Conversation {
    /// Bytes come from the client.
    pub fn send(&mut self, bytes: &[u8]) -> Up {
        self.up.extend_from_slice(bytes);
        let up = self.ledger.requests(&self.up, self.now);
        assert!(up.send <= self.up.len(), "{up:?} of {}", self.up.len());
        assert!(up.body == 0 || up.send == self.up.len(), "{up:?} of {}", self.up.len());
        let sent: Vec<u8> = self.up.drain(..up.send).collect();
        if !sent.is_empty() {
            let mark = Mark::new(1, sent.len().min(Mark::LONGEST)).filter(|_| up.plain);
            self.ledger.remember(mark);
            self.last = mark.map(|_| sent.clone());
        }
        self.to_master.extend(sent);
        up
    }

    /// Bytes come from the master.
    pub fn answer(&mut self, bytes: impl AsRef<[u8]>) -> Down {
        self.down.extend_from_slice(bytes.as_ref());
        let mut down = self.ledger.replies(&self.down, self.held);
        if down.undone && self.ledger.refused().is_some() && !self.ledger.undo(self.last.as_deref())
        {
            let rest = self.ledger.replies(&self.down[down.send..], self.held);
            down = Down { send: down.send + rest.send, ..rest };
        }
        assert!(down.send <= self.down.len(), "{down:?} of {}", self.down.len());
        assert!(down.body == 0 || down.send == self.down.len(), "{down:?}");
        self.to_client.extend(self.down.drain(..down.send));
        let refusals = self.ledger.refused().map_or(0, |_| 60 * self.to_master.len());
        assert!(
            self.down.len() < 64 + refusals || down.undone,
            "much is held back: {:?}",
            self.down
        );
        down
    }

    /// A request that is sent at once, and its reply.
    pub fn ask(&mut self, words: &str, reply: &str) {
        let request = request(words);
        assert_eq!(self.send(&request).send, request.len(), "{words}");
        assert_eq!(self.answer(reply).send, reply.len(), "{words}: {reply}");
    }

    /// Whether it may move in a planned change, and after a crash.
    pub fn may_move(&self) -> [Result<(), Why>; 2] {
        [Change::Planned, Change::Crash].map(|change| self.ledger.may_move(change))
    }

    /// It may move, whatever happens, and nothing is begun.
    #[track_caller]
    pub fn assert_free(&self) {
        assert_eq!(self.may_move(), [Ok(()); 2]);
        assert!(self.ledger.is_settled() && !self.ledger.is_midway());
    }

    /// It may never move.
    #[track_caller]
    pub fn assert_stuck(&self, why: Why) {
        assert_eq!(self.may_move(), [Err(why); 2]);
    }

    /// What a new connection is sent, each request as its words.
    pub fn replayed(&self) -> Vec<String> {
        let (bytes, count) = self.ledger.replay();
        let requests = words_of(&bytes);
        assert_eq!(requests.len(), count as usize);
        requests
    }

    /// The request to be sent again, as its words, or the reply to be given.
    pub fn again(&mut self) -> Option<String> {
        self.ledger.again(self.now).map(|again| match again {
            Again::Request(request) => words_of(&request).join("; "),
            Again::Reply(reply) => String::from_utf8_lossy(reply).into_owned(),
        })
    }
}

/// The requests in these bytes, each as its words with blanks between them.
pub fn words_of(bytes: &[u8]) -> Vec<String> {
    let (mut scanner, mut rest, mut found) = (super::resp::Requests::default(), bytes, Vec::new());
    while let super::resp::Request::Whole { end } = scanner.next(rest) {
        let words: Vec<String> = super::resp::args(&rest[..end])
            .map(|word| String::from_utf8_lossy(&word).into_owned())
            .collect();
        found.push(words.join(" "));
        rest = &rest[end..];
    }
    assert!(rest.is_empty(), "whole requests, and then {rest:?}");
    found
}
