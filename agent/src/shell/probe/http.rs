//! A probe over HTTP: requests on new connections until an answer is no redirect.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bellwether_model::config::SecretSource;
use bellwether_model::time::{Mono, http_date};
use bellwether_platform::clock::Clock;
use bellwether_platform::dial::{Scheme, causes};
use bellwether_platform::secret::read_secret;
use bellwether_platform::tls::{Speaks, Wire};
use bellwether_platform::watched::{Watched, Watcher};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;

use super::reach::Reach;
use crate::pure::probe::redirect::{Next, Step, step};
use crate::pure::probe::verdict::Body;
use crate::pure::probe::{Answer, Failure, HeaderPlan, HttpPlan, HttpSight, HttpVersion, Sight};

/// Bytes of the head of an answer that are read.
const HEAD_BYTES: usize = 64 << 10;
const AGENT: &str = concat!("bellwether-agent/", env!("CARGO_PKG_VERSION"));

/// Asks until there is a last answer, and judges that.
pub(super) async fn ask(
    reach: &mut Reach,
    plan: &HttpPlan,
    sight: &mut Sight,
) -> Result<(), Failure> {
    let mut next = Next { url: plan.url.clone(), method: plan.method.clone(), with_body: true };
    loop {
        let headers = headers(plan, &next)?;
        let mut exchange = open(reach, &next, headers.get(HOST), sight).await?;
        let sent = exchange.send(request(plan, &next, headers, exchange.is_http2)?).await;
        let (response, first) =
            sent.map_err(|error| Failure::new(format!("no answer: {}", causes(&error))))?;
        let begun = exchange.begun;
        let answer = answer(&response, next.url.scheme);
        let http = sight.http.get_or_insert_default();
        http.phases.processing += first.since(begun);
        http.answer = Some(answer);
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        match step(plan, &next, answer.status, location, &mut http.redirects)? {
            Step::Next(after) => next = after,
            Step::Stopped => {
                return plan.expect.judge(&answer, response.headers(), Body::Unread);
            }
            Step::Last => {
                let (head, body) = response.into_parts();
                let mut kept = Vec::new();
                let read = read(body, plan, http, &mut kept).await;
                http.phases.transfer += reach.clock.now().mono.since(first);
                let body =
                    read.as_ref().map_or_else(|words| Body::Broken(words), |()| Body::Whole(&kept));
                return plan.expect.judge(&answer, &head.headers, body);
            }
        }
    }
}

/// A connection for one request.
struct Exchange {
    sender: Sender,
    is_http2: bool,
    /// When it was there.
    begun: Mono,
    first: FirstByte,
    clock: Clock,
    _driver: Driver,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// Ends the connection when it is dropped.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When the first byte of the answer came.
#[derive(Clone, Debug)]
struct FirstByte {
    at: Arc<OnceLock<Mono>>,
    clock: Clock,
}

impl Watcher for FirstByte {
    fn came(&self, _: &[u8]) {
        self.at.get_or_init(|| self.clock.now().mono);
    }
}

/// Connects for a request.
async fn open(
    reach: &mut Reach,
    next: &Next,
    host: Option<&HeaderValue>,
    sight: &mut Sight,
) -> Result<Exchange, Failure> {
    let url = &next.url;
    let (address, looked) = reach.resolve(&url.host).await;
    let is_first = sight.address.is_none();
    if is_first {
        sight.lookup = looked;
    }
    sight.http.get_or_insert_default().phases.resolve += looked;
    let address = address?;
    if is_first {
        sight.address = Some(address);
    }
    let (stream, connected) = reach.connect(address, url.port).await;
    let stream = stream?;
    sight.http.get_or_insert_default().phases.connect += connected;
    sight.tls = None;
    let wire = match url.scheme {
        Scheme::Http => Wire::Plain(stream),
        Scheme::Https => {
            let host = host.and_then(|host| host.to_str().ok()).and_then(host_of);
            let name = reach.server_name().map(str::to_owned).or(host);
            let name = name.unwrap_or_else(|| url.host.clone());
            let (wire, shaken) = reach.secure(stream, &name, Speaks::Http, sight).await;
            let wire = wire?;
            sight.http.get_or_insert_default().phases.tls += shaken;
            wire
        }
    };
    let agreed = sight.tls.as_ref().and_then(|tls| tls.agreed.as_ref());
    let is_http2 = agreed.is_some_and(|agreed| agreed.http2);
    Exchange::begin(wire, is_http2, &reach.clock).await
}

/// The name in a header `Host` of the user's choice.
fn host_of(header: &str) -> Option<String> {
    let authority = header.parse::<hyper::http::uri::Authority>().ok()?;
    Some(authority.host().trim_start_matches('[').trim_end_matches(']').to_owned())
}

impl Exchange {
    async fn begin(wire: Wire, is_http2: bool, clock: &Clock) -> Result<Exchange, Failure> {
        let first = FirstByte { at: Arc::default(), clock: clock.clone() };
        let begun = clock.now().mono;
        let stream = TokioIo::new(Watched { io: wire, watcher: first.clone() });
        let failed = |error: hyper::Error| Failure::new(format!("no HTTP: {}", causes(&error)));
        let (sender, driver) = if is_http2 {
            let made = http2::Builder::new(TokioExecutor::new()).handshake(stream).await;
            let (sender, driver) = made.map_err(failed)?;
            (Sender::Two(sender), tokio::spawn(async move { drop(driver.await) }))
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(HEAD_BYTES);
            let (sender, driver) = builder.handshake(stream).await.map_err(failed)?;
            (Sender::One(sender), tokio::spawn(async move { drop(driver.await) }))
        };
        let (clock, _driver) = (clock.clone(), Driver(driver));
        Ok(Exchange { sender, is_http2, begun, first, clock, _driver })
    }

