//! Quotes in an inline request, as Redis and Valkey read them (`sdssplitargs` in sds.c). Where the
//! two differ they may not be: Valkey 9 lets a word go on behind a closing quote.

/// Where in the quotes of an inline request one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Outside of all.
    #[default]
    Outside,
    /// Behind a `"`.
    Double,
    /// Behind a `"` and a backslash: the next byte does not end it.
    DoubleEscape,
    /// Behind a `'`.
    Single,
    /// Behind a `'` and a backslash: a `'` would not end it.
    SingleEscape,
    /// Just behind a quoted part: only what ends a word may come.
    Closed,
}

impl Quotes {
    /// Takes the next byte of the line; false if it may not be there.
    pub(super) fn push(&mut self, byte: u8) -> bool {
        *self = match (*self, byte) {
            (Quotes::Outside, b'"') => Quotes::Double,
            (Quotes::Outside, b'\'') => Quotes::Single,
            (Quotes::Outside, _) => Quotes::Outside,
            (Quotes::Double, b'"') | (Quotes::Single, b'\'') => Quotes::Closed,
            (Quotes::Double, b'\\') => Quotes::DoubleEscape,
            (Quotes::Double | Quotes::DoubleEscape, _) => Quotes::Double,
            (Quotes::Single | Quotes::SingleEscape, b'\\') => Quotes::SingleEscape,
            (Quotes::Single | Quotes::SingleEscape, _) => Quotes::Single,
            (Quotes::Closed, b' ' | b'\t' | b'\r') => Quotes::Outside,
            (Quotes::Closed, _) => return false,
        };
        true
    }

    /// Whether the line may end here.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Quotes::Outside | Quotes::Closed)
    }
}

/// C's `isspace`.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
