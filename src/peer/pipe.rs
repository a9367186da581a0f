//! The bytes of frames on their way: as they are, or sealed.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::seal::{Seal, SealError};

/// A buffer that grew above this is not kept.
const KEEP_BUFFER: usize = 16 * 1024;
/// How much a read asks for.
const READ_CHUNK: usize = 4 * 1024;

/// Why there is nothing more to read.
pub(super) enum Ended {
    /// The other side closed; on a sealed connection it said so before.
    Closed,
    /// A sealed connection ended and nobody said that it would: somebody else may have cut it.
    Truncated,
    Broken(io::Error),
    Forged(SealError),
}

/// The receiving side of a connection.
pub(super) struct Receiver<'a> {
    half: ReadHalf<'a>,
    seal: Option<&'a Seal>,
    sealed: BytesMut,
    ended: bool,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(half: ReadHalf<'a>, seal: Option<&'a Seal>) -> Receiver<'a> {
        Receiver { half, seal, sealed: BytesMut::new(), ended: false }
    }

    /// Waits for bytes and appends what they hold to `frames`, which may be nothing yet. How many
    /// bytes came.
    pub(super) async fn receive(&mut self, frames: &mut BytesMut) -> Result<usize, Ended> {
        let Some(seal) = self.seal else {
            return read(&mut self.half, frames).await?.ok_or(Ended::Closed);
        };
        let Some(count) = read(&mut self.half, &mut self.sealed).await? else {
            return Err(if self.ended { Ended::Closed } else { Ended::Truncated });
        };
        if self.ended {
            return Err(Ended::Forged(SealError::BehindEnd));
        }
        self.ended = seal.unpack_all(&mut self.sealed, frames).map_err(Ended::Forged)?;
        Ok(count)
    }
}

/// The sending side of a connection.
pub(super) struct Sender<'a> {
    half: WriteHalf<'a>,
    seal: Option<&'a Seal>,
    /// One for all frames: none of them costs an allocation.
    sealed: Vec<u8>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(half: WriteHalf<'a>, seal: Option<&'a Seal>) -> Sender<'a> {
        Sender { half, seal, sealed: Vec::new() }
    }

    /// Writes a frame. How many bytes that were.
    pub(super) async fn send(&mut self, frame: &[u8]) -> io::Result<usize> {
        let Some(seal) = self.seal else {
            self.half.write_all(frame).await?;
            return Ok(frame.len());
        };
        self.sealed.clear();
        self.sealed.shrink_to(KEEP_BUFFER);
        seal.pack(frame, &mut self.sealed).map_err(io::Error::other)?;
        self.half.write_all(&self.sealed).await?;
        Ok(self.sealed.len())
    }

    /// Says that nothing more comes, and shuts this direction down.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        if self.seal.is_some() {
            self.send(&[]).await?;
        }
        self.half.shutdown().await
    }
}

/// Appends what comes; `None` at the end. A buffer that was large once does not stay so.
async fn read(half: &mut ReadHalf<'_>, buffer: &mut BytesMut) -> Result<Option<usize>, Ended> {
    if buffer.is_empty() && buffer.capacity() > KEEP_BUFFER {
        *buffer = BytesMut::new();
    }
    buffer.reserve(READ_CHUNK);
    match half.read_buf(buffer).await {
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(error) => Err(Ended::Broken(error)),
    }
}
