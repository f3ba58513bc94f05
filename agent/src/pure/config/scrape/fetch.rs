//! How pages are fetched: credentials, TLS, a proxy.

use bellwether_model::config::{Fields, Secret, SecretSource, code};
use bellwether_model::diagnostic::Diagnostic;
use bellwether_platform::dial::{Proxy, Way};
use hyper::header::HeaderValue;

use super::super::probe::module::tls;
use crate::pure::probe::TlsPlan;
use crate::pure::scrape::{Authorization, Fetch};

pub(super) fn describe(f: &mut Fields<'_>, (bytes, bytes_max): (u64, u64)) -> Fetch {
    let TlsPlan { files, trust, server_name } = tls(f);
    let way = way(f);
    let authorization = authorization(f);
    let follow_redirects =
        f.flag("follow_redirects", "Whether redirects to the same server are followed.").or(true);
    // Zero is no limit to Prometheus.
    let bytes = match f
        .size("body_size_limit", "Bytes of a page; a longer one fails.")
        .between(0, bytes_max)
        .or(bytes)
    {
        0 => bytes_max,
        bytes => bytes,
    };
    let body_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    Fetch { files, trust, server_name, way, authorization, follow_redirects, body_bytes_max }
}

fn way(f: &mut Fields<'_>) -> Way {
    let own = Way::describe(f);
    let url = f
        .secret("proxy_url", "The same as `proxy`, by Prometheus' name.")
        .check(|proxy| match proxy.reveal() {
            SecretSource::File(_) => Ok(()),
            SecretSource::Text(text) => Proxy::parse(text).map(drop).map_err(|e| e.to_string()),
        })
        .optional();
    if own.is_some() && url.is_some() {
        let message = "`proxy` and `proxy_url` are one";
        f.push(Diagnostic::error(code::CONFLICT, f.place_of("proxy_url"), message));
    }
    let url = url.map(|url| match url.reveal() {
        SecretSource::File(path) => Way::ProxyFile(path.to_owned()),
        SecretSource::Text(text) => Proxy::parse(text).map_or(Way::Direct, Way::Proxy),
    });
    own.or(url).unwrap_or(Way::Direct)
}

fn authorization(f: &mut Fields<'_>) -> Option<Authorization> {
    let basic = f.optional_section("basic_auth", |f| {
        let user = f.text("username", "The user.").required();
        let password = f.secret("password", "The password.").optional().unwrap_or_default();
        if user.contains(':') {
            let message = "a user's name cannot have a colon";
            f.push(Diagnostic::error(code::INVALID, f.place_of("username"), message));
        }
        Authorization::Basic(user, password)
    });
    let scheme = f.optional_section("authorization", |f| {
        let kind = f
            .text("type", "The scheme.")
            .check(|kind| {
                let is_word = kind.bytes().all(|byte| byte.is_ascii_graphic());
                is_word.then_some(()).ok_or_else(|| "must be a word".to_owned())
            })
            .or("Bearer".to_owned());
        let credentials = f
            .secret("credentials", "What follows it.")
            .check(is_value)
            .optional()
            .unwrap_or_default();
        Authorization::Scheme(kind, credentials)
    });
    let token = f
        .secret("bearer_token", "A token that is sent as `Authorization: Bearer …`.")
        .check(is_value)
        .optional()
        .map(|token| Authorization::Scheme("Bearer".to_owned(), token));
    let given = [basic.is_some(), scheme.is_some(), token.is_some()];
    if given.into_iter().filter(|is| *is).count() > 1 {
        let message = "`basic_auth`, `authorization` and `bearer_token` exclude each other";
        f.push(Diagnostic::error(code::CONFLICT, Some(f.place()), message));
    }
    basic.or(scheme).or(token)
}

fn is_value(secret: &Secret) -> Result<(), String> {
    match secret.reveal() {
        SecretSource::Text(text) if HeaderValue::from_str(text).is_err() => {
            Err("is no value of a header".to_owned())
        }
        _ => Ok(()),
    }
}
