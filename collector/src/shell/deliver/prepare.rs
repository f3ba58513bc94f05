//! From a delivery to an HTTP request: secrets read, headers made, the way chosen.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::config::{Environment, Secret, SecretSource};
use bellwether_model::signal::ANSWER_BYTES_MAX;
use bellwether_model::time::Timestamp;
use bellwether_platform::dial::{Route, Way, from_environment};
use bellwether_platform::secret::read_secret;
use bellwether_platform::sign::{SigningKey, signatures};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request as HttpRequest};

use crate::pure::guard::plan::HookPlan;
use crate::pure::notify::address::Address;
use crate::pure::notify::event::Request;
use crate::pure::notify::plan::{Authorization, Endpoint};
use crate::pure::notify::record::{Failure, Outcome};

/// Parts of a URL that are shorter are words, not secrets.
const SECRET_BYTES: usize = 8;
/// Says that an earlier attempt may have arrived.
pub(super) const REPEATED: &str = "bellwether-repeated";

/// A request that only needs a connection.
pub(super) struct Prepared {
    pub(super) route: Route,
    pub(super) request: HttpRequest<Bytes>,
    pub(super) timeout: Duration,
    /// Bytes of a 2xx's body that are kept.
    pub(super) answer_bytes: usize,
    /// What must not be said of the answer; the longest first.
    pub(super) secrets: Vec<String>,
}

/// Makes the request of a delivery at a time.
///
/// # Errors
/// The outcome of a delivery that cannot be sent.
pub(super) fn prepare(
    delivery: &Request,
    now: Timestamp,
    environment: &Environment,
) -> Result<Prepared, Outcome> {
    let (endpoint, body) = match delivery {
        Request::Webhook { to, body, .. } => (&to.endpoint, Some(body)),
        Request::Push { to, body } => (&to.endpoint, Some(body)),
        Request::Heartbeat { to } => (&to.endpoint, None),
        Request::Signal(signal) => (called(&signal.to)?.0, Some(&signal.body)),
    };
    let url = text("the URL", &endpoint.url)?;
    let address = Address::parse(&url).map_err(|error| unusable(&format!("the URL {error}")))?;
    let mut secrets = parts(&address.path);
    secrets.retain(|part| part.len() >= SECRET_BYTES);
    secrets.push(url);
    let address = match delivery {
        Request::Push { .. } => address.below("/api/v2/alerts"),
        Request::Webhook { .. } | Request::Heartbeat { .. } | Request::Signal(_) => address,
    };
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let bytes = body.map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body));
    let request = HttpRequest::builder().method(method).uri(&address.path).body(bytes);
    let mut request =
        request.map_err(|_| unusable("the URL has a path that cannot be asked for"))?;
    let headers = request.headers_mut();
    let agent = concat!("bellwether/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(authorization) = &endpoint.authorization {
        headers.insert(AUTHORIZATION, authorized(authorization, &mut secrets)?);
    }
    if let Some((keys, id, body, repeated)) = webhook(delivery)? {
        for (name, value) in signed((keys, &mut secrets), id, now, body)? {
            headers.insert(name, value);
        }
        if repeated {
            headers.insert(REPEATED, HeaderValue::from_static("true"));
        }
    }
    secrets.retain(|secret| !secret.is_empty());
    // One may be a part of another, whose rest would be told.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let route = Route {
        way: way(endpoint, &address, environment)?,
        target: address.target,
        tls: endpoint.tls.clone(),
        server_name: None,
    };
    let answer_bytes = match delivery {
        Request::Signal(_) => ANSWER_BYTES_MAX,
        Request::Webhook { .. } | Request::Push { .. } | Request::Heartbeat { .. } => 0,
    };
    Ok(Prepared { route, request, timeout: endpoint.timeout, answer_bytes, secrets })
}

/// Keys, id, body of a webhook, and whether an earlier attempt may have arrived.
type Webhook<'a> = (&'a [Secret], &'a str, &'a [u8], bool);

