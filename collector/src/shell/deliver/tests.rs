//! Receivers that hang, refuse, answer late or wrongly, on loopback.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use bellwether_model::config::Secret;
use bellwether_platform::sign::SigningKey;
use bellwether_platform::tls::ClientFiles;

use super::*;
use crate::pure::guard::lane::effect::SignalDelivery;
use crate::pure::guard::plan::HookPlan;
use crate::pure::notify::plan::{
    AlertmanagerPlan, Authorization, Endpoint, GroupBy, HeartbeatPlan, ReceiverPlan,
};
use crate::pure::notify::record::{Failure, RetryAfter};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver does with a connection; it has read the request.
type Behaviour = fn(TcpStream);

/// A receiver and the requests it has read.
struct Receiver {
    address: SocketAddr,
    requests: std_mpsc::Receiver<String>,
}

impl Receiver {
    fn new(behaviour: Behaviour) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, requests) = std_mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&mut stream);
                if told.send(request).is_err() {
                    return;
                }
                std::thread::spawn(move || behaviour(stream));
            }
        });
        Receiver { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/hook/planted-path-token?key=planted-query-token", self.address)
    }
}

/// One request: head, and as much body as it says.
fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "a request: {text:?}");
            continue;
        };
        let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            return text;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, v)| v)
}

fn endpoint(url: String) -> Endpoint {
    Endpoint {
        url: Secret::text(url),
        authorization: None,
        tls: ClientFiles { ca: None, identity: None },
        way: None,
        timeout: Duration::from_millis(300),
    }
}

fn webhook(endpoint: Endpoint, secrets: Vec<Secret>) -> Request {
    let to = ReceiverPlan {
        name: "ops".into(),
        endpoint,
        secrets,
        send_resolved: true,
        max_alerts: 0,
        matchers: Vec::new(),
        group_by: GroupBy::All,
        group_wait: Duration::ZERO,
        group_interval: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        deadline: Duration::ZERO,
    };
    let body = br#"{"test": 2432232314}"#[..].into();
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
    Request::Webhook { to: Arc::new(to), id, body, repeated: true }
}

fn outcome(request: &Request) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let now = Timestamp(1_614_265_330_999);
    let (outcome, body) = runtime.block_on(send(request, now, &BTreeMap::new()));
    runtime.shutdown_background();
    assert!(body.is_empty(), "nobody reads it");
    let said = format!("{outcome:?} {request:?}");
    assert!(!said.contains("planted"), "{said}");
    outcome
}

/// The outcome of a webhook to a receiver of some behaviour.
fn met(behaviour: Behaviour) -> Outcome {
    let receiver = Receiver::new(behaviour);
    outcome(&webhook(endpoint(receiver.url()), Vec::new()))
}

