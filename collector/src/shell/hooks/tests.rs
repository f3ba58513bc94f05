use std::sync::mpsc;

use axum::http::{Method, Request as HttpRequest};
use bellwether_model::signal::{Kind, Status};
use bellwether_model::time::{Mono, Nanos, Timestamp};
use bellwether_platform::clock::Reading;
use bellwether_platform::principal::{
    Anonymous, PrincipalSpec, Scope, Scopes, TokenHash, TokenSource,
};
use bellwether_platform::stop::{Stopper, stop};
use tower_service::Service;

use super::*;
use crate::pure::guard::plan::{HookPlan, HooksPlan};
use bellwether_platform::sign::SigningKey;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const RUNNER: &str = "a-runner's-token-of-these-tests";
const AGENT: &str = "an-agent's-token-of-these-tests";
const NOW: i64 = 1_780_000_000;

struct Fixture {
    router: Router,
    routes: Arc<Routes>,
    board: SignalBoard,
    durable: watch::Sender<Position>,
    said: mpsc::Receiver<HookAnswer>,
    stopper: Stopper,
}

impl Fixture {
    fn new() -> Fixture {
        let runner = || Arc::new(HookPlan::Runner { secrets: vec![Secret::text(KEY)] });
        let board = SignalBoard::new(HooksPlan(
            [("web-1".into(), runner()), ("web-2".into(), runner())].into(),
        ));
        let of = |name: &str, token: &str, scope| PrincipalSpec {
            name: name.to_owned(),
            token: TokenSource::Hash(TokenHash::of(token.as_bytes())),
            scopes: Scopes::from_iter([scope]),
        };
        let specs = vec![of("runner", RUNNER, Scope::Hook), of("agent", AGENT, Scope::Ingest)];
        let principals = Principals::new(specs, Anonymous::ReadsOnLoopback).unwrap();
        let (durable, watched) = watch::channel(Position(5));
        let (tell, said) = mpsc::channel();
        let (stopper, stop) = stop();
        let reading =
            Reading { mono: Mono(Duration::from_secs(9)), system: Nanos(NOW * 1_000_000_000) };
        let routes = Arc::new(Routes::new(Hooks {
            board: board.clone(),
            durable: watched,
            answers: Arc::new(move |answer| tell.send(answer).is_ok()),
            principals,
            bodies: Bodies::new(1 << 20),
            clock: Clock::manual(reading).0,
            stop,
        }));
        let router = routed(Arc::clone(&routes));
        Fixture { router, routes, board, durable, said, stopper }
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: &str) -> (u16, String) {
        ask(self.router.clone(), method, path.to_owned(), token, body.to_owned()).await
    }

    /// A poll on its way.
    fn poll(&self, query: &str) -> tokio::task::JoinHandle<(u16, String)> {
        let path = format!("/api/bw/v1/hooks/web-1/signals?{query}");
        tokio::spawn(ask(self.router.clone(), Method::GET, path, RUNNER, String::new()))
    }
}

