//! What is on its way between the collector and the hooks, and what the hooks do with it.

use std::sync::Arc;

use bellwether_collector::pure::guard::lane::effect::SignalDelivery;
use bellwether_collector::pure::guard::record::{Intent, Sighting};
use bellwether_collector::pure::notify::record::{Failure, Outcome, RetryAfter};
use bellwether_model::signal::{Answer, Kind, Signal};

use super::hooks::{SERVICES, Take};
use super::{Flaw, Happening, ON_THE_WAY, Todo, World, checks};

impl World {
    /// The request series show which version serves.
    pub(super) fn look_at_series(&mut self) -> Result<(), String> {
        let process = self.process.as_ref().expect("a running collector");
        let shows = |intent: &Intent| {
            let ground = &self.grounds[&*intent.service];
            intent.kind == Kind::Rollback
                && ground.serving == *intent.to
                && ground.since + 3000 <= self.now
        };
        let open = process.lanes.state().open().map(|open| &open.intent);
        let seen: Vec<u64> = open.filter(|i| shows(i)).map(|intent| intent.number).collect();
        for number in seen {
            self.count("seen by the series");
            self.control(|lanes, now, out| lanes.observed(now, number, Sighting::Series, out))?;
        }
        Ok(())
    }

    /// A request is on its way to a webhook.
    pub(super) fn arrive(&mut self, life: u64, delivery: SignalDelivery) -> Result<(), String> {
        let SignalDelivery { signal, attempt, body, .. } = delivery;
        let hook = self.hook_of(&body)?;
        let luck = if self.faulty() { self.random.below(16) } else { 15 };
        let soon = 1 + self.random.below(300);
        let timed_out = || Outcome::failed(Failure::TimedOut, "no answer");
        let status = |status, after| Outcome::answered(status, after, "");
        let (comes, outcome, takes) = match luck {
            _ if !self.hooks[hook].is_up => {
                (false, Some(Outcome::failed(Failure::Unreachable, "refused")), soon)
            }
            0 => (false, Some(Outcome::failed(Failure::Unreachable, "no way")), soon),
            1 => (false, Some(timed_out()), 3000),
            2 => (true, Some(timed_out()), 3000),
            3 => (false, Some(status(503, Some(RetryAfter::Seconds(2)))), soon),
            4 => (false, Some(status(404, None)), soon),
            5 => (true, Some(status(500, None)), soon),
            // An outcome that the machine waits for no more, and one that never comes.
            6 => (true, None, 9000),
            7 => (true, Some(timed_out()), 1_000_000),
            _ => (true, None, soon),
        };
        if luck == 8 {
            let (late, body) = (self.random.below(5000), Arc::clone(&body));
            self.after(late, Happening::Again { hook, body });
        }
        if luck == 9 {
            // It comes after the caller has given up.
            self.after(4000 + soon, Happening::Again { hook, body });
            let (of, outcome) = ((signal, attempt), timed_out());
            self.after(3000, Happening::Outcome { life, of, outcome, body: Vec::new() });
            return Ok(());
        }
        let said = if comes { self.ask_hook(hook, &body)? } else { Vec::new() };
        let body = if outcome.is_none() { said } else { Vec::new() };
        let outcome = outcome.unwrap_or_else(|| status(200, None));
        self.after(takes, Happening::Outcome { life, of: (signal, attempt), outcome, body });
        Ok(())
    }

    fn hook_of(&self, body: &[u8]) -> Result<usize, String> {
        let service = checks::signal(body)?.data.service;
        let name = SERVICES.iter().find(|(name, _)| *name == service).expect("a service").1;
        Ok(self.hooks.iter().position(|hook| hook.name == name).expect("a hook"))
    }

    /// A hook is told of a signal; gives the body of its answer.
    pub(super) fn ask_hook(&mut self, hook: usize, body: &[u8]) -> Result<Vec<u8>, String> {
        if !self.hooks[hook].is_up {
            return Ok(Vec::new());
        }
        let signal = checks::signal(body)?;
        let ground = &self.grounds[signal.data.service.as_str()];
        match self.hooks[hook].take(&signal, ground, self.now) {
            Take::Say(answer) => Ok(serde_json::to_vec(&answer).expect("an answer")),
            Take::Nothing => Ok(Vec::new()),
            Take::Begin(answer) => {
                self.begin(hook, signal)?;
                Ok(answer.map_or_else(Vec::new, |a| serde_json::to_vec(&a).expect("an answer")))
            }
        }
    }

