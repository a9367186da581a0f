//! Requests as bytes: arrays of bulk strings, and lines for people. Bounded, and each byte is looked
//! at once however it arrives.

use bytes::{Buf, BytesMut};

/// The words of a request; the first is the command's name.
pub(super) type Request = Vec<Vec<u8>>;

/// All bytes of one request together. The longest that a client of Sentinel has reason to send is an
/// `AUTH` of 1 KiB. One that never becomes whole takes at most 20 KiB of memory.
pub(super) const REQUEST_MAX_BYTES: usize = 8 * 1024;
/// The most words of one request; short ones cost more memory than bytes.
const WORDS_MAX: usize = 128;
/// `*128\r\n` and `$8192\r\n` are shorter.
const HEADER_MAX_BYTES: usize = 32;

/// What cannot be a request, in the words of Redis. The connection has lost its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Protocol error: {0}")]
pub(super) struct Malformed(&'static str);

/// Bytes that came in, and the request that they are becoming.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// What has not been taken yet.
    pub buffer: BytesMut,
    /// Bytes of the buffer without an end of line.
    looked: usize,
    words: Request,
    /// Words that are still to come.
    missing: usize,
    /// The length of the word that is coming.
    length: Option<usize>,
    /// Bytes taken for this request.
    taken: usize,
}

impl Requests {
    /// The next whole request; `None`: more bytes are needed. A request without words is none.
    pub fn next(&mut self) -> Result<Option<Request>, Malformed> {
        loop {
            if self.missing > 0 {
                if !self.word()? {
                    return Ok(None);
                }
                if self.missing == 0 {
                    self.taken = 0;
                    return Ok(Some(std::mem::take(&mut self.words)));
                }
            } else if self.buffer.first() == Some(&b'*') {
                let Some(count) = self.header("too big mbulk count string")? else {
                    return Ok(None);
                };
                // No words, or fewer: Redis takes that for nothing at all.
                let count = usize::try_from(count).unwrap_or(0);
                if count > WORDS_MAX {
                    return Err(Malformed("invalid multibulk length"));
                }
                self.missing = count;
                self.taken = if count == 0 { 0 } else { self.taken };
            } else {
                let Some(line) = self.line(REQUEST_MAX_BYTES, "too big inline request")? else {
                    return Ok(None);
                };
                self.taken = 0;
                let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
                let words = line[..].split(blank).filter(|word| !word.is_empty());
                let words: Request = words.map(<[u8]>::to_vec).collect();
                if words.len() > WORDS_MAX {
                    return Err(Malformed("too big inline request"));
                }
                if !words.is_empty() {
                    return Ok(Some(words));
                }
            }
        }
    }

    /// A request has begun and is not whole.
    pub fn is_partial(&self) -> bool {
        self.missing > 0 || !self.buffer.is_empty()
    }

    /// Takes a word, if it is there in full.
    fn word(&mut self) -> Result<bool, Malformed> {
        let length = match self.length {
            Some(length) => length,
            None => {
                if self.buffer.first().is_some_and(|first| *first != b'$') {
                    return Err(Malformed("expected '$'"));
                }
                let Some(length) = self.header("too big bulk count string")? else {
                    return Ok(false);
                };
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > REQUEST_MAX_BYTES - self.taken.min(REQUEST_MAX_BYTES) {
                    return Err(Malformed("invalid bulk length"));
                }
                *self.length.insert(length)
            }
        };
        if self.buffer.len() < length + 2 {
            return Ok(false);
        }
        self.words.push(self.buffer.split_to(length).to_vec());
        // Redis does not look at what ends a word either.
        self.buffer.advance(2);
        self.taken += length + 2;
        (self.length, self.missing) = (None, self.missing - 1);
        Ok(true)
    }

