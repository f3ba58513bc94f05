//! One lane: what follows from a signal, from what the ledger knows, and from how programs end.
//!
//! A signal goes looked at → begun → run → looked at again → kept → answered. A program is asked
//! for only right after the ledger has said that its key is durably begun, and a key of which the
//! ledger has anything never comes there. Which signals get here is for [`super::verify`] to say.

use bellwether_model::signal::{Answer, Kind, Signal, Status};
use bellwether_model::time::{Timestamp, date_millis};

use super::ledger::{Done, Highest, Known, Started, same_wish};
use super::output::{Exit, Ran, joined};
use super::verify::in_time;

/// Whether the file has a program that tells which version serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It has.
    Observed,
    /// It has none: what a program did is known from its exit code alone.
    Blind,
}

/// What happens to a lane.
#[derive(Clone, Debug)]
pub enum Event {
    /// A signal that the file allows.
    Arrived(Box<Arrived>),
    /// The ledger has something that was begun before this process, and not how it ended.
    CutOff(Box<Started>),
    /// What serves, or why that is not known.
    Observed(Result<String, String>),
    /// The ledger has what is about to be done.
    Begun,
    /// The ledger could not take it; the program must not start.
    NotBegun(NotBegun),
    /// The program has ended.
    Ended(Ran),
    /// The ledger has what was done, or never will.
    Kept,
}

/// A signal with what the ledger knows.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The signal.
    pub signal: Signal,
    /// Of its key.
    pub known: Known,
    /// Of its lane.
    pub highest: Option<Highest>,
}

/// Why nothing could be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// Nothing is left of the attempt; another may succeed.
    Passing(String),
    /// The disk may or may not have it: nothing is begun any more until the runner starts anew.
    Lasting(String),
}

/// What is to be done about a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find out what serves; [`Event::Observed`] follows.
    Observe,
    /// Write this to the ledger, durably; [`Event::Begun`] or [`Event::NotBegun`] follows.
    Begin(Box<Started>),
    /// Start the program of this signal; [`Event::Ended`] follows.
    Run(Box<Signal>),
    /// Write this to the ledger, durably; [`Event::Kept`] follows.
    Keep(Box<Done>),
    /// Tell the collector.
    Answer(Answer),
}

/// A lane's machine.
#[derive(Debug)]
pub struct LaneMachine {
    sight: Sight,
    at: At,
}

#[derive(Debug)]
enum At {
    Idle,
    /// What serves before anything is done.
    Looking(Box<Signal>),
    Beginning(Box<Signal>),
    Running(Box<Signal>),
    /// What serves after the program.
    Checking(Box<Signal>, Ran),
    /// What serves after a crash.
    Recovering(Box<Signal>),
    Keeping(Answer),
}

impl LaneMachine {
    /// A lane in which nothing happens.
    #[must_use]
    pub fn new(sight: Sight) -> LaneMachine {
        LaneMachine { sight, at: At::Idle }
    }

