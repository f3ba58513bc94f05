//! The series of a probe: names, types and meaning are blackbox_exporter's.
//!
//! Those of TLS and `probe_http_last_modified_timestamp_seconds` are there only where there is
//! something to say; the others always, 0 standing for what was not reached.

use std::time::Duration;

use bellwether_platform::tls::Seen;

use super::address::{Family, hash};
use super::{HttpSight, Sight};
use crate::pure::family::{FamilySpec, seconds};

macro_rules! families {
    ($($constant:ident $name:literal $help:literal;)*) => {
        $(const $constant: FamilySpec = FamilySpec::gauge($name, $help);)*

        /// All families of probes.
        pub const FAMILIES: &[FamilySpec] = &[$($constant),*];
    };
}

families! {
    SUCCESS "probe_success" "Whether the probe was a success.";
    DURATION "probe_duration_seconds" "How long the probe took.";
    TIMEOUT "probe_timeout_seconds" "How long the probe may take.";
    LOOKUP "probe_dns_lookup_time_seconds" "How long the look-up of the name took.";
    PROTOCOL "probe_ip_protocol" "Version of the Internet protocol of the address that was asked.";
    ADDRESS "probe_ip_addr_hash" "Hash of the address that was asked, which tells whether it changes.";
    REGEX "probe_failed_due_to_regex" "Whether the probe failed because of a pattern.";
    PHASE "probe_http_duration_seconds" "How long each phase of the request took, summed over redirects.";
    STATUS "probe_http_status_code" "Status code of the answer.";
    VERSION "probe_http_version" "Version of HTTP of the answer.";
    REDIRECTS "probe_http_redirects" "Number of redirects.";
    SSL "probe_http_ssl" "Whether the last answer came over TLS.";
    LENGTH "probe_http_content_length" "Length that the answer says it has; -1 if it does not.";
    BODY "probe_http_uncompressed_body_length" "Length of the body that was read.";
    MODIFIED "probe_http_last_modified_timestamp_seconds" "When the answer says it was last modified.";
    EXPIRY "probe_ssl_earliest_cert_expiry" "When the first of the server's certificates expires.";
    CHAIN "probe_ssl_last_chain_expiry_timestamp_seconds" "When the chain expires that expires last.";
    LEAF "probe_ssl_last_chain_info" "What the server's certificate says.";
    TLS "probe_tls_version_info" "Version of TLS that is spoken.";
    CIPHER "probe_tls_cipher_info" "Cipher suite that is spoken.";
}

/// All names of labels that tell series of one target apart: no target has one of its own.
pub const LABELS: [&str; 8] = [
    "cipher",
    "fingerprint_sha256",
    "issuer",
    "phase",
    "serialnumber",
    "subject",
    "subjectalternative",
    "version",
];

/// One series of a probe.
#[derive(Clone, Debug)]
pub struct ProbeSample {
    /// Its family.
    pub family: &'static FamilySpec,
    /// Its labels, beside the target's.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

/// The series of a probe that might take `timeout`.
#[must_use]
pub fn series(sight: &Sight, timeout: Duration) -> Vec<ProbeSample> {
    let mut all = Vec::with_capacity(24);
    let mut add = |family, value| all.push(ProbeSample { family, labels: Vec::new(), value });
    let by_pattern = sight.failure.as_ref().is_some_and(|failure| failure.is_by_pattern);
    add(&SUCCESS, flag(sight.failure.is_none()));
    add(&DURATION, seconds(sight.took));
    add(&TIMEOUT, seconds(timeout));
    add(&LOOKUP, seconds(sight.lookup));
    add(
        &PROTOCOL,
        sight.address.map_or(0.0, |address| match Family::of(address) {
            Family::V4 => 4.0,
            Family::V6 => 6.0,
        }),
    );
    add(&ADDRESS, sight.address.map_or(0.0, |address| f64::from(hash(address))));
    add(&REGEX, flag(by_pattern));
    if let Some(http) = &sight.http {
        of_http(http, &mut all);
    }
    let has_answer = sight.http.is_none_or(|http| http.answer.is_some_and(|a| a.over_tls));
    if let Some(tls) = &sight.tls {
        of_tls(tls, has_answer, &mut all);
    }
    all
}

fn of_http(http: &HttpSight, all: &mut Vec<ProbeSample>) {
    let phases = &http.phases;
    for (phase, took) in [
        ("resolve", phases.resolve),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("processing", phases.processing),
        ("transfer", phases.transfer),
    ] {
        let labels = vec![("phase", phase.to_owned())];
        all.push(ProbeSample { family: &PHASE, labels, value: seconds(took) });
    }
    let mut add = |family, value| all.push(ProbeSample { family, labels: Vec::new(), value });
    let answer = http.answer;
    add(&STATUS, answer.map_or(0.0, |answer| f64::from(answer.status)));
    add(&VERSION, answer.map_or(0.0, |answer| f64::from(answer.version.0) / 10.0));
    add(&REDIRECTS, f64::from(http.redirects));
    add(&SSL, flag(answer.is_some_and(|answer| answer.over_tls)));
    add(&LENGTH, answer.map_or(0.0, |answer| answer.content_length.map_or(-1.0, whole)));
    add(&BODY, whole(u64::try_from(http.body_bytes).unwrap_or(u64::MAX)));
    if let Some(modified) = answer.and_then(|answer| answer.last_modified) {
        add(&MODIFIED, signed(modified));
    }
}

/// What is known of the other side's TLS; when a certificate expires also where it is not trusted.
fn of_tls(tls: &Seen, has_answer: bool, all: &mut Vec<ProbeSample>) {
    let mut add = |family, labels, value| all.push(ProbeSample { family, labels, value });
    if let Some(expiry) = tls.chain.iter().map(|certificate| certificate.not_after).min() {
        add(&EXPIRY, Vec::new(), signed(expiry));
    }
    let Some(agreed) = tls.agreed.as_ref().filter(|_| has_answer) else { return };
    if let Some(expiry) = tls.chain_expiry {
        add(&CHAIN, Vec::new(), signed(expiry));
    }
    if let Some(leaf) = tls.chain.first() {
        let labels = vec![
            ("fingerprint_sha256", tls.fingerprint.clone()),
            ("issuer", bounded(&leaf.issuer)),
            ("serialnumber", bounded(&leaf.serial)),
            ("subject", bounded(&leaf.subject)),
            ("subjectalternative", bounded(&leaf.names.join(","))),
        ];
        add(&LEAF, labels, 1.0);
    }
    add(&TLS, vec![("version", agreed.version.to_owned())], 1.0);
    add(&CIPHER, vec![("cipher", bounded(&agreed.cipher))], 1.0);
}

/// Anybody may have written a certificate: its texts are cut to what a label may be.
fn bounded(text: &str) -> String {
    let fits = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= 1024);
    fits.map(|(_, c)| c).collect()
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a body and times are below 2^53")]
fn whole(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "times in seconds are below 2^53")]
fn signed(number: i64) -> f64 {
    number as f64
}
