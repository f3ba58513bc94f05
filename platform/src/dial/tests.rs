use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn as answering;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::listener::{Limits, Listener, Safeguards, service_fn};
use crate::stop::{Stopper, stop};
use crate::tls::tests::{Authority, Scratch, Valid};
use crate::tls::{IdentityFiles, ServerFiles, ServerTls};

/// Says how the request came.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("{:?} {}", request.version(), request.uri());
    Ok(Response::new(Full::new(Bytes::from(text))))
}

/// An echo behind our own listener; it stops with the stopper.
fn serve(tls: Option<ServerTls>) -> (SocketAddr, Stopper) {
    let safeguards = Safeguards { tls, ..Safeguards::default() };
    let listener = Listener::bind_guarded("127.0.0.1:0".parse().unwrap(), safeguards).unwrap();
    let address = listener.address();
    let (stopper, stop) = stop();
    tokio::spawn(listener.serve(service_fn(echo), Limits::default(), stop));
    (address, stopper)
}

/// A listener that hands each connection to a function.
async fn raw<F, A>(each: F) -> SocketAddr
where
    F: Fn(TcpStream) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(each(stream));
        }
    });
    address
}

/// Reads a head, and gives it as text.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

fn route(url: &str) -> Route {
    Route {
        target: Target::parse(url).unwrap(),
        way: Way::Direct,
        tls: ClientFiles::default(),
        server_name: None,
    }
}

/// An authority, what it trusts in files, and an echo that has a certificate of it.
struct Secured {
    authority: Authority,
    scratch: Scratch,
    identity: IdentityFiles,
    address: SocketAddr,
    _stopper: Stopper,
}

impl Secured {
    fn new() -> Secured {
        let (scratch, authority) = (Scratch::new(), Authority::new());
        scratch.write("ca", &authority.pem());
        let identity = authority.issue_into(&scratch, "server", "localhost");
        let files = ServerFiles { identity: identity.clone(), client_ca: None };
        let (address, stopper) = serve(Some(ServerTls::open(files).unwrap()));
        Secured { authority, scratch, identity, address, _stopper: stopper }
    }

    fn route(&self) -> Route {
        self.route_to(self.address)
    }

    fn route_to(&self, address: SocketAddr) -> Route {
        let tls = ClientFiles { ca: Some(self.scratch.path("ca")), identity: None };
        Route { tls, ..route(&format!("https://localhost:{}", address.port())) }
    }

    /// The server's acceptor with other protocols to agree on.
    fn acceptor(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        let files = ServerFiles { identity: self.identity.clone(), client_ca: None };
        let tls = ServerTls::open(files).unwrap();
        let mut config = (**tls.acceptor().config()).clone();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(std::sync::Arc::new(config))
    }
}

async fn ask(connection: &mut Connection) -> String {
    let request = Request::builder().uri("/a?b=c").body(Bytes::new()).unwrap();
    let answer = connection.send(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn refusal(route: Route) -> String {
    Dialer::new(route).connect().await.unwrap_err().to_string()
}

#[tokio::test]
async fn without_tls_http2_is_spoken_at_once() {
    let (address, _stopper) = serve(None);
    let mut connection = Dialer::new(route(&format!("http://{address}"))).connect().await.unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut connection).await, format!("HTTP/2.0 http://{address}/a?b=c"));
    }
    assert!(connection.is_http2() && !connection.is_closed());
}

