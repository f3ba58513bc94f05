//! One request and what comes back, within one time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_platform::dial::{Dialer, causes};
use http_body_util::{BodyExt, Limited};
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{LOCATION, RETRY_AFTER};

use super::prepare::Prepared;
use crate::pure::notify::address::Address;
use crate::pure::notify::record::{Failure, Outcome, RetryAfter};

/// Bytes of an answer's body that are looked at.
const BODY_BYTES: usize = 4096;
/// How long the body of a refusal is waited for; the status has come already.
const BODY_TIME: Duration = Duration::from_secs(1);

/// Sends it.
pub(super) async fn exchange(prepared: Prepared) -> Outcome {
    let is_sent = AtomicBool::new(false);
    let (timeout, secrets) = (prepared.timeout, prepared.secrets.clone());
    let outcome = match tokio::time::timeout(timeout, ask(prepared, &is_sent)).await {
        Ok(Ok(answer)) => return read(answer, &secrets).await,
        Ok(Err((failure, reason))) => (failure, reason),
        Err(_) if is_sent.load(Ordering::Relaxed) => {
            (Failure::TimedOut, format!("no answer within {} s", timeout.as_secs_f64()))
        }
        Err(_) => {
            (Failure::Unreachable, format!("no connection within {} s", timeout.as_secs_f64()))
        }
    };
    Outcome::failed(outcome.0, &without(&outcome.1, &secrets))
}

async fn ask(
    prepared: Prepared,
    is_sent: &AtomicBool,
) -> Result<Response<Incoming>, (Failure, String)> {
    let mut dialer = Dialer::for_any_server(prepared.route);
    let connected = dialer.connect().await;
    let mut connection = connected.map_err(|error| (Failure::Unreachable, error.to_string()))?;
    is_sent.store(true, Ordering::Relaxed);
    let answer = connection.send(prepared.request).await;
    answer.map_err(|error| (Failure::Broken, causes(&error)))
}

/// What an answer says.
async fn read(answer: Response<Incoming>, secrets: &[String]) -> Outcome {
    let status = answer.status();
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(RetryAfter::parse);
    if status.is_success() {
        return Outcome::answered(status.as_u16(), None, "");
    }
    if status.is_redirection() {
        let to = header(LOCATION).map(|to| match Address::parse(to) {
            Ok(address) => format!("redirects to {}", address.target),
            Err(_) => "redirects to another path".to_owned(),
        });
        return Outcome::answered(status.as_u16(), retry_after, &to.unwrap_or_default());
    }
    let body = Limited::new(answer.into_body(), BODY_BYTES).collect();
    let text = match tokio::time::timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Ok(Err(_)) | Err(_) => String::new(),
    };
    Outcome::answered(status.as_u16(), retry_after, &without(&text, secrets))
}

/// A text with dots for each secret.
fn without(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
}
