//! Takes one whole copy from a Redis, as a replica does, and hands it on piece by piece.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::connection::Dialer;
use super::shelf::{Part, Shelf, Title};
use super::wire::{Wire, WireError, foreign};
use crate::election::Id;

/// A copy of which nothing comes for so long is given up.
const STALL: Duration = Duration::from_secs(10);
/// How soon a busy Redis is asked again.
const BUSY_RETRY: Duration = Duration::from_millis(100);
/// Pieces between the socket and the disk.
const PIECES: usize = 4;
/// The length of the mark that ends a copy of unknown length.
const MARK: usize = 40;

/// How a copy ends.
enum End {
    /// After so many bytes.
    Length(u64),
    /// With these bytes, which do not belong to it.
    Mark(Vec<u8>),
}

/// Saves the copy of this Redis, as long as bytes come. The name of the file, or why there is none.
pub(super) async fn save(dialer: Dialer, shelf: Shelf) -> Result<String, String> {
    let began = Instant::now();
    let opened = loop {
        match open(&dialer).await {
            Err(WireError::Busy) if began.elapsed() < STALL => sleep(BUSY_RETRY).await,
            other => break other,
        }
    };
    let (wire, title, end) = opened.map_err(reason)?;
    let (parts, receiver) = mpsc::channel(PIECES);
    let writer = spawn_blocking(move || shelf.write(title, receiver));
    match pass_on(wire, end, parts).await {
        Ok(()) => written(writer).await,
        Err(Stop::Wire(error)) => {
            // Without an end the writer throws away what it has.
            let _ = written(writer).await;
            Err(reason(error))
        }
        Err(Stop::Writer) => match written(writer).await {
            Ok(_) => Err("the disk stands still".to_owned()),
            Err(error) => Err(error),
        },
    }
}

async fn written(writer: JoinHandle<Result<String, String>>) -> Result<String, String> {
    match timeout(STALL, writer).await {
        Ok(Ok(written)) => written,
        Ok(Err(_)) | Err(_) => Err("the disk stands still".to_owned()),
    }
}

fn reason(error: WireError) -> String {
    match error {
        WireError::Busy => "Redis is busy".to_owned(),
        WireError::Refused(text) if text.starts_with("NOMASTERLINK") => {
            "a replica without a link to its master gives nobody a copy".to_owned()
        }
        WireError::Refused(text) if text.starts_with("MASTERDOWN") => {
            "a replica without a link to its master, which refuses stale data, gives nobody a copy"
                .to_owned()
        }
        WireError::Refused(text) => format!("Redis refused it: {text}"),
        WireError::Broken(text) => text,
    }
}

/// Asks for a whole copy and reads what comes before its first byte.
async fn open(dialer: &Dialer) -> Result<(Wire, Title, End), WireError> {
    let mut wire = Wire::open(dialer, STALL).await?;
    // Without `capa eof` Redis would write a file of its own first. No port is announced: this is no
    // replica that anybody should dial or count.
    wire.ask(&["REPLCONF", "capa", "eof", "capa", "psync2"]).await?;
    let answer = wire.ask(&["PSYNC", "?", "-1"]).await?;
    let mut words = answer.split(' ');
    let title = match (words.next(), words.next().and_then(Id::parse), words.next()) {
        (Some("+FULLRESYNC"), Some(replid), Some(offset)) => {
            Title { replid, offset: offset.parse().map_err(|_| foreign())? }
        }
        _ => return Err(foreign()),
    };
    let head = wire.line().await?;
    let end = match head.strip_prefix("$EOF:") {
        Some(mark) if mark.len() == MARK => End::Mark(mark.as_bytes().to_vec()),
        Some(_) => return Err(foreign()),
        None => {
            let length = head.strip_prefix('$').and_then(|length| length.parse().ok());
            End::Length(length.ok_or_else(foreign)?)
        }
    };
    Ok((wire, title, end))
}

/// Who stopped.
enum Stop {
    Wire(WireError),
    Writer,
}

async fn pass_on(mut wire: Wire, end: End, parts: mpsc::Sender<Part>) -> Result<(), Stop> {
    match end {
        End::Length(mut left) => {
            while left > 0 {
                let piece = wire.piece().await.map_err(Stop::Wire)?;
                let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let bytes = piece.get(..count).unwrap_or_default().to_vec();
                hand_on(&parts, Part::Bytes(bytes)).await?;
                wire.take(count);
                left -= count as u64;
            }
        }
        End::Mark(mark) => {
            // The last bytes are held back: they may be the mark.
            let mut held = Vec::new();
            while held != mark {
                let piece = wire.piece().await.map_err(Stop::Wire)?;
                let count = piece.len();
                held.extend_from_slice(piece);
                wire.take(count);
                let rest = held.split_off(held.len().saturating_sub(MARK));
                let bytes = std::mem::replace(&mut held, rest);
                if !bytes.is_empty() {
                    hand_on(&parts, Part::Bytes(bytes)).await?;
                }
            }
        }
    }
    hand_on(&parts, Part::End).await
}

async fn hand_on(parts: &mpsc::Sender<Part>, part: Part) -> Result<(), Stop> {
    match timeout(STALL, parts.send(part)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Stop::Writer),
    }
}
