//! Where replies end.

use super::lead::Lead;
use super::pieces::{self, Before, Integer, Pushed};

/// The longest line, without its line end. Redis's own are far shorter; scripts and modules may
/// answer anything.
const LINE_MAX: u32 = 64 * 1024;

/// Finds the ends of replies, of all types of RESP2 and RESP3.
///
/// Not the streamed types of RESP3 (`$?`, `*?`), which no server sends; nor a push inside another
/// frame. In the reply to EXEC, Redis up to 7.0 puts messages and invalidations between the elements
/// without counting them, and every server counts the first push that answers a SUBSCRIBE there.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Replies {
    /// Frames that have to end until the one under way has, itself included; 0 between frames.
    /// Those of an attribute in front of it count as well.
    left: u64,
    state: State,
    /// Type of the frame under way or found last; 0 while there are only attributes.
    kind: u8,
    /// Type of the line under way.
    item: u8,
    lead: Lead,
}

/// What comes first in a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Reply {
    /// The frame under way, or the next one, ends after so many bytes of this input (at least 1).
    Whole {
        /// Bytes up to its end.
        end: usize,
        /// What it is.
        frame: Frame,
    },
    /// The input ends inside a frame, or is empty.
    Part {
        /// Bytes of the bulk string the input ends in that are still to come, its line end
        /// included; 0 where it ends elsewhere.
        body: u64,
    },
    /// This is no RESP: it cannot be followed any more.
    Lost,
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Frame {
    /// Its type byte: `+`, `-`, `:`, `$`, `*`, `_`, `,`, `#`, `(`, `!`, `=`, `%`, `~` or `>`. An
    /// attribute (`|`) belongs to the frame behind it.
    pub(in crate::proxy) kind: u8,
    /// Its last element (at any depth), or the frame itself, where that is an integer: the count in
    /// the replies to SUBSCRIBE and UNSUBSCRIBE.
    pub(in crate::proxy) last: Option<i64>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    /// A frame, at its type byte.
    Type,
    /// A line with an integer.
    Integer(Integer),
    /// Any other line: its length up to here, and whether a carriage return was its last byte.
    Line(u32, bool),
    /// A body of which so many bytes are to come.
    Body(u64),
    Lost,
}

/// What a step has done with the bytes it was given.
enum Step {
    /// So many are taken, at least 1; nothing ended.
    Taken(usize),
    /// So many are taken, at least 1; an element ended with them: this integer, or something else.
    Element(usize, Option<i64>),
    Lost,
}

impl Default for Replies {
    fn default() -> Replies {
        Replies { left: 0, state: State::Type, kind: 0, item: 0, lead: Lead::default() }
    }
}

impl Replies {
    /// Looks at bytes that follow those given before. After `Whole` the next call starts at `end`.
    /// After `Lost` all is `Lost`.
    #[inline(always)]
    pub(in crate::proxy) fn next(&mut self, input: &[u8]) -> Reply {
        if self.left == 0
            && let Some((end, frame)) = simple(input)
        {
            self.lead.begin();
            return Reply::Whole { end, frame };
        }
        self.scan(input)
    }

    /// Goes over up to `most` frames that are here whole and of the simplest kinds, from one to the
    /// next. Returns how many they are, and where the last one ends; 0 inside a frame.
    #[inline(always)]
    pub(in crate::proxy) fn run(&self, input: &[u8], most: u64) -> (u64, usize) {
        let (mut found, mut at) = (0, 0);
        if self.left == 0 {
            let mut before = Before::default();
            while found < most
                && let Some(rest) = input.get(at..)
                && let Some(length) = before.again(rest).or_else(|| first(rest, &mut before))
            {
                at += length;
                found += 1;
            }
        }
        (found, at)
    }

    fn scan(&mut self, input: &[u8]) -> Reply {
        let mut at = 0;
        // Where in the input the frame begins, or goes on.
        let mut from = 0;
        while let Some(rest @ [first, ..]) = input.get(at..) {
            let step = match self.state {
                State::Type => {
                    let outermost = self.begins_frame(*first);
                    if outermost {
                        from = at;
                    }
                    self.typed(*first, outermost, rest)
                }
                State::Integer(integer) => self.integer(integer, rest),
                State::Line(length, returned) => self.line(length, returned, rest),
                State::Body(left) => self.body(left, rest),
                State::Lost => Step::Lost,
            };
            let (taken, last) = match step {
                Step::Taken(taken) => {
                    at += taken;
                    continue;
                }
                Step::Element(taken, last) => (taken, last),
                Step::Lost => {
                    self.state = State::Lost;
                    return Reply::Lost;
                }
            };
            at += taken;
            if let Some(frame) = self.element_ended(last) {
                self.lead.end(input, from, at);
                return Reply::Whole { end: at, frame };
            }
        }
        self.part(input.get(from..).unwrap_or_default())
    }

    /// `bytes` more of the present body went by unseen (spliced); never more than it has left.
    ///
    /// Returns the frame if it ended with them, for then `next` will not tell. [`Self::lead`] of any
    /// input has its first bytes, as far as they were seen.
    #[must_use]
    pub(in crate::proxy) fn skip(&mut self, bytes: u64) -> Option<Frame> {
        let State::Body(left) = self.state else { return None };
        debug_assert!(bytes <= left, "{bytes} bytes of a body that has {left}");
        self.lead.close();
        if bytes < left {
            self.state = State::Body(left - bytes);
            return None;
        }
        self.element_ended(None)
    }

