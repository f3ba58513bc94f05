use std::convert::Infallible;
use std::future::pending;

use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::stop::{Stopper, stop};

mod answers;
mod bodies;
mod tls;

/// Short enough to wait for; only ever given to the one time that a test wants to pass.
const SOON: Duration = Duration::from_millis(30);
/// The same, where something has to be done within it first.
const LATER: Duration = Duration::from_millis(300);
/// A test that waits this long has failed; no test that passes comes near it.
const NEVER: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    stats: Arc<ListenerStats>,
    stopper: Stopper,
    serving: JoinHandle<io::Result<()>>,
    /// Notified when a request for `/wait` has come, and what lets it go on.
    waiting: Arc<Notify>,
    go_on: Arc<Notify>,
}

/// Answers `/wait` when told to, `/never` never, `/endless` without an end; else the peer.
async fn answer(
    request: Request<Incoming>,
    waiting: Arc<Notify>,
    go_on: Arc<Notify>,
) -> Result<Response<Endless>, Infallible> {
    match request.uri().path() {
        "/wait" => {
            waiting.notify_one();
            go_on.notified().await;
        }
        "/never" => pending().await,
        "/endless" => return Ok(Response::new(Endless::Forever)),
        _ => {}
    }
    let peer = request.extensions().get::<Peer>().unwrap();
    assert_eq!(peer.reach(), Reach::Loopback);
    Ok(Response::new(Endless::Once(Full::new(Bytes::from(format!("you are {}", peer.address))))))
}

enum Endless {
    Once(Full<Bytes>),
    Forever,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Endless::Once(body) => std::pin::Pin::new(body).poll_frame(context),
            Endless::Forever => {
                let more = hyper::body::Frame::data(Bytes::from_static(&[b'x'; 65536]));
                std::task::Poll::Ready(Some(Ok(more)))
            }
        }
    }

    /// Without it the answer would be chunked.
    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Endless::Once(body) => body.size_hint(),
            Endless::Forever => hyper::body::SizeHint::default(),
        }
    }
}

impl Server {
    fn start(limits: Limits) -> Server {
        Server::with(Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap(), limits)
    }

    fn with(listener: Listener, limits: Limits) -> Server {
        let (address, stats) = (listener.address(), listener.stats());
        let (stopper, stop) = stop();
        let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let service = {
            let (waiting, go_on) = (Arc::clone(&waiting), Arc::clone(&go_on));
            service_fn(move |request| answer(request, Arc::clone(&waiting), Arc::clone(&go_on)))
        };
        let serving = tokio::spawn(listener.serve(service, limits, stop));
        Server { address, stats, stopper, serving, waiting, go_on }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    fn figure(&self, name: &str) -> u64 {
        let full = format!("bellwether_listener_{name}");
        self.stats.figures().into_iter().find(|figure| figure.name == full).unwrap().value
    }

    async fn until(&self, name: &str, value: u64) {
        let coming = async {
            while self.figure(name) != value {
                yield_now().await;
            }
        };
        timeout(NEVER, coming).await.expect(name);
    }

    async fn end(self) {
        self.stopper.stop();
        self.serving.await.unwrap().unwrap();
    }
}

/// What came until the end; a reset is an end too, after bytes that the server did not read.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(NEVER, stream.read_to_end(&mut bytes)).await;
    if let Err(error) = read.expect("the server to close") {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    String::from_utf8(bytes).unwrap()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").into_bytes()
}

/// Reads one answer that is not the last on its connection.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let expected = format!("you are {}", stream.local_addr().unwrap());
    while !bytes.ends_with(expected.as_bytes()) {
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&bytes));
    }
    String::from_utf8(bytes).unwrap()
}

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(format!("http://here{path}")).body(Full::default()).unwrap()
}

#[tokio::test]
async fn one_port_speaks_both_versions() {
    let server = Server::start(Limits::default());
    let (mut one, connection) =
        http1::handshake(TokioIo::new(server.connect().await)).await.unwrap();
    tokio::spawn(connection);
    let stream = server.connect().await;
    let local = stream.local_addr().unwrap();
    let (mut two, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let mut to_one = request("/");
        to_one.headers_mut().insert("host", hyper::header::HeaderValue::from_static("here"));
        assert_eq!(one.send_request(to_one).await.unwrap().status(), StatusCode::OK);
        let answer = two.send_request(request("/")).await.unwrap();
        assert_eq!(answer.version(), hyper::Version::HTTP_2);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("you are {local}"));
    }
    assert_eq!(server.figure("requests_total"), 6);
    assert_eq!(server.figure("connections"), 2);
    server.end().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_closes() {
    let server = Server::start(Limits { header_time: SOON, ..Limits::default() });
    for part in [&b""[..], b"PRI * HTTP/2", b"GET / HT", b"GET / HTTP/1.1\r\nHost: here\r\n"] {
        assert_eq!(server.exchange(part).await, "");
    }
    server.until("heads_late_total", 4).await;
    assert_eq!(server.figure("connections"), 0);
    server.end().await;
}

#[tokio::test]
async fn a_second_head_that_does_not_come_closes() {
    let server = Server::start(Limits { header_time: LATER, ..Limits::default() });
    let mut stream = server.connect().await;
    stream.write_all(&get("/")).await.unwrap();
    read_answer(&mut stream).await;
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    server.until("heads_late_total", 1).await;
    server.end().await;
}

