//! Where requests end.

use super::pieces::{self, Integer, Pushed, Words};
use super::quotes::Quotes;

/// The longest line of an inline request, without its line feed; Redis's `PROTO_INLINE_MAX_SIZE`.
const LINE_MAX: u32 = 64 * 1024;
/// The most words a request can have.
const WORDS_MAX: u64 = i32::MAX as u64;

/// Finds the ends of requests, arrays of bulk strings and inline ones.
///
/// What Redis skips without a reply is a request too: an empty line, or one of blanks, and an array
/// of no words or of fewer (`*0`, `*-1`). [`super::args`] finds no word in it.
///
/// Read like Redis's own `processMultibulkBuffer` and `processInlineBuffer` (networking.c), but more
/// strictly where they do not look: a line feed must follow the carriage return, and both must
/// follow a bulk string; no zero byte may be in an inline request.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct Requests {
    state: State,
    /// Words of the array that are not over yet; 0 up to when their count has been read.
    words: u32,
}

/// What comes first in a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Request {
    /// The request under way, or the next one, ends after so many bytes of this input (at least 1).
    Whole {
        /// Bytes up to its end.
        end: usize,
    },
    /// The input ends inside a request, or is empty.
    Part {
        /// Bytes of the bulk string the input ends in that are still to come, its line end
        /// included; 0 where it ends elsewhere.
        body: u64,
    },
    /// This is no RESP, or breaks Redis's own limits: it cannot be followed any more.
    Lost,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Between,
    /// A word of an array, at its type byte.
    Word,
    /// The count of words, or the length of one.
    Length(Integer),
    /// A word of which so many bytes are to come.
    Body(u64),
    Inline(Quotes, u32),
    Lost,
}

/// What a step has done with the bytes it was given.
enum Step {
    /// So many are taken, at least 1; the request goes on.
    Taken(usize),
    /// So many are taken, at least 1; the request ends with them.
    Whole(usize),
    Lost,
}

impl Requests {
    /// Looks at bytes that follow those given before. After `Whole` the next call starts at `end`.
    /// After `Lost` all is `Lost`.
    #[inline(always)]
    pub(in crate::proxy) fn next(&mut self, input: &[u8]) -> Request {
        if let State::Between = self.state
            && let [b'*', ..] = input
            && let Some((words @ 1..=WORDS_MAX, line)) = pieces::usual(input)
        {
            let (words, at) = pieces::bulks(words, line, input);
            if words == 0 {
                return Request::Whole { end: at };
            }
            self.words = words as u32;
            self.state = State::Word;
            return self.scan(at, input);
        }
        self.scan(0, input)
    }

    /// Goes over requests that are here whole and whose first word is `plain`, from one to the next.
    /// Returns how many they are, and where the last one ends; 0 inside a request.
    #[inline(always)]
    pub(in crate::proxy) fn run(
        &self,
        input: &[u8],
        plain: impl Fn(&[u8]) -> bool,
    ) -> (u64, usize) {
        let (mut found, mut at) = (0, 0);
        if let State::Between = self.state {
            let mut words = Words::default();
            while let Some(rest) = input.get(at..)
                && let Some(length) = usual(rest, &plain, &mut words)
            {
                at += length;
                found += 1;
            }
        }
        (found, at)
    }

    fn scan(&mut self, mut at: usize, input: &[u8]) -> Request {
        while let Some(rest @ [first, ..]) = input.get(at..) {
            let step = match self.state {
                State::Between if *first == b'*' => {
                    self.state = State::Length(Integer::NEW);
                    Step::Taken(1)
                }
                State::Between => self.inline(Quotes::default(), 0, rest),
                State::Word => self.word(*first, rest),
                State::Length(length) => self.length(length, rest),
                State::Body(left) => self.body(left, rest),
                State::Inline(quotes, length) => self.inline(quotes, length, rest),
                State::Lost => Step::Lost,
            };
            match step {
                Step::Taken(taken) => at += taken,
                Step::Whole(taken) => {
                    self.state = State::Between;
                    return Request::Whole { end: at + taken };
                }
                Step::Lost => {
                    self.state = State::Lost;
                    return Request::Lost;
                }
            }
        }
        match self.state {
            State::Lost => Request::Lost,
            State::Body(body) => Request::Part { body },
            _ => Request::Part { body: 0 },
        }
    }

