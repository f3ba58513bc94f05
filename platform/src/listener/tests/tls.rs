//! TLS at the listener: handshakes that do not come, plaintext, certificates exchanged and asked
//! for.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::dial::{Connection, DialError, Dialer, ExchangeError, Route, Target, Way};
use crate::tls::tests::{Authority, Scratch};
use crate::tls::{ClientFiles, ServerFiles};

struct Secured {
    server: Server,
    scratch: Scratch,
    authority: Authority,
    tls: Arc<ServerTls>,
}

impl Secured {
    /// With the authority's certificate asked of clients or not.
    fn start(limits: Limits, asks: bool) -> Secured {
        let (scratch, authority) = (Scratch::new(), Authority::new());
        let ca = scratch.write("ca", &authority.pem());
        let identity = authority.issue_into(&scratch, "server", "localhost");
        let files = ServerFiles { identity, client_ca: asks.then_some(ca) };
        let safeguards =
            Safeguards { tls: Some(ServerTls::open(files).unwrap()), callers: Callers::Known };
        let listener = Listener::bind_guarded("127.0.0.1:0".parse().unwrap(), safeguards).unwrap();
        assert_eq!(listener.scheme(), "https");
        let tls = Arc::clone(listener.tls.as_ref().unwrap());
        Secured { server: Server::with(listener, limits), scratch, authority, tls }
    }

    async fn dial(&self, identity: Option<&str>) -> Result<Connection, DialError> {
        let url = format!("https://localhost:{}", self.server.address.port());
        let identity = identity.map(|name| self.authority.issue_into(&self.scratch, name, name));
        let tls = ClientFiles { ca: Some(self.scratch.path("ca")), identity };
        let target = Target::parse(&url).unwrap();
        Dialer::new(Route { target, way: Way::Direct, tls, server_name: None }).connect().await
    }
}

async fn ask(connection: &mut Connection) -> Result<StatusCode, ExchangeError> {
    let answer = connection.send(Request::new(Bytes::new())).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    Ok(status)
}

#[tokio::test]
async fn a_handshake_that_does_not_come_closes() {
    let secured = Secured::start(Limits { header_time: SOON, ..Limits::default() }, false);
    // Nothing, and the beginning of a handshake that announces more.
    for part in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        assert_eq!(secured.server.exchange(part).await, "");
    }
    secured.server.until("handshakes_late_total", 3).await;
    // A head that does not come after the handshake.
    let connection = secured.dial(None).await.unwrap();
    secured.server.until("heads_late_total", 1).await;
    drop(connection);
    secured.server.until("connections", 0).await;
    secured.server.end().await;
}

#[tokio::test]
async fn half_open_handshakes_take_only_their_places() {
    let secured = Secured::start(Limits { connections: 3, ..Limits::default() }, false);
    let (_one, _two) = (secured.server.connect().await, secured.server.connect().await);
    secured.server.until("connections_accepted_total", 2).await;
    let mut connection = secured.dial(None).await.unwrap();
    assert_eq!(ask(&mut connection).await.unwrap(), StatusCode::OK);
    assert!(secured.dial(None).await.is_err());
    assert_eq!(secured.server.figure("connections_refused_total"), 1);
    // The stop does not wait for them.
    drop(connection);
    secured.server.end().await;
}

#[tokio::test]
async fn plaintext_is_told_to_speak_tls() {
    let secured = Secured::start(Limits::default(), false);
    let mut large = get("/");
    large.extend_from_slice(&[b'x'; 20_000]);
    for bytes in [get("/"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), large] {
        let mut stream = secured.server.connect().await;
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; 1024];
        let mut read = 0;
        while !answer[..read].ends_with(SPEAKS_TLS.as_bytes()) {
            let more = stream.read(&mut answer[read..]).await.unwrap();
            assert_ne!(more, 0);
            read += more;
        }
        assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
    }
    secured.server.until("plaintext_refused_total", 3).await;
    secured.server.exchange(b"\x00garbage").await;
    secured.server.until("handshakes_failed_total", 1).await;
    assert_eq!(secured.server.figure("requests_total"), 0);
    secured.server.end().await;
}

