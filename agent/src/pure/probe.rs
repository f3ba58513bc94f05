//! Probes: targets on the network that are asked from this host, and what is told of them under
//! blackbox_exporter's names.
//!
//! A [`TargetPlan`] says whom to ask, how, and what must come. The shell asks and fills in a
//! [`Sight`] as it goes; what has come by the deadline is judged here ([`verdict`]) and becomes
//! the series of the target ([`series`]), which are a column group of their own ([`rows`]).

pub mod address;
pub mod redirect;
pub mod rows;
pub mod series;
pub mod url;
pub mod verdict;

use core::net::IpAddr;
use core::ops::RangeInclusive;
use std::time::Duration;

use bellwether_model::config::{Secret, SecretSource};
use bellwether_model::label::LabelSet;
use bellwether_platform::tls::{ClientFiles, Seen, Trust};
use hyper::Method;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION};
use regex_automata::meta::Regex;

use address::Family;
use url::Url;

/// A target as it is run.
#[derive(Clone, Debug)]
pub struct TargetPlan {
    /// Labels of all its series; no two targets share them.
    pub labels: LabelSet,
    /// From probe to probe.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// Which of a name's addresses is asked.
    pub address: AddressPlan,
    /// Whom to trust.
    pub tls: TlsPlan,
    /// What is asked.
    pub ask: Ask,
}

/// Which of a name's addresses is asked: only one is, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPlan {
    /// The one that is liked better.
    pub preferred: Family,
    /// Whether the other will do.
    pub fallback: bool,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPlan {
    /// Authorities, and our own certificate.
    pub files: ClientFiles,
    /// Whether the certificate must be good.
    pub trust: Trust,
    /// The name that it must be for, if not the host of the URL.
    pub server_name: Option<String>,
}

/// What is asked of a target.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A request over HTTP.
    Http(Box<HttpPlan>),
    /// A connection.
    Tcp(TcpPlan),
}

/// A connection over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPlan {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken at once.
    pub tls: bool,
}

/// A request over HTTP.
#[derive(Clone, Debug)]
pub struct HttpPlan {
    /// Of what.
    pub url: Url,
    /// How.
    pub method: Method,
    /// Headers that are sent.
    pub headers: Vec<HeaderPlan>,
    /// What is sent.
    pub body: String,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Bytes of an answer's body that are read; a longer one fails.
    pub body_bytes_max: usize,
    /// What must come.
    pub expect: Expect,
}

/// A header that is sent.
#[derive(Clone, Debug)]
pub struct HeaderPlan {
    /// Its name.
    pub name: HeaderName,
    /// What stands before the value.
    pub prefix: &'static str,
    /// Its value.
    pub value: Secret,
}

/// What an answer must be.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// Status codes that are right; empty for 200 to 299.
    pub status: Vec<RangeInclusive<u16>>,
    /// Versions of HTTP that are right, such as `1.1`; empty for all.
    pub versions: Vec<HttpVersion>,
    /// Whether the last answer came over TLS.
    pub tls: TlsExpected,
    /// One of them in the body fails.
    pub body_without: Vec<Regex>,
    /// Each of them must be in the body.
    pub body_with: Vec<Regex>,
    /// One of them in a header fails.
    pub header_without: Vec<HeaderMatch>,
    /// Each of them must be in a header.
    pub header_with: Vec<HeaderMatch>,
}

/// A version of HTTP, in tenths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpVersion(pub u8);

/// Whether TLS must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsExpected {
    /// As it comes.
    #[default]
    Either,
    /// It must.
    Required,
    /// It must not.
    Forbidden,
}

/// A pattern over the values of a header.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// The header.
    pub name: HeaderName,
    /// The pattern.
    pub pattern: Regex,
    /// Whether a lack of the header is no matter.
    pub allow_missing: bool,
}

/// What was seen of a target by the end of a probe.
#[derive(Clone, Debug)]
pub struct Sight {
    /// How long the probe took.
    pub took: Duration,
    /// How long its name's look-up took.
    pub lookup: Duration,
    /// The address that was asked; of a redirect, still the first.
    pub address: Option<IpAddr>,
    /// What was seen of the other side's TLS, of the last connection that has begun.
    pub tls: Option<Seen>,
    /// Why the probe failed.
    pub failure: Option<Failure>,
    /// What was seen of HTTP, if that was asked.
    pub http: Option<HttpSight>,
}

/// What was seen of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HttpSight {
    /// How long each phase took.
    pub phases: Phases,
    /// The last answer; `None` if none has come.
    pub answer: Option<Answer>,
    /// Redirects that came.
    pub redirects: u32,
    /// Bytes of the last body that were read.
    pub body_bytes: usize,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its version.
    pub version: HttpVersion,
    /// What it says of its length, if anything.
    pub content_length: Option<u64>,
    /// When it was last modified, in seconds since 1970.
    pub last_modified: Option<i64>,
    /// Whether it came over TLS.
    pub over_tls: bool,
}

/// How long the phases took, summed over redirects; zero for one that did not end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// The name's look-up.
    pub resolve: Duration,
    /// Until TCP is connected.
    pub connect: Duration,
    /// The handshake of TLS.
    pub tls: Duration,
    /// From the request to the first byte of the answer.
    pub processing: Duration,
    /// From there to the last byte of the last answer.
    pub transfer: Duration,
}

/// Why a probe failed: in words that are the same each time, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failure {
    /// The words.
    pub words: String,
    /// Whether a pattern was the reason.
    pub is_by_pattern: bool,
}

impl HeaderPlan {
    /// Whether it is for the target alone, not for where it redirects to.
    #[must_use]
    pub fn is_private(&self) -> bool {
        let is_known = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(&self.name);
        is_known || matches!(self.value.reveal(), SecretSource::File(_))
    }
}

impl Failure {
    /// One that no pattern is the reason of.
    #[must_use]
    pub fn new(words: impl Into<String>) -> Failure {
        Failure { words: words.into(), is_by_pattern: false }
    }

    /// One of a pattern.
    #[must_use]
    pub fn by_pattern(words: impl Into<String>) -> Failure {
        Failure { words: words.into(), is_by_pattern: true }
    }
}

impl Sight {
    /// Nothing was seen yet.
    #[must_use]
    pub fn none(ask: &Ask) -> Sight {
        Sight {
            took: Duration::ZERO,
            lookup: Duration::ZERO,
            address: None,
            tls: None,
            failure: None,
            http: matches!(ask, Ask::Http(_)).then(HttpSight::default),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
