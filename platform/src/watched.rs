//! A stream whose incoming bytes are looked at as they come, and whose outgoing ones as they go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Looks at bytes that came in, and whether those that go out are taken.
pub trait Watcher: Unpin {
    /// Some bytes came; never none.
    fn came(&self, bytes: &[u8]);

    /// Bytes went out, or wait for the other end.
    fn went(&self, _: Progress) {}

    /// Whether a write that fails is to show first what the other end said before it closed.
    fn wants_last_words(&self) -> bool {
        false
    }
}

/// Whether a write went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The other end took something.
    Went,
    /// It has to take something first.
    Waits,
}

impl Progress {
    fn of<T>(polled: &Poll<T>) -> Progress {
        if polled.is_ready() { Progress::Went } else { Progress::Waits }
    }
}

/// A stream with its watcher.
#[derive(Debug)]
pub struct Watched<I, W> {
    /// The stream.
    pub io: I,
    /// Its watcher.
    pub watcher: W,
}

impl<I: AsyncRead + Unpin, W: Watcher> Watched<I, W> {
    /// Looks at how a write went on.
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.watcher.went(Progress::of(&polled));
        if matches!(polled, Poll::Ready(Err(_))) && self.watcher.wants_last_words() {
            let mut buffer = [0; 16];
            // What cannot be read has ended as well: the write says why.
            ready!(Pin::new(self).poll_read(context, &mut ReadBuf::new(&mut buffer))).ok();
        }
        polled
    }
}

impl<I: AsyncRead + Unpin, W: Watcher> AsyncRead for Watched<I, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.watcher.came(bytes);
        }
        polled
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin, W: Watcher> AsyncWrite for Watched<I, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.wrote(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.wrote(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.wrote(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
