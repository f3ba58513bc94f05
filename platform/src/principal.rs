//! Who calls, and what they may do.
//!
//! A principal has a name, a token and [`Scopes`]; no scope contains another. The rules: a request
//! with a token is judged by that token alone; one without may read, from this machine, if
//! [`Anonymous`] says so; everything else needs a token. Tokens are held as SHA-256 hashes and
//! compared without branching on their bytes; they appear in no message, error or `Debug`. Token
//! files are looked at again when they change. Limits on how often a token is tried are not kept
//! here: 32 random bytes are not guessed.

mod make;
mod scope;
mod token;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_model::time::Mono;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};

pub use make::make_token;
pub use scope::{Scope, Scopes, UnknownScope};
pub use token::{Token, TokenError, TokenHash, TokenSource};

use token::Watched;

/// How often token files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Where a client that sends many small requests puts its token alone: HTTP/2's compression leaves
/// `authorization` out of its table, and so sends it whole each time.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("bellwether-token");
/// Bytes of a principal's name.
const NAME_BYTES: usize = 128;

/// A principal's name, as configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalName(Arc<str>);

impl PrincipalName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// On this machine.
    Loopback,
    /// Anywhere else.
    Remote,
}

impl Reach {
    /// Where an address is; IPv4 addresses written as IPv6 ones count as what they are.
    #[must_use]
    pub fn of(address: IpAddr) -> Reach {
        if address.to_canonical().is_loopback() { Reach::Loopback } else { Reach::Remote }
    }
}

/// What a caller without a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Read, from this machine: the rule while the operator configured no principal.
    ReadsOnLoopback,
    /// Nothing.
    Nothing,
}

/// One principal as configured.
#[derive(Clone, Debug)]
pub struct PrincipalSpec {
    /// Unique; 1 to 128 bytes without control characters.
    pub name: String,
    /// Where its token is.
    pub token: TokenSource,
    /// What it may do.
    pub scopes: Scopes,
}

/// Why a set of principals cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalError {
    /// Empty, too long, or with control characters.
    #[error("a principal's name needs 1 to 128 bytes without control characters")]
    BadName,
    /// Two of one name.
    #[error("two principals are called {0:?}")]
    SameName(String),
    /// Two with one token could not be told apart.
    #[error("the principals {0:?} and {1:?} have the same token")]
    SameToken(String, String),
    /// It may do nothing.
    #[error("the principal {0:?} has no scopes")]
    NoScopes(String),
    /// Its token cannot be used.
    #[error("the token of the principal {name:?}: {error}")]
    Token {
        /// Whose.
        name: String,
        /// Why.
        error: TokenError,
    },
}

/// Who a request is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on this machine, without a token.
    Anonymous,
    /// The bearer of a token.
    Principal(PrincipalName),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Anonymous => f.write_str("anonymous"),
            Caller::Principal(name) => name.fmt(f),
        }
    }
}

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401: it says nothing of who it is from.
    #[error("this needs a token with the scope {0}: send it as \"Authorization: Bearer …\"")]
    NoToken(Scope),
    /// 401: nobody has this token.
    #[error("the token is not known")]
    UnknownToken,
    /// 401: an authorization other than `Bearer` and a token.
    #[error("the Authorization header is not of the form \"Bearer …\"")]
    Malformed,
    /// 403: known, and not allowed.
    #[error("the principal {name} does not have the scope {scope}")]
    NoScope {
        /// Whose token it is.
        name: PrincipalName,
        /// What it would need.
        scope: Scope,
    },
}

impl Refusal {
    /// The status to answer; 401 wants the header `WWW-Authenticate: Bearer`.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::NoToken(_) | Refusal::UnknownToken | Refusal::Malformed => {
                StatusCode::UNAUTHORIZED
            }
            Refusal::NoScope { .. } => StatusCode::FORBIDDEN,
        }
    }
}

/// What a request says of who it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Nothing,
    /// A bearer token, by its hash.
    Bearer(TokenHash),
    /// Something that is no bearer token.
    Malformed,
}

impl Credential {
    /// Reads the header `Authorization`, or [`TOKEN_HEADER`] in its place.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Credential {
        let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| {
            let (kind, token) = value.as_bytes().split_at_checked(7)?;
            kind.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
        });
        let bare = headers.get_all(TOKEN_HEADER).iter().map(|value| Some(value.as_bytes()));
        let mut tokens = bearers.chain(bare);
        match (tokens.next(), tokens.next()) {
            (None, _) => Credential::Nothing,
            (Some(Some(token)), None) if !token.is_empty() => {
                Credential::Bearer(TokenHash::of(token))
            }
            _ => Credential::Malformed,
        }
    }
}

/// What [`authorize`] knows of one principal at one moment.
#[derive(Clone, Debug)]
pub struct Known {
    name: PrincipalName,
    scopes: Scopes,
    /// None while its token file cannot be used.
    token: Option<TokenHash>,
}

