//! The script of `up --demo`: a deploy that is announced, a fault that is injected into its new
//! version, what follows from it, and its end.
//!
//! [`Demo`] takes what is seen and what comes (looks at probes, alerts and the rollout, pages at
//! the receiver) and yields lines for people and what is to be done. It shows what happens and
//! makes nothing happen but the announce and the fault: that an alert fires and a page comes is the
//! work of the rules and the notifier, and that traffic is switched back that of the guard and the
//! hook, as for any other. It ends well only if the page came, that of its end, and the rollback.

pub mod page;
pub mod rollback;

use std::fmt;
use std::time::Duration;

use bellwether_model::time::Mono;

use page::{Page, Signature, Status};
use rollback::{Rollback, Seen};

/// The alert of the rule pack `demo`.
pub const ALERT: &str = "DemoBackendDown";
/// What is told of the rollout.
const FAILED: &str = "BellwetherRolloutFailed";
/// The label `job` of all that the demo makes.
pub const JOB: &str = "demo";
/// From the start to the fault.
const FAULT_AFTER: Duration = Duration::from_secs(15);
/// From the start to backends that are seen to be healthy. An agent that starts has its first row
/// after two seconds.
const HEALTHY_WITHIN: Duration = Duration::from_secs(25);
/// From the fault to the page (`for` and some), and to traffic that is switched back.
const PAGE_WITHIN: Duration = Duration::from_secs(15);
/// From the page to the end of the fault, for people to look.
const FAULT_LASTS: Duration = Duration::from_secs(3);
/// From the end of the fault to the message of it.
const RESOLVED_WITHIN: Duration = Duration::from_secs(15);

/// What stands on the stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The first is never touched, the last is broken.
    pub backends: Vec<Backend>,
    /// What stands before them.
    pub front: &'static str,
    /// Where pages come to.
    pub receiver: String,
    /// Requests a second, over all backends.
    pub rate: u32,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its label `instance`.
    pub name: String,
    /// Its label `version`.
    pub version: String,
    /// Address and port.
    pub address: String,
}

/// What one look has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Backends whose newest probe was a success.
    pub healthy: usize,
    /// Whether the demo's alert is pending.
    pub pending: bool,
    /// Whether it fires.
    pub firing: bool,
    /// What became of the requests so far.
    pub traffic: Traffic,
    /// What is seen of the rollout.
    pub rollout: Seen,
}

/// Requests by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Answered well.
    pub good: u64,
    /// Answered with an error.
    pub bad: u64,
    /// Not answered.
    pub lost: u64,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody has looked.
    Look(Look),
    /// The receiver got a page.
    Page(Page),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Show a line.
    Say(String),
    /// Announce the rollout to the last backend's version.
    Announce,
    /// Have the last backend fail.
    Inject,
    /// Have it work again.
    Mend,
    /// The demo is over.
    End(Ending),
}

/// How it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The page came, the message that all is well again, and traffic was switched back.
    Well,
    /// Something did not come in time.
    Badly,
}

/// How far the script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Nothing is known of the backends yet.
    Opening,
    /// All is well.
    Healthy,
    /// The fault is in, and nobody was paged, or traffic was not switched back.
    Faulty { since: Mono },
    /// Somebody was paged, and traffic is switched back.
    Answered { at: Mono },
    /// The fault is out.
    Mended { since: Mono },
    /// It is over.
    Over,
}

/// The script; see the module.
#[derive(Clone, Debug)]
pub struct Demo {
    facts: Facts,
    start: Mono,
    act: Act,
    /// The alert was seen to be pending, and to fire, since the fault.
    pending: bool,
    firing: bool,
    /// From the fault to its page.
    took: Option<Duration>,
    rollback: Rollback,
    traffic: Traffic,
}

impl Demo {
    /// The script at its start; what is said of it goes to `effects`.
    #[must_use]
    pub fn new(now: Mono, facts: Facts, effects: &mut Vec<Effect>) -> Demo {
        let demo = Demo {
            facts,
            start: now,
            act: Act::Opening,
            pending: false,
            firing: false,
            took: None,
            rollback: Rollback::default(),
            traffic: Traffic::default(),
        };
        let (rate, front) = (demo.facts.rate, demo.facts.front);
        let text = format!(
            "start: {} backends behind {front}, {rate} requests a second, a probe of each every second",
            demo.facts.backends.len()
        );
        demo.say(now, &text, effects);
        for backend in &demo.facts.backends {
            let Backend { name, version, address } = backend;
            let text = format!("backend {name}, version {version}: http://{address}/");
            effects.push(Effect::Say(aside(&text)));
        }
        let text = format!("receiver of pages: http://{}/", demo.facts.receiver);
        effects.push(Effect::Say(aside(&text)));
        demo
    }

    /// Takes one event. Once over, nothing follows from it.
    pub fn step(&mut self, now: Mono, event: Event, effects: &mut Vec<Effect>) {
        if self.act == Act::Over {
            return;
        }
        match event {
            Event::Look(look) => self.look(now, &look, effects),
            Event::Page(page) => self.page(now, &page, effects),
        }
        self.proceed(now, effects);
    }

