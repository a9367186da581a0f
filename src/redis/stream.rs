//! The bytes of a connection to Redis, over TLS or not.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tls::refusal;

/// The bytes of a connection, over TLS or not.
pub trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// A connection on which nothing was said yet.
pub type Stream = Box<dyn Both>;

/// The socket with a cap on what one answer may bring.
pub(super) struct Guarded {
    pub stream: Stream,
    /// Bytes that may still come.
    pub budget: Arc<AtomicUsize>,
    /// Why TLS ended it.
    pub failure: Arc<OnceLock<String>>,
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &result
            && let Some(refusal) = refusal(error)
        {
            // The first reason counts.
            let _ = self.failure.set(refusal.to_string());
        }
        let read = buf.filled().len().saturating_sub(before);
        let left = self.budget.load(Ordering::Relaxed);
        if read > left {
            let reason = "the answer is longer than any of a Redis";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        self.budget.store(left - read, Ordering::Relaxed);
        result
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
