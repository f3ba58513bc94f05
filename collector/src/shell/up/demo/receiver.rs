//! The demo's receiver of pages: it checks whose they are and hands them on to be shown.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;
use bellwether_platform::listener::{BindError, Bodies, BodyLimit, Limits, Listener};
use bellwether_platform::sign::SigningKey;
use bellwether_platform::stop::Stop;
use tokio::sync::mpsc;
use tracing::warn;

use crate::pure::demo::page::{Page, Signature};

/// A page's body is at most 256 KiB and one alert.
const BODY: BodyLimit = BodyLimit { bytes: 2 << 20, time: Duration::from_secs(5) };
const BODIES: u32 = 8 << 20;
/// Pages that wait to be shown; the sender is asked to come again.
const PAGES: usize = 64;
/// Ids of pages that are known again.
const SEEN: usize = 256;
/// A signature that is older, or is of a later time, may be another's.
const FRESH: Duration = Duration::from_secs(300);

/// A receiver that is bound and does not serve yet.
pub(super) struct Receiver {
    listener: Listener,
    key: SigningKey,
}

struct Inbox {
    key: SigningKey,
    clock: Clock,
    bodies: Bodies,
    pages: mpsc::Sender<Page>,
    seen: Mutex<VecDeque<String>>,
}

impl Receiver {
    /// Binds a free port of loopback.
    pub(super) fn bind(key: SigningKey) -> Result<Receiver, BindError> {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Ok(Receiver { listener, key })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Serves until stopped; gives what comes.
    pub(super) fn start(self, clock: Clock, stop: Stop) -> mpsc::Receiver<Page> {
        let (pages, received) = mpsc::channel(PAGES);
        let bodies = Bodies::new(BODIES);
        let inbox = Inbox { key: self.key, clock, bodies, pages, seen: Mutex::default() };
        let router = Router::new().route("/", post(receive)).with_state(Arc::new(inbox));
        let limits = Limits { connections: 16, grace: Duration::ZERO, ..Limits::default() };
        let listener = self.listener;
        tokio::spawn(async move {
            if let Err(error) = listener.serve(router, limits, stop).await {
                warn!(%error, "the demo's receiver has ended");
            }
        });
        received
    }
}

/// What is answered, with a word about it.
type Answer = (StatusCode, String);

async fn receive(State(inbox): State<Arc<Inbox>>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    match inbox.bodies.read(body, BODY).await {
        Ok(body) => inbox.take(&head.headers, body.bytes()),
        Err(error) => (error.status(), format!("{error}\n")),
    }
}

impl Inbox {
    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Answer {
        let signature = signature(&self.key, headers, body, self.clock.now().wall);
        let page = match Page::read(body, signature) {
            Ok(page) => page,
            Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let id = text(headers, "webhook-id").unwrap_or_default().to_owned();
        if signature == Signature::Good && self.knows(&id) {
            return (StatusCode::OK, "received before\n".to_owned());
        }
        if self.pages.try_send(page).is_err() {
            return (StatusCode::SERVICE_UNAVAILABLE, "nobody takes pages\n".to_owned());
        }
        if signature == Signature::Good {
            self.note(id);
            (StatusCode::OK, "received\n".to_owned())
        } else {
            (StatusCode::UNAUTHORIZED, format!("{signature}\n"))
        }
    }

    fn knows(&self, id: &String) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn note(&self, id: String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == SEEN {
            seen.pop_front();
        }
        seen.push_back(id);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Checks a page as Standard Webhooks has it.
fn signature(key: &SigningKey, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Signature {
    let Some(signatures) = text(headers, "webhook-signature") else { return Signature::Missing };
    let id = text(headers, "webhook-id");
    let seconds = text(headers, "webhook-timestamp").and_then(|text| text.parse::<i64>().ok());
    let Some((id, seconds)) = id.zip(seconds) else { return Signature::Bad };
    let sent = Timestamp(seconds.saturating_mul(1000));
    let age = now.millis_since(sent).unsigned_abs();
    let fresh = u128::from(age) <= FRESH.as_millis();
    if fresh && key.verifies(signatures, id, seconds, body) {
        Signature::Good
    } else {
        Signature::Bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"version":"4","status":"firing","alerts":[
        {"labels":{"alertname":"DemoBackendDown"},"annotations":{"summary":"it fails"}}]}"#;
    const NOW: i64 = 1_764_000_000;

    fn key(letter: &str) -> SigningKey {
        SigningKey::parse(&format!("whsec_{}", letter.repeat(32))).unwrap()
    }

    fn headers(id: &str, seconds: i64, signature: Option<String>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", seconds.into());
        if let Some(signature) = signature {
            headers.insert("webhook-signature", signature.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_signature_is_good_only_for_its_key_id_time_and_body() {
        let check = |headers: &HeaderMap, body: &[u8], now: i64| {
            signature(&key("A"), headers, body, Timestamp(now * 1000))
        };
        let signed = |letter, id, seconds| Some(key(letter).sign(id, seconds, BODY));
        let good = headers("one", NOW, signed("A", "one", NOW));
        assert_eq!(check(&good, BODY, NOW + 299), Signature::Good);
        assert_eq!(check(&good, BODY, NOW + 301), Signature::Bad, "an old page again");
        assert_eq!(check(&good, BODY, NOW - 301), Signature::Bad, "of the future");
        assert_eq!(check(&good, b"{}", NOW), Signature::Bad);
        let bad = [
            headers("two", NOW, signed("A", "one", NOW)),
            headers("one", NOW + 1, signed("A", "one", NOW)),
            headers("one", NOW, signed("B", "one", NOW)),
            headers("one", NOW, Some("v1,".to_owned())),
            headers("one", NOW, Some(String::new())),
        ];
        for headers in bad {
            assert_eq!(check(&headers, BODY, NOW), Signature::Bad);
        }
        assert_eq!(check(&headers("one", NOW, None), BODY, NOW), Signature::Missing);
        let other = key("B").sign("one", NOW, BODY);
        let both = format!("{other} {}", key("A").sign("one", NOW, BODY));
        assert_eq!(check(&headers("one", NOW, Some(both)), BODY, NOW), Signature::Good);
    }

    #[test]
    fn a_page_that_comes_again_is_answered_and_not_shown_again() {
        let clock = Clock::collector();
        let now = clock.now().wall.0 / 1000;
        let (pages, mut received) = mpsc::channel(2);
        let bodies = Bodies::new(BODIES);
        let inbox = Inbox { key: key("A"), clock, bodies, pages, seen: Mutex::default() };
        let take =
            |id: &str, signature: Option<String>| inbox.take(&headers(id, now, signature), BODY).0;
        let signed = |id: &str| Some(key("A").sign(id, now, BODY));
        assert_eq!(take("one", signed("two")), StatusCode::UNAUTHORIZED);
        assert_eq!(received.try_recv().unwrap().signature, Signature::Bad);
        assert_eq!(take("one", signed("one")), StatusCode::OK);
        assert_eq!(take("one", signed("one")), StatusCode::OK);
        assert_eq!(received.try_recv().unwrap().signature, Signature::Good);
        assert!(received.try_recv().is_err());
        assert_eq!(take("two", signed("two")), StatusCode::OK);
        assert_eq!(take("three", signed("three")), StatusCode::OK);
        assert_eq!(take("four", signed("four")), StatusCode::SERVICE_UNAVAILABLE, "nobody reads");
        drop(received.try_recv());
        assert_eq!(take("four", signed("four")), StatusCode::OK, "it was not taken for known");
        assert_eq!(
            inbox.take(&headers("five", now, signed("five")), b"").0,
            StatusCode::BAD_REQUEST
        );
    }
}