    fn look(&mut self, now: Mono, look: &Look, effects: &mut Vec<Effect>) {
        self.traffic = look.traffic;
        if self.act == Act::Opening && look.healthy >= self.facts.backends.len() {
            self.act = Act::Healthy;
            self.say(now, "healthy: every backend answers its probes", effects);
            effects.push(Effect::Announce);
        }
        let fault = match self.act {
            Act::Faulty { since } => Some(since),
            _ => None,
        };
        for news in self.rollback.take(now, &look.rollout, fault) {
            match fault {
                Some(since) => self.say_since(now, &news, since, effects),
                None => self.say(now, &news, effects),
            }
        }
        let Some(since) = fault else { return };
        if (look.pending || look.firing) && !self.pending {
            self.pending = true;
            self.say_since(now, &format!("alert pending: {ALERT}"), since, effects);
        }
        if look.firing && !self.firing {
            self.firing = true;
            self.say_since(now, &format!("alert firing: {ALERT}"), since, effects);
        }
    }

    fn page(&mut self, now: Mono, page: &Page, effects: &mut Vec<Effect>) {
        let text = page.to_string();
        if page.signature != Signature::Good {
            self.say(now, &format!("page refused, {}: {text}", page.signature), effects);
            return;
        }
        match (self.act, page.status) {
            (Act::Faulty { since }, Status::Firing) if page.alert == ALERT => {
                self.took = self.took.or(Some(now.since(since)));
                let text = format!("page received, {}: {text}", page.signature);
                self.say_since(now, &text, since, effects);
            }
            (Act::Mended { since }, Status::Resolved) if page.alert == ALERT => {
                let text = format!("resolved received, {}: {text}", page.signature);
                let after = format!("{text} ({} s after the end of the fault)", Tenths(since, now));
                self.say(now, &after, effects);
                self.end(now, Ending::Well, effects);
            }
            (_, status) if page.alert == FAILED => {
                let what = if status == Status::Firing { "page" } else { "resolved" };
                self.say(now, &format!("{what} received, {}: {text}", page.signature), effects);
            }
            _ => self.say(now, &format!("page received, not of this fault: {text}"), effects),
        }
    }

    /// What time brings.
    fn proceed(&mut self, now: Mono, effects: &mut Vec<Effect>) {
        let broken = self.facts.backends.last().map_or("", |last| last.name.as_str()).to_owned();
        match self.act {
            Act::Opening if now.since(self.start) >= HEALTHY_WITHIN => {
                self.say(now, "the backends were not seen to be healthy in time", effects);
                self.end(now, Ending::Badly, effects);
            }
            Act::Healthy if now.since(self.start) >= FAULT_AFTER && self.rollback.is_watched() => {
                self.act = Act::Faulty { since: now };
                let text =
                    format!("fault injected: backend {broken} answers every request with 500");
                self.say(now, &text, effects);
                effects.push(Effect::Inject);
            }
            Act::Healthy if now.since(self.start) >= HEALTHY_WITHIN => {
                self.say(now, "the rollout was not watched in time", effects);
                self.end(now, Ending::Badly, effects);
            }
            Act::Faulty { .. } if self.took.is_some() && self.rollback.is_done() => {
                self.act = Act::Answered { at: now };
            }
            Act::Faulty { since } if now.since(since) >= PAGE_WITHIN => {
                let what = match (self.took, self.rollback.took) {
                    (None, _) => "no page came in time",
                    (_, None) => "traffic was not switched back in time",
                    _ => "there is no record that verifies",
                };
                self.say_since(now, what, since, effects);
                effects.push(Effect::Mend);
                self.end(now, Ending::Badly, effects);
            }
            Act::Answered { at } if now.since(at) >= FAULT_LASTS => {
                self.act = Act::Mended { since: now };
                self.say(now, &format!("fault removed: backend {broken} answers well"), effects);
                effects.push(Effect::Mend);
            }
            Act::Mended { since } if now.since(since) >= RESOLVED_WITHIN => {
                self.say(now, "no message of the end came in time", effects);
                self.end(now, Ending::Badly, effects);
            }
            _ => {}
        }
    }

    fn end(&mut self, now: Mono, ending: Ending, effects: &mut Vec<Effect>) {
        self.act = Act::Over;
        let Traffic { good, bad, lost } = self.traffic;
        let seconds = |took| Tenths(Mono::default(), Mono(took));
        let text = match (ending, self.took, self.rollback.took) {
            (Ending::Well, Some(paged), Some(back)) => format!(
                "end: paged {} s after the fault, traffic back {} s after it",
                seconds(paged),
                seconds(back)
            ),
            _ => "end: this is not how it should have gone".to_owned(),
        };
        let requests = good + bad + lost;
        self.say(now, &text, effects);
        let text = format!(
            "{requests} requests: {good} answered well, {bad} with an error, {lost} not at all"
        );
        effects.push(Effect::Say(aside(&text)));
        effects.push(Effect::End(ending));
    }

    fn say(&self, now: Mono, text: &str, effects: &mut Vec<Effect>) {
        let at = Tenths(self.start, now).to_string();
        effects.push(Effect::Say(format!("demo {at:>5} s  {text}")));
    }

    fn say_since(&self, now: Mono, text: &str, since: Mono, effects: &mut Vec<Effect>) {
        self.say(now, &format!("{text} ({} s after the fault)", Tenths(since, now)), effects);
    }
}

/// A line that belongs to the one above.
fn aside(text: &str) -> String {
    format!("demo          {text}")
}

/// Seconds between two times, rounded to tenths.
struct Tenths(Mono, Mono);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.1.since(self.0).as_millis() + 50) / 100;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests;
