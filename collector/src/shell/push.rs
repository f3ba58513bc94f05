//! `POST /agent/v1/push`: authorise, read, have it judged, wait for the disk, answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use bellwether_model::id::StoreId;
use bellwether_model::limit;
use bellwether_model::time::Nanos;
use bellwether_model::wire::answer::{Answer, CONTENT_TYPE, Case, PUSH_PATH};
use bellwether_platform::clock::Clock;
use bellwether_platform::listener::{Bodies, BodyError, BodyLimit};
use bellwether_platform::principal::{Principals, Refusal, Scope};
use prometheus::IntCounterVec;

use super::auth::reach;
use super::keep::KeeperHandle;

/// A body of at most 1 MiB that takes longer comes from a broken connection.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What the route needs.
pub struct Push {
    /// Where requests are judged.
    pub keeper: KeeperHandle,
    /// Who may send.
    pub principals: Principals,
    /// The budget of all bodies.
    pub bodies: Bodies,
    /// The collector's clock, whose stamps the answer carries.
    pub clock: Clock,
    /// `bellwether_collector_push_total`.
    pub answers: IntCounterVec,
}

/// The route.
pub fn router(push: Arc<Push>) -> Router {
    Router::new().route(PUSH_PATH, post(handle)).with_state(push)
}

async fn handle(State(push): State<Arc<Push>>, request: Request) -> Response<Body> {
    let (mut answer, received) = push.answer(request).await;
    answer.received = received;
    answer.answered = push.clock.nanos();
    push.answers.with_label_values(&[answer.case.as_str()]).inc();
    respond(&answer)
}

impl Push {
    async fn answer(&self, request: Request) -> (Answer, Nanos) {
        let refuse = |case, text: String| {
            let mut answer = Answer::new(case, StoreId::default());
            answer.text = text;
            (answer, self.clock.nanos())
        };
        let reach = reach(&request);
        let known = self.principals.authorize(Scope::Ingest, request.headers(), reach);
        if let Err(refusal) = known {
            let case = match refusal {
                Refusal::NoScope { .. } => Case::Forbidden,
                _ => Case::Unauthorized,
            };
            return refuse(case, refusal.to_string());
        }
        let bound = BodyLimit { bytes: limit::REQUEST_BYTES, time: BODY_TIME };
        let body = match self.bodies.read(request.into_body(), bound).await {
            Ok(body) => body,
            Err(error) => {
                let case = match error {
                    BodyError::TooLarge { .. } => Case::TooLarge,
                    BodyError::Full => Case::Overloaded,
                    BodyError::Broken(_) | BodyError::TimedOut { .. } => Case::BadEnvelope,
                };
                return refuse(case, error.to_string());
            }
        };
        let received = self.clock.nanos();
        match self.keeper.push(body, received).await {
            Ok(reply) => (reply.answer, received),
            Err(error) => refuse(Case::Overloaded, error.to_string()),
        }
    }
}

fn respond(answer: &Answer) -> Response<Body> {
    let mut body = Vec::with_capacity(96);
    answer.put(&mut body);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(answer.case.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if matches!(answer.case, Case::Overloaded | Case::TooMany) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if answer.case == Case::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