    /// A hook's program begins.
    pub(super) fn begin(&mut self, hook: usize, signal: Signal) -> Result<(), String> {
        let aborted = self.aborted.get(signal.data.rollout.as_str());
        if aborted.is_some_and(|at| at + ON_THE_WAY < self.now) {
            return Err(format!("{} is begun long after its abort", signal.data.rollout));
        }
        let hook_life = self.hooks[hook].life;
        let acts = self.random.below(3000);
        let ends = acts + self.random.below(4000);
        let is_orphan = self.random.once_in(2);
        let fails = self.faulty() && self.random.once_in(8);
        let failed = fails.then(|| self.random.once_in(2));
        let signal = Box::new(signal);
        if failed.is_none() && signal.kind == Kind::Rollback {
            let signal = signal.clone();
            self.after(acts, Happening::Act { hook, hook_life, is_orphan, signal });
        }
        self.after(ends, Happening::Ends { hook, hook_life, signal, failed });
        Ok(())
    }

    /// A hook's program does its work, perhaps though the hook itself has ended.
    pub(super) fn act(
        &mut self,
        hook: usize,
        hook_life: u64,
        is_orphan: bool,
        signal: &Signal,
    ) -> Result<(), String> {
        if self.hooks[hook].life != hook_life && !is_orphan {
            return Ok(());
        }
        self.count("effect");
        let ground = self.grounds.get_mut(signal.data.service.as_str()).expect("a service");
        ground.toggle(signal, self.now);
        let has_ledger = self.hooks[hook].has_ledger();
        let times = self.checks.acts(signal, has_ledger)?;
        if times > 1 {
            self.count("effect again, without a ledger");
        }
        Ok(())
    }

    pub(super) fn end_hook(&mut self, hook: usize) {
        if !self.hooks[hook].is_up {
            return;
        }
        self.count("end of a hook");
        self.hooks[hook].end();
        if self.flaw == Some(Flaw::ForgetsLedger) {
            self.hooks[hook].forget();
        }
        let pause = self.random.below(8000);
        self.after(pause, Happening::HookStart(hook));
    }

    /// A runner asks for its signals, and says again what was not heard.
    pub(super) fn poll(&mut self, hook: usize) -> Result<(), String> {
        let pause = 300 + self.random.below(1200);
        self.after(pause, Happening::Poll(hook));
        if !self.hooks[hook].is_up || !self.hooks[hook].polls() {
            return Ok(());
        }
        let hook_life = self.hooks[hook].life;
        for answer in self.hooks[hook].unheard() {
            let is_doubled = self.faulty() && self.random.once_in(8);
            for _ in 0..1 + u8::from(is_doubled) {
                if !self.is_lost() {
                    let takes = self.random.below(if self.faulty() { 4000 } else { 200 });
                    let answer = answer.clone();
                    self.after(takes, Happening::Result { hook, hook_life, answer });
                }
            }
        }
        if !self.is_lost() {
            let takes = self.random.below(200);
            self.after(takes, Happening::Asked { hook, hook_life });
        }
        Ok(())
    }

    /// A poll has come.
    pub(super) fn asked(&mut self, hook: usize, hook_life: u64) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        let name = self.hooks[hook].name;
        let posted = process.board.values();
        let of_it = posted.filter(|(intent, after)| *intent.hook == *name && *after <= self.synced);
        let shown: Vec<Arc<Intent>> = of_it.map(|(intent, _)| Arc::clone(intent)).collect();
        for intent in &shown {
            self.checks.leaves(&self.entries[..self.synced], intent.number, &intent.body)?;
            self.taken_back(&intent.body)?;
            if self.clock().wall > intent.deadline && self.offset.abs() < 1000 {
                return Err(format!("{} is shown after its deadline", intent.number));
            }
        }
        let bodies: Vec<Arc<[u8]>> = shown.iter().map(|intent| Arc::clone(&intent.body)).collect();
        if bodies.is_empty() || self.is_lost() {
            return Ok(());
        }
        self.count("shown to a runner");
        let takes = self.random.below(if self.faulty() { 5000 } else { 200 });
        self.after(takes, Happening::Shown { hook, hook_life, bodies });
        Ok(())
    }

    /// A poll is answered.
    pub(super) fn shown(
        &mut self,
        hook: usize,
        hook_life: u64,
        bodies: &[Arc<[u8]>],
    ) -> Result<(), String> {
        if self.hooks[hook].life != hook_life {
            return Ok(());
        }
        for body in bodies {
            let said = self.ask_hook(hook, body)?;
            if let Ok(answer) = serde_json::from_slice(&said) {
                self.hooks[hook].says(answer);
            }
        }
        Ok(())
    }

    /// A result has come.
    pub(super) fn result(
        &mut self,
        hook: usize,
        hook_life: u64,
        answer: Answer,
    ) -> Result<(), String> {
        if self.process.is_none() {
            return Ok(());
        }
        let name = self.hooks[hook].name;
        let mut taken = Ok(());
        let said = answer.clone();
        self.control(|lanes, now, out| taken = lanes.answered(now, name, said, out))?;
        if taken.is_err() {
            self.count("a result of no signal");
            self.hooks[hook].heard(hook_life, &answer);
            return Ok(());
        }
        self.count("a result");
        let process = self.process.as_mut().expect("a running collector");
        process.todo.push_back(Todo::Reply { hook, hook_life, answer });
        self.flush()?;
        self.release()
    }
}
