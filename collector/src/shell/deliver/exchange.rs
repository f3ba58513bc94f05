//! One request and what comes back, within one time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_platform::dial::{AnswerBody, Dialer, causes};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Response;
use hyper::header::{LOCATION, RETRY_AFTER};

use super::prepare::Prepared;
use crate::pure::notify::address::Address;
use crate::pure::notify::record::{Failure, Outcome, RetryAfter};

/// Bytes of an answer's body that are looked at.
const BODY_BYTES: usize = 4096;
/// How long the body of a refusal is waited for; the status has come already.
const BODY_TIME: Duration = Duration::from_secs(1);

/// Sends it; gives the outcome, and the body of a 2xx where somebody reads it.
pub(super) async fn exchange(prepared: Prepared) -> (Outcome, Bytes) {
    let is_sent = AtomicBool::new(false);
    let (timeout, secrets) = (prepared.timeout, prepared.secrets.clone());
    let keeps = Keeps { bytes: prepared.answer_bytes, time: timeout };
    let outcome = match tokio::time::timeout(timeout, ask(prepared, &is_sent)).await {
        Ok(Ok(answer)) => return read(answer, keeps, &secrets).await,
        Ok(Err((failure, reason))) => (failure, reason),
        Err(_) if is_sent.load(Ordering::Relaxed) => {
            (Failure::TimedOut, format!("no answer within {} s", timeout.as_secs_f64()))
        }
        Err(_) => {
            (Failure::Unreachable, format!("no connection within {} s", timeout.as_secs_f64()))
        }
    };
    (Outcome::failed(outcome.0, &without(&outcome.1, &secrets)), Bytes::new())
}

async fn ask(
    prepared: Prepared,
    is_sent: &AtomicBool,
) -> Result<Response<AnswerBody>, (Failure, String)> {
    let mut dialer = Dialer::for_any_server(prepared.route);
    let connected = dialer.connect().await;
    let mut connection = connected.map_err(|error| (Failure::Unreachable, error.to_string()))?;
    is_sent.store(true, Ordering::Relaxed);
    let answer = connection.send(prepared.request).await;
    answer.map_err(|error| (Failure::Broken, causes(&error)))
}

/// What of a 2xx's body is kept, and how long it is waited for.
struct Keeps {
    bytes: usize,
    time: Duration,
}

/// What an answer says.
async fn read(answer: Response<AnswerBody>, keeps: Keeps, secrets: &[String]) -> (Outcome, Bytes) {
    let status = answer.status();
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(RetryAfter::parse);
    if status.is_success() {
        let outcome = Outcome::answered(status.as_u16(), None, "");
        if keeps.bytes == 0 {
            return (outcome, Bytes::new());
        }
        let body = Limited::new(answer.into_body(), keeps.bytes).collect();
        // Without its body a 2xx is one all the same.
        return match tokio::time::timeout(keeps.time, body).await {
            Ok(Ok(body)) => {
                let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                (outcome, without(&text, secrets).into())
            }
            Ok(Err(_)) | Err(_) => (outcome, Bytes::new()),
        };
    }
    if status.is_redirection() {
        let to = header(LOCATION).map(|to| match Address::parse(to) {
            Ok(address) => format!("redirects to {}", address.target),
            Err(_) => "redirects to another path".to_owned(),
        });
        let to = to.unwrap_or_default();
        return (Outcome::answered(status.as_u16(), retry_after, &to), Bytes::new());
    }
    let mut bytes = Vec::new();
    let body = beginning(answer.into_body(), &mut bytes);
    let is_whole = tokio::time::timeout(BODY_TIME, body).await.unwrap_or(false);
    let text = without(&String::from_utf8_lossy(&bytes), secrets);
    let text = if is_whole { &text } else { without_begun(&text, secrets) };
    (Outcome::answered(status.as_u16(), retry_after, text), Bytes::new())
}

/// Reads as much of a body as is looked at. False if there was more, or may have been.
async fn beginning(mut body: AnswerBody, into: &mut Vec<u8>) -> bool {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let data = frame.data_ref().map_or(&[][..], |data| data);
        let room = BODY_BYTES - into.len();
        into.extend_from_slice(data.get(..room).unwrap_or(data));
        if data.len() > room {
            return false;
        }
    }
    true
}

/// A text with dots for each secret.
fn without(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
}

/// A text that was cut, without what may be the beginning of a secret at its end.
fn without_begun<'a>(text: &'a str, secrets: &[String]) -> &'a str {
    // What is cut within a character ends with the mark of that.
    let end = text.trim_end_matches('\u{fffd}').len();
    let found = text.char_indices().find(|(at, _)| {
        let tail = text.get(*at..end).unwrap_or_default();
        !tail.is_empty() && secrets.iter().any(|secret| secret.starts_with(tail))
    });
    found.map_or(text, |(at, _)| text.get(..at).unwrap_or_default())
}
