//! RESP as one would read it from a buffer that holds everything: by recursion, without a state.
//! What the scanners are compared with.

/// Why the reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// There is no more, and of the body it ended in so many bytes are missing.
    Part(u64),
    /// It cannot go on like this.
    Lost,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Where it begins, behind its attributes.
    pub begin: usize,
    /// Where it ends.
    pub end: usize,
    /// Its last element or itself, where that is an integer.
    pub last: Option<i64>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where it ends.
    pub end: usize,
    /// Its words.
    pub words: Vec<Vec<u8>>,
}

/// The longest line, inline request included.
const LINE_MAX: usize = 65536;

/// All replies in `input`, and what is behind them.
pub fn replies(input: &[u8]) -> (Vec<Reply>, Stop) {
    let (mut reader, mut found) = (Reader { input, at: 0, begin: 0 }, Vec::new());
    loop {
        match reader.element(1, true) {
            Ok(last) => found.push(Reply { begin: reader.begin, end: reader.at, last }),
            Err(stop) => return (found, stop),
        }
    }
}

/// All requests in `input`, and what is behind them.
pub fn requests(input: &[u8]) -> (Vec<Request>, Stop) {
    let (mut reader, mut found) = (Reader { input, at: 0, begin: 0 }, Vec::new());
    loop {
        let words = match reader.input.get(reader.at) {
            Some(b'*') => reader.array(),
            _ => reader.line_of_words(),
        };
        match words {
            Ok(words) => found.push(Request { end: reader.at, words }),
            Err(stop) => return (found, stop),
        }
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    begin: usize,
}

impl<'a> Reader<'a> {
    /// `owed`: frames that have to end, this one included; a count that 64 bits cannot hold is lost.
    fn element(&mut self, owed: u128, top: bool) -> Result<Option<i64>, Stop> {
        let begin = self.at;
        let kind = self.byte()?;
        if top {
            self.begin = begin;
        }
        let each = match kind {
            b'+' | b'-' | b',' | b'(' => return self.line().map(|_| None),
            b'_' => return self.line_of(0),
            b'#' => return self.line_of(1),
            b':' => return self.integer().map(Some),
            b'$' | b'!' | b'=' => {
                let length = self.integer()?;
                if !(kind == b'$' && length == -1) {
                    self.body(length)?;
                }
                return Ok(None);
            }
            b'>' if !top => return Err(Stop::Lost),
            b'*' | b'~' | b'>' => 1,
            b'%' | b'|' => 2,
            _ => return Err(Stop::Lost),
        };
        let count = match self.integer()? {
            -1 if kind == b'*' => return Ok(None),
            count => u128::try_from(count).map_err(|_| Stop::Lost)? * each,
        };
        if owed + count > u128::from(u64::MAX) {
            return Err(Stop::Lost);
        }
        let owed_behind = if kind == b'|' { owed } else { owed - 1 };
        let mut last = None;
        for left in (1..=count).rev() {
            last = self.element(owed_behind + left, false)?;
        }
        if kind == b'|' { self.element(owed, top) } else { Ok(last) }
    }

    fn array(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        self.at += 1;
        let count = self.integer()?;
        if count > i64::from(i32::MAX) {
            return Err(Stop::Lost);
        }
        let mut words = Vec::new();
        for _ in 0..count {
            match self.byte()? {
                b'$' => {}
                _ => return Err(Stop::Lost),
            }
            let length = self.integer()?;
            words.push(self.body(length)?.to_vec());
        }
        Ok(words)
    }

    fn line_of_words(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        let rest = &self.input[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        if line.contains(&0) || line.len() > LINE_MAX {
            return Err(Stop::Lost);
        }
        let Some(end) = end else {
            return match split(line) {
                Err(Quote::Behind) => Err(Stop::Lost),
                _ => Err(Stop::Part(0)),
            };
        };
        self.at += end + 1;
        split(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_| Stop::Lost)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.input.get(self.at).ok_or(Stop::Part(0))?;
        self.at += 1;
        Ok(byte)
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.input[self.at..];
        match rest.windows(2).position(|pair| pair == b"\r\n") {
            Some(length) if length <= LINE_MAX => {
                self.at += length + 2;
                Ok(&rest[..length])
            }
            None if rest.len() < LINE_MAX + 2 => Err(Stop::Part(0)),
            _ => Err(Stop::Lost),
        }
    }

    fn line_of(&mut self, length: usize) -> Result<Option<i64>, Stop> {
        if self.line()?.len() == length { Ok(None) } else { Err(Stop::Lost) }
    }

    fn integer(&mut self) -> Result<i64, Stop> {
        let rest = &self.input[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'-' | b'0'..=b'9');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..length]).unwrap();
        let value = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
        match (value, &rest[length..]) {
            (Some(value), [b'\r', b'\n', ..]) => {
                self.at += length + 2;
                Ok(value)
            }
            (Some(_), [] | [b'\r']) => Err(Stop::Part(0)),
            (None, []) if text.is_empty() || text == "-" => Err(Stop::Part(0)),
            _ => Err(Stop::Lost),
        }
    }

    fn body(&mut self, length: i64) -> Result<&'a [u8], Stop> {
        let length = u64::try_from(length).map_err(|_| Stop::Lost)?;
        let rest = &self.input[self.at..];
        let seen = rest.len().min(usize::try_from(length).unwrap());
        let (body, behind) = rest.split_at(seen);
        match behind {
            [] | [b'\r'] => Err(Stop::Part(length + 2 - rest.len() as u64)),
            [b'\r', b'\n', ..] => {
                self.at += seen + 2;
                Ok(body)
            }
            _ => Err(Stop::Lost),
        }
    }
}

/// What is wrong with the quotes of a line.
enum Quote {
    /// One is open at the end.
    Open,
    /// Behind one that closes something else comes than a blank.
    Behind,
}

fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Quote> {
    let (mut words, mut at) = (Vec::new(), 0);
    loop {
        while line.get(at).is_some_and(|byte| b" \t\n\x0b\x0c\r".contains(byte)) {
            at += 1;
        }
        if at == line.len() {
            return Ok(words);
        }
        let mut word = Vec::new();
        while let Some(&byte) = line.get(at) {
            at += 1;
            match byte {
                b' ' | b'\t' | b'\r' => break,
                b'"' | b'\'' => {
                    at += quoted(byte, &line[at..], &mut word).ok_or(Quote::Open)?;
                    match line.get(at) {
                        None | Some(b' ' | b'\t' | b'\r') => break,
                        _ => return Err(Quote::Behind),
                    }
                }
                _ => word.push(byte),
            }
        }
        words.push(word);
    }
}

/// How many bytes there are up to the closing quote, that included.
fn quoted(quote: u8, text: &[u8], word: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let hex = rest.get(2..4).and_then(|digits| std::str::from_utf8(digits).ok());
        let hex = hex.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let (byte, length) = match (*rest.first()?, rest.get(1)) {
            (byte, _) if byte == quote => return Some(at + 1),
            (b'\\', Some(b'x')) if quote == b'"' && hex.is_some() => {
                (u8::from_str_radix(hex?, 16).unwrap(), 4)
            }
            (b'\\', Some(&escaped)) if quote == b'"' => {
                let from = b"nrtba".iter().position(|&byte| byte == escaped);
                (from.map_or(escaped, |which| b"\n\r\t\x08\x07"[which]), 2)
            }
            (b'\\', Some(b'\'')) => (b'\'', 2),
            (byte, _) => (byte, 1),
        };
        word.push(byte);
        at += length;
    }
}