#[tokio::test]
async fn an_idle_connection_closes() {
    let server = Server::start(Limits { idle_time: LATER, ..Limits::default() });
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(&get("/")).await.unwrap();
        read_answer(&mut stream).await;
    }
    assert_eq!(read_to_end(&mut stream).await, "");
    server.until("connections_idle_closed_total", 1).await;

    let io = TokioIo::new(server.connect().await);
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = client.send_request(request("/")).await.unwrap();
    answer.into_body().collect().await.unwrap();
    connection.await.unwrap().unwrap();
    server.until("connections_idle_closed_total", 2).await;
    assert_eq!(server.figure("heads_late_total"), 0);
    server.end().await;
}

#[tokio::test]
async fn a_request_under_way_is_not_idle() {
    let server = Server::start(Limits { idle_time: SOON, ..Limits::default() });
    let mut held = server.connect().await;
    held.write_all(&get("/wait")).await.unwrap();
    server.waiting.notified().await;
    let mut idle = server.connect().await;
    idle.write_all(&get("/")).await.unwrap();
    read_answer(&mut idle).await;
    read_to_end(&mut idle).await;
    server.go_on.notify_one();
    assert!(read_answer(&mut held).await.starts_with("HTTP/1.1 200 OK"));
    server.end().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted() {
    let server = Server::start(Limits { connections: 1, ..Limits::default() });
    let mut first = server.connect().await;
    first.write_all(&get("/")).await.unwrap();
    read_answer(&mut first).await;
    assert_eq!(read_to_end(&mut server.connect().await).await, "");
    assert_eq!(server.figure("connections_refused_total"), 1);
    drop(first);
    server.until("connections", 0).await;
    let mut third = server.connect().await;
    third.write_all(&get("/")).await.unwrap();
    read_answer(&mut third).await;
    assert_eq!(server.figure("connections_accepted_total"), 3);
    server.end().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = Server::start(Limits { header_bytes: 8 << 10, ..Limits::default() });
    let answer = server.exchange(b"\x16\x03\x01\x02\x00\x01garbage\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = server.exchange(b"GET / HTTP/9.9\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    let large = format!("GET / HTTP/1.1\r\nHost: here\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let answer = server.exchange(large.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    server.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthese are no frames of HTTP/2").await;
    server.until("connections_broken_total", 4).await;
    assert_eq!(server.figure("requests_total"), 0);
    server.end().await;
}

#[tokio::test]
async fn a_service_that_takes_too_long_is_answered_for() {
    let server = Server::start(Limits { request_time: SOON, ..Limits::default() });
    let mut stream = server.connect().await;
    stream.write_all(&get("/never")).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"try again later\n") {
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
    assert_eq!(server.figure("requests_late_total"), 1);
    server.end().await;
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_cut() {
    let limits = Limits { request_time: SOON, answer_time: SOON, ..Limits::default() };
    let server = Server::start(limits);
    let mut stream = server.connect().await;
    stream.write_all(&get("/endless")).await.unwrap();
    server.until("answers_late_total", 1).await;
    assert_eq!(server.figure("connections"), 0);
    server.end().await;
}

#[tokio::test]
async fn a_stop_lets_requests_end_and_closes_the_rest() {
    let server = Server::start(Limits::default());
    let mut held = server.connect().await;
    held.write_all(&get("/wait")).await.unwrap();
    server.waiting.notified().await;
    let io = TokioIo::new(server.connect().await);
    let (mut two, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let held_two = tokio::spawn(two.send_request(request("/wait")));
    server.waiting.notified().await;
    let (mut silent, mut idle) = (server.connect().await, server.connect().await);
    idle.write_all(&get("/")).await.unwrap();
    read_answer(&mut idle).await;
    server.until("connections", 4).await;

    server.stopper.stop();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(!server.serving.is_finished());
    let refused = TcpStream::connect(server.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    server.go_on.notify_waiters();
    assert!(read_answer(&mut held).await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(read_to_end(&mut held).await, "");
    assert_eq!(held_two.await.unwrap().unwrap().status(), StatusCode::OK);
    connection.await.unwrap().unwrap();
    assert_eq!(server.figure("connections_cut_total"), 0);
    server.end().await;
}

#[tokio::test]
async fn the_grace_period_ends() {
    let server = Server::start(Limits { grace: SOON, ..Limits::default() });
    let mut stream = server.connect().await;
    stream.write_all(&get("/wait")).await.unwrap();
    server.waiting.notified().await;
    let stats = Arc::clone(&server.stats);
    server.end().await;
    assert_eq!((stats.cut_at_stop.get(), stats.open.get()), (1, 0));
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[test]
fn addresses_that_cannot_be_are_refused_in_words() {
    let beyond = Listener::bind("0.0.0.0:0".parse().unwrap()).unwrap_err();
    assert_eq!(
        beyond.to_string(),
        "0.0.0.0:0 is reachable from other machines, which needs TLS and a principal; \
         without them listen on 127.0.0.1 or [::1]"
    );
    let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    assert_ne!(first.address().port(), 0);
    let second = Listener::bind(first.address()).unwrap_err();
    assert!(matches!(second, BindError::InUse(address) if address == first.address()));
}

#[test]
fn figures_have_names_of_their_own() {
    let mut names: Vec<_> = ListenerStats::default().figures().iter().map(|f| f.name).collect();
    names.extend(Bodies::new(1).figures().map(|f| f.name));
    names.extend(Answers::new(1).figures().map(|f| f.name));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(names.iter().all(|name| name.starts_with("bellwether_listener_")));
}
