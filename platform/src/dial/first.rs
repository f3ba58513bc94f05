//! The first byte that comes over a connection: HTTP/1.1 begins with an `H`, HTTP/2 never does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No byte yet; larger than any.
const NONE: u16 = 0x100;

/// The first byte, once it has come.
#[derive(Clone, Debug)]
pub(super) struct FirstByte(Arc<AtomicU16>);

impl FirstByte {
    /// Whether it begins `HTTP/1.1`. The first frame of an HTTP/2 server begins with a length whose
    /// upper byte is zero.
    pub(super) fn is_of_http_one(&self) -> bool {
        self.0.load(Ordering::Relaxed) == u16::from(b'H')
    }
}

/// A stream whose first byte is kept.
pub(super) struct Watched<I> {
    io: I,
    first: FirstByte,
}

pub(super) fn watch<I>(io: I) -> (FirstByte, Watched<I>) {
    let first = FirstByte(Arc::new(AtomicU16::new(NONE)));
    (first.clone(), Watched { io, first })
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if self.first.0.load(Ordering::Relaxed) == NONE
            && let Some(byte) = buffer.filled().get(before)
        {
            self.first.0.store(u16::from(*byte), Ordering::Relaxed);
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
