//! What follows from a verdict, and from missing data (DESIGN §9).

use bellwether_rules::service::{Mode, Risk};

use super::record::Announced;

/// Seconds of an arm without requests, after which they are missed.
const IDLE: i64 = 60;
/// Seconds of an arm that was not read.
const BLIND: i64 = 10;
/// Seconds of an arm that was found gone.
pub const DEAD: i64 = 5;
/// Seconds that data is missing before people are told, at medium risk.
const TOLD_AFTER: i64 = 600;

/// One of the two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The version that comes.
    Canary,
    /// The version that serves.
    Baseline,
}

/// What is wrong with the data of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It is read, and has no requests; or it has not begun.
    Idle,
    /// It is not read: its agent or its page is away.
    Blind,
    /// It is read, and gone.
    Dead,
}

/// Data that is missing, for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whose.
    pub side: Side,
    /// What.
    pub lack: Lack,
    /// For how many seconds.
    pub seconds: i64,
}

/// What is done about a rollout as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Go,
    /// It goes on, and what is missing stands in its status.
    Note,
    /// Its pipeline is to wait; people are told if so.
    Hold {
        /// Whether people are told.
        told: bool,
    },
    /// It is to wait, and a person decides; people are told.
    Freeze,
    /// The hook is asked to roll back; people are told.
    RollBack,
    /// People are told to roll back: nothing is sent.
    Advise,
    /// It is written down what would have been done.
    Record,
}

/// What is known of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing that asks for anything.
    Fine,
    /// Data is missing.
    Missing(Missing),
    /// The canary has failed.
    Failed {
        /// Whether a person has said that it is to be undone.
        confirmed: bool,
        /// Whether the old version was rolled back itself.
        barred: bool,
    },
}

impl Missing {
    /// Data that has been missing for long enough to be missed. What is dead and is the canary's is
    /// no missing data: the canary has failed.
    #[must_use]
    pub fn is_missed(self) -> bool {
        self.seconds
            >= match self.lack {
                Lack::Idle => IDLE,
                Lack::Blind => BLIND,
                Lack::Dead => DEAD,
            }
    }
}

/// What is done.
#[must_use]
pub fn action(announced: &Announced, finding: Finding) -> Action {
    let risk = if announced.irreversible { Risk::Critical } else { announced.risk };
    match finding {
        Finding::Fine => Action::Go,
        Finding::Missing(missing) if !missing.is_missed() => Action::Go,
        Finding::Missing(missing) => match (announced.mode, risk) {
            (Mode::Observe, _) | (_, Risk::Low) => Action::Note,
            (_, Risk::Medium) => Action::Hold { told: missing.seconds >= TOLD_AFTER },
            (_, Risk::High) => Action::Hold { told: true },
            (_, Risk::Critical) => Action::Freeze,
        },
        Finding::Failed { confirmed, barred } => match (announced.mode, risk) {
            (Mode::Observe, _) => Action::Record,
            (Mode::Advise, _) => Action::Advise,
            (Mode::Act, _) if confirmed => Action::RollBack,
            (Mode::Act, Risk::Critical) => Action::Freeze,
            (Mode::Act, _) if barred => Action::Freeze,
            (Mode::Act, _) => Action::RollBack,
        },
    }
}

impl Side {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Side::Canary => "canary",
            Side::Baseline => "baseline",
        }
    }
}

impl Lack {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lack::Idle => "idle",
            Lack::Blind => "blind",
            Lack::Dead => "dead",
        }
    }
}

impl Action {
    /// Its word, as status and records have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Action::Go => "go",
            Action::Note => "note",
            Action::Hold { .. } => "hold",
            Action::Freeze => "freeze",
            Action::RollBack => "roll back",
            Action::Advise => "advise",
            Action::Record => "record",
        }
    }

    /// Whether the rollout's pipeline is to wait.
    #[must_use]
    pub fn holds(self) -> bool {
        matches!(self, Action::Hold { .. } | Action::Freeze | Action::RollBack | Action::Advise)
    }
}