#[tokio::test]
async fn a_plain_server_of_http1_is_noticed() {
    // As nginx answers to what is no request of HTTP/1.1.
    let address = raw(|mut stream| async move {
        let head = head(&mut stream).await;
        let host = head.lines().find(|line| line.starts_with("host: ")).unwrap_or_default();
        let (status, body) = match head.starts_with("GET /a?b=c HTTP/1.1\r\n") {
            true => ("200 OK", host),
            false => ("400 Bad Request", ""),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let mut dialer = Dialer::new(route(&format!("http://{address}")));
    let mut connection = dialer.connect().await.unwrap();
    let request = Request::builder().uri("/a").body(Bytes::new()).unwrap();
    connection.send(request).await.unwrap_err();
    assert!(dialer.broke(&connection));
    let mut connection = dialer.connect().await.unwrap();
    assert_eq!(ask(&mut connection).await, format!("host: {address}"));
}

#[tokio::test]
async fn a_server_of_http1_that_closes_at_once_is_noticed() {
    // It closes while the client is still writing, from a thread of its own.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; 24]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    for attempt in 0..300 {
        let mut dialer = Dialer::new(route(&format!("http://{address}")));
        let mut connection = dialer.connect().await.unwrap();
        let request = Request::builder().uri("/a").body(Bytes::new()).unwrap();
        let error = connection.send(request).await.unwrap_err();
        assert!(dialer.broke(&connection), "{attempt}: {}", causes(&error));
    }
}

#[tokio::test]
async fn a_broken_connection_alone_does_not_change_the_version() {
    let address = raw(|stream| async move { drop(stream) }).await;
    let mut dialer = Dialer::new(route(&format!("http://{address}")));
    for _ in 0..2 {
        // It may break before the handshake of HTTP/2 is written, or after.
        if let Ok(mut connection) = dialer.connect().await {
            let request = Request::builder().uri("/a").body(Bytes::new()).unwrap();
            connection.send(request).await.unwrap_err();
            assert!(!dialer.broke(&connection));
            assert!(connection.is_http2());
        }
    }
    assert_eq!(dialer.plain, Version::Two);
}

#[tokio::test]
async fn tls_agrees_on_the_version() {
    let secured = Secured::new();
    let mut connection = Dialer::new(secured.route()).connect().await.unwrap();
    let authority = format!("localhost:{}", secured.address.port());
    assert_eq!(ask(&mut connection).await, format!("HTTP/2.0 https://{authority}/a?b=c"));

    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let acceptor = secured.acceptor(alpn);
        let address = raw(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                let server = hyper::server::conn::http1::Builder::new();
                server.serve_connection(stream, answering(echo)).await.ok();
            }
        })
        .await;
        let mut connection = Dialer::new(secured.route_to(address)).connect().await.unwrap();
        for _ in 0..2 {
            assert_eq!(ask(&mut connection).await, "HTTP/1.1 /a?b=c");
        }
    }
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_told_in_words() {
    let secured = Secured::new();
    let port = secured.address.port();
    let of = |words: &str| format!("TLS with localhost:{port} failed: {words}");

    // One of another name, and one of the same name made anew.
    for other in [Authority::named("another"), Authority::new()] {
        let wrong = secured.scratch.write("wrong", &other.pem());
        let mut route = secured.route();
        route.tls.ca = Some(wrong.clone());
        let expected = of(&format!("its certificate is signed by none of {wrong:?}"));
        assert_eq!(refusal(route).await, expected);
    }
    // The authority's own certificate, as a server's.
    let (identity, alone) = (secured.authority.as_identity(&secured.scratch), secured.route());
    let files = ServerFiles { identity, client_ca: None };
    let (address, _stopper) = serve(Some(ServerTls::open(files).unwrap()));
    let target = Target::parse(&format!("https://localhost:{}", address.port())).unwrap();
    let refused = refusal(Route { target, ..alone }).await;
    assert!(refused.contains("that of an authority (CA:TRUE)"), "{refused}");
    let route = Route { server_name: Some("collector.example".to_owned()), ..secured.route() };
    assert_eq!(
        refusal(route).await,
        of("its certificate is for localhost, not for collector.example")
    );
    let mut route = secured.route();
    route.target = Target::parse(&format!("https://127.0.0.1:{port}")).unwrap();
    assert_eq!(
        refusal(route).await,
        of("its certificate is for localhost, not for 127.0.0.1").replacen(
            "localhost",
            "127.0.0.1",
            1
        )
    );
    let mut route = secured.route();
    route.tls.ca = Some(secured.scratch.path("gone"));
    assert!(refusal(route).await.ends_with("gone\" does not exist"));

    for (valid, words) in [
        (Valid::Formerly, "its certificate expired on 2001-02-03"),
        (Valid::Later, "its certificate is valid from 4001-02-03 on; compare the clocks"),
    ] {
        let (cert, key) = secured.authority.issue("localhost", valid);
        let identity = IdentityFiles {
            cert: secured.scratch.write("odd.pem", &cert),
            key: secured.scratch.write("odd.key", &key),
        };
        let files = ServerFiles { identity, client_ca: None };
        let (address, _stopper) = serve(Some(ServerTls::open(files).unwrap()));
        let refused = refusal(secured.route_to(address)).await;
        let expected = format!("TLS with localhost:{} failed: {words}", address.port());
        assert_eq!(refused, expected);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_gone() {
    let secured = Secured::new();
    let plain = raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let refused = refusal(secured.route_to(plain)).await;
    assert!(refused.ends_with("the other side does not speak TLS; is it http://?"), "{refused}");

    let closing = raw(|mut stream| async move {
        stream.read_u8().await.ok();
        stream.shutdown().await.ok();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let refused = refusal(secured.route_to(closing)).await;
    assert!(refused.ends_with("closed in the middle of the handshake"), "{refused}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let refused = refusal(secured.route_to(free)).await;
    let expected = format!("cannot connect to localhost:{}: ", free.port());
    assert!(refused.starts_with(&expected) && refused.contains("refused"), "{refused}");
}

/// A proxy that tunnels to one address, and tells what it was asked.
async fn tunnel_to(address: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (asked, heard) = mpsc::unbounded_channel();
    let proxy = raw(move |mut stream| {
        let asked = asked.clone();
        async move {
            asked.send(head(&mut stream).await).unwrap();
            stream.write_all(b"HTTP/1.1 200 Connected\r\nVia: p\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(address).await.unwrap();
            copy_bidirectional(&mut stream, &mut server).await.ok();
        }
    })
    .await;
    (proxy, heard)
}

#[tokio::test]
async fn tls_goes_through_a_proxy_by_connect() {
    let secured = Secured::new();
    let (address, mut heard) = tunnel_to(secured.address).await;
    let url = format!("http://Aladdin:open%20sesame@{address}");
    let to = format!("localhost:{}", secured.address.port());
    let expected = format!(
        "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\
         Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
    );
    let file = secured.scratch.write("proxy", &format!("{url}\n"));
    for way in [Way::Proxy(Proxy::parse(&url).unwrap()), Way::ProxyFile(file)] {
        let route = Route { way, ..secured.route() };
        assert!(!format!("{route:?}").contains("sesame"));
        let mut connection = Dialer::new(route).connect().await.unwrap();
        assert_eq!(ask(&mut connection).await, format!("HTTP/2.0 https://{to}/a?b=c"));
        assert_eq!(heard.recv().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn proxies_that_do_not_connect_are_told_in_words() {
    let secured = Secured::new();
    let to = format!("localhost:{}", secured.address.port());
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
    for (answer, words) in [
        ("HTTP/1.1 407 No\r\n\r\n", "it asks for user and password (407)".to_owned()),
        ("HTTP/1.0 403 No\r\n\r\n", format!("it does not connect to {to} (403)")),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n<html>",
            format!("it does not connect to {to} (302)"),
        ),
        ("SSH-2.0-x\r\n\r\n", "its answer is not HTTP".to_owned()),
        (endless.as_str(), "its answer is too long".to_owned()),
    ] {
        let answer = answer.to_owned();
        let proxy = raw(move |mut stream| {
            let answer = answer.clone();
            async move {
                head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.ok();
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        })
        .await;
        let way = Way::Proxy(Proxy::parse(&proxy.to_string()).unwrap());
        let refused = refusal(Route { way, ..secured.route() }).await;
        assert_eq!(refused, format!("the proxy {proxy}: {words}"));
    }
    let proxy = raw(|stream| async move { drop(stream) }).await;
    let way = Way::Proxy(Proxy::parse(&format!("http://u:hunter2@{proxy}")).unwrap());
    let refused = refusal(Route { way, ..secured.route() }).await;
    assert!(refused.starts_with(&format!("the proxy {proxy} broke the connection")), "{refused}");
    let file = secured.scratch.write("proxy", "socks5://u:hunter2@p:1");
    let refused = refusal(Route { way: Way::ProxyFile(file), ..secured.route() }).await;
    assert!(refused.contains("must hold a proxy's") && !refused.contains("hunter2"), "{refused}");
    let pipe = secured.scratch.path("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let refused = refusal(Route { way: Way::ProxyFile(pipe), ..secured.route() }).await;
    assert!(refused.ends_with("cannot be read: it is no regular file"), "{refused}");
}

#[tokio::test]
async fn without_tls_a_proxy_gets_requests_in_absolute_form() {
    let proxy = raw(|mut stream| async move {
        let head = head(&mut stream).await;
        let length = head.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let way = Way::Proxy(Proxy::parse(&format!("u:p@{proxy}")).unwrap());
    let mut connection =
        Dialer::new(Route { way, ..route("http://c.example:9797") }).connect().await.unwrap();
    let head = ask(&mut connection).await;
    assert!(head.starts_with("GET http://c.example:9797/a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: c.example:9797\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: Basic dTpw\r\n"), "{head}");
}

#[test]
fn urls_are_a_scheme_a_host_and_a_port() {
    for (url, expected) in [
        ("http://h:1", "http://h:1"),
        ("https://h", "https://h:443"),
        ("http://h/", "http://h:80"),
        ("https://[::1]:1/a/b/", "https://[::1]:1/a/b"),
    ] {
        assert_eq!(Target::parse(url).unwrap().to_string(), expected);
    }
    assert_eq!(Target::parse("https://[::1]:1").unwrap().host(), "::1");
    for bad in [
        "h:1",
        "ftp://h:1",
        "http://",
        "http://h:0",
        "http://h:99999",
        "http://h:",
        "http://h:+80",
        "/x",
        "",
        "http://u@h:1",
        "http://h:1/?a",
        "http://h:1/#a",
    ] {
        assert_eq!(Target::parse(bad), Err(BadUrl), "{bad}");
    }
    for (url, here) in [
        ("http://localhost:1", true),
        ("http://127.9.9.9:1", true),
        ("http://[::1]:1", true),
        ("http://[::ffff:127.0.0.1]:1", true),
        ("http://10.0.0.1:1", false),
        ("http://localhost.example:1", false),
    ] {
        assert_eq!(Target::parse(url).unwrap().is_here(), here, "{url}");
    }
}

#[test]
fn proxies_of_the_environment_follow_its_rules() {
    let read = |url: &str, set: &[(&str, &str)]| {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let proxy = from_environment(&Target::parse(url).unwrap(), &set.collect());
        proxy.map(|proxy| proxy.map(|proxy| proxy.authority()))
    };
    let (c, via_p) = ("https://c.example:1", Ok(Some("p:3128".to_owned())));
    assert_eq!(read(c, &[]), Ok(None));
    assert_eq!(read(c, &[("HTTPS_PROXY", "http://p:3128")]), via_p);
    assert_eq!(read(c, &[("https_proxy", "p:3128"), ("HTTP_PROXY", "q")]), via_p);
    assert_eq!(read(c, &[("all_proxy", "http://p:3128/")]), via_p);
    assert_eq!(read(c, &[("HTTP_PROXY", "http://p:3128")]), Ok(None));
    assert_eq!(read(c, &[("HTTPS_PROXY", "")]), Ok(None));
    assert_eq!(read("http://c:1", &[("HTTP_PROXY", "p")]), Ok(Some("p:80".to_owned())));
    for bad in ["socks5://p:1", "https://p:1", "p:port", "://"] {
        assert_eq!(read(c, &[("HTTPS_PROXY", bad)]), Err("HTTPS_PROXY"), "{bad}");
    }
    for (excepts, url, direct) in [
        ("example", c, true),
        (".example", c, true),
        ("c.example", c, true),
        ("other,  c.example", c, true),
        ("*", c, true),
        ("10.0.0.0/8", "https://10.1.2.3:1", true),
        ("10.0.0.0/8", "https://11.1.2.3:1", false),
        ("ample", c, false),
    ] {
        let proxy = read(url, &[("HTTPS_PROXY", "p:3128"), ("NO_PROXY", excepts)]);
        assert_eq!(proxy.unwrap().is_none(), direct, "{excepts} {url}");
    }
    assert_eq!(read("https://localhost:1", &[("HTTPS_PROXY", "p:3128")]), Ok(None));
}

#[test]
fn a_host_refuses_at_each_address_to_which_there_is_a_way() {
    use ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut,
    };
    let refuses = |kinds: &[ErrorKind]| {
        let errors: Vec<io::Error> = kinds.iter().map(|kind| (*kind).into()).collect();
        matches!(unreached("a:1", &errors), DialError::Refused { .. })
    };
    assert!(refuses(&[ConnectionRefused]));
    assert!(refuses(&[AddrNotAvailable, ConnectionRefused, NetworkUnreachable]));
    for kind in [AddrNotAvailable, HostUnreachable, NetworkUnreachable, TimedOut] {
        assert!(!refuses(&[kind]), "{kind}");
    }
    assert!(!refuses(&[HostUnreachable, ConnectionRefused]));
    assert!(!refuses(&[ConnectionRefused, TimedOut]));
    assert!(!refuses(&[]));
}