    /// Takes a line such as `*3` or `$11`, without its first byte.
    fn header(&mut self, too_long: &'static str) -> Result<Option<i64>, Malformed> {
        let Some(line) = self.line(HEADER_MAX_BYTES, too_long)? else { return Ok(None) };
        let number = std::str::from_utf8(&line[1..]).ok().and_then(|text| text.parse().ok());
        let wrong =
            if line[0] == b'*' { "invalid multibulk length" } else { "invalid bulk length" };
        number.map(Some).ok_or(Malformed(wrong))
    }

    /// Takes a line, without its end.
    fn line(&mut self, max: usize, too_long: &'static str) -> Result<Option<BytesMut>, Malformed> {
        let end = self.buffer[self.looked..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| self.looked + end) else {
            self.looked = self.buffer.len();
            return if self.looked > max { Err(Malformed(too_long)) } else { Ok(None) };
        };
        self.looked = 0;
        if end > max {
            return Err(Malformed(too_long));
        }
        let mut line = self.buffer.split_to(end + 1);
        self.taken += line.len();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All requests in these bytes, given in pieces of `piece` bytes.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Vec<String>>, Malformed> {
        let mut requests = Requests::default();
        let mut found = Vec::new();
        for part in bytes.chunks(piece) {
            requests.buffer.extend_from_slice(part);
            while let Some(request) = requests.next()? {
                let words = request.iter().map(|word| String::from_utf8_lossy(word).into_owned());
                found.push(words.collect());
            }
        }
        Ok(found)
    }

    #[test]
    fn requests_are_read_however_they_are_cut() {
        let bytes =
            b"*2\r\n$4\r\nPING\r\n$3\r\na\r\n\r\n*0\r\n*-1\r\n\r\n  ping  you \n*1\r\n$0\r\n\r\n";
        let expected: Vec<Vec<&str>> = vec![vec!["PING", "a\r\n"], vec!["ping", "you"], vec![""]];
        for piece in 1..=bytes.len() {
            assert_eq!(read(bytes, piece).expect("fine"), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_in_the_words_of_redis() {
        for (bytes, why) in [
            (&b"*129\r\n"[..], "invalid multibulk length"),
            (b"*9999999999999999999\r\n", "invalid multibulk length"),
            (b"*\xff\r\n", "invalid multibulk length"),
            (b"*\r\n", "invalid multibulk length"),
            (b"*1\r\n:1\r\n", "expected '$'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$8193\r\n", "invalid bulk length"),
            (b"*128\r\n$8000\r\n", ""),
            (b"*1000000000000000000000000000000000", "too big mbulk count string"),
            (b"*1\r\n$1000000000000000000000000000000000", "too big bulk count string"),
        ] {
            let told = read(bytes, 1).err().map_or(String::new(), |error| error.0.to_owned());
            assert_eq!(told, why, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_request_is_never_larger_than_its_limit() {
        let word = |length: usize| format!("${length}\r\n{}\r\n", "x".repeat(length));
        let fits = format!("*2\r\n{}{}", word(4_000), word(4_000));
        assert_eq!(read(fits.as_bytes(), 1000).expect("fine").len(), 1);
        let large = format!("*2\r\n{}{}", word(5_000), word(5_000));
        assert_eq!(read(large.as_bytes(), 1000), Err(Malformed("invalid bulk length")));
        let line = "x".repeat(REQUEST_MAX_BYTES + 1);
        assert_eq!(read(line.as_bytes(), 1000), Err(Malformed("too big inline request")));
    }

    #[test]
    fn a_request_that_has_begun_is_partial() {
        let mut requests = Requests::default();
        assert!(!requests.is_partial());
        requests.buffer.extend_from_slice(b"*1\r\n");
        assert_eq!(requests.next(), Ok(None));
        assert!(requests.buffer.is_empty() && requests.is_partial());
        requests.buffer.extend_from_slice(b"$1\r\nx\r\n");
        assert_eq!(requests.next(), Ok(Some(vec![b"x".to_vec()])));
        assert!(!requests.is_partial());
    }
}
