//! A connection whose answers are read piece by piece: for what is too long to hold in memory, or is
//! no answer at all (a copy).

use std::io;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::access::Credentials;
use super::connection::{DialError, Dialer, login_refusal, short};
use super::stream::Stream;

/// The most that is read at once.
const PIECE: usize = 64 << 10;
/// The longest line: an error, or the head of something longer.
const LINE: usize = 4 << 10;

/// Why something was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WireError {
    /// Alive, ask again.
    Busy,
    /// Redis answered with this error.
    Refused(String),
    /// The connection failed, stood still, or brought what no Redis says.
    Broken(String),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        WireError::Broken(error.to_string())
    }
}

pub(super) struct Wire {
    stream: BufReader<Stream>,
    patience: Duration,
}

impl Wire {
    /// Dials, logs in and names the connection. Nothing on it may take longer than `patience`
    /// without a byte.
    pub async fn open(dialer: &Dialer, patience: Duration) -> Result<Wire, WireError> {
        let mut first = None;
        for with in dialer.access.choices() {
            match Wire::open_with(dialer, &with, patience).await {
                Err(refused @ (WireError::Refused(_) | WireError::Broken(_))) => {
                    first.get_or_insert(refused);
                }
                done => return done,
            }
        }
        Err(first.unwrap_or_else(foreign))
    }

    async fn open_with(
        dialer: &Dialer,
        with: &Credentials,
        patience: Duration,
    ) -> Result<Wire, WireError> {
        let stream = timeout(patience, dialer.stream(with)).await;
        let stream =
            stream.unwrap_or(Err(DialError::Unreachable)).map_err(|error| match error {
                DialError::Untrusted(reason) => WireError::Broken(reason),
                _ => WireError::Broken("it cannot be reached".to_owned()),
            })?;
        let mut wire = Wire { stream: BufReader::with_capacity(PIECE, stream), patience };
        wire.log_in(with).await?;
        match wire.ask(&["CLIENT", "SETNAME", &dialer.client_name]).await {
            // Only a name for people.
            Ok(_) | Err(WireError::Refused(_)) => Ok(wire),
            Err(error) => Err(error),
        }
    }

    async fn log_in(&mut self, with: &Credentials) -> Result<(), WireError> {
        let mut refused = None;
        for password in &with.passwords {
            let mut words = vec!["AUTH"];
            words.extend(with.username.as_deref());
            words.push(password.expose_secret());
            match self.ask(&words).await {
                Ok(_) => return Ok(()),
                Err(WireError::Refused(error)) => {
                    refused.get_or_insert(WireError::Refused(login_refusal(error)));
                }
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends a command and reads the first line of its answer, without the line's end.
    pub async fn ask(&mut self, words: &[&str]) -> Result<String, WireError> {
        // It may hold a password. Grown, it would leave parts of it behind.
        let length = words.iter().map(|word| word.len() + 16).sum::<usize>() + 16;
        let mut command = Zeroizing::new(String::with_capacity(length));
        command.push_str(&format!("*{}\r\n", words.len()));
        for word in words {
            command.push_str(&format!("${}\r\n", word.len()));
            command.push_str(word);
            command.push_str("\r\n");
        }
        self.stream.get_mut().write_all(command.as_bytes()).await?;
        // What is encrypted waits in a buffer of its own.
        self.stream.get_mut().flush().await?;
        let line = self.line().await?;
        match line.strip_prefix('-') {
            None => Ok(line),
            Some(error) if error.starts_with("BUSY ") || error.starts_with("LOADING ") => {
                Err(WireError::Busy)
            }
            Some(error) => Err(WireError::Refused(short(error))),
        }
    }

    /// Asks for one long string, whose length this is; its bytes and a line's end are still to be read.
    pub async fn ask_bulk(&mut self, words: &[&str]) -> Result<usize, WireError> {
        let line = self.ask(words).await?;
        let length = line.strip_prefix('$').and_then(|length| length.parse().ok());
        length.ok_or_else(foreign)
    }

    /// Asks for a string of at most `max` bytes.
    pub async fn ask_text(&mut self, words: &[&str], max: usize) -> Result<String, WireError> {
        let length = self.ask_bulk(words).await?;
        if length > max {
            return Err(foreign());
        }
        let mut body = Vec::with_capacity(length);
        while body.len() < length + 2 {
            let piece = self.piece().await?;
            let count = piece.len().min(length + 2 - body.len());
            body.extend(piece.iter().take(count));
            self.take(count);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Reads a line that is not empty: while Redis prepares a copy it sends empty ones.
    pub async fn line(&mut self) -> Result<String, WireError> {
        let mut line = Vec::new();
        loop {
            let piece = self.piece().await?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(piece.len(), |end| end + 1);
            line.extend_from_slice(piece.get(..count).unwrap_or_default());
            self.take(count);
            if line.len() > LINE {
                return Err(foreign());
            }
            if end.is_some() {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\r', '\n']);
                if !text.is_empty() {
                    return Ok(text.to_owned());
                }
                line.clear();
            }
        }
    }

    /// The bytes that are there, at least one. They stay there until [`Wire::take`].
    pub async fn piece(&mut self) -> Result<&[u8], WireError> {
        let patience = self.patience;
        match timeout(patience, self.stream.fill_buf()).await {
            Ok(Ok([])) => Err(WireError::Broken("Redis closed the connection".to_owned())),
            Ok(piece) => Ok(piece?),
            Err(_) => Err(WireError::Broken(format!("no byte came for {patience:?}"))),
        }
    }

    /// Takes that many of the bytes that are there.
    pub fn take(&mut self, count: usize) {
        self.stream.consume(count);
    }
}

pub(super) fn foreign() -> WireError {
    WireError::Broken("its answer is not that of a Redis".to_owned())
}
