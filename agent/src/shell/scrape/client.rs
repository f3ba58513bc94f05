//! Fetches the page of one target, over a connection that is kept.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::config::{Secret, SecretSource};
use bellwether_model::exposition::Format;
use bellwether_platform::dial::{
    AnswerBody, Connection, DialError, Dialer, Route, Target, Way, causes,
};
use bellwether_platform::secret::read_secret;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};

use crate::pure::probe::redirect::REDIRECTS_MAX;
use crate::pure::probe::url::Url;
use crate::pure::scrape::rows::version;
use crate::pure::scrape::target::ScrapeTarget;
use crate::pure::scrape::{Authorization, Failure, Reason, VersionPlan};
use crate::shell::lookup::Lookups;

/// What is liked to come, the best first, as Prometheus says it.
const FORMATS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,\
    text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
/// No page is compressed: nothing here could unpack it.
const PLAIN: &str = "identity";
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
const AGENT: &str = concat!("bellwether-agent/", env!("CARGO_PKG_VERSION"));
/// Bytes of a body that is kept room for from scrape to scrape.
const ROOM_BYTES: usize = 4 << 20;

/// What has come beside the body.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) format: Format,
    pub(super) version: Option<String>,
}

/// The way to one page.
pub(super) struct Client {
    target: Arc<ScrapeTarget>,
    dialer: Option<Dialer>,
    connection: Option<Connection>,
    lookups: Lookups,
    body: Vec<u8>,
}

fn local(words: impl Into<String>) -> Failure {
    Failure::new(Reason::Local, words)
}

fn unreachable(words: impl Into<String>) -> Failure {
    Failure::new(Reason::Unreachable, words)
}

fn refused(words: impl Into<String>) -> Failure {
    Failure::new(Reason::Refused, words)
}

impl Client {
    pub(super) fn new(target: Arc<ScrapeTarget>) -> Client {
        let fetch = &target.job.fetch;
        let to = Target::parse(&format!("{}://{}", target.url.scheme, target.url.authority)).ok();
        let route = to.map(|to| Route {
            target: to,
            way: fetch.way.clone(),
            tls: fetch.files.clone(),
            server_name: fetch.server_name.clone(),
        });
        let dialer = route.map(|route| Dialer::for_any_server(route).trusting(fetch.trust));
        let (lookups, body) = (Lookups::default(), Vec::new());
        Client { target, dialer, connection: None, lookups, body }
    }

    /// The body of the last page.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Gives the connection up.
    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Fetches the page.
    pub(super) async fn fetch(&mut self) -> Result<Answered, Failure> {
        let mut url = self.target.url.clone();
        let mut redirects = 0;
        loop {
            let response = self.ask(&url).await?;
            let status = response.status();
            if status == StatusCode::OK {
                return self.take(response).await;
            }
            let follows = self.target.job.fetch.follow_redirects && status.is_redirection();
            let location = response.headers().get(LOCATION).filter(|_| follows);
            let next = location.and_then(|to| url.join(to.to_str().ok()?).ok());
            let next = next.filter(|next| next.is_beside(&self.target.url));
            redirects += 1;
            match next.filter(|_| redirects <= REDIRECTS_MAX) {
                Some(next) => {
                    // What comes with it is not read, so nothing else can come after it.
                    self.hang_up();
                    url = next;
                }
                None => {
                    let words = format!("the server answers with the status {status}");
                    return Err(Failure::new(Reason::Status, words));
                }
            }
        }
    }

    async fn ask(&mut self, url: &Url) -> Result<Response<AnswerBody>, Failure> {
        let request = self.request(url)?;
        if let Some(mut connection) = self.connection.take().filter(|held| !held.is_closed())
            && let Ok(response) = connection.send(request.clone()).await
        {
            // One that was kept may have been closed by the other side: a new one tells.
            self.connection = Some(connection);
            return Ok(response);
        }
        let mut connection = self.connect().await?;
        let sent = connection.send(request).await;
        // A handler that panics closes its connection too, in a process that serves well.
        let no_answer = |error| unreachable(format!("no answer: {}", causes(&error)));
        let response = sent.map_err(no_answer)?;
        self.connection = Some(connection);
        Ok(response)
    }

