//! A module: how a target is probed, in the words of blackbox_exporter's file.

use core::ops::RangeInclusive;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::config::{Choice, Fields, Item, Secret, SecretSource, code};
use bellwether_model::diagnostic::Diagnostic;
use bellwether_platform::tls::{ClientFiles, Trust};
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use regex_automata::meta::Regex;

use super::super::inputs::reason;
use super::{TIMEOUT_MIN, at_most};
use crate::pure::probe::address::Family;
use crate::pure::probe::url::Url;
use crate::pure::probe::{
    AddressPlan, Expect, HeaderMatch, HeaderPlan, HttpPlan, HttpVersion, TlsExpected, TlsPlan,
};

const TIMEOUT_MAX: Duration = Duration::from_secs(240);
const HEADERS_MAX: usize = 50;
const PATTERNS_MAX: usize = 20;
const STATUSES_MAX: usize = 100;
const BODY_BYTES_MAX: usize = 64 << 10;
/// What is read of an answer's body by default, and at most.
const ANSWER_BYTES: u64 = 1 << 20;
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// What a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prober {
    Http,
    Tcp,
}

impl Choice for Prober {
    const WORDS: &'static [(&'static str, Prober)] =
        &[("http", Prober::Http), ("tcp", Prober::Tcp)];
}

impl Prober {
    pub(super) fn word(self) -> &'static str {
        Prober::WORDS.iter().find(|(_, prober)| *prober == self).map_or("", |(word, _)| word)
    }
}

/// A way to probe.
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) prober: Prober,
    pub(super) timeout: Option<Duration>,
    pub(super) address: AddressPlan,
    pub(super) tls: TlsPlan,
    /// Whether a probe of TCP speaks TLS at once.
    pub(super) tcp_tls: bool,
    request: Request,
}

/// A request without its URL.
#[derive(Clone, Debug)]
struct Request {
    method: Method,
    headers: Vec<HeaderPlan>,
    body: String,
    follow_redirects: bool,
    body_bytes_max: usize,
    expect: Expect,
}

impl Module {
    /// One of which nothing is said.
    pub(super) fn new(prober: Prober) -> Module {
        Module {
            prober,
            timeout: None,
            address: AddressPlan { preferred: Family::V6, fallback: true },
            tls: TlsPlan {
                files: ClientFiles::default(),
                trust: Trust::Verified,
                server_name: None,
            },
            tcp_tls: false,
            request: Request {
                method: Method::GET,
                headers: Vec::new(),
                body: String::new(),
                follow_redirects: true,
                body_bytes_max: size(ANSWER_BYTES),
                expect: Expect::default(),
            },
        }
    }

