//! Requests and answers over one connection, in either version of HTTP.
//!
//! Over HTTP/2 the head of a request and its body are handed over together, and leave in one write
//! where the body fits a frame of HTTP/2. A client that begins with the head, and asks for the body
//! once that has left, costs either side a second packet and a second waking for each request.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, client};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// Bytes of an HTTP/1.1 head, or of the headers of HTTP/2, that are read.
const HEAD_BYTES: u32 = 64 << 10;
/// Bytes of a body of HTTP/2 that may be on the way.
const WINDOW: u32 = 5 << 20;

/// The connection broke, the server gave the request up, or what came is no HTTP.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Over HTTP/1.1.
    #[error(transparent)]
    One(#[from] hyper::Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Two(#[from] h2::Error),
}

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// Over HTTP/1.1.
    One(Incoming),
    /// Over HTTP/2.
    Two(RecvStream),
}

/// What sends requests, one at a time.
#[derive(Debug)]
pub(super) enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    /// With the task that drives the connection.
    Two(client::SendRequest<Bytes>, JoinHandle<()>),
}

impl Sender {
    pub(super) async fn one<I>(stream: I) -> Result<Sender, ExchangeError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES as usize);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
        // The request in flight reports what ends a connection.
        tokio::spawn(async move { driver.await.ok() });
        Ok(Sender::One(sender))
    }

    pub(super) async fn two<I>(stream: I) -> Result<Sender, ExchangeError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD_BYTES);
        let (sender, driver) = builder.handshake(stream).await?;
        let driver = tokio::spawn(async move { drop(driver.await) });
        Ok(Sender::Two(sender, driver))
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(_, driver) => driver.is_finished(),
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Bytes>,
    ) -> Result<Response<AnswerBody>, ExchangeError> {
        match self {
            Sender::One(sender) => {
                sender.ready().await?;
                let answer = sender.send_request(request.map(Full::new)).await?;
                Ok(answer.map(AnswerBody::One))
            }
            Sender::Two(sender, _) => {
                let (mut head, body) = request.into_parts();
                let is_read = matches!(head.method, Method::GET | Method::HEAD | Method::DELETE);
                if !body.is_empty() || !is_read {
                    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
                }
                poll_fn(|cx| sender.poll_ready(cx)).await?;
                let head = Request::from_parts(head, ());
                let (answer, mut rest) = sender.send_request(head, body.is_empty())?;
                if !body.is_empty() {
                    rest.send_data(body, true)?;
                }
                Ok(answer.await?.map(AnswerBody::Two))
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = ExchangeError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        match self.get_mut() {
            AnswerBody::One(body) => Pin::new(body).poll_frame(cx).map_err(ExchangeError::One),
            AnswerBody::Two(body) => Poll::Ready(match ready!(body.poll_data(cx)) {
                Some(Ok(data)) => {
                    // What is taken makes room for more.
                    let released = body.flow_control().release_capacity(data.len());
                    Some(released.map(|()| Frame::data(data)).map_err(ExchangeError::Two))
                }
                Some(Err(error)) => Some(Err(ExchangeError::Two(error))),
                None => None,
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::One(body) => body.is_end_stream(),
            AnswerBody::Two(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::One(body) => body.size_hint(),
            AnswerBody::Two(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use h2::Reason;
    use h2::server::SendResponse;
    use http_body_util::BodyExt;
    use hyper::StatusCode;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{DuplexStream, ReadBuf, duplex};
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    /// A stream that counts what is written at once.
    struct Counted(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, into)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            parts: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write_vectored(cx, parts)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// Gives back what it is sent, with what it was told of its length.
    async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let length = request.headers().get(CONTENT_LENGTH).cloned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut answer = Response::new(Full::new(body));
        answer.headers_mut().extend(length.map(|length| (hyper::header::ETAG, length)));
        Ok(answer)
    }

    fn request(body: Vec<u8>) -> Request<Bytes> {
        Request::post("http://here/").body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn a_request_over_http2_leaves_in_one_write() {
        let ((mine, theirs), writes) = (duplex(1 << 16), Arc::new(AtomicUsize::new(0)));
        let server = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(theirs), service_fn(echo));
        tokio::spawn(server);
        let mut sender = Sender::two(Counted(mine, Arc::clone(&writes))).await.unwrap();
        // The first ones come with what a connection begins with.
        let mut counts = Vec::new();
        for length in [1, 0, 0, 200, 3000] {
            let before = writes.load(Ordering::Relaxed);
            let answer = sender.send(request(vec![7; length])).await.unwrap();
            counts.push(writes.load(Ordering::Relaxed) - before);
            let told = answer.headers().get(hyper::header::ETAG).cloned();
            assert_eq!(told, Some(HeaderValue::from(length)));
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), length);
        }
        assert_eq!(counts[2..], [1, 1, 1]);
    }

    #[tokio::test]
    async fn bodies_are_longer_than_the_windows() {
        let (mine, theirs) = duplex(1 << 16);
        let server = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(theirs), service_fn(echo));
        let server = tokio::spawn(server);
        let mut sender = Sender::two(mine).await.unwrap();
        let long: Vec<u8> = (0..9 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
        for _ in 0..2 {
            let answer = sender.send(request(long.clone())).await.unwrap();
            assert!(answer.into_body().collect().await.unwrap().to_bytes() == long);
        }
        assert!(!sender.is_closed());
        server.abort();
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
        sender.send(request(Vec::new())).await.unwrap_err();
    }

    /// A server by hand: each request goes to a function.
    async fn by_hand<F, A>(each: F) -> Sender
    where
        F: Fn(RecvStream, SendResponse<Bytes>) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let (mine, theirs) = duplex(1 << 16);
        tokio::spawn(async move {
            let mut server = h2::server::handshake(theirs).await.unwrap();
            while let Some(Ok((request, answer))) = server.accept().await {
                tokio::spawn(each(request.into_body(), answer));
            }
        });
        Sender::two(mine).await.unwrap()
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_one_that_is_whole_is_not() {
        for (reason, is_whole) in [Reason::CANCEL, Reason::NO_ERROR]
            .into_iter()
            .flat_map(|reason| [(reason, true), (reason, false)])
        {
            let mut sender = by_hand(move |_, mut answer| async move {
                let mut body = answer.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"some"), is_whole).unwrap();
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                body.send_reset(reason);
            })
            .await;
            let answer = sender.send(request(b"all".to_vec())).await.unwrap();
            let body = answer.into_body().collect().await.map(|body| body.to_bytes());
            assert_eq!(body.is_ok(), is_whole, "{reason:?} {body:?}");
        }
    }

    /// It is the answer that counts, not what was still to be sent.
    #[tokio::test]
    async fn an_answer_may_come_before_the_request_was_read() {
        let mut sender = by_hand(|body, mut answer| async move {
            let mut refused = Response::new(());
            *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            let mut text = answer.send_response(refused, false).unwrap();
            text.send_data(Bytes::from_static(b"too long"), true).unwrap();
            // Once that has gone, the server wants no more of it.
            drop(body);
        })
        .await;
        for _ in 0..3 {
            let answer = sender.send(request(vec![0; 5 << 20])).await.unwrap();
            assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "too long");
        }
        assert!(!sender.is_closed());
    }

    #[tokio::test]
    async fn a_request_that_nobody_waits_for_is_taken_back() {
        let (told, mut tells) = mpsc::unbounded_channel();
        let mut sender = by_hand(move |mut body, answer| {
            let told = told.clone();
            async move {
                let end = loop {
                    match body.data().await {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => break error.reason(),
                        None => break None,
                    }
                };
                told.send(end).unwrap();
                drop(answer);
            }
        })
        .await;
        let wait = Duration::from_millis(20);
        let sent = timeout(wait, sender.send(request(vec![0; 5 << 20]))).await;
        assert!(sent.is_err());
        assert_eq!(tells.recv().await.unwrap(), Some(Reason::CANCEL));
    }

    #[tokio::test]
    async fn a_server_that_says_goodbye_is_asked_no_more() {
        let (mine, theirs) = duplex(1 << 16);
        tokio::spawn(async move {
            let mut server = h2::server::handshake(theirs).await.unwrap();
            let (_, mut answer) = server.accept().await.unwrap().unwrap();
            answer.send_response(Response::new(()), true).unwrap();
            server.graceful_shutdown();
            while server.accept().await.is_some() {}
        });
        let mut sender = Sender::two(mine).await.unwrap();
        sender.send(request(Vec::new())).await.unwrap();
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
    }
}
