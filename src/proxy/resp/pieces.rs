//! What requests and replies are made of: integers, bodies and lines.
//!
//! Each is read in one of two ways: byte by byte where it comes in pieces, else at once by the short
//! functions, which are a part of every loop (hence `inline(always)`; `cargo bench --bench framing`
//! tells the difference).

/// An integer and the end of its line, as Redis reads them: neither plus sign nor leading zero, and
/// no more than an `i64` holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integer {
    value: i64,
    stage: Stage,
}

/// What of an integer's line has been seen.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Nothing,
    Minus,
    Zero,
    Positive,
    Negative,
    Return,
}

/// What one more byte makes of an integer.
pub(super) enum Pushed {
    /// The line goes on.
    More,
    /// The line is over.
    Whole(i64),
    /// This is no integer.
    Wrong,
}

impl Integer {
    /// None of it has been seen; its type byte has.
    pub(super) const NEW: Integer = Integer { value: 0, stage: Stage::Nothing };

    /// Takes the next byte of its line.
    pub(super) fn push(&mut self, byte: u8) -> Pushed {
        self.stage = match (self.stage, byte) {
            (Stage::Nothing, b'-') => Stage::Minus,
            (Stage::Nothing, b'0') => Stage::Zero,
            (Stage::Nothing | Stage::Positive, b'0'..=b'9') => Stage::Positive,
            (Stage::Minus, b'1'..=b'9') | (Stage::Negative, b'0'..=b'9') => Stage::Negative,
            (Stage::Zero | Stage::Positive | Stage::Negative, b'\r') => Stage::Return,
            (Stage::Return, b'\n') => return Pushed::Whole(self.value),
            _ => return Pushed::Wrong,
        };
        match self.stage {
            Stage::Positive => self.digit(i64::from(byte - b'0')),
            Stage::Negative => self.digit(-i64::from(byte - b'0')),
            _ => Pushed::More,
        }
    }

    fn digit(&mut self, digit: i64) -> Pushed {
        match self.value.checked_mul(10).and_then(|value| value.checked_add(digit)) {
            Some(value) => {
                self.value = value;
                Pushed::More
            }
            None => Pushed::Wrong,
        }
    }
}

/// The most digits that [`usual`] reads; no integer of so many is too large.
const USUAL_MAX: usize = 18;

/// The integer between a type byte, which `input` begins with, and the end of its line, and how many
/// bytes they are together. Only the usual ones that are here whole: without a sign, of 1 to 18
/// digits. All others are left to [`Integer`].
#[inline(always)]
pub(super) fn usual(input: &[u8]) -> Option<(u64, usize)> {
    let (mut value, mut digits, mut rest) = match input {
        [_, byte @ b'0'..=b'9', b'\r', b'\n', ..] => return Some((digit(*byte), 4)),
        [_, first @ b'1'..=b'9', second @ b'0'..=b'9', rest @ ..] => {
            (digit(*first) * 10 + digit(*second), 2, rest)
        }
        _ => return None,
    };
    while let [byte @ b'0'..=b'9', behind @ ..] = rest {
        if digits == USUAL_MAX {
            return None;
        }
        value = value * 10 + digit(*byte);
        digits += 1;
        rest = behind;
    }
    match rest {
        [b'\r', b'\n', ..] => Some((value, digits + 3)),
        _ => None,
    }
}

fn digit(byte: u8) -> u64 {
    u64::from(byte - b'0')
}

/// The length of the bulk string that `input` begins with, from its type byte to its line end.
/// `None` if it is not here whole, or is none.
#[inline(always)]
pub(super) fn bulk(input: &[u8]) -> Option<usize> {
    let Some(begin) = input.first_chunk() else { return long_bulk(input) };
    let end = if is_like(begin, b"$??\r\n???") {
        let [tens, ones] = [begin[1], begin[2]].map(|byte| byte.wrapping_sub(b'0'));
        if !(1..=9).contains(&tens) || ones > 9 {
            return None;
        }
        5 + 10 * usize::from(tens) + usize::from(ones)
    } else if is_like(begin, b"$?\r\n????") && begin[1].is_ascii_digit() {
        4 + usize::from(begin[1] - b'0')
    } else {
        return long_bulk(input);
    };
    (input.get(end..end + 2)? == b"\r\n").then_some(end + 2)
}