    /// The key of what is being done.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.at {
            At::Idle => None,
            At::Looking(signal)
            | At::Beginning(signal)
            | At::Running(signal)
            | At::Checking(signal, _)
            | At::Recovering(signal) => Some(&signal.data.key),
            At::Keeping(answer) => Some(&answer.key),
        }
    }

    /// Takes an event; a signal that arrives while another is under way is dropped, since it
    /// comes again.
    ///
    /// # Panics
    /// An event answers no effect of this lane.
    pub fn step(&mut self, now: Timestamp, event: Event, effects: &mut Vec<Effect>) {
        let at = std::mem::replace(&mut self.at, At::Idle);
        self.at = match (at, event) {
            (At::Idle, Event::Arrived(arrived)) => self.arrived(now, *arrived, effects),
            (busy, Event::Arrived(_)) => busy,
            (At::Idle, Event::CutOff(started)) => {
                self.recover(now, Box::new(started.signal), effects)
            }
            (At::Looking(signal), Event::Observed(seen)) => looked(now, signal, seen, effects),
            (At::Beginning(signal), Event::Begun) => {
                let words = String::new();
                effects.push(Effect::Answer(answer(&signal, Status::Accepted, words)));
                effects.push(Effect::Run(signal.clone()));
                At::Running(signal)
            }
            (At::Beginning(signal), Event::NotBegun(why)) => {
                effects.push(Effect::Answer(not_begun(&signal, why)));
                At::Idle
            }
            (At::Running(signal), Event::Ended(ran)) => match self.sight {
                Sight::Observed => {
                    effects.push(Effect::Observe);
                    At::Checking(signal, ran)
                }
                Sight::Blind => {
                    let words = ran.exit.to_string();
                    let answer = answer(&signal, ran.exit.status(), joined(&words, &ran.output));
                    keep(now, *signal, answer, ran.output, effects)
                }
            },
            (At::Checking(signal, ran), Event::Observed(seen)) => {
                let answer = checked(&signal, &ran, seen);
                keep(now, *signal, answer, ran.output, effects)
            }
            (At::Recovering(signal), Event::Observed(seen)) => {
                let answer = recovered(&signal, seen);
                keep(now, *signal, answer, String::new(), effects)
            }
            (At::Keeping(answer), Event::Kept) => {
                effects.push(Effect::Answer(answer));
                At::Idle
            }
            (at, event) => unreachable!("invariant: {event:?} answers an effect of {at:?}"),
        };
    }

    fn arrived(&self, now: Timestamp, arrived: Arrived, effects: &mut Vec<Effect>) -> At {
        let Arrived { signal, known, highest } = arrived;
        let mut tell = |status, words: &str| {
            effects.push(Effect::Answer(answer(&signal, status, words.to_owned())));
            At::Idle
        };
        match known {
            Known::Done(done) if same_wish(&done.signal, &signal) => {
                effects.push(Effect::Answer(again(done.answer)));
                return At::Idle;
            }
            Known::Started(started) if same_wish(&started.signal, &signal) => {
                return self.recover(now, Box::new(started.signal), effects);
            }
            Known::Done(_) | Known::Started(_) => {
                return tell(Status::Refused, "the key stands for another wish in the ledger");
            }
            Known::Unreadable => {
                let words = "begun before, but the ledger's entry cannot be read";
                return tell(Status::Unknown, words);
            }
            Known::Nothing => {}
        }
        if let Err(words) = in_time(&signal, now) {
            return tell(Status::Refused, &words);
        }
        if let Some(words) = overtaken(&signal, highest.as_ref()) {
            return tell(Status::Refused, &words);
        }
        if self.sight == Sight::Observed && signal.kind == Kind::Rollback {
            effects.push(Effect::Observe);
            return At::Looking(Box::new(signal));
        }
        begin(now, Box::new(signal), effects)
    }

    /// Finds out what became of something that was cut off.
    fn recover(&self, now: Timestamp, signal: Box<Signal>, effects: &mut Vec<Effect>) -> At {
        if self.sight == Sight::Observed && signal.kind == Kind::Rollback {
            effects.push(Effect::Observe);
            return At::Recovering(signal);
        }
        let answer = recovered(&signal, Err("nothing tells what it did".to_owned()));
        keep(now, *signal, answer, String::new(), effects)
    }
}

/// What a cut-off key is where its lane is no longer in the file.
#[must_use]
pub fn orphaned(now: Timestamp, started: Started) -> Done {
    let reason = "its service and environment are no longer in the allow-list".to_owned();
    let answer = recovered(&started.signal, Err(reason));
    Done { at: date_millis(now), signal: started.signal, answer, output: String::new() }
}

/// An answer with no version.
#[must_use]
pub fn answer(signal: &Signal, status: Status, detail: String) -> Answer {
    let key = signal.data.key.clone();
    Answer { key, status, current_version: None, detail, retry: false }
}