#[tokio::test]
async fn requests_go_through_tls() {
    let secured = Secured::start(Limits::default(), false);
    let mut connection = secured.dial(None).await.unwrap();
    assert!(connection.is_http2());
    for _ in 0..3 {
        assert_eq!(ask(&mut connection).await.unwrap(), StatusCode::OK);
    }
    secured.server.end().await;
}

#[tokio::test]
async fn certificates_are_asked_of_clients() {
    let secured = Secured::start(Limits::default(), true);
    let mut known = secured.dial(Some("client")).await.unwrap();
    assert_eq!(ask(&mut known).await.unwrap(), StatusCode::OK);
    // With TLS 1.3 the refusal comes after the client's handshake is done.
    let words = match secured.dial(None).await {
        Err(error) => error.to_string(),
        Ok(mut unknown) => crate::dial::causes(&ask(&mut unknown).await.unwrap_err()),
    };
    assert!(words.contains("ertificateRequired"), "{words}");
    secured.server.until("handshakes_failed_total", 1).await;
    assert_eq!(secured.server.figure("requests_total"), 1);
    secured.server.end().await;
}

#[tokio::test]
async fn a_certificate_is_exchanged_under_load() {
    let secured = Secured::start(Limits::default(), false);
    let held = secured.dial(None).await.unwrap();
    let done = AtomicBool::new(false);
    let load = async {
        let (mut held, mut answered) = (held, 0_u32);
        while !done.load(Ordering::Relaxed) {
            // One that goes on and one made anew, whatever the certificate is just now.
            assert_eq!(ask(&mut held).await.unwrap(), StatusCode::OK);
            assert_eq!(ask(&mut secured.dial(None).await.unwrap()).await.unwrap(), StatusCode::OK);
            answered += 1;
        }
        answered
    };
    let exchange = async {
        for _ in 0..20 {
            secured.authority.issue_into(&secured.scratch, "server", "localhost");
            assert_eq!((secured.tls.look(), secured.tls.look()), (None, Some(Ok(()))));
            yield_now().await;
            secured.scratch.write("server.pem", "nothing");
            assert_eq!(secured.tls.look(), None);
            assert!(secured.tls.look().unwrap().is_err());
            let requests = secured.server.figure("requests_total");
            while secured.server.figure("requests_total") == requests {
                yield_now().await;
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    let (answered, ()) = tokio::join!(load, exchange);
    assert!(answered >= 10, "{answered}");
    assert_eq!(secured.server.figure("handshakes_failed_total"), 0);
    assert_eq!(secured.server.figure("connections_broken_total"), 0);
    secured.server.end().await;
}

#[tokio::test]
async fn the_listener_looks_by_itself() {
    let secured = Secured::start(Limits::default(), false);
    secured.authority.issue_into(&secured.scratch, "server", "localhost");
    secured.server.until("certificates_read_total", 1).await;
    secured.scratch.write("server.key", "nothing");
    secured.server.until("certificates_unusable_total", 1).await;
    assert!(secured.dial(None).await.is_ok());
    secured.server.end().await;
}

#[tokio::test]
async fn beyond_loopback_both_safeguards_are_needed() {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let any = "0.0.0.0:0".parse().unwrap();
    let tls = || {
        let identity = authority.issue_into(&scratch, "server", "localhost");
        ServerTls::open(ServerFiles { identity, client_ca: None }).unwrap()
    };
    for safeguards in [
        Safeguards::default(),
        Safeguards { tls: Some(tls()), callers: Callers::Anyone },
        Safeguards { tls: None, callers: Callers::Known },
    ] {
        let refused = Listener::bind_guarded(any, safeguards).unwrap_err();
        assert!(matches!(refused, BindError::BeyondLoopback(_)));
    }
    let both = Safeguards { tls: Some(tls()), callers: Callers::Known };
    assert!(!Listener::bind_guarded(any, both).unwrap().address().ip().is_loopback());
}
