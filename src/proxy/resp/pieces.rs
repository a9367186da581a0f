//! What requests and replies are made of: integers and bodies, both of which may come in pieces.

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

/// The integer between a type byte, which `input` begins with, and the end of its line, and how many
/// bytes they are together. Only the usual ones that are here whole: without a sign, of 1 to 18
/// digits. All others are left to [`Integer`].
pub(super) fn usual(input: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (digits, &byte) in input.get(1..)?.iter().enumerate().take(19) {
        match byte {
            b'0'..=b'9' if digits > 0 && value == 0 => return None,
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'\r' if digits > 0 && input.get(digits + 2) == Some(&b'\n') => {
                return Some((value, digits + 3));
            }
            _ => return None,
        }
    }
    None
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