/// Why a generation is too old; equal ones are of one signal.
fn overtaken(signal: &Signal, highest: Option<&Highest>) -> Option<String> {
    let (highest, own) = (highest?, signal.data.generation);
    if own < highest.generation {
        return Some(format!("generation {own} comes after {} was begun", highest.generation));
    }
    let is_other = own == highest.generation && signal.data.key != highest.key;
    is_other.then(|| format!("generation {own} was begun with another key"))
}

fn begin(now: Timestamp, signal: Box<Signal>, effects: &mut Vec<Effect>) -> At {
    let at = date_millis(now);
    effects.push(Effect::Begin(Box::new(Started { at, signal: (*signal).clone() })));
    At::Beginning(signal)
}

fn keep(
    now: Timestamp,
    signal: Signal,
    answer: Answer,
    output: String,
    effects: &mut Vec<Effect>,
) -> At {
    let done = Done { at: date_millis(now), signal, answer: answer.clone(), output };
    effects.push(Effect::Keep(Box::new(done)));
    At::Keeping(answer)
}

/// What is answered when a key comes again.
fn again(answer: Answer) -> Answer {
    match answer.status {
        Status::Done => Answer { status: Status::AlreadyDone, ..answer },
        _ => answer,
    }
}

fn looked(
    now: Timestamp,
    signal: Box<Signal>,
    seen: Result<String, String>,
    effects: &mut Vec<Effect>,
) -> At {
    let data = &signal.data;
    let (status, words, current) = match seen {
        Ok(version) if version == data.to => {
            (Status::AlreadyDone, "it serves already".to_owned(), Some(version))
        }
        Ok(version) if version == data.precondition.current_version => {
            match in_time(&signal, now) {
                Ok(()) => return begin(now, signal, effects),
                Err(words) => (Status::Refused, words, Some(version)),
            }
        }
        Ok(version) => (Status::PreconditionFailed, format!("{version} serves"), Some(version)),
        Err(words) => (Status::Failed, words, None),
    };
    let retry = status == Status::Failed;
    let answer = Answer { current_version: current, retry, ..answer(&signal, status, words) };
    effects.push(Effect::Answer(answer));
    At::Idle
}

fn not_begun(signal: &Signal, why: NotBegun) -> Answer {
    let (retry, words) = match why {
        NotBegun::Passing(words) => (true, words),
        NotBegun::Lasting(words) => (false, words),
    };
    let words = joined("nothing was begun, the ledger", &words);
    Answer { retry, ..answer(signal, Status::Failed, words) }
}

/// What serves decides, whatever the program said: a wish is for a state, not for a deed.
fn checked(signal: &Signal, ran: &Ran, seen: Result<String, String>) -> Answer {
    let (exit, status) = (&ran.exit, ran.exit.status());
    let has_said_so = matches!(exit, Exit::Code(0 | 3));
    let (status, words, current) = match seen {
        Err(words) => (status, format!("{exit}; {words}"), None),
        Ok(version) if signal.kind == Kind::Hold => (status, exit.to_string(), Some(version)),
        Ok(version) if version == signal.data.to => {
            let status = if has_said_so { status } else { Status::Done };
            (status, exit.to_string(), Some(version))
        }
        Ok(version) => {
            let status = if has_said_so { Status::Failed } else { status };
            (status, format!("{exit}, and {version} serves"), Some(version))
        }
    };
    let detail = joined(&words, &ran.output);
    Answer { current_version: current, ..answer(signal, status, detail) }
}

fn recovered(signal: &Signal, seen: Result<String, String>) -> Answer {
    const CUT: &str = "the runner was cut off while it was at this";
    let data = &signal.data;
    let (status, words, current) = match seen {
        Ok(version) if version == data.to => (Status::Done, String::new(), Some(version)),
        Ok(version) if version == data.precondition.current_version => {
            (Status::Failed, format!("{version} serves"), Some(version))
        }
        Ok(version) => (Status::Unknown, format!("{version} serves"), Some(version)),
        Err(words) => (Status::Unknown, words, None),
    };
    Answer { current_version: current, ..answer(signal, status, joined(CUT, &words)) }
}

#[cfg(test)]
mod tests;