    async fn connect(&mut self) -> Result<Connection, Failure> {
        // What a proxy says is not of the target.
        let is_direct = matches!(self.target.job.fetch.way, Way::Direct);
        let dialer = self.dialer.as_mut().ok_or_else(|| local("the address cannot be asked"))?;
        let failed = |error: DialError| match error {
            DialError::Files(_) | DialError::Proxy(_) => local(error.to_string()),
            DialError::Refused { .. } if is_direct => refused(error.to_string()),
            DialError::Refused { .. } | DialError::Unreachable { .. } | DialError::Tls { .. } => {
                unreachable(error.to_string())
            }
        };
        let hop = dialer.hop().map_err(failed)?;
        let found = self.lookups.find(hop.authority()).await;
        let found = found
            .map_err(|error| unreachable(format!("{} has no address: {error}", hop.authority())))?;
        dialer.connect_at(hop, &found).await.map_err(failed)
    }

    fn request(&self, url: &Url) -> Result<Request<Bytes>, Failure> {
        let mut request = Request::builder()
            .uri(&*url.path)
            .body(Bytes::new())
            .map_err(|_| local("the path cannot be asked for"))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(FORMATS));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(PLAIN));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let timeout = self.target.timeout.as_secs_f64().to_string();
        let timeout = HeaderValue::from_str(&timeout).ok();
        headers.extend(timeout.map(|value| (HeaderName::from_static(TIMEOUT), value)));
        if let Some(authorization) = &self.target.job.fetch.authorization {
            let text = match authorization {
                Authorization::Scheme(kind, secret) => format!("{kind} {}", revealed(secret)?),
                Authorization::Basic(user, secret) => {
                    let pair = format!("{user}:{}", revealed(secret)?);
                    format!("Basic {}", STANDARD.encode(pair))
                }
            };
            let value = HeaderValue::from_str(&text);
            let mut value = value.map_err(|_| local("the credentials are no header"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn take(&mut self, response: Response<AnswerBody>) -> Result<Answered, Failure> {
        let (head, mut body) = response.into_parts();
        let text = |name: &HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok());
        let encoding = text(&CONTENT_ENCODING).unwrap_or(PLAIN);
        if !encoding.eq_ignore_ascii_case(PLAIN) {
            let words = format!("the page is encoded as {encoding:?}, though it was not asked to");
            return Err(Failure::new(Reason::Malformed, words));
        }
        let kind = text(&CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let format = match kind.eq_ignore_ascii_case("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Text,
        };
        let version = match &self.target.job.reading.version {
            Some(VersionPlan::Header(name)) => text(name).map(version).transpose()?,
            Some(VersionPlan::File(path)) => Some(first_line(path)?),
            _ => None,
        };
        let max = self.target.job.fetch.body_bytes_max;
        self.body.clear();
        self.body.shrink_to(ROOM_BYTES);
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|e| unreachable(format!("the page broke off: {}", causes(&e))))?;
            let Ok(data) = frame.into_data() else { continue };
            if self.body.len() + data.len() > max {
                let words = format!("the page is longer than {max} bytes");
                return Err(Failure::new(Reason::Limit, words));
            }
            self.body.extend_from_slice(&data);
        }
        Ok(Answered { format, version })
    }
}

fn revealed(secret: &Secret) -> Result<String, Failure> {
    match secret.reveal() {
        SecretSource::Text(text) => Ok(text.to_owned()),
        SecretSource::File(path) => {
            let text = read_secret(path);
            let text = text.map_err(|error| local(format!("cannot read {path:?}: {error}")))?;
            Ok(text.trim().to_owned())
        }
    }
}

fn first_line(path: &str) -> Result<String, Failure> {
    let text = read_secret(Path::new(path));
    let text = text.map_err(|error| local(format!("cannot read {path:?}: {error}")))?;
    version(text.lines().next().unwrap_or_default())
}
