//! One connection: hyper's, watched, and ended when it is late or the process stops.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower_service::Service;

use super::activity::{Activity, Late, Times, UnderWay};
use super::{Limits, ListenerStats, Peer};
use crate::stop::Stop;
use crate::watched::{Progress, Watched, Watcher};

/// hyper asks for at least this much room for a head.
const HEADER_BYTES_MIN: u32 = 8 << 10;
/// Bytes of bodies that one HTTP/2 request, and one connection, may have under way unread.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of answers buffered per HTTP/2 request.
const SEND_BUFFER: usize = 64 << 10;

/// Counts a connection as open for as long as it lives.
struct Open(Arc<ListenerStats>);

impl Open {
    fn new(stats: Arc<ListenerStats>) -> Open {
        stats.open.add(1);
        Open(stats)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.take(1);
    }
}

/// Serves one connection until either side ends it.
pub(super) async fn drive<I, S, B>(
    io: I,
    service: S,
    peer: Peer,
    limits: Limits,
    stats: Arc<ListenerStats>,
    stop: Stop,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let open = Open::new(stats);
    let stats = &open.0;
    let activity = Activity::new(Times {
        head: limits.header_time,
        idle: limits.idle_time,
        stall: limits.stall_time,
        request: limits.request_time.saturating_add(limits.answer_time),
    });
    let guarded = Guarded {
        service,
        peer,
        activity: Arc::clone(&activity),
        stats: Arc::clone(stats),
        time: limits.request_time,
    };
    let watched = TokioIo::new(Watched { io, watcher: Arc::clone(&activity) });
    let builder = builder(&limits);
    let mut connection = pin!(builder.serve_connection(watched, guarded));
    let late = tokio::select! {
        biased; // what came in time counts, however late this task is run
        ended = connection.as_mut() => return count_end(ended.is_ok(), stats),
        late = activity.late() => late,
        () = stop.stopped() => Late::Idle,
    };
    if late == Late::Idle {
        if !stop.is_stopped() {
            stats.idle.add(1);
        }
        connection.as_mut().graceful_shutdown();
        activity.close();
        tokio::select! {
            biased;
            ended = connection.as_mut() => count_end(ended.is_ok(), stats),
            late = activity.late() => count_late(late, stats),
        }
    } else {
        count_late(late, stats);
    }
}

fn count_end(well: bool, stats: &ListenerStats) {
    if !well {
        stats.broken.add(1);
    }
}

fn count_late(late: Late, stats: &ListenerStats) {
    match late {
        Late::Head | Late::Idle => stats.head_late.add(1),
        Late::Answer => stats.answer_late.add(1),
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let header_bytes = limits.header_bytes.max(HEADER_BYTES_MIN);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Activity` keeps this deadline: it also covers what comes before HTTP is recognised.
        .header_read_timeout(None)
        .max_buf_size(usize::try_from(header_bytes).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        // Agents speak HTTP/2 and get the time in the answer: 25 bytes that differ each second.
        .auto_date_header(false)
        .max_header_list_size(header_bytes)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// The service as hyper calls it: with the peer told, a deadline, and a count.
struct Guarded<S> {
    service: S,
    peer: Peer,
    activity: Arc<Activity>,
    stats: Arc<ListenerStats>,
    time: Duration,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Guarded<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: 'static,
    B: Body<Data = Bytes> + 'static,
{
    type Response = Response<Answer<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.stats.requests.add(1);
        request.extensions_mut().insert(self.peer);
        let under_way = self.activity.begin(request.version());
        let (mut service, time) = (self.service.clone(), self.time);
        let stats = Arc::clone(&self.stats);
        Box::pin(async move {
            let answering = async {
                poll_fn(|context| service.poll_ready(context)).await?;
                service.call(request).await
            };
            match timeout(time, answering).await {
                Ok(answer) => Ok(answer?.map(|body| Answer::Given { body, _under_way: under_way })),
                Err(_) => {
                    stats.request_late.add(1);
                    Ok(too_late(under_way))
                }
            }
        })
    }
}

fn too_late<B>(under_way: UnderWay) -> Response<Answer<B>> {
    let text = Full::new(Bytes::from_static(b"the request took too long; try again later\n"));
    let mut answer = Response::new(Answer::TooLate { text, _under_way: under_way });
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

/// An answer's body; its request is under way until hyper has taken all of it.
enum Answer<B> {
    Given { body: B, _under_way: UnderWay },
    TooLate { text: Full<Bytes>, _under_way: UnderWay },
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Answer::Given { body, .. } => Pin::new(body).poll_frame(context),
            Answer::TooLate { text, .. } => Pin::new(text)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(|never: Infallible| match never {}))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Given { body, .. } => body.is_end_stream(),
            Answer::TooLate { text, .. } => text.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Given { body, .. } => body.size_hint(),
            Answer::TooLate { text, .. } => text.size_hint(),
        }
    }
}

impl Watcher for Arc<Activity> {
    fn came(&self, _: &[u8]) {
        self.received();
    }

    fn went(&self, progress: Progress) {
        self.sent(progress);
    }
}