fn webhook(delivery: &Request) -> Result<Option<Webhook<'_>>, Outcome> {
    Ok(match delivery {
        Request::Webhook { to, id, body, repeated } => Some((&to.secrets, id, body, *repeated)),
        Request::Signal(signal) => {
            Some((called(&signal.to)?.1, &signal.id, &signal.body, signal.repeated))
        }
        Request::Push { .. } | Request::Heartbeat { .. } => None,
    })
}

/// Where a hook is called, and by which keys.
fn called(hook: &HookPlan) -> Result<(&Endpoint, &[Secret]), Outcome> {
    match hook {
        HookPlan::Webhook { endpoint, secrets } => Ok((endpoint, secrets)),
        HookPlan::Runner { .. } => Err(unusable("the hook is not called, it calls")),
    }
}

fn unusable(reason: &str) -> Outcome {
    Outcome::failed(Failure::Unusable, reason)
}

/// Path segments and what stands in the query: any may be a token.
fn parts(path: &str) -> Vec<String> {
    path.split(['/', '?', '&', '=']).map(str::to_owned).chain([path.to_owned()]).collect()
}

fn text(what: &str, secret: &Secret) -> Result<String, Outcome> {
    secret_text(what, secret).map_err(|reason| unusable(&reason))
}

/// A secret's text, without white space around it.
///
/// # Errors
/// Why its file cannot be used, in words.
pub(in crate::shell) fn secret_text(what: &str, secret: &Secret) -> Result<String, String> {
    let path = match secret.reveal() {
        SecretSource::Text(text) => return Ok(text.trim().to_owned()),
        SecretSource::File(path) => path,
    };
    match read_secret(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Err(format!("the file with {what} is empty: {}", path.display())),
        Err(error) => {
            let path = path.display();
            Err(format!("the file with {what} cannot be read: {path}: {error}"))
        }
    }
}

fn authorized(
    authorization: &Authorization,
    secrets: &mut Vec<String>,
) -> Result<HeaderValue, Outcome> {
    let (what, value) = match authorization {
        Authorization::Bearer(token) => {
            let token = text("the token", token)?;
            secrets.push(token.clone());
            ("the token", format!("Bearer {token}"))
        }
        Authorization::Basic { username, password } => {
            let password = text("the password", password)?;
            let pair = STANDARD.encode(format!("{username}:{password}"));
            secrets.extend([password, pair.clone()]);
            ("the password", format!("Basic {pair}"))
        }
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| unusable(&format!("{what} has characters that no header may have")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads the keys that sign; their texts are added to what must not be said.
///
/// # Errors
/// One cannot be read, or is none.
pub(in super::super) fn signing_keys(
    keys: &[Secret],
    secrets: &mut Vec<String>,
) -> Result<Vec<SigningKey>, Outcome> {
    let mut signing = Vec::new();
    for key in keys {
        let text = text("the key that signs", key)?;
        let key = SigningKey::parse(&text);
        signing.push(key.map_err(|error| unusable(&format!("the key that signs {error}")))?);
        secrets.push(text);
    }
    Ok(signing)
}

/// The headers of Standard Webhooks; without keys all but the signature.
fn signed(
    (keys, secrets): (&[Secret], &mut Vec<String>),
    id: &str,
    now: Timestamp,
    body: &[u8],
) -> Result<Vec<(HeaderName, HeaderValue)>, Outcome> {
    let seconds = now.0.div_euclid(1000);
    let signing = signing_keys(keys, secrets)?;
    let mut headers =
        vec![("webhook-id", id.to_owned()), ("webhook-timestamp", seconds.to_string())];
    if !signing.is_empty() {
        headers.push(("webhook-signature", signatures(&signing, id, seconds, body)));
    }
    let headers = headers.into_iter().map(|(name, value)| {
        let value = HeaderValue::from_str(&value).expect("invariant: visible ASCII");
        (HeaderName::from_static(name), value)
    });
    Ok(headers.collect())
}

fn way(endpoint: &Endpoint, address: &Address, environment: &Environment) -> Result<Way, Outcome> {
    if let Some(way) = &endpoint.way {
        return Ok(way.clone());
    }
    match from_environment(&address.target, environment) {
        Ok(proxy) => Ok(proxy.map_or(Way::Direct, Way::Proxy)),
        Err(name) => Err(unusable(&format!("{name} names no proxy that can be used"))),
    }
}
