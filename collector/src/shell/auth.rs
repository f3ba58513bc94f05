//! Reading needs the scope `read`; a layer over all routes that are not the agents' own.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, header};
use axum::middleware::Next;
use bellwether_platform::listener::Peer;
use bellwether_platform::principal::{Principals, Reach, Refusal, Scope};

/// Where a request comes from; without a peer, nothing is granted to it.
pub(super) fn reach(request: &Request) -> Reach {
    request.extensions().get::<Peer>().map_or(Reach::Remote, Peer::reach)
}

/// Lets a request pass whose caller may read.
pub(super) async fn reads(
    State(principals): State<Principals>,
    request: Request,
    next: Next,
) -> Response<Body> {
    checked(&principals, Scope::Read, request, next).await
}

/// Lets a request pass whose caller is an administrator.
pub(super) async fn administers(
    State(principals): State<Principals>,
    request: Request,
    next: Next,
) -> Response<Body> {
    checked(&principals, Scope::Admin, request, next).await
}

/// Lets a request pass whose caller is a hook's runner.
pub(super) async fn runs_hooks(
    State(principals): State<Principals>,
    request: Request,
    next: Next,
) -> Response<Body> {
    checked(&principals, Scope::Hook, request, next).await
}

async fn checked(
    principals: &Principals,
    scope: Scope,
    request: Request,
    next: Next,
) -> Response<Body> {
    match principals.authorize(scope, request.headers(), reach(&request)) {
        Ok(_) => next.run(request).await,
        Err(refusal) => refused(&refusal),
    }
}

/// The answer to whoever may not.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{refusal}\n")));
    *response.status_mut() = refusal.status();
    let bearer = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    response
}
