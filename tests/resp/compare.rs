//! The scanners beside the simple reader, over bytes that come in pieces.

use std::cell::RefCell;

use super::resp::{Frame, Replies, Reply, Request, Requests, args};
use super::simple::{self, Stop};

/// How bytes come in.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// So many at a time, at least 1.
    pub bytes: usize,
    /// Where these are a part of a body, they go by unseen.
    pub unseen: bool,
}

/// Panics unless the scanner finds in `input` what the simple reader does. Returns how many replies.
pub fn replies(input: &[u8], pieces: &[Piece]) -> usize {
    replies_are(&simple::replies(input), input, pieces)
}

/// The same, where it is known already what the simple reader finds.
pub fn replies_are(
    (wanted, stop): &(Vec<simple::Reply>, Stop),
    input: &[u8],
    pieces: &[Piece],
) -> usize {
    let (count, end) = Replies::default().run(input, u64::MAX);
    is_run((count, end), wanted.iter().map(|reply| reply.end));
    assert_eq!(Replies::default().run(input, count.saturating_sub(1)).0, count.saturating_sub(1));
    let mut found = wanted.iter();
    let mut scanner = Following { scanner: Replies::default(), frame: None };
    let ended = drive(&mut scanner, input, pieces, |scanner, end, whole, all_seen| {
        let (wanted, frame) = (found.next().expect("no such reply"), scanner.frame.unwrap());
        assert_eq!((end, frame.last), (wanted.end, wanted.last));
        let (bytes, lead) = (&input[wanted.begin..end], scanner.scanner.lead(whole));
        assert_eq!(frame.kind, bytes[0]);
        assert!(bytes.starts_with(lead), "{:?}", lead.escape_ascii());
        assert!(!all_seen || lead.len() == bytes.len().min(48), "{:?}", lead.escape_ascii());
    });
    assert_eq!((ended, found.next()), (*stop, None));
    wanted.len()
}

/// Panics unless the scanner finds in `input` what the simple reader does. Returns how many requests
/// have words.
pub fn requests(input: &[u8], pieces: &[Piece]) -> usize {
    requests_are(&simple::requests(input), input, pieces)
}

/// The same, where it is known already what the simple reader finds.
pub fn requests_are(
    (wanted, stop): &(Vec<simple::Request>, Stop),
    input: &[u8],
    pieces: &[Piece],
) -> usize {
    let names = RefCell::new(Vec::new());
    let (count, end) = Requests::default().run(input, |name| {
        names.borrow_mut().push(name.to_vec());
        true
    });
    is_run((count, end), wanted.iter().map(|request| request.end));
    let run = wanted.iter().take(count as usize);
    assert!(run.zip(names.take()).all(|(request, name)| request.words[0] == name));
    let (mut found, mut begin) = (wanted.iter(), 0);
    let ended = drive(&mut Requests::default(), input, pieces, |_, end, _, _| {
        let wanted = found.next().expect("no such request");
        assert_eq!(end, wanted.end);
        assert!(args(&input[begin..end]).eq(wanted.words.iter().map(Vec::as_slice)));
        begin = end;
    });
    assert_eq!((ended, found.next()), (*stop, None));
    wanted.iter().filter(|request| !request.words.is_empty()).count()
}

/// Panics unless so many of these ends are those of a run, and the last of them its own.
fn is_run((count, end): (u64, usize), mut ends: impl Iterator<Item = usize>) {
    let last = (count as usize).checked_sub(1).map(|last| ends.nth(last).expect("so many"));
    assert_eq!(last.unwrap_or(0), end);
}

/// What both scanners can do.
trait Scanner {
    /// The end of what comes first; an error if it is not there.
    fn next(&mut self, input: &[u8]) -> Result<usize, Stop>;
    fn skip(&mut self, bytes: u64) -> bool;
    fn between(&self) -> bool;
}

impl Scanner for Requests {
    fn next(&mut self, input: &[u8]) -> Result<usize, Stop> {
        match self.next(input) {
            Request::Whole { end } => Ok(end),
            Request::Part { body } => Err(Stop::Part(body)),
            Request::Lost => Err(Stop::Lost),
        }
    }

    fn skip(&mut self, bytes: u64) -> bool {
        self.skip(bytes)
    }

    fn between(&self) -> bool {
        self.between()
    }
}

/// Remembers the frame.
struct Following {
    scanner: Replies,
    frame: Option<Frame>,
}

impl Scanner for Following {
    fn next(&mut self, input: &[u8]) -> Result<usize, Stop> {
        match self.scanner.next(input) {
            Reply::Whole { end, frame } => {
                self.frame = Some(frame);
                Ok(end)
            }
            Reply::Part { body } => Err(Stop::Part(body)),
            Reply::Lost => Err(Stop::Lost),
        }
    }

    fn skip(&mut self, bytes: u64) -> bool {
        self.frame = self.scanner.skip(bytes);
        self.frame.is_some()
    }

    fn between(&self) -> bool {
        self.scanner.between()
    }
}

/// Gives all of `input` to the scanner. Tells `ended` where something ends, the last bytes given and
/// whether all of its bytes were.
fn drive<S: Scanner>(
    scanner: &mut S,
    input: &[u8],
    pieces: &[Piece],
    mut ended: impl FnMut(&S, usize, &[u8], bool),
) -> Stop {
    let (mut at, mut in_body, mut all_seen) = (0, 0, true);
    for piece in pieces.iter().cycle() {
        let mut rest = &input[at..(at + piece.bytes).min(input.len())];
        let unseen = if piece.unseen { skippable(in_body, rest.len(), &input[at..]) } else { 0 };
        if unseen > 0 {
            at += unseen;
            in_body -= unseen as u64;
            all_seen = false;
            if scanner.skip(unseen as u64) {
                ended(scanner, at, &[], all_seen);
                all_seen = true;
            }
            continue;
        }
        loop {
            match scanner.next(rest) {
                Ok(end) => {
                    assert!((1..=rest.len()).contains(&end), "{end} of {}", rest.len());
                    assert!(scanner.between());
                    at += end;
                    ended(scanner, at, &rest[..end], all_seen);
                    rest = &rest[end..];
                    all_seen = true;
                }
                Err(Stop::Part(body)) => {
                    at += rest.len();
                    in_body = body;
                    break;
                }
                Err(Stop::Lost) => {
                    assert_eq!(scanner.next(b"*1\r\n$4\r\nPING\r\n"), Err(Stop::Lost));
                    return Stop::Lost;
                }
            }
        }
        if at == input.len() {
            return Stop::Part(in_body);
        }
    }
    unreachable!("there are pieces")
}

/// How many of the next `bytes` may go by unseen: those of the body, with its line end only if that
/// is one, for nobody would notice.
fn skippable(in_body: u64, bytes: usize, rest: &[u8]) -> usize {
    let left = usize::try_from(in_body).unwrap_or(usize::MAX);
    let is_line_end = left <= rest.len() && b"\r\n".ends_with(&rest[left.saturating_sub(2)..left]);
    bytes.min(if is_line_end { left } else { left.saturating_sub(2) })
}