/// The same, of any usual length.
fn long_bulk(input: &[u8]) -> Option<usize> {
    let (length, line) = usual(input).filter(|_| input.first() == Some(&b'$'))?;
    let end = usize::try_from(length).ok()?.checked_add(line)?;
    input.get(end..)?.starts_with(b"\r\n").then_some(end + 2)
}

/// The frame before, for the next one of a pipeline is often as long: to compare is quicker than to
/// read, and nothing has to wait for the result.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    /// Its first bytes: up to the end of its line.
    line: u64,
    mask: u64,
    length: usize,
}

impl Before {
    /// The length of the frame that `input` begins with, if its line is the same.
    #[inline(always)]
    pub(super) fn again(&self, input: &[u8]) -> Option<usize> {
        let begin = u64::from_le_bytes(*input.first_chunk()?);
        let body = input.get(..self.length)?;
        (begin & self.mask == self.line && body.ends_with(b"\r\n")).then_some(self.length)
    }

    /// Remembers the frame that `input` begins with, a bulk string or a line, if it is no unusual one.
    #[inline(always)]
    pub(super) fn set(&mut self, input: &[u8], length: usize) {
        let line = match input {
            [b'$', ..] if length < 16 => 4,
            [b'$', ..] if length < 100 => 5,
            _ => length,
        };
        if let Some(begin) = input.first_chunk()
            && line <= begin.len()
        {
            self.mask = u64::MAX >> (64 - 8 * line);
            self.line = u64::from_le_bytes(*begin) & self.mask;
            self.length = length;
        }
    }

    /// As [`bulk`].
    #[inline(always)]
    pub(super) fn bulk(&mut self, input: &[u8]) -> Option<usize> {
        if let Some(length) = self.again(input) {
            return Some(length);
        }
        self.read(input)
    }

    #[inline(never)]
    fn read(&mut self, input: &[u8]) -> Option<usize> {
        let length = bulk(input)?;
        self.set(input, length);
        Some(length)
    }
}

/// Up to eight bulk strings in a row, time and again.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Words([Before; 8]);

impl Words {
    /// The length of the `count` bulk strings that `input` begins with, if they are here whole.
    #[inline(always)]
    pub(in crate::proxy) fn length(&mut self, count: usize, input: &[u8]) -> Option<usize> {
        let mut end = 0;
        for before in self.0.get_mut(..count)? {
            end += before.bulk(input.get(end..)?)?;
        }
        Some(end)
    }
}

/// Whether bytes are the same but where there is a question mark.
#[inline(always)]
pub(super) const fn is_like(bytes: &[u8; 8], pattern: &[u8; 8]) -> bool {
    let (mut wanted, mut mask) = ([0; 8], [0; 8]);
    let mut at = 0;
    while at < 8 {
        if pattern[at] != b'?' {
            (wanted[at], mask[at]) = (pattern[at], 0xff);
        }
        at += 1;
    }
    u64::from_le_bytes(*bytes) & u64::from_le_bytes(mask) == u64::from_le_bytes(wanted)
}

/// Goes over the words from `at` on that are here whole. Returns how many are left of `words`, and
/// where they begin.
#[inline(always)]
pub(super) fn bulks(mut words: u64, mut at: usize, input: &[u8]) -> (u64, usize) {
    while words > 0
        && let Some(length) = input.get(at..).and_then(bulk)
    {
        at += length;
        words -= 1;
    }
    (words, at)
}

/// The length of the line that `input` begins with, its line end included, if that is here.
#[inline(always)]
pub(super) fn line(input: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += input.get(at..)?.iter().position(|&byte| byte == b'\n')? + 1;
        if at > 1 && input.get(at - 2) == Some(&b'\r') {
            return Some(at);
        }
    }
}

/// How many bytes of `input` belong to a body of which `left` bytes are to come, its line end among
/// them. `None`: what should be its line end is something else.
pub(super) fn body(left: u64, input: &[u8]) -> Option<usize> {
    let is = |behind: u64, wanted: u8| {
        let at = left.checked_sub(behind).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| input.get(at)).is_none_or(|&byte| byte == wanted)
    };
    if !is(2, b'\r') || !is(1, b'\n') {
        return None;
    }
    Some(usize::try_from(left).map_or(input.len(), |left| left.min(input.len())))
}