async fn ask(
    mut router: Router,
    method: Method,
    path: String,
    token: &str,
    body: String,
) -> (u16, String) {
    let mut request = HttpRequest::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = router.call(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn intent(number: u64, hook: &str) -> Arc<Intent> {
    Arc::new(Intent {
        number,
        rollout: "gh-1".into(),
        service: "checkout".into(),
        environment: "production".into(),
        generation: number,
        key: format!("{number:064x}").into(),
        kind: Kind::Rollback,
        from: "2".into(),
        to: "1".into(),
        hook: hook.into(),
        body: format!("{{\"number\":{number}}}").into_bytes().into(),
        at: Timestamp(0),
        deadline: Timestamp(9),
    })
}

fn bodies((status, text): &(u16, String)) -> Vec<String> {
    assert_eq!(*status, 200, "{text}");
    let Signals { signals } = serde_json::from_str(text).unwrap();
    let key = SigningKey::parse(KEY).unwrap();
    for signed in &signals {
        assert_eq!(signed.timestamp, NOW);
        let is_ours =
            key.verifies(&signed.signature, &signed.id, signed.timestamp, signed.body.as_bytes());
        assert!(is_ours, "{signed:?}");
    }
    signals.into_iter().map(|signed| signed.body).collect()
}

#[tokio::test]
async fn a_poll_shows_what_is_durable_and_not_seen() {
    let fixture = Fixture::new();
    let waiting = fixture.poll("wait=60s");
    fixture.board.post(intent(1, "web-2"), Position(1));
    fixture.board.post(intent(2, "web-1"), Position(6));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "nothing of it is durable");
    fixture.durable.send_replace(Position(6));
    assert_eq!(bodies(&waiting.await.unwrap()), ["{\"number\":2}"]);
    // It comes again until it is seen, or over.
    assert_eq!(bodies(&fixture.poll("").await.unwrap()).len(), 1);
    let seen = format!("wait=1ms&seen={:064x},{:064x}", 1, 2);
    assert_eq!(bodies(&fixture.poll(&seen).await.unwrap()).len(), 0);
    fixture.board.post(intent(3, "web-1"), Position(0));
    assert_eq!(bodies(&fixture.poll(&seen).await.unwrap()), ["{\"number\":3}"]);
    fixture.board.take_down(2);
    fixture.board.take_down(3);
    assert_eq!(bodies(&fixture.poll("wait=1ms").await.unwrap()).len(), 0);
}

#[tokio::test]
async fn the_newest_poll_of_a_hook_is_kept() {
    let fixture = Fixture::new();
    let first = fixture.poll("");
    while fixture.routes.newest.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let second = fixture.poll("");
    assert_eq!(first.await.unwrap().0, 409);
    fixture.board.post(intent(1, "web-1"), Position(1));
    assert_eq!(bodies(&second.await.unwrap()).len(), 1);
    let third = fixture.poll(&format!("seen={:064x}", 1));
    fixture.stopper.stop();
    assert_eq!(third.await.unwrap().0, 503);
}

#[tokio::test]
async fn who_may_not_ask_is_told_so() {
    let fixture = Fixture::new();
    let path = "/api/bw/v1/hooks/web-1/signals?wait=1ms";
    for (token, status) in [("", 401), ("nobody's", 401), (AGENT, 403), (RUNNER, 200)] {
        let (got, text) = fixture.ask(Method::GET, path, token, "").await;
        assert_eq!(got, status, "{token}: {text}");
    }
    let path = "/api/bw/v1/hooks/web-1/results";
    for (token, status) in [("", 401), (AGENT, 403)] {
        assert_eq!(fixture.ask(Method::POST, path, token, "{}").await.0, status);
    }
    for path in ["/api/bw/v1/hooks/web-9/signals", "/api/bw/v1/hooks/web-9/results"] {
        let method = if path.ends_with("results") { Method::POST } else { Method::GET };
        assert_eq!(fixture.ask(method, path, RUNNER, "{}").await.0, 404, "{path}");
    }
    let bad = fixture.ask(Method::GET, "/api/bw/v1/hooks/web-1/signals?wait=x", RUNNER, "").await;
    assert_eq!(bad.0, 400);
    assert!(fixture.said.try_recv().is_err(), "nothing was heard");
}

#[tokio::test]
async fn a_result_is_answered_once_it_is_durable() {
    let fixture = Fixture::new();
    let path = "/api/bw/v1/hooks/web-1/results";
    let said = format!("{{\"key\":\"{:064x}\",\"status\":\"done\",\"new\":1}}", 7);
    let tell = || {
        let router = fixture.router.clone();
        tokio::spawn(ask(router, Method::POST, path.to_owned(), RUNNER, said.clone()))
    };
    let heard = async || loop {
        match fixture.said.try_recv() {
            Ok(heard) => return heard,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let telling = tell();
    let HookAnswer { hook, answer, reply } = heard().await;
    assert_eq!((&*hook, answer.status), ("web-1", Status::Done));
    reply.send(Ok(Position(6))).unwrap();
    tokio::task::yield_now().await;
    assert!(!telling.is_finished(), "nothing of it is durable");
    fixture.durable.send_replace(Position(6));
    assert_eq!(telling.await.unwrap(), (200, "{}".to_owned()));
    for (error, status) in [(AnswerError::Unknown, 404), (AnswerError::OtherHook, 403)] {
        let telling = tell();
        heard().await.reply.send(Err(error)).unwrap();
        assert_eq!(telling.await.unwrap(), (status, format!("{error}\n")));
    }
    let telling = tell();
    drop(heard().await.reply);
    assert_eq!(telling.await.unwrap().0, 503);
    let bad = fixture.ask(Method::POST, path, RUNNER, "{\"key\":1}").await;
    assert_eq!(bad.0, 422, "{}", bad.1);
    let long = "x".repeat(ANSWER_BYTES_MAX + 1);
    assert_eq!(fixture.ask(Method::POST, path, RUNNER, &long).await.0, 413);
}