    /// `bytes` more of the present body went by unseen (spliced); never more than it has left.
    ///
    /// Returns whether the request ended with them, for then `next` will not tell.
    #[must_use]
    pub(in crate::proxy) fn skip(&mut self, bytes: u64) -> bool {
        let State::Body(left) = self.state else { return false };
        debug_assert!(bytes <= left, "{bytes} bytes of a body that has {left}");
        if bytes < left {
            self.state = State::Body(left - bytes);
            return false;
        }
        self.word_ended()
    }

    /// Whether the next byte begins a request: what tests compare other readers by.
    #[allow(dead_code)]
    pub(in crate::proxy) fn between(&self) -> bool {
        matches!(self.state, State::Between)
    }

    /// From the beginning of a word.
    fn word(&mut self, first: u8, rest: &[u8]) -> Step {
        if first != b'$' {
            return Step::Lost;
        }
        let (words, taken) = pieces::bulks(u64::from(self.words), 0, rest);
        self.words = words as u32;
        if words == 0 {
            return Step::Whole(taken);
        }
        if taken > 0 {
            return Step::Taken(taken);
        }
        self.state = State::Length(Integer::NEW);
        Step::Taken(1)
    }

    /// Inside a line with an integer.
    fn length(&mut self, mut length: Integer, rest: &[u8]) -> Step {
        for (at, &byte) in rest.iter().enumerate() {
            match length.push(byte) {
                Pushed::More => {}
                Pushed::Whole(value) => return self.length_read(value, at + 1),
                Pushed::Wrong => return Step::Lost,
            }
        }
        self.state = State::Length(length);
        Step::Taken(rest.len())
    }

    fn length_read(&mut self, value: i64, taken: usize) -> Step {
        match (self.words, u64::try_from(value)) {
            (0, Ok(0) | Err(_)) => return Step::Whole(taken),
            (0, Ok(words @ 1..=WORDS_MAX)) => {
                self.words = words as u32;
                self.state = State::Word;
            }
            (1.., Ok(length)) => self.state = State::Body(length + 2),
            _ => return Step::Lost,
        }
        Step::Taken(taken)
    }

    /// Inside a word.
    fn body(&mut self, left: u64, rest: &[u8]) -> Step {
        let Some(taken) = pieces::body(left, rest) else { return Step::Lost };
        if (taken as u64) < left {
            self.state = State::Body(left - taken as u64);
            return Step::Taken(taken);
        }
        if self.word_ended() { Step::Whole(taken) } else { Step::Taken(taken) }
    }

    /// Returns whether the request is over too.
    fn word_ended(&mut self) -> bool {
        self.words -= 1;
        self.state = if self.words == 0 { State::Between } else { State::Word };
        self.words == 0
    }

    /// Inside an inline request of which `length` bytes went by.
    fn inline(&mut self, mut quotes: Quotes, length: u32, rest: &[u8]) -> Step {
        let room = (LINE_MAX - length) as usize;
        for (at, &byte) in rest.iter().enumerate() {
            match byte {
                b'\n' if quotes.may_end() => return Step::Whole(at + 1),
                b'\n' | 0 => return Step::Lost,
                _ if at == room || !quotes.push(byte) => return Step::Lost,
                _ => {}
            }
        }
        self.state = State::Inline(quotes, length + rest.len() as u32);
        Step::Taken(rest.len())
    }
}

/// The length of the request that `input` begins with, if its first word is `plain`. Only of the usual
/// ones that are here whole: an array of up to nine words, the first of up to nine bytes.
#[inline(always)]
fn usual(input: &[u8], plain: impl Fn(&[u8]) -> bool, words: &mut Words) -> Option<usize> {
    let begin = input.first_chunk()?;
    let &[_, count @ b'1'..=b'9', _, _, _, length @ b'1'..=b'9', _, _] = begin else { return None };
    if !pieces::is_like(begin, b"*?\r\n$?\r\n") {
        return None;
    }
    let (name, rest) = input.get(8..)?.split_at_checked(usize::from(length - b'0'))?;
    let rest = rest.strip_prefix(b"\r\n")?;
    if !plain(name) {
        return None;
    }
    Some(8 + name.len() + 2 + words.length(usize::from(count - b'1'), rest)?)
}
