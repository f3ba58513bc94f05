//! The sections `collectors` and `exporter`: where to ship to, and who may read the page.

use bellwether_model::config::{Environment, Fields, Secret, SecretSource, code};
use bellwether_model::diagnostic::{Code, Diagnostic, Place};
use bellwether_platform::dial::{Scheme, Target, Way, from_environment};
use bellwether_platform::principal::{TokenHash, TokenSource};
use bellwether_platform::tls::{ClientFiles, ServerFiles};

use super::{CollectorPlan, ExporterPlan, Overrides};

/// `agt001`: whoever listens on the way gets the token.
pub const UNENCRYPTED: Code =
    Code { name: "agt001", meaning: "a token would be sent over the network without TLS" };

/// The agent's page, next to the collector's port.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9798);
/// Bytes of a token, as in token files.
const TOKEN_BYTES: core::ops::RangeInclusive<usize> = 16..=512;

/// One of the collectors of the file.
pub(crate) fn collector(f: &mut Fields<'_>, environment: &Environment) -> CollectorPlan {
    let url = f
        .text("url", "Scheme, host and port of the collector.")
        .check(|url| check_url(url))
        .required();
    let place = f.place_of("url");
    let token = f.secret("token", "What the collector knows this agent by.").optional();
    let tls = ClientFiles::describe(f);
    let server_name = f
        .text("server_name", "The name its certificate must be for, if not the host of `url`.")
        .optional();
    let way = Way::describe(f);
    let url = url.trim_end_matches('/').to_owned();
    let way = way.unwrap_or_else(|| environment_way(f, &url, environment));
    warn_of_unencrypted(f, &url, token.as_ref(), place);
    CollectorPlan { url, token, tls, server_name, way }
}

/// The only collector, as flags say.
pub(super) fn overriding(
    fields: &Fields<'_>,
    url: &str,
    over: &Overrides,
    environment: &Environment,
) -> CollectorPlan {
    if let Err(words) = check_url(url) {
        fields.push(Diagnostic::error(code::INVALID, None, format!("--collector {words}")));
    }
    let url = url.trim_end_matches('/').to_owned();
    let token = over.token_file.clone().map(Secret::file);
    let tls = ClientFiles { ca: over.ca_file.clone(), identity: None };
    let way = environment_way(fields, &url, environment);
    warn_of_unencrypted(fields, &url, token.as_ref(), None);
    CollectorPlan { url, token, tls, server_name: None, way }
}

fn environment_way(fields: &Fields<'_>, url: &str, environment: &Environment) -> Way {
    // A URL that cannot be used is a problem of its own.
    let Ok(target) = Target::parse(url) else { return Way::Direct };
    match from_environment(&target, environment) {
        Ok(proxy) => proxy.map_or(Way::Direct, Way::Proxy),
        Err(name) => {
            let message = format!(
                "the environment variable `{name}` is not a proxy's \
                 http://[USER:PASSWORD@]HOST:PORT; connecting directly"
            );
            fields.push(Diagnostic::warning(code::BAD_VARIABLE, None, message));
            Way::Direct
        }
    }
}

fn warn_of_unencrypted(
    fields: &Fields<'_>,
    url: &str,
    token: Option<&Secret>,
    place: Option<Place>,
) {
    let Ok(target) = Target::parse(url) else { return };
    let is_open = target.scheme() == Scheme::Http && !target.is_here();
    if is_open && token.is_some() {
        let message = "the token is sent over the network without TLS";
        let problem = Diagnostic::warning(UNENCRYPTED, place, message);
        fields.push(problem.with_help("use `https://`, and `ca_file` for a private authority"));
    }
}

/// The page.
pub(super) fn exporter(f: &mut Fields<'_>, over: &Overrides) -> ExporterPlan {
    let listen = f
        .parsed("listen", "an address and port", "Address of the agent's own page.")
        .or(LISTEN.into());
    let token =
        bearer(f, "token", "What readers of the page must send as `Authorization: Bearer …`.");
    let reload_token =
        bearer(f, "reload_token", "The same for `POST /-/reload`; without it only SIGHUP reloads.");
    let tls = f.optional_section("tls", ServerFiles::describe);
    let listen = over.listen.unwrap_or(listen);
    let plan = ExporterPlan { listen, tls, token, reload_token };
    if plan.is_open_to_the_network() {
        let (what, place) = match over.listen {
            Some(_) => ("--listen", None),
            None => ("`listen`", f.place_of("listen")),
        };
        let message =
            format!("{what} is reachable from other machines, which needs TLS and a token");
        let problem = Diagnostic::error(code::INVALID, place, message);
        f.push(problem.with_help(
            "`exporter` takes `tls` with `cert_file` and `key_file`, and `token_file`; \
             or listen on 127.0.0.1",
        ));
    }
    plan
}

/// A token of the page.
fn bearer(f: &mut Fields<'_>, key: &'static str, help: &'static str) -> Option<TokenSource> {
    f.secret(key, help)
        .check(|token| match token.reveal() {
            SecretSource::Text(text) if !is_token(text) => {
                Err("must be 16 to 512 printable ASCII characters".to_owned())
            }
            _ => Ok(()),
        })
        .optional()
        .map(|token| match token.reveal() {
            SecretSource::File(path) => TokenSource::File(path.to_owned()),
            SecretSource::Text(text) => TokenSource::Hash(TokenHash::of(text.as_bytes())),
        })
}

impl ExporterPlan {
    /// Whether it is said who may read the page: those with a token, or with a certificate.
    #[must_use]
    pub fn has_readers(&self) -> bool {
        let certified = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        self.token.is_some() || certified
    }

    /// Whether other machines reach the page and nothing is asked of them.
    #[must_use]
    pub fn is_open_to_the_network(&self) -> bool {
        let is_local = self.listen.ip().to_canonical().is_loopback();
        let is_guarded = self.tls.is_some() && self.has_readers();
        !(is_local || is_guarded)
    }
}

fn is_token(text: &str) -> bool {
    TOKEN_BYTES.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Scheme, host and port, nothing else.
fn check_url(url: &str) -> Result<(), String> {
    let url = url.trim_end_matches('/');
    let authority = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let authority = authority.ok_or("must begin with `http://` or `https://`")?;
    let (host, port) = authority.rsplit_once(':').ok_or("must end with a port: `:9797`")?;
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    if !is_host {
        return Err("must be a scheme, a host and a port only".to_owned());
    }
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse() != Ok(0_u16);
    if !is_port || port.parse::<u16>().is_err() {
        return Err("has no port that a collector can have".to_owned());
    }
    Target::parse(url).map(drop).map_err(|error| error.to_string())
}
