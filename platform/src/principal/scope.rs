//! What a principal may do.

use std::fmt;
use std::str::FromStr;

/// One thing that a principal may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Send frames and samples.
    Ingest,
    /// Query, and look at pages.
    Read,
    /// Silence and acknowledge alerts.
    Silence,
    /// Announce deploys.
    Announce,
    /// Approve rollouts.
    Approve,
    /// Steer rollouts.
    Rollout,
    /// Ask for the signals of hooks, and say what became of them.
    Hook,
    /// Reload, forget hosts, and the like.
    Admin,
}

impl Scope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Scope; 8] = [
        Scope::Ingest,
        Scope::Read,
        Scope::Silence,
        Scope::Announce,
        Scope::Approve,
        Scope::Rollout,
        Scope::Hook,
        Scope::Admin,
    ];

    /// The name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Silence => "silence",
            Scope::Announce => "announce",
            Scope::Approve => "approve",
            Scope::Rollout => "rollout",
            Scope::Hook => "hook",
            Scope::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no scope; there are ingest, read, silence, announce, approve, rollout, hook and admin"
)]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Scope, UnknownScope> {
        let found = Scope::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether the set has a scope.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes, in the order of the documentation.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Scopes {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for one in Scope::ALL {
            let set: Scopes = [one].into_iter().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), [one]);
            assert!(!set.is_empty());
            assert_eq!(one.name().parse(), Ok(one));
        }
        let all: Scopes = Scope::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), 8);
        assert!(Scopes::default().is_empty());
        assert_eq!("Read".parse::<Scope>(), Err(UnknownScope("Read".into())));
        assert_eq!(format!("{:?}", Scopes::from_iter([Scope::Read])), "{\"read\"}");
    }
}
