//! What is said to Redis, and what has to come back.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::load::{PATIENCE, check};

/// Bytes of a small value.
pub const SMALL: usize = 32;
/// Bytes of the values that [`Exchange::get`] may ask for once [`prepare`] has set them.
pub const SIZES: [usize; 3] = [SMALL, 64 * 1024, 1024 * 1024];

/// One or more requests sent at once, and the bytes of all replies.
pub struct Exchange {
    pub request: Vec<u8>,
    pub reply: Vec<u8>,
    /// How many requests it is.
    pub requests: u64,
}

impl Exchange {
    pub fn ping() -> Exchange {
        Exchange { request: request(&[b"PING"]), reply: b"+PONG\r\n".to_vec(), requests: 1 }
    }

    /// GET of a value of so many bytes.
    pub fn get(bytes: usize) -> Exchange {
        let mut reply = Vec::new();
        bulk(&value(bytes), &mut reply);
        Exchange { request: request(&[b"GET", key(bytes).as_bytes()]), reply, requests: 1 }
    }

    /// SET of a value of so many bytes.
    pub fn set(bytes: usize) -> Exchange {
        let request = request(&[b"SET", key(bytes).as_bytes(), &value(bytes)]);
        Exchange { request, reply: b"+OK\r\n".to_vec(), requests: 1 }
    }

    /// The same so many times at once.
    pub fn pipelined(self, depth: usize) -> Exchange {
        Exchange {
            request: self.request.repeat(depth),
            reply: self.reply.repeat(depth),
            requests: self.requests * depth as u64,
        }
    }

    /// Says it over a connection of its own, which it waits on.
    ///
    /// # Errors
    ///
    /// Also if the reply is another one.
    pub fn once(&self, addr: SocketAddr) -> io::Result<()> {
        let mut stream = open(addr)?;
        self.over(&mut stream)
    }

    /// The same over an open connection.
    pub fn over(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&self.request)?;
        self.answered(stream)
    }

    /// Reads the whole reply.
    pub fn answered(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut buffer = [0_u8; 64 * 1024];
        let mut received = 0;
        while received < self.reply.len() {
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => {
                    check(&buffer[..len], &self.reply, received)?;
                    received += len;
                }
            }
        }
        Ok(())
    }
}

/// A connection whose calls wait, at most for [`PATIENCE`].
pub fn open(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sets the values.
pub fn prepare(redis: SocketAddr) -> io::Result<()> {
    SIZES.iter().try_for_each(|bytes| Exchange::set(*bytes).once(redis))
}

/// Bytes of the value that [`Exchange::get`] would get; 0 if there is none.
pub fn length(redis: SocketAddr, bytes: usize) -> io::Result<u64> {
    let mut stream = open(redis)?;
    stream.write_all(&request(&[b"STRLEN", key(bytes).as_bytes()]))?;
    stream.write_all(b"QUIT\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let number = text.lines().next().and_then(|line| line.strip_prefix(':')?.trim().parse().ok());
    number.ok_or_else(|| io::Error::other(text))
}

/// A line of `INFO` as a number.
pub fn info(redis: SocketAddr, field: &str) -> io::Result<u64> {
    let mut stream = open(redis)?;
    stream.write_all(b"INFO\r\nQUIT\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| io::Error::other(format!("INFO has no number {field}")))
}

/// A request of these words.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bulk(word, &mut out));
    out
}

/// Appends a bulk string.
pub fn bulk(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", body.len()).as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

fn key(bytes: usize) -> String {
    format!("bench:{bytes:09}")
}

/// Always the same, and nowhere like another place of it.
fn value(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut value: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    value.truncate(bytes);
    value
}
