//! Deploy hooks, and what they switch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_collector::pure::guard::plan::{HookPlan, HooksPlan};
use bellwether_collector::pure::notify::plan::Endpoint;
use bellwether_model::config::Secret;
use bellwether_model::signal::{Answer, Kind, Signal, Status};
use bellwether_model::time;
use bellwether_platform::disk::sim::SplitMix;
use bellwether_platform::tls::ClientFiles;

use super::super::{Millis, START};

/// The services, each with its hook; the last has none.
pub(super) const SERVICES: [(&str, &str); 5] =
    [("cart", "run"), ("pay", "run"), ("search", "ledger"), ("mail", "bare"), ("old", "")];

/// What serves a service.
pub(super) struct Ground {
    pub(super) serving: String,
    /// Since when.
    pub(super) since: Millis,
    /// All versions that ever served.
    pub(super) versions: Vec<String>,
}

/// How a hook is told, and what it remembers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It polls, and has a ledger.
    Runner,
    /// It is called, and has a ledger.
    Ledger,
    /// It is called, and does what it is told each time.
    Bare,
}

/// A hook.
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) life: u64,
    pub(super) is_up: bool,
    way: Way,
    /// Whether it can tell which version serves.
    observes: bool,
    /// How far its clock is ahead.
    skew: i64,
    started: BTreeSet<String>,
    done: BTreeMap<String, Answer>,
    /// The highest generation begun, by service.
    highest: BTreeMap<String, u64>,
    /// Begun in this life.
    running: BTreeSet<String>,
    /// What it has said and does not know to be heard.
    said: BTreeMap<String, Answer>,
}

/// What a hook does with a signal.
pub(super) enum Take {
    /// It answers at once.
    Say(Answer),
    /// It begins, and may say so.
    Begin(Option<Answer>),
    /// It says nothing.
    Nothing,
}

pub(super) fn plan() -> HooksPlan {
    let called = || {
        Arc::new(HookPlan::Webhook {
            endpoint: Box::new(Endpoint {
                url: Secret::text("http://hook.invalid/"),
                authorization: None,
                tls: ClientFiles { ca: None, identity: None },
                way: None,
                timeout: Duration::from_secs(3),
            }),
            secrets: Vec::new(),
        })
    };
    let runner = Arc::new(HookPlan::Runner { secrets: Vec::new() });
    HooksPlan(
        [("run".into(), runner), ("ledger".into(), called()), ("bare".into(), called())].into(),
    )
}

pub(super) fn all(random: &mut SplitMix) -> Vec<Hook> {
    let ways = [("run", Way::Runner), ("ledger", Way::Ledger), ("bare", Way::Bare)];
    let hook = |(name, way)| Hook {
        name,
        life: 0,
        is_up: true,
        way,
        observes: random.once_in(2),
        skew: random.below(4000).cast_signed() - 2000,
        started: BTreeSet::new(),
        done: BTreeMap::new(),
        highest: BTreeMap::new(),
        running: BTreeSet::new(),
        said: BTreeMap::new(),
    };
    ways.map(hook).into_iter().collect()
}

impl Ground {
    pub(super) fn new() -> Ground {
        Ground { serving: "v0".to_owned(), since: 0, versions: vec!["v0".to_owned()] }
    }

    pub(super) fn deploy(&mut self, version: &str, now: Millis) {
        (self.serving, self.since) = (version.to_owned(), now);
        self.versions.push(version.to_owned());
    }

    /// What the program of a hook does: called twice, it undoes what it did.
    pub(super) fn toggle(&mut self, signal: &Signal, now: Millis) {
        let to = if self.serving == signal.data.to { &signal.data.from } else { &signal.data.to };
        (self.serving, self.since) = (to.clone(), now);
    }
}

impl Hook {
    pub(super) fn polls(&self) -> bool {
        self.way == Way::Runner
    }

    pub(super) fn has_ledger(&self) -> bool {
        self.way != Way::Bare
    }

    /// What it does with a signal that has come.
    pub(super) fn take(&mut self, signal: &Signal, ground: &Ground, now: Millis) -> Take {
        let data = &signal.data;
        if !self.has_ledger() {
            return Take::Begin(None);
        }
        if let Some(answer) = self.done.get(&data.key) {
            return Take::Say(answer.clone());
        }
        let say = |status| Take::Say(self.answer(&data.key, status, ground));
        if self.running.contains(&data.key) {
            return say(Status::Accepted);
        }
        if self.started.contains(&data.key) {
            let status = match ground.serving.as_str() {
                version if self.observes && version == data.to => Status::Done,
                version if self.observes && version == data.from => Status::Failed,
                _ => Status::Unknown,
            };
            let answer = self.answer(&data.key, status, ground);
            self.done.insert(data.key.clone(), answer.clone());
            return Take::Say(answer);
        }
        if data.generation < self.highest.get(&data.service).copied().unwrap_or(0) {
            return say(Status::Refused);
        }
        let clock = START + now.cast_signed() + self.skew;
        if time::parse(&data.deadline).is_ok_and(|deadline| deadline.0 <= clock) {
            // Nothing is begun any more, and nothing is said of it.
            return Take::Nothing;
        }
        if signal.kind == Kind::Rollback && ground.serving == data.to {
            return say(Status::AlreadyDone);
        }
        if signal.kind == Kind::Rollback && ground.serving != data.precondition.current_version {
            return say(Status::PreconditionFailed);
        }
        self.started.insert(data.key.clone());
        self.running.insert(data.key.clone());
        self.highest.insert(data.service.clone(), data.generation);
        Take::Begin(Some(self.answer(&data.key, Status::Accepted, ground)))
    }

    fn answer(&self, key: &str, status: Status, ground: &Ground) -> Answer {
        let knows = self.observes && status != Status::Accepted;
        Answer {
            key: key.to_owned(),
            status,
            current_version: knows.then(|| ground.serving.clone()),
            detail: String::new(),
            retry: false,
        }
    }

    /// Its program has ended; `failed` says that it did nothing, and whether it may be asked again.
    pub(super) fn ended(
        &mut self,
        life: u64,
        signal: &Signal,
        ground: &Ground,
        failed: Option<bool>,
    ) {
        let key = &signal.data.key;
        if self.life != life || !self.running.remove(key) {
            return;
        }
        let status = if failed.is_some() { Status::Failed } else { Status::Done };
        let retry = failed == Some(true);
        let answer = Answer { retry, ..self.answer(key, status, ground) };
        if retry {
            self.started.remove(key);
        } else {
            self.done.insert(key.clone(), answer.clone());
        }
        self.says(answer);
    }

    /// Remembers what it says until it is heard.
    pub(super) fn says(&mut self, answer: Answer) {
        if self.polls() {
            self.said.insert(answer.key.clone(), answer);
        }
    }

    pub(super) fn unheard(&self) -> Vec<Answer> {
        self.said.values().cloned().collect()
    }

    pub(super) fn heard(&mut self, life: u64, answer: &Answer) {
        if self.life == life && self.said.get(&answer.key) == Some(answer) {
            self.said.remove(&answer.key);
        }
    }

    /// It ends; its ledger stays.
    pub(super) fn end(&mut self) {
        self.life += 1;
        self.is_up = false;
        self.running.clear();
        self.said.clear();
    }

    /// As a hook without a ledger would.
    pub(super) fn forget(&mut self) {
        self.started.clear();
        self.done.clear();
    }
}