fn answer(mut stream: TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_webhook_is_signed_and_carries_its_id() {
    let receiver = Receiver::new(|stream| answer(stream, "HTTP/1.1 204 No Content\r\n\r\n"));
    let dir = std::env::temp_dir().join(format!("bellwether-deliver-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("key");
    let newer = "whsec_cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQtcGxhbnRlZA==";
    std::fs::write(&file, format!("{newer}\n")).unwrap();
    let authorization = Some(Authorization::Basic {
        username: "u".to_owned(),
        password: Secret::text("planted-password"),
    });
    let to = Endpoint { authorization, ..endpoint(receiver.url()) };
    let request = webhook(to, vec![Secret::file(&file), Secret::text(KEY)]);
    assert_eq!(outcome(&request), Outcome::answered(204, None, ""));
    let got = receiver.requests.recv().unwrap();
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    let first = "POST /hook/planted-path-token?key=planted-query-token HTTP/1.1";
    assert_eq!(head.lines().next(), Some(first));
    assert_eq!(header(head, "webhook-id"), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
    assert_eq!(header(head, "webhook-timestamp"), Some("1614265330"));
    let by_newer = SigningKey::parse(newer).unwrap();
    let by_newer = by_newer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body.as_bytes());
    let both = format!("{by_newer} v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(header(head, "webhook-signature"), Some(&*both));
    assert_eq!(header(head, "bellwether-repeated"), Some("true"));
    assert_eq!(header(head, "authorization"), Some("Basic dTpwbGFudGVkLXBhc3N3b3Jk"));
    assert_eq!(header(head, "content-type"), Some("application/json"));
    // The file is read at each use.
    std::fs::write(&file, "planted-no-key").unwrap();
    let Outcome::Failed { failure: Failure::Unusable, reason } = outcome(&request) else {
        panic!("a key that is none")
    };
    assert!(reason.contains("must be `whsec_`"), "{reason}");
    std::fs::remove_dir_all(&dir).unwrap();
    let Outcome::Failed { failure: Failure::Unusable, reason } = outcome(&request) else {
        panic!("no file")
    };
    assert!(reason.contains("cannot be read"), "{reason}");
    assert!(receiver.requests.try_recv().is_err(), "nothing was sent");
}

#[test]
fn a_pipe_in_the_place_of_a_secret_holds_up_nothing() {
    let receiver = Receiver::new(|stream| answer(stream, "HTTP/1.1 204 No Content\r\n\r\n"));
    let dir = std::env::temp_dir().join(format!("bellwether-pipes-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let pipe = dir.join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let reasons = [
        webhook(endpoint(receiver.url()), vec![Secret::file(&pipe)]),
        webhook(Endpoint { url: Secret::file(&pipe), ..endpoint(String::new()) }, Vec::new()),
    ]
    .map(|request| match outcome(&request) {
        Outcome::Failed { failure: Failure::Unusable, reason } => reason,
        other => panic!("{other:?}"),
    });
    for (reason, what) in reasons.iter().zip(["the key that signs", "the URL"]) {
        let expected = format!("the file with {what} cannot be read: {}", pipe.display());
        assert_eq!(*reason, format!("{expected}: it is no regular file"));
    }
    // A file that is too large is not taken for what it begins with.
    let large = dir.join("large");
    std::fs::write(&large, format!("{KEY}\n{}", " ".repeat(20_000))).unwrap();
    let request = webhook(endpoint(receiver.url()), vec![Secret::file(&large)]);
    let Outcome::Failed { failure: Failure::Unusable, reason } = outcome(&request) else {
        panic!("a file that is too large")
    };
    assert!(reason.ends_with("it is larger than 16 KiB"), "{reason}");
    assert!(receiver.requests.try_recv().is_err(), "nothing was sent");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn answers_are_told_apart() {
    let slowly = |stream| answer(stream, "HTTP/1.1 429 X\r\nretry-after: 17\r\n\r\nslowly");
    let asked = Some(RetryAfter::Seconds(17));
    assert_eq!(met(slowly), Outcome::answered(429, asked, "slowly"));
    let dated = |stream| {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        answer(
            stream,
            &format!("HTTP/1.1 503 X\r\nRetry-After: {date}\r\ncontent-length: 0\r\n\r\n"),
        );
    };
    let asked = Some(RetryAfter::At(Timestamp(784_111_777_000)));
    assert_eq!(met(dated), Outcome::answered(503, asked, ""));
    let gone = |stream| answer(stream, "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(met(gone), Outcome::answered(410, None, ""));
    let echo = |stream| {
        let body = "no hook planted-path-token with planted-query-token\n";
        answer(stream, &format!("HTTP/1.1 404 X\r\ncontent-length: 52\r\n\r\n{body}"));
    };
    assert_eq!(met(echo), Outcome::answered(404, None, "no hook … with …"));
    // A body that never ends is not waited for; its beginning is told.
    let endless = |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 500 X\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    };
    assert_eq!(met(endless), Outcome::answered(500, None, &"x".repeat(4096)));
    let long = |stream| {
        let body = format!("the field `team` is unknown {}", " ".repeat(10_000));
        answer(stream, &format!("HTTP/1.1 400 X\r\ncontent-length: 10028\r\n\r\n{body}"));
    };
    assert_eq!(met(long), Outcome::answered(400, None, "the field `team` is unknown"));
    // What is cut may end within a secret.
    let receiver = Receiver::new(|stream| {
        let body = format!("planted-{}", "z".repeat(92)).repeat(50);
        answer(stream, &format!("HTTP/1.1 400 X\r\ncontent-length: 5000\r\n\r\n{body}"));
    });
    let token = format!("planted-{}", "z".repeat(92));
    let authorization = Some(Authorization::Bearer(Secret::text(token)));
    let to = Endpoint { authorization, ..endpoint(receiver.url()) };
    let told = outcome(&webhook(to, Vec::new()));
    assert_eq!(told, Outcome::answered(400, None, &"…".repeat(40)));
}

#[test]
fn secrets_are_masked_however_short_and_the_longest_first() {
    let echo = |stream| {
        let body = "abc, abcdefgh, dTphYmM=\n";
        answer(stream, &format!("HTTP/1.1 401 X\r\ncontent-length: 24\r\n\r\n{body}"));
    };
    let receiver = Receiver::new(echo);
    let password = Secret::text("abc");
    let authorization = Some(Authorization::Basic { username: "u".to_owned(), password });
    let url = format!("http://{}/hook?key=abcdefgh", receiver.address);
    let request = webhook(Endpoint { authorization, ..endpoint(url) }, Vec::new());
    assert_eq!(outcome(&request), Outcome::answered(401, None, "…, …, …"));
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = |stream| {
        let to = "http://127.0.0.1:1/planted";
        answer(stream, &format!("HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"));
    };
    let told = Outcome::answered(307, None, "redirects to http://127.0.0.1:1");
    assert_eq!(met(elsewhere), told);
    let here = |stream| answer(stream, "HTTP/1.1 302 X\r\nlocation: /planted\r\n\r\n");
    assert_eq!(met(here), Outcome::answered(302, None, "redirects to another path"));
}

#[test]
fn what_is_no_answer_is_told_apart_by_whether_it_may_have_arrived() {
    let (kept, hanging) = std_mpsc::channel::<TcpStream>();
    static HELD: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());
    drop((kept, hanging));
    let hangs = |stream| HELD.lock().unwrap().push(stream);
    let Outcome::Failed { failure, reason } = met(hangs) else { panic!("no answer") };
    assert_eq!((failure, reason.as_str()), (Failure::TimedOut, "no answer within 0.3 s"));
    let breaks = |stream| drop(stream);
    let Outcome::Failed { failure, .. } = met(breaks) else { panic!("broken off") };
    assert_eq!(failure, Failure::Broken);
    let half = |stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-le");
    let Outcome::Failed { failure, .. } = met(half) else { panic!("half an answer") };
    assert_eq!(failure, Failure::Broken);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/planted-path-token");
    let Outcome::Failed { failure, reason } = outcome(&webhook(endpoint(url), Vec::new())) else {
        panic!("nobody listens")
    };
    assert_eq!(failure, Failure::Unreachable);
    assert!(reason.contains("refused"), "{reason}");
    let url = "http://u:planted-password@h/".to_owned();
    let Outcome::Failed { failure, .. } = outcome(&webhook(endpoint(url), Vec::new())) else {
        panic!("no such URL")
    };
    assert_eq!(failure, Failure::Unusable);
}

#[test]
fn alertmanagers_and_the_heartbeat_are_asked_in_their_way() {
    let receiver =
        Receiver::new(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    let base = format!("http://{}/am/", receiver.address);
    let authorization = Some(Authorization::Bearer(Secret::text("planted-bearer")));
    let endpoint = |url: String| Endpoint { authorization: authorization.clone(), ..endpoint(url) };
    let to = Arc::new(AlertmanagerPlan { name: "am".into(), endpoint: endpoint(base.clone()) });
    assert!(outcome(&Request::Push { to, body: b"[]"[..].into() }).is_success());
    let got = receiver.requests.recv().unwrap();
    assert!(got.starts_with("POST /am/api/v2/alerts HTTP/1.1\r\n"), "{got}");
    assert_eq!(header(&got, "authorization"), Some("Bearer planted-bearer"));
    assert!(got.ends_with("\r\n\r\n[]"));
    let every = Duration::from_secs(1);
    let to = Arc::new(HeartbeatPlan { endpoint: endpoint(base), every });
    assert!(outcome(&Request::Heartbeat { to }).is_success());
    assert!(receiver.requests.recv().unwrap().starts_with("GET /am/ HTTP/1.1\r\n"));
}

#[test]
fn nothing_leaves_before_its_position_is_durable() {
    let receiver =
        Receiver::new(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    let (outgoing, queue) = mpsc::unbounded_channel();
    let (synced, durable) = watch::channel(Position(6));
    let (told, outcomes) = std_mpsc::channel();
    let registry = Registry::new();
    let deliverer = Deliverer {
        outgoing: queue,
        durable,
        outcomes: Arc::new(move |ended: Ended| told.send((ended.ticket, ended.outcome)).unwrap()),
        clock: Clock::collector(),
        environment: BTreeMap::new(),
        metrics: DeliverMetrics::new(&registry),
    };
    let thread = start(deliverer).unwrap();
    let ticket = |beat| Ticket::Heartbeat { beat };
    let to = Endpoint { timeout: Duration::from_secs(30), ..endpoint(receiver.url()) };
    for (beat, position) in [(7, 7), (1, 6)] {
        let request = webhook(to.clone(), Vec::new());
        let delivery = Delivery { ticket: ticket(beat), request };
        outgoing.send((delivery, Position(position))).unwrap();
    }
    // The one that waits holds up nobody.
    let (first, outcome) = outcomes.recv().unwrap();
    assert_eq!((first, outcome.is_success()), (ticket(1), true));
    receiver.requests.recv().unwrap();
    assert!(receiver.requests.try_recv().is_err());
    synced.send(Position(7)).unwrap();
    assert_eq!(outcomes.recv().unwrap().0, ticket(7));
    receiver.requests.recv().unwrap();
    assert_eq!(registry.gather()[0].get_metric()[0].get_histogram().get_sample_count(), 2);
    drop(outgoing);
    thread.join().unwrap();
}

fn signal(url: String) -> SignalDelivery {
    SignalDelivery {
        signal: 7,
        attempt: 2,
        to: Arc::new(HookPlan::Webhook {
            endpoint: Box::new(endpoint(url)),
            secrets: vec![Secret::text(KEY)],
        }),
        id: "rb_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
        body: br#"{"type":"rollback.requested"}"#[..].into(),
        repeated: true,
        deadline: Timestamp(1_614_265_331_000),
    }
}

fn signalled(delivery: SignalDelivery) -> (Outcome, Bytes) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let now = Timestamp(1_614_265_330_999);
    let ended = runtime.block_on(send(&Request::Signal(delivery), now, &BTreeMap::new()));
    runtime.shutdown_background();
    ended
}

#[test]
fn a_signal_is_signed_and_what_the_hook_answers_is_kept() {
    let receiver = Receiver::new(|stream| {
        let body = r#"{"key":"9f","status":"done"}"#;
        answer(stream, &format!("HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\n{body}"));
    });
    let delivery = Delivery::from(signal(receiver.url()));
    assert_eq!(delivery.ticket, Ticket::Signal { signal: 7, attempt: 2 });
    let (outcome, body) = signalled(signal(receiver.url()));
    assert_eq!(outcome, Outcome::answered(200, None, ""));
    assert_eq!(&body[..], br#"{"key":"9f","status":"done"}"#);
    let got = receiver.requests.recv().unwrap();
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    let id = "rb_p5jXN8AQM9LWM0D4loKWxJek";
    assert_eq!(header(head, "webhook-id"), Some(id));
    assert_eq!(header(head, "bellwether-repeated"), Some("true"));
    let key = SigningKey::parse(KEY).unwrap();
    let signature = header(head, "webhook-signature").unwrap();
    assert!(key.verifies(signature, id, 1_614_265_330, body.as_bytes()), "{signature}");
}

#[test]
fn an_answer_that_is_too_long_or_breaks_off_is_a_2xx_all_the_same() {
    let long = Receiver::new(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let ended = signalled(signal(long.url()));
    assert_eq!(ended, (Outcome::answered(200, None, ""), Bytes::new()));
    let short = Receiver::new(|stream| {
        answer(stream, "HTTP/1.1 202 Accepted\r\ncontent-length: 28\r\n\r\n{");
    });
    let ended = signalled(signal(short.url()));
    assert_eq!(ended, (Outcome::answered(202, None, ""), Bytes::new()));
}

#[test]
fn no_signal_leaves_after_its_deadline_or_for_a_hook_that_calls() {
    let receiver = Receiver::new(|stream| answer(stream, "HTTP/1.1 200 OK\r\n\r\n"));
    let late = SignalDelivery { deadline: Timestamp(1_614_265_330_999), ..signal(receiver.url()) };
    let to = Arc::new(HookPlan::Runner { secrets: vec![Secret::text(KEY)] });
    for (delivery, reason) in [
        (late, "the deadline has passed"),
        (SignalDelivery { to, ..signal(receiver.url()) }, "the hook is not called, it calls"),
    ] {
        let (outcome, _) = signalled(delivery);
        assert_eq!(outcome, Outcome::failed(Failure::Unusable, reason));
    }
    assert!(receiver.requests.try_recv().is_err(), "nothing was sent");
}