    /// Sends the request; gives the answer's head and when its first byte came.
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Mono), hyper::Error> {
        let response = match &mut self.sender {
            Sender::One(sender) => sender.send_request(request).await?,
            Sender::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        // The first bytes of HTTP/2 are not of the answer.
        let first = self.first.at.get().copied().filter(|_| !self.is_http2);
        Ok((response, first.unwrap_or_else(|| self.clock.now().mono)))
    }
}

/// The headers for one request: what is private stays with the target.
fn headers(plan: &HttpPlan, next: &Next) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let is_home = next.url.is_beside(&plan.url);
    let sent = |header: &&HeaderPlan| is_home || !header.is_private() && header.name != HOST;
    for header in plan.headers.iter().filter(sent) {
        let text = match header.value.reveal() {
            SecretSource::Text(text) => text.to_owned(),
            SecretSource::File(path) => value_in(path)?,
        };
        let value = HeaderValue::from_str(&format!("{}{text}", header.prefix));
        let unusable = || Failure::new(format!("header {} has no usable value", header.name));
        let mut value = value.map_err(|_| unusable())?;
        value.set_sensitive(header.is_private());
        headers.insert(header.name.clone(), value);
    }
    Ok(headers)
}

/// The value of a header from its file, without the end of its line.
fn value_in(path: &Path) -> Result<String, Failure> {
    let text = read_secret(path);
    let text = text.map_err(|error| Failure::new(format!("cannot read {path:?}: {error}")))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn request(
    plan: &HttpPlan,
    next: &Next,
    headers: HeaderMap,
    is_http2: bool,
) -> Result<Request<Full<Bytes>>, Failure> {
    let url = &next.url;
    let body = if next.with_body { Bytes::from(plan.body.clone()) } else { Bytes::new() };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = next.method.clone();
    *request.headers_mut() = headers;
    let bad = |_| Failure::new("the URL cannot be asked for");
    if is_http2 {
        let host = request.headers_mut().remove(HOST);
        let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(&url.authority);
        let uri = Uri::builder().scheme("https").authority(host).path_and_query(&*url.path);
        *request.uri_mut() = uri.build().map_err(bad)?;
        *request.version_mut() = Version::HTTP_2;
    } else {
        let uri = Uri::builder().path_and_query(&*url.path);
        *request.uri_mut() = uri.build().map_err(bad)?;
        let headers = request.headers_mut();
        if !headers.contains_key(HOST) {
            let host = HeaderValue::from_str(&url.authority);
            headers.insert(HOST, host.map_err(|_| Failure::new("the host is no header"))?);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(request)
}

fn answer(response: &Response<Incoming>, scheme: Scheme) -> Answer {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let modified = text(LAST_MODIFIED).and_then(http_date);
    let said = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let is_empty = response.body().is_end_stream();
    Answer {
        status: response.status().as_u16(),
        version: match response.version() {
            Version::HTTP_10 => HttpVersion(10),
            Version::HTTP_2 => HttpVersion(20),
            _ => HttpVersion(11),
        },
        content_length: said.or(is_empty.then_some(0)),
        last_modified: modified.map(|at| at.0.div_euclid(1000)),
        over_tls: scheme == Scheme::Https,
    }
}

/// Reads a body to its end or to the bound; keeps it if somebody looks at it.
async fn read(
    mut body: Incoming,
    plan: &HttpPlan,
    http: &mut HttpSight,
    kept: &mut Vec<u8>,
) -> Result<(), String> {
    let keeps = plan.expect.wants_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the body broke off: {}", causes(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = plan.body_bytes_max - http.body_bytes;
        let data = data.get(..data.len().min(room + 1)).unwrap_or_default();
        http.body_bytes += data.len().min(room);
        if data.len() > room {
            return Err(format!("the body is longer than {} bytes", plan.body_bytes_max));
        }
        if keeps {
            kept.extend_from_slice(data);
        }
    }
    Ok(())
}
