//! Bodies: unit tests, and one over real connections.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Frame, SizeHint};

use super::*;

const LIMIT: BodyLimit = BodyLimit { bytes: 100, time: Duration::from_secs(60) };

/// A body in pieces that may declare a length and may never end.
struct Pieces {
    pieces: Vec<&'static [u8]>,
    declared: Option<u64>,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Well,
    Never,
    Broken,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.pieces.is_empty() {
            return match self.end {
                End::Well => Poll::Ready(None),
                End::Never => Poll::Pending,
                End::Broken => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            };
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.pieces.remove(0))))))
    }

    fn size_hint(&self) -> SizeHint {
        self.declared.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn pieces(pieces: &[&'static [u8]]) -> Pieces {
    Pieces { pieces: pieces.to_vec(), declared: None, end: End::Well }
}

fn held(bodies: &Bodies) -> u64 {
    bodies.figures()[0].value
}

fn counted(bodies: &Bodies) -> [u64; 4] {
    let figures = bodies.figures();
    [figures[1].value, figures[2].value, figures[3].value, figures[4].value]
}

#[tokio::test]
async fn pieces_are_put_together_and_held_until_dropped() {
    let bodies = Bodies::new(1000);
    let empty = bodies.read(pieces(&[]), LIMIT).await.unwrap();
    assert!(empty.is_empty());
    let one = bodies.read(pieces(&[b"", b"one"]), LIMIT).await.unwrap();
    let three = bodies.read(pieces(&[b"one", b"", b"two", b"three"]), LIMIT).await.unwrap();
    let declared = Pieces { declared: Some(6), ..pieces(&[b"four", b"5!"]) };
    let declared = bodies.read(declared, LIMIT).await.unwrap();
    assert_eq!(
        (&one[..], &three[..], &declared[..]),
        (&b"one"[..], &b"onetwothree"[..], &b"four5!"[..])
    );
    assert_eq!(format!("{three:?}"), "HeldBody(11 bytes)");
    assert_eq!(held(&bodies), 3 + 11 + 6);
    drop(three);
    assert_eq!(held(&bodies), 3 + 6);
    drop((one, declared));
    assert_eq!(held(&bodies), 0);
    assert_eq!(counted(&bodies), [0; 4]);
}

#[tokio::test]
async fn a_body_at_its_limit_is_taken_and_one_byte_more_is_not() {
    let bodies = Bodies::new(1000);
    let (fifty, one) = (&[b'x'; 50][..], &b"x"[..]);
    assert_eq!(bodies.read(pieces(&[fifty, fifty]), LIMIT).await.unwrap().len(), 100);
    let error = bodies.read(pieces(&[fifty, fifty, one]), LIMIT).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!error.is_retryable());
    // The declared length is enough: no byte of this body ever comes.
    let declared = Pieces { declared: Some(101), end: End::Never, ..pieces(&[]) };
    let error = bodies.read(declared, LIMIT).await.unwrap_err();
    assert_eq!(error.to_string(), "the body is larger than 100 bytes");
    let declared = Pieces { declared: Some(u64::MAX), end: End::Never, ..pieces(&[]) };
    assert!(matches!(bodies.read(declared, LIMIT).await, Err(BodyError::TooLarge { limit: 100 })));
    assert_eq!((counted(&bodies), held(&bodies)), ([0, 3, 0, 0], 0));
}

#[tokio::test]
async fn all_bodies_together_have_a_budget() {
    let bodies = Bodies::new(10);
    let first = bodies.read(pieces(&[b"12345678"]), LIMIT).await.unwrap();
    let declared = Pieces { declared: Some(3), end: End::Never, ..pieces(&[]) };
    let error = bodies.read(declared, LIMIT).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((error.is_retryable(), error.retry_after_seconds()), (true, Some(1)));
    let grows = bodies.clone().read(pieces(&[b"1", b"1", b"1"]), LIMIT).await;
    assert!(matches!(grows, Err(BodyError::Full)));
    assert_eq!(held(&bodies), 8);
    drop(first);
    assert_eq!(bodies.read(pieces(&[b"1234567890"]), LIMIT).await.unwrap().len(), 10);
    assert_eq!(counted(&bodies), [2, 0, 0, 0]);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let bodies = Bodies::new(10);
    let never = Pieces { end: End::Never, declared: Some(5), ..pieces(&[b"some"]) };
    let error = bodies.read(never, BodyLimit { time: SOON, ..LIMIT }).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
    let broken = Pieces { end: End::Broken, ..pieces(&[b"some"]) };
    let error = bodies.read(broken, LIMIT).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    assert_eq!((counted(&bodies), held(&bodies)), ([0, 0, 1, 1], 0));
}

/// Serves a page that says how reading its body went.
fn serve_bodies() -> (SocketAddr, Bodies, Stopper, JoinHandle<io::Result<()>>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address();
    let (stopper, stop) = stop();
    let bodies = Bodies::new(1000);
    let shared = bodies.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let bodies = shared.clone();
        async move {
            let read = bodies.read(request.into_body(), LIMIT).await;
            let status = read.as_ref().map_or_else(BodyError::status, |_| StatusCode::OK);
            let text = read.map_or_else(|e| e.to_string(), |body| format!("{} bytes", body.len()));
            let mut answer = Response::new(Full::new(Bytes::from(text)));
            *answer.status_mut() = status;
            Ok::<_, Infallible>(answer)
        }
    });
    let serving = tokio::spawn(listener.serve(service, Limits::default(), stop));
    (address, bodies, stopper, serving)
}

async fn post(address: SocketAddr, head_and_body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n";
    stream.write_all(format!("{head}{head_and_body}").as_bytes()).await.unwrap();
    read_to_end(&mut stream).await
}

#[tokio::test]
async fn bodies_over_connections() {
    let (address, bodies, stopper, serving) = serve_bodies();
    let good = post(address, "Content-Length: 5\r\n\r\n12345").await;
    assert!(good.ends_with("\r\n\r\n5 bytes"), "{good}");
    let good = post(address, "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n");
    assert!(good.await.ends_with("\r\n\r\n5 bytes"));
    let large = post(address, "Content-Length: 101\r\n\r\n").await;
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    let chunk = format!("65\r\n{}\r\n0\r\n\r\n", "x".repeat(101));
    let large = post(address, &format!("Transfer-Encoding: chunked\r\n\r\n{chunk}")).await;
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    let broken = post(address, "Transfer-Encoding: chunked\r\n\r\nnot a length\r\n").await;
    assert!(broken.starts_with("HTTP/1.1 400"), "{broken}");
    drop(TcpStream::connect(address).await.unwrap());
    assert_eq!(counted(&bodies), [0, 2, 1, 0]);
    stopper.stop();
    serving.await.unwrap().unwrap();
}
