use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;

use bellwether_model::id::StoreId;
use bellwether_platform::dial::{Proxy, Way};
use bellwether_platform::listener::{Limits, Listener, service_fn};
use bellwether_platform::stop::{Stopper, stop};
use bellwether_platform::tls::ClientFiles;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::Incoming;

use super::*;

/// What a server answers to every request: status, content type, body.
type Fixed = (u16, &'static str, Vec<u8>);

/// Answers on loopback until the stopper is fired.
fn serve(fixed: Fixed) -> (SocketAddr, Stopper) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address();
    let (stopper, stop) = stop();
    let service = service_fn(move |_: Request<Incoming>| {
        let (status, kind, body) = fixed.clone();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert(CONTENT_TYPE_NAME, HeaderValue::from_static(kind));
        response.headers_mut().insert("location", HeaderValue::from_static("http://127.0.0.1:1/"));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    tokio::spawn(listener.serve(service, Limits::default(), stop));
    (address, stopper)
}

fn client(url: &str, way: Way) -> Client {
    Client::new(&CollectorPlan {
        url: url.to_owned(),
        token: Some(Secret::text("t0ps3cret-t0ps3cret")),
        tls: ClientFiles::default(),
        server_name: None,
        way,
    })
    .unwrap()
}

fn answer(case: Case, text: &str) -> Vec<u8> {
    let mut answer = Answer::new(case, StoreId::default());
    text.clone_into(&mut answer.text);
    let mut bytes = Vec::new();
    answer.put(&mut bytes);
    bytes
}

const HTML: &str = "text/html; charset=utf-8";

#[tokio::test]
async fn what_is_no_answer_of_a_collector_concludes_nothing() {
    let page = || b"<html>Please log in: t0ps3cret</html>".to_vec();
    let applied = || answer(Case::Applied, "");
    let mut cut = applied();
    cut.pop();
    for (fixed, hint) in [
        ((200, HTML, page()), "answers in its place"),
        ((302, HTML, page()), "redirects elsewhere"),
        ((400, HTML, page()), "status 400"),
        ((401, HTML, page()), "status 401"),
        ((403, HTML, page()), "status 403"),
        ((404, HTML, page()), "no collector at this URL"),
        ((407, HTML, page()), "asks for user and password"),
        ((410, HTML, page()), "status 410"),
        ((422, HTML, page()), "status 422"),
        ((503, HTML, page()), "does not reach it"),
        // A good answer as another type, under another status, and damaged.
        ((200, HTML, applied()), "answers in its place"),
        ((410, CONTENT_TYPE, applied()), "status 410"),
        ((200, CONTENT_TYPE, cut), "answers in its place"),
        ((200, CONTENT_TYPE, page()), "answers in its place"),
    ] {
        let (address, _stopper) = serve(fixed);
        let proxy = Proxy::parse(&address.to_string()).unwrap();
        // As a server that stands in the collector's place, and as a proxy before it.
        for (url, way) in [
            (format!("http://{address}"), Way::Direct),
            ("http://collector.example:9797".to_owned(), Way::Proxy(proxy)),
        ] {
            let error = client(&url, way).post(Bytes::new()).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.case(), "no_answer", "{text}");
            assert!(text.contains(hint) && !text.contains("t0ps3cret"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_collectors_answer_is_taken_directly_and_through_a_proxy() {
    let (address, _stopper) = serve((200, CONTENT_TYPE, answer(Case::Applied, "")));
    let proxy = Proxy::parse(&address.to_string()).unwrap();
    for (url, way) in [
        (format!("http://{address}"), Way::Direct),
        ("http://collector.example:9797".to_owned(), Way::Proxy(proxy)),
    ] {
        let mut client = client(&url, way);
        for _ in 0..3 {
            let answered = client.post(Bytes::from_static(b"body")).await.unwrap();
            assert_eq!(answered.answer.case, Case::Applied);
            assert!(client.connection.is_some(), "one connection is kept");
        }
    }
}

/// Answers one connection after the other in HTTP/1.1, as one that does not know any other.
fn serve_http_one(answer: Vec<u8>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bad = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut asked) = (stream.unwrap(), [0; 4096]);
            let length = stream.read(&mut asked).unwrap();
            if asked[..length].starts_with(b"PRI * HTTP/2.0") {
                stream.write_all(bad).unwrap();
            } else {
                stream.write_all(&[head.as_bytes(), &answer].concat()).unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_server_of_http_one_is_no_trouble() {
    let address = serve_http_one(answer(Case::Applied, ""));
    let mut client = client(&format!("http://{address}"), Way::Direct);
    let answered = client.post(Bytes::from_static(b"body")).await.unwrap();
    assert_eq!(answered.answer.case, Case::Applied);
    assert!(client.troubles.0.is_empty());
}

#[tokio::test]
async fn what_is_out_of_reach_has_a_case_of_its_own() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(&format!("http://{address}"), Way::Direct).post(Bytes::new()).await;
    assert_eq!(error.unwrap_err().case(), "unreachable");

    let (plain, _stopper) = serve((200, HTML, Vec::new()));
    let mut tls = client(&format!("https://{plain}"), Way::Direct);
    tls.dialer = Dialer::new(Route {
        target: Target::parse(&format!("https://{plain}")).unwrap(),
        way: Way::Direct,
        tls: ClientFiles { ca: Some("/nowhere".into()), identity: None },
        server_name: None,
    });
    let error = tls.post(Bytes::new()).await.unwrap_err();
    assert_eq!((error.case(), error.to_string().as_str()), ("tls", "\"/nowhere\" does not exist"));

    let (refusing, _stopper) = serve((403, HTML, Vec::new()));
    let refusing = Proxy::parse(&refusing.to_string()).unwrap();
    let mut proxied = client("https://collector.example:9797", Way::Proxy(refusing));
    assert_eq!(proxied.post(Bytes::new()).await.unwrap_err().case(), "proxy");

    let mut tokenless = client(&format!("http://{plain}"), Way::Direct);
    tokenless.token = Some(Secret::file("/nowhere"));
    assert_eq!(tokenless.post(Bytes::new()).await.unwrap_err().case(), "no_token");
}

#[test]
fn each_trouble_is_told_once_until_it_goes_well() {
    let mut troubles = Troubles::default();
    let answered = |case, text: &str| {
        let answer = Answer::read(&answer(case, text)).unwrap();
        Ok(Answered { answer, retry_after: None })
    };
    let broken = || Err(SendError::Unreachable("gone\nfor good".to_owned()));
    assert_eq!(troubles.news(&broken()).as_deref(), Some("gonefor good"));
    assert_eq!(troubles.news(&broken()), None);
    let refused = answered(Case::Unauthorized, "the token is not known");
    let told = troubles.news(&refused);
    assert_eq!(told.as_deref(), Some("unauthorized: the token is not known"));
    assert_eq!((troubles.news(&refused), troubles.news(&broken())), (None, None));
    assert_eq!(troubles.news(&answered(Case::Applied, "")), None);
    assert_eq!(troubles.news(&broken()).as_deref(), Some("gonefor good"));
    for n in 0..100 {
        troubles.news(&Err(SendError::Unreachable(n.to_string())));
    }
    assert_eq!(troubles.0.len(), TROUBLES);
}