/// The rule of who may do what, as a function of everything it depends on.
///
/// # Errors
/// Says why not, without saying anything of the token.
pub fn authorize(
    needed: Scope,
    credential: Credential,
    reach: Reach,
    known: &[Known],
    anonymous: Anonymous,
) -> Result<Caller, Refusal> {
    match credential {
        Credential::Malformed => Err(Refusal::Malformed),
        Credential::Nothing => match (needed, reach, anonymous) {
            (Scope::Read, Reach::Loopback, Anonymous::ReadsOnLoopback) => Ok(Caller::Anonymous),
            _ => Err(Refusal::NoToken(needed)),
        },
        Credential::Bearer(token) => {
            // Every principal is compared, so that the time does not tell which one it was.
            let found = known.iter().fold(None, |found, principal| {
                let same = principal.token.is_some_and(|own| own.same_as(&token));
                if same { Some(principal) } else { found }
            });
            let Some(Known { name, scopes, .. }) = found else {
                return Err(Refusal::UnknownToken);
            };
            if scopes.has(needed) {
                Ok(Caller::Principal(name.clone()))
            } else {
                Err(Refusal::NoScope { name: name.clone(), scope: needed })
            }
        }
    }
}

/// A token file that became usable or unusable, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChange {
    /// Whose.
    pub name: PrincipalName,
    /// The new token counts, or why there is none.
    pub now: Result<(), TokenError>,
}

/// The principals of a process. Cheap to clone; clones share what they know.
#[derive(Clone, Debug)]
pub struct Principals {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    anonymous: Anonymous,
    known: Arc<[Known]>,
    tokens: Vec<Watched>,
    looked: Option<Mono>,
}

impl Principals {
    /// Reads every token.
    ///
    /// # Errors
    /// All problems at once.
    pub fn new(
        specs: Vec<PrincipalSpec>,
        anonymous: Anonymous,
    ) -> Result<Principals, Vec<PrincipalError>> {
        let (mut known, mut tokens): (Vec<Known>, Vec<Watched>) = (Vec::new(), Vec::new());
        let (mut errors, mut names) = (Vec::new(), BTreeSet::new());
        for PrincipalSpec { name, token, scopes } in specs {
            if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
                errors.push(PrincipalError::BadName);
                continue;
            }
            if !names.insert(name.clone()) {
                errors.push(PrincipalError::SameName(name));
                continue;
            }
            if scopes.is_empty() {
                errors.push(PrincipalError::NoScopes(name.clone()));
            }
            match Watched::new(token) {
                Ok(watched) => {
                    let hash = watched.hash();
                    if let Some(other) = known.iter().find(|other| other.token == hash) {
                        let other = other.name.to_string();
                        errors.push(PrincipalError::SameToken(other, name.clone()));
                    }
                    let name = PrincipalName(name.into());
                    known.push(Known { name, scopes, token: hash });
                    tokens.push(watched);
                }
                Err(error) => errors.push(PrincipalError::Token { name, error }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let state = State { anonymous, known: known.into(), tokens, looked: None };
        Ok(Principals { shared: Arc::new(Shared { state: Mutex::new(state) }) })
    }

    /// Knows from now on, in all clones, what another set knew.
    pub fn become_as(&self, other: Principals) {
        let mut theirs = other.state();
        let fresh = State {
            anonymous: theirs.anonymous,
            known: Arc::clone(&theirs.known),
            tokens: std::mem::take(&mut theirs.tokens),
            looked: theirs.looked,
        };
        drop(theirs);
        *self.state() = fresh;
    }

    /// Decides one request by [`authorize`], with the tokens as they are now.
    ///
    /// # Errors
    /// Says why not.
    pub fn authorize(
        &self,
        needed: Scope,
        headers: &HeaderMap,
        reach: Reach,
    ) -> Result<Caller, Refusal> {
        let (known, anonymous) = {
            let state = self.state();
            (Arc::clone(&state.known), state.anonymous)
        };
        authorize(needed, Credential::of(headers), reach, &known, anonymous)
    }

    /// Looks at the token files, if the last look is a second old, and says what changed.
    ///
    /// A file that is gone, open to others or malformed leaves its principal without a token; one
    /// that cannot be looked at just now (no file descriptor left, a failing disk) changes nothing.
    pub fn refresh(&self, now: Mono) -> Vec<TokenChange> {
        let mut state = self.state();
        if state.looked.is_some_and(|looked| now.since(looked) < LOOK_EVERY) {
            return Vec::new();
        }
        state.looked = Some(now);
        let mut changes = Vec::new();
        let mut known = state.known.to_vec();
        for (principal, watched) in known.iter_mut().zip(&mut state.tokens) {
            if let Some(now) = watched.look() {
                principal.token = watched.hash();
                changes.push(TokenChange { name: principal.name.clone(), now });
            }
        }
        if !changes.is_empty() {
            state.known = known.into();
        }
        changes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