    /// The request for a URL.
    pub(super) fn http(&self, url: Url) -> HttpPlan {
        let Request { method, headers, body, follow_redirects, body_bytes_max, expect } =
            self.request.clone();
        HttpPlan { url, method, headers, body, follow_redirects, body_bytes_max, expect }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A module of the file.
pub(super) fn describe(f: &mut Fields<'_>) -> Module {
    let prober = f.choice("prober", "What is spoken: `http` or `tcp`.").or(Prober::Http);
    let mut module = Module::new(prober);
    module.timeout = f
        .duration("timeout", "How long a probe may take; never longer than the interval.")
        .between(TIMEOUT_MIN, TIMEOUT_MAX)
        .optional();
    let http = f.optional_section("http", |f| {
        let place = (address(f), tls(f));
        (place, request(f))
    });
    let tcp = f.optional_section("tcp", |f| {
        let place = (address(f), tls(f));
        (place, f.flag("tls", "Whether TLS is spoken at once.").or(false))
    });
    let (mine, other) = match prober {
        Prober::Http => (http.is_some(), ("tcp", tcp.is_some())),
        Prober::Tcp => (tcp.is_some(), ("http", http.is_some())),
    };
    if other.1 && f.has(other.0) {
        let message = format!("`{}` says nothing to the prober `{}`", other.0, prober.word());
        f.push(Diagnostic::error(code::CONFLICT, f.place_of(other.0), message));
    }
    match (prober, http, tcp) {
        (Prober::Http, Some(((address, tls), request)), _) if mine => {
            (module.address, module.tls, module.request) = (address, tls, request);
        }
        (Prober::Tcp, _, Some(((address, tls), over_tls))) if mine => {
            (module.address, module.tls, module.tcp_tls) = (address, tls, over_tls);
        }
        _ => {}
    }
    module
}

fn address(f: &mut Fields<'_>) -> AddressPlan {
    let preferred = "Which of a name's addresses is asked, `ip4` or `ip6`.";
    AddressPlan {
        preferred: f.choice("preferred_ip_protocol", preferred).or(Family::V6),
        fallback: f.flag("ip_protocol_fallback", "Whether the other will do.").or(true),
    }
}

/// Whom to trust, in the words of Prometheus' `tls_config`.
pub(in super::super) fn tls(f: &mut Fields<'_>) -> TlsPlan {
    f.section("tls_config", |f| TlsPlan {
        files: ClientFiles::describe(f),
        server_name: f
            .text("server_name", "The name that the certificate must be for, if not the host.")
            .optional(),
        trust: match f.flag("insecure_skip_verify", "Whether any certificate will do.").or(false) {
            true => Trust::Anyone,
            false => Trust::Verified,
        },
    })
}

fn request(f: &mut Fields<'_>) -> Request {
    let method = f
        .text("method", "The method.")
        .check(|method| match Method::from_bytes(method.as_bytes()) {
            Ok(method) if method != Method::CONNECT => Ok(()),
            _ => Err("is no method".to_owned()),
        })
        .or("GET".to_owned());
    Request {
        method: Method::from_bytes(method.as_bytes()).unwrap_or_default(),
        headers: headers(f),
        body: f
            .text("body", "What is sent.")
            .check(|body| {
                let fits = body.len() <= BODY_BYTES_MAX;
                fits.then_some(()).ok_or_else(|| "is longer than 64 KiB".to_owned())
            })
            .optional()
            .unwrap_or_default(),
        follow_redirects: f
            .flag("follow_redirects", "Whether redirects are followed, ten at most.")
            .or(true),
        body_bytes_max: size(
            f.size("body_size_limit", "Bytes of an answer that are read; a longer one fails.")
                .between(1, ANSWER_BYTES_MAX)
                .or(ANSWER_BYTES),
        ),
        expect: expect(f),
    }
}

fn headers(f: &mut Fields<'_>) -> Vec<HeaderPlan> {
    let few = |headers: &BTreeMap<String, _>| at_most(headers.len(), HEADERS_MAX);
    let own: BTreeMap<String, Option<HeaderPlan>> = f
        .map("headers", "Headers that are sent.", |name, item| {
            let value = item.secret();
            let text = matches!(value.reveal(), SecretSource::Text(text)
                if HeaderValue::from_str(text).is_ok());
            if !text {
                let message = format!("`{name}` has what is no value of a header");
                item.push(Diagnostic::error(code::INVALID, Some(item.place()), message));
            }
            Some(HeaderPlan { name: header(name, item)?, prefix: "", value })
        })
        .check(few)
        .or(BTreeMap::new());
    let in_files: BTreeMap<String, Option<HeaderPlan>> = f
        .map("header_files", "Headers whose values are in files, by path.", |name, item| {
            let value = Secret::file(item.text());
            Some(HeaderPlan { name: header(name, item)?, prefix: "", value })
        })
        .check(few)
        .or(BTreeMap::new());
    let token = f
        .secret("bearer_token", "A token that is sent as `Authorization: Bearer …`.")
        .check(|token| match token.reveal() {
            SecretSource::Text(text) if HeaderValue::from_str(text).is_err() => {
                Err("is no token".to_owned())
            }
            _ => Ok(()),
        })
        .optional();
    let token = token.map(|value| HeaderPlan { name: AUTHORIZATION, prefix: "Bearer ", value });
    let all = own.into_values().chain(in_files.into_values()).flatten().chain(token);
    let mut headers: Vec<HeaderPlan> = Vec::new();
    for header in all {
        if headers.iter().any(|other| other.name == header.name) {
            let message = format!("the header {} is given twice", header.name);
            f.push(Diagnostic::error(code::CONFLICT, Some(f.place()), message));
        }
        headers.push(header);
    }
    headers
}

fn header(name: &str, item: &Item<'_>) -> Option<HeaderName> {
    let header: Option<HeaderName> = name.parse().ok();
    if header.is_none() {
        let message = format!("`{name}` is no name of a header");
        item.push(Diagnostic::error(code::INVALID, Some(item.place()), message));
    }
    header
}

/// Codes from one to another: `200`, `200-299` or `2xx`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statuses(RangeInclusive<u16>);

impl FromStr for Statuses {
    type Err = ();

    fn from_str(text: &str) -> Result<Statuses, ()> {
        let code = |text: &str| {
            let code: u16 = text.parse().map_err(|_| ())?;
            if (100..=999).contains(&code) { Ok(code) } else { Err(()) }
        };
        if let Some(class) = text.strip_suffix("xx") {
            let from = code(&format!("{class}00"))?;
            return Ok(Statuses(from..=from + 99));
        }
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (code(from)?, code(to)?);
        if from <= to { Ok(Statuses(from..=to)) } else { Err(()) }
    }
}

impl FromStr for HttpVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<HttpVersion, ()> {
        match text {
            "HTTP/1.0" => Ok(HttpVersion(10)),
            "HTTP/1.1" => Ok(HttpVersion(11)),
            "HTTP/2" | "HTTP/2.0" => Ok(HttpVersion(20)),
            _ => Err(()),
        }
    }
}

fn expect(f: &mut Fields<'_>) -> Expect {
    let status: Vec<Option<Statuses>> = f
        .list("valid_status_codes", "Codes that are right; by default `2xx`.", |item| {
            item.parsed("a code such as `200`, `200-299` or `2xx`")
        })
        .check(|codes| at_most(codes.len(), STATUSES_MAX))
        .or(Vec::new());
    let versions: Vec<Option<HttpVersion>> = f
        .list("valid_http_versions", "Versions that are right; by default all.", |item| {
            item.parsed("`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`")
        })
        .or(Vec::new());
    let forbidden = f.flag("fail_if_ssl", "Whether TLS fails.").or(false);
    let required = f.flag("fail_if_not_ssl", "Whether a lack of TLS fails.").or(false);
    if forbidden && required {
        let message = "`fail_if_ssl` and `fail_if_not_ssl` exclude each other";
        f.push(Diagnostic::error(code::CONFLICT, f.place_of("fail_if_not_ssl"), message));
    }
    Expect {
        status: status.into_iter().flatten().map(|Statuses(range)| range).collect(),
        versions: versions.into_iter().flatten().collect(),
        tls: match (forbidden, required) {
            (true, _) => TlsExpected::Forbidden,
            (_, true) => TlsExpected::Required,
            _ => TlsExpected::Either,
        },
        body_without: patterns(f, "fail_if_body_matches_regexp", "One of them in the body fails."),
        body_with: patterns(f, "fail_if_body_not_matches_regexp", "Each must be in the body."),
        header_without: matches(f, "fail_if_header_matches", "One of them fails."),
        header_with: matches(f, "fail_if_header_not_matches", "Each must match."),
    }
}

fn patterns(f: &mut Fields<'_>, key: &'static str, help: &'static str) -> Vec<Regex> {
    let patterns: Vec<Option<Regex>> = f
        .list(key, help, |item| {
            let text = item.text();
            pattern(&text)
                .map_err(|words| {
                    let message = format!("an item of `{key}` {words}");
                    item.push(Diagnostic::error(code::INVALID, Some(item.place()), message));
                })
                .ok()
        })
        .check(|patterns| at_most(patterns.len(), PATTERNS_MAX))
        .or(Vec::new());
    patterns.into_iter().flatten().collect()
}

fn matches(f: &mut Fields<'_>, key: &'static str, help: &'static str) -> Vec<HeaderMatch> {
    let matches: Vec<Option<HeaderMatch>> = f
        .list(key, help, |item| item.fields(header_match))
        .check(|matches| at_most(matches.len(), PATTERNS_MAX))
        .or(Vec::new());
    matches.into_iter().flatten().collect()
}

fn header_match(f: &mut Fields<'_>) -> Option<HeaderMatch> {
    let name = f
        .text("header", "The header.")
        .check(|name| match name.parse::<HeaderName>() {
            Ok(_) => Ok(()),
            Err(_) => Err("is no name of a header".to_owned()),
        })
        .required();
    let text = f
        .text("regexp", "A pattern over its values.")
        .check(|text| pattern(text).map(drop))
        .required();
    let allow_missing = f.flag("allow_missing", "Whether it may be missing.").or(false);
    Some(HeaderMatch { name: name.parse().ok()?, pattern: pattern(&text).ok()?, allow_missing })
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("is no regular expression: {}", reason(&error)))
}