    /// Whether the next byte begins a frame.
    pub(in crate::proxy) fn between(&self) -> bool {
        self.left == 0
    }

    /// The first bytes (up to 48) of the frame that `next` found last, attributes left out, also
    /// where it came in pieces. `whole` is what that call was given, up to the end it found.
    pub(in crate::proxy) fn lead<'a>(&'a self, whole: &'a [u8]) -> &'a [u8] {
        self.lead.of(whole)
    }

    /// Whether a frame that is no element of another one begins with this type byte.
    fn begins_frame(&mut self, kind: u8) -> bool {
        if self.left == 0 {
            self.left = 1;
            self.kind = 0;
            self.lead.begin();
        }
        let begins = self.left == 1 && self.kind == 0 && kind != b'|';
        if begins {
            self.kind = kind;
        }
        begins
    }

    fn part(&mut self, seen: &[u8]) -> Reply {
        if self.left > 0 && self.kind != 0 {
            self.lead.keep(seen);
        }
        match self.state {
            State::Lost => Reply::Lost,
            State::Body(body) => Reply::Part { body },
            _ => Reply::Part { body: 0 },
        }
    }

    /// From a type byte.
    fn typed(&mut self, kind: u8, outermost: bool, rest: &[u8]) -> Step {
        if let Some((taken, frame)) = simple(rest) {
            return Step::Element(taken, frame.last);
        }
        self.item = kind;
        match kind {
            b'+' | b'-' | b',' | b'(' | b'_' | b'#' => self.state = State::Line(0, false),
            b'>' if !outermost => return Step::Lost,
            b':' | b'$' | b'!' | b'=' | b'*' | b'~' | b'%' | b'|' | b'>' => {
                if let Some((value, taken)) = pieces::usual(rest) {
                    return self.integer_read(value as i64, taken);
                }
                self.state = State::Integer(Integer::NEW);
            }
            _ => return Step::Lost,
        }
        Step::Taken(1)
    }

    /// Inside a line with an integer.
    fn integer(&mut self, mut integer: Integer, rest: &[u8]) -> Step {
        for (at, &byte) in rest.iter().enumerate() {
            match integer.push(byte) {
                Pushed::More => {}
                Pushed::Whole(value) => return self.integer_read(value, at + 1),
                Pushed::Wrong => return Step::Lost,
            }
        }
        self.state = State::Integer(integer);
        Step::Taken(rest.len())
    }

    fn integer_read(&mut self, value: i64, taken: usize) -> Step {
        self.state = State::Type;
        match (self.item, value) {
            (b':', _) => return Step::Element(taken, Some(value)),
            (b'$' | b'*', -1) => return Step::Element(taken, None),
            (_, ..0) => return Step::Lost,
            (b'$' | b'!' | b'=', _) => {
                self.state = State::Body(value as u64 + 2);
                return Step::Taken(taken);
            }
            _ => {}
        }
        let each = if matches!(self.item, b'%' | b'|') { 2 } else { 1 };
        let Some(left) = self.left.checked_add(value as u64 * each) else { return Step::Lost };
        self.left = left;
        if self.item == b'|' { Step::Taken(taken) } else { Step::Element(taken, None) }
    }

    /// Inside a line of which `length` bytes went by, the last of them a carriage return if
    /// `returned`.
    fn line(&mut self, length: u32, mut returned: bool, rest: &[u8]) -> Step {
        let room = (LINE_MAX + 2 - length) as usize;
        for (at, &byte) in rest.iter().enumerate().take(room) {
            if returned && byte == b'\n' {
                self.state = State::Type;
                return match (self.item, length as usize + at - 1) {
                    (b'_', 1..) | (b'#', 0 | 2..) => Step::Lost,
                    _ => Step::Element(at + 1, None),
                };
            }
            returned = byte == b'\r';
        }
        if rest.len() >= room {
            return Step::Lost;
        }
        self.state = State::Line(length + rest.len() as u32, returned);
        Step::Taken(rest.len())
    }

    /// Inside a body.
    fn body(&mut self, left: u64, rest: &[u8]) -> Step {
        let Some(taken) = pieces::body(left, rest) else { return Step::Lost };
        if (taken as u64) < left {
            self.state = State::Body(left - taken as u64);
            return Step::Taken(taken);
        }
        Step::Element(taken, None)
    }

    /// Returns the frame if it is over too.
    fn element_ended(&mut self, last: Option<i64>) -> Option<Frame> {
        self.state = State::Type;
        self.left -= 1;
        (self.left == 0).then_some(Frame { kind: self.kind, last })
    }
}

/// The length of the frame that `input` begins with, if it is a simple one.
fn first(input: &[u8], before: &mut Before) -> Option<usize> {
    let (length, _) = simple(input)?;
    before.set(input, length);
    Some(length)
}

/// The frame that `input` begins with, if it is here whole and of the simplest kinds: most are.
#[inline(always)]
fn simple(input: &[u8]) -> Option<(usize, Frame)> {
    let kind = *input.first()?;
    let (end, last) = match kind {
        b'+' | b'-' => (pieces::line(input).filter(|end| *end <= LINE_MAX as usize)?, None),
        b'_' if input.starts_with(b"_\r\n") => (3, None),
        b'$' => (pieces::bulk(input).or_else(|| input.starts_with(b"$-1\r\n").then_some(5))?, None),
        b':' => {
            let (value, end) = pieces::usual(input)?;
            (end, Some(value as i64))
        }
        _ => return None,
    };
    Some((end, Frame { kind, last }))
}
