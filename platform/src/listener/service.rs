//! A function as a service, for pages that need no routes.

use std::future::Future;
use std::task::{Context, Poll};

use hyper::Request;
use hyper::body::Incoming;
use tower_service::Service;

/// A service that calls a function; made by [`service_fn`].
#[derive(Clone, Copy, Debug)]
pub struct ServiceFn<F>(F);

/// Makes a service of an asynchronous function from a request to a response.
pub fn service_fn<F, A>(function: F) -> ServiceFn<F>
where
    F: FnMut(Request<Incoming>) -> A,
{
    ServiceFn(function)
}

impl<F, A, R, E> Service<Request<Incoming>> for ServiceFn<F>
where
    F: FnMut(Request<Incoming>) -> A,
    A: Future<Output = Result<R, E>>,
{
    type Response = R;
    type Error = E;
    type Future = A;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> A {
        (self.0)(request)
    }
}
