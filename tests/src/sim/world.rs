//! The heap of events, the links between the nodes, and the order of a run.

mod faults;
mod links;
mod settled;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bellwether_agent::shell::ship::drive::Action;
use bellwether_agent::shell::spool::SpoolError;
use bellwether_model::time::Nanos;
use bellwether_model::wire::envelope::SkipReason;
use bellwether_model::wire::frame::Frame;
use bellwether_platform::disk::sim::{SimDisk, SplitMix};
use bytes::Bytes;

use super::account::{Account, Fate};
use super::agent::AgentNode;
use super::collector::{CollectorNode, End};
use super::ledger::FrameKey;
use super::trace::Trace;
use super::{Millis, Scenario};

/// An agent that was told to stop has so long for its goodbye.
const GRACE: Millis = 5_000;
/// After the end of faults everything must be settled within this.
const SETTLE: Millis = 60_000;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The hash of all that happened.
    pub trace: u64,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// Frames that hosts gave up, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// For each collector the frames that were declared to it since its last start, by reason, as
    /// its metrics show them.
    pub declared: Vec<BTreeMap<&'static str, u64>>,
    /// The hosts that run, at the first collector.
    pub hosts: Vec<HostEnd>,
}

/// How a host stands at the end of a run. Times are in ms after the date without any jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostEnd {
    /// Its rows that the collector has kept.
    pub rows: usize,
    /// The stamp of the newest of them.
    pub newest: i64,
    /// Its clock.
    pub clock: i64,
    /// The collector's clock.
    pub collector: i64,
    /// Whether its clock stands still until its collector's, as it knows that, has come up.
    pub stands: bool,
}

#[derive(Debug)]
enum Event {
    Sample { node: usize, life: u64 },
    Wake { node: usize, life: u64 },
    StartAgent { node: usize },
    StopEnds { node: usize, life: u64 },
    Timeout { node: usize, collector: usize, request: u64 },
    Arrive { node: usize, collector: usize, request: u64, body: Bytes },
    Answer { collector: usize, request: u64, node: usize, bytes: Vec<u8>, released: Millis },
    Write { collector: usize, life: u64 },
    Sync { collector: usize, life: u64 },
    Tick { collector: usize, life: u64 },
    Work { collector: usize, life: u64 },
    StartCollector { collector: usize },
    Fault,
    FaultsEnd,
    Space { agent: Option<usize>, collector: Option<usize> },
}

/// How a process will end at its disk's next stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Kill,
    Cut,
}

struct World<'a> {
    scenario: &'a Scenario,
    random: SplitMix,
    now: Millis,
    heap: BinaryHeap<Reverse<(Millis, u64, u64)>>,
    events: BTreeMap<u64, Event>,
    number: u64,
    requests: u64,
    agents: Vec<AgentNode>,
    collectors: Vec<CollectorNode>,
    armed_agents: BTreeMap<usize, Ending>,
    armed_collectors: BTreeMap<usize, Ending>,
    full_agents: BTreeMap<usize, ()>,
    partitions: BTreeMap<(usize, usize), Millis>,
    account: Account,
    trace: Trace,
    counts: BTreeMap<&'static str, u64>,
    /// Frames that hosts gave up, by reason.
    dropped: BTreeMap<&'static str, u64>,
    may_renew: bool,
    /// Collectors that were wiped or restored.
    replaced: BTreeSet<usize>,
    hosts: Vec<HostEnd>,
}

/// Runs a scenario from a seed.
///
/// # Errors
/// What was violated, with the seed and the last events.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Summary, String> {
    let mut world = World::new(scenario, seed);
    match world.run() {
        Ok(()) => Ok(Summary {
            trace: world.trace.hash(),
            counts: world.counts,
            dropped: world.dropped,
            declared: world.collectors.iter().map(CollectorNode::skipped).collect(),
            hosts: world.hosts,
        }),
        Err(what) => {
            let (now, last) = (world.now, world.trace.last());
            Err(format!("{last}seed {seed}, {now} ms: {what}"))
        }
    }
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> World<'a> {
        let mut world = World {
            scenario,
            random: SplitMix(seed),
            now: 0,
            heap: BinaryHeap::new(),
            events: BTreeMap::new(),
            number: 0,
            requests: 0,
            agents: Vec::new(),
            collectors: Vec::new(),
            armed_agents: BTreeMap::new(),
            armed_collectors: BTreeMap::new(),
            full_agents: BTreeMap::new(),
            partitions: BTreeMap::new(),
            account: Account::new(scenario.collectors),
            trace: Trace::default(),
            counts: BTreeMap::new(),
            dropped: BTreeMap::new(),
            may_renew: false,
            replaced: BTreeSet::new(),
            hosts: Vec::new(),
        };
        for number in 0..scenario.collectors {
            let disk = world.disk();
            let node = CollectorNode::new(number, scenario, disk, world.random.draw());
            world.collectors.push(node);
            world.at(0, Event::StartCollector { collector: number });
        }
        for number in 0..scenario.agents {
            let disk = world.disk();
            let node = AgentNode::new(number, scenario, disk, world.random.draw());
            world.agents.push(node);
            let start = world.random.below(2000);
            world.at(start, Event::StartAgent { node: number });
        }
        world.next_fault();
        world.at(scenario.faults_until, Event::FaultsEnd);
        world
    }

    fn disk(&mut self) -> SimDisk {
        let disk = SimDisk::new(self.random.draw());
        self.scenario.disabled.into_iter().for_each(|point| disk.disable(point));
        disk
    }

    fn at(&mut self, at: Millis, event: Event) {
        self.number += 1;
        self.heap.push(Reverse((at, self.random.draw(), self.number)));
        self.events.insert(self.number, event);
    }

    fn after(&mut self, millis: Millis, event: Event) {
        self.at(self.now + millis, event);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn faulty(&self) -> bool {
        self.now < self.scenario.faults_until
    }

    fn run(&mut self) -> Result<(), String> {
        let end = self.scenario.faults_until + SETTLE;
        while let Some(Reverse((at, _, number))) = self.heap.pop() {
            if at > end {
                break;
            }
            self.now = at;
            let event = self.events.remove(&number).expect("an event of the heap");
            self.event(event)?;
        }
        self.now = end;
        self.finish()
    }

    fn event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Sample { node, life } if self.agents[node].life == life => self.sample(node),
            Event::Wake { node, life } if self.agents[node].life == life => {
                if let Some(process) = self.agents[node].process.as_mut() {
                    process.wake = None;
                }
                self.drive(node, |drive, actions| drive.wake(actions), None)
            }
            Event::StartAgent { node } => self.start_agent(node),
            Event::StopEnds { node, life } if self.agents[node].life == life => {
                self.agent_stopped(node)
            }
            Event::Timeout { node, collector, request } => {
                self.fail_request(node, collector, request)
            }
            Event::Arrive { node, collector, request, body } => {
                self.arrive(node, collector, request, &body)
            }
            Event::Answer { collector, request, node, bytes, released } => {
                self.answer(node, collector, request, &bytes, released)
            }
            Event::Write { collector, life } if self.collectors[collector].life == life => {
                let written = self.collectors[collector].write();
                self.then(collector, written, |world, ()| {
                    let time = 1 + world.random.below(15);
                    world.after(time, Event::Sync { collector, life });
                })
            }
            Event::Sync { collector, life } if self.collectors[collector].life == life => {
                let synced = self.collectors[collector].sync();
                self.then(collector, synced, |world, replies| {
                    replies.into_iter().for_each(|reply| world.reply(collector, &reply));
                    if let Some(process) = world.collectors[collector].process.as_mut() {
                        process.committing = false;
                    }
                    world.commit(collector);
                })
            }
            Event::Tick { collector, life } if self.collectors[collector].life == life => {
                self.after(1000, Event::Tick { collector, life });
                let now = self.now;
                let ticked = self.collectors[collector].tick(now);
                self.then(collector, ticked, |world, ()| {
                    if world.collectors[collector].has_job() {
                        let time = 1 + world.random.below(2500);
                        world.after(time, Event::Work { collector, life });
                    }
                    world.commit(collector);
                })
            }
            Event::Work { collector, life } if self.collectors[collector].life == life => {
                let worked = self.collectors[collector].work();
                self.then(collector, worked, |_, ()| ())
            }
            Event::StartCollector { collector } => self.start_collector(collector),
            Event::Fault => self.fault(),
            Event::FaultsEnd => self.faults_end(),
            Event::Space { agent, collector } => {
                if let Some(node) = agent {
                    self.full_agents.remove(&node);
                    self.agents[node].disk.set_capacity(u64::MAX);
                }
                if let Some(collector) = collector {
                    self.collectors[collector].disk.set_capacity(u64::MAX);
                }
                Ok(())
            }
            // Of a process that has ended.
            _ => Ok(()),
        }
    }

    fn start_agent(&mut self, node: usize) -> Result<(), String> {
        let now = self.now;
        if self.agents[node].process.is_some() {
            return Ok(());
        }
        let times = self.times_for(node);
        if let Err(error) = self.agents[node].start(now, &times) {
            return self.agent_failed(node, &error);
        }
        let agent = &mut self.agents[node];
        let spool = agent.process.as_ref().expect("just started").drive.spool();
        let (id, incarnation) = (spool.agent(), spool.origin().incarnation);
        if let Some((old, last)) = agent.identity
            && (incarnation <= last || old != id && !agent.uncertain)
        {
            return Err(format!("host {node} was {old} at {last:?}, is {id} at {incarnation:?}"));
        }
        agent.identity = Some((id, incarnation));
        agent.uncertain = false;
        let power = agent.ended.take().filter(|(_, power)| *power).map(|(at, _)| at);
        let skips: Vec<_> = (0..self.scenario.collectors)
            .flat_map(|number| spool.cursor(&format!("collector-{number}")).1)
            .collect();
        let backlog = spool.backlog();
        self.trace.add(now, format_args!("host {node} runs as {id} {}", incarnation.0));
        self.account.check_spool(node, backlog, &skips, power, agent.syncs_always())?;
        let life = agent.life;
        self.at(now + 1, Event::Sample { node, life });
        self.drive(node, |drive, actions| drive.wake(actions), None)
    }

    /// What the collectors that a host reaches say of the time. Where no date jumps that is what
    /// the host says itself.
    fn times_for(&mut self, node: usize) -> Vec<(usize, Nanos)> {
        let now = self.now;
        let jumps = self.scenario.faults.iter().any(|kind| kind.is_jump());
        let is_asked = |number: &usize| jumps && !self.parted(node, *number);
        let numbers: Vec<usize> = (0..self.collectors.len()).filter(is_asked).collect();
        let time = |number: usize| Some((number, self.collectors[number].wall(now)?));
        numbers.into_iter().filter_map(time).collect()
    }

    fn sample(&mut self, node: usize) -> Result<(), String> {
        let now = self.now;
        let agent = &mut self.agents[node];
        if agent.stopping || agent.process.is_none() {
            return Ok(());
        }
        let made = agent.sample(now);
        let pause = agent.next_sample() + self.random.below(20);
        let life = self.agents[node].life;
        self.after(pause, Event::Sample { node, life });
        let Some(made) = made else { return Ok(()) };
        let (frame, _) = Frame::read(&made.frame).expect("a frame just made");
        let (header, agent) = (*frame.header(), self.agents[node].identity.expect("running").0);
        let key = FrameKey { agent, nonce: header.nonce, seq: header.seq };
        self.account.made(key, node, now, made.rows);
        let mut kept = false;
        let (bytes, samples) = (made.frame, made.samples);
        let result = self.drive(
            node,
            |drive, actions| drive.frame(&bytes, samples, actions).map(|done| kept = done),
            None,
        );
        if self.agents[node].process.is_some() {
            self.account.fate(&key, if kept { Fate::Kept } else { Fate::Refused });
            self.trace.add(now, format_args!("host {node} spools {} {kept}", header.seq));
        }
        result?;
        self.check_bounds(node)
    }

    fn check_bounds(&self, node: usize) -> Result<(), String> {
        let agent = &self.agents[node];
        let Some(process) = &agent.process else { return Ok(()) };
        let spool = process.drive.spool();
        let live = spool.backlog().segments().last().map_or(0, |segment| segment.bytes);
        if spool.backlog().bytes() > self.scenario.spool_bytes_max + live {
            return Err(format!("host {node} holds {} bytes", spool.backlog().bytes()));
        }
        if spool.bytes() > agent.disk_bytes_max() {
            return Err(format!("host {node} has {} bytes on disk", spool.bytes()));
        }
        Ok(())
    }

    /// Lets an agent do something, and does what follows. `released` is when the answer that it
    /// acts on left its collector.
    fn drive(
        &mut self,
        node: usize,
        act: impl FnOnce(
            &mut bellwether_agent::shell::ship::drive::Drive,
            &mut Vec<Action>,
        ) -> Result<(), SpoolError>,
        released: Option<Millis>,
    ) -> Result<(), String> {
        let now = self.now;
        let Some(process) = self.agents[node].running(now) else { return Ok(()) };
        let mut actions = Vec::new();
        let done = act(&mut process.drive, &mut actions);
        if done.is_ok() {
            process.check_account().map_err(|what| format!("host {node}'s account: {what}"))?;
        }
        for action in actions {
            self.act(node, action, released)?;
        }
        if let Err(error) = done {
            return self.agent_failed(node, &error);
        }
        if self.agents[node].stopping
            && self.agents[node].process.as_ref().is_some_and(|p| p.drive.is_done())
        {
            return self.agent_stopped(node);
        }
        self.wake_later(node);
        Ok(())
    }

    fn wake_later(&mut self, node: usize) {
        let now = self.now;
        let agent = &mut self.agents[node];
        let life = agent.life;
        let Some(process) = agent.process.as_mut() else { return };
        let mono = process.clock.now().mono;
        let left = process.drive.next_wakeup().since(mono);
        let due = now + u64::try_from(left.as_millis()).expect("a short time") + 1;
        if process.wake.is_none_or(|wake| due < wake) {
            process.wake = Some(due);
            self.at(due, Event::Wake { node, life });
        }
    }

    fn act(&mut self, node: usize, action: Action, released: Option<Millis>) -> Result<(), String> {
        let now = self.now;
        if let Some(process) = self.agents[node].process.as_mut() {
            process.encode_as(&action);
        }
        match action {
            Action::Post { collector, body } => self.post(node, collector, body),
            Action::Cut => self.count("cut"),
            Action::Identity { old, new, origin } => {
                self.trace.add(now, format_args!("host {node} was {old}, is {new}"));
                self.count("identity");
                self.agents[node].identity = Some((new, origin.incarnation));
                if !self.may_renew {
                    return Err(format!("host {node} took a new identity without a clone"));
                }
            }
            Action::Skipped(skip) => {
                self.trace.add(now, format_args!("host {node} skips {skip:?}"));
                *self.dropped.entry(skip.reason.as_str()).or_default() += skip.frames();
                self.account.skipped(node, skip);
                self.count(match skip.reason {
                    SkipReason::SpoolFull => "skip: spool_full",
                    SkipReason::SpoolAge => "skip: spool_age",
                    SkipReason::Refused => {
                        return Err(format!("host {node} sets aside {skip:?}"));
                    }
                    SkipReason::Corrupt => "skip: corrupt",
                    SkipReason::Disk => "skip: disk",
                    SkipReason::Clone => "skip: clone",
                    SkipReason::Store => "skip: store",
                });
            }
            Action::Acked { collector, seq } => {
                self.trace.add(now, format_args!("host {node}: {collector} has {seq}"));
                let released = released.unwrap_or(now);
                self.account.acked(node, collector, seq, released);
            }
            Action::StoreChanged { collector, .. } => {
                self.count("store changed");
                if !self.replaced.contains(&collector) {
                    return Err(format!("host {node} takes collector {collector} for another"));
                }
            }
            Action::Drained => return Err(format!("host {node} ends, drained by nobody")),
            Action::Standing { .. } => {}
        }
        Ok(())
    }

    fn agent_failed(&mut self, node: usize, error: &SpoolError) -> Result<(), String> {
        let full = match error {
            SpoolError::Journal(error) => error.is_full(),
            SpoolError::Disk(error) => error.is_full(),
            SpoolError::Frame(_) | SpoolError::Version { .. } => false,
        };
        self.trace.add(self.now, format_args!("host {node} fails: {error}"));
        self.agents[node].uncertain |= self.may_renew || self.agents[node].identity.is_none();
        match self.armed_agents.get(&node) {
            Some(ending) => self.end_agent(node, *ending),
            None if full && self.full_agents.contains_key(&node) => {
                self.end_agent(node, Ending::Kill)
            }
            None => Err(format!("host {node} fails without a fault: {error}")),
        }
    }

    fn end_agent(&mut self, node: usize, ending: Ending) -> Result<(), String> {
        let (now, seed) = (self.now, self.random.draw());
        self.armed_agents.remove(&node);
        let agent = &mut self.agents[node];
        agent.process = None;
        agent.life += 1;
        match ending {
            Ending::Kill => agent.disk.kill(),
            Ending::Cut => agent.disk.power_cut(seed),
        }
        let (at, power) = agent.ended.unwrap_or((now, false));
        agent.ended = Some((at, power || ending == Ending::Cut));
        self.trace.add(now, format_args!("host {node} ends: {ending:?}"));
        let pause = if self.faulty() { self.random.below(8000) } else { 500 };
        self.after(pause, Event::StartAgent { node });
        Ok(())
    }

    fn agent_stopped(&mut self, node: usize) -> Result<(), String> {
        let agent = &mut self.agents[node];
        let Some(process) = agent.process.take() else { return Ok(()) };
        agent.life += 1;
        self.trace.add(self.now, format_args!("host {node} stops"));
        if let Err(error) = process.drive.close() {
            return self.agent_failed(node, &error);
        }
        self.agents[node].disk.kill();
        self.agents[node].ended = Some((self.now, false));
        let pause = if self.faulty() { self.random.below(20_000) } else { 500 };
        self.after(pause, Event::StartAgent { node });
        Ok(())
    }

    fn start_collector(&mut self, collector: usize) -> Result<(), String> {
        if self.collectors[collector].process.is_some() {
            return Ok(());
        }
        let now = self.now;
        let started = self.collectors[collector].start(now, &self.account);
        self.then(collector, started, |world, ()| {
            world.trace.add(now, format_args!("collector {collector} runs"));
            world.count("collector starts");
            let life = world.collectors[collector].life;
            world.at(now, Event::Tick { collector, life });
        })
    }

    /// Goes on after a collector did something, or ends it.
    fn then<T>(
        &mut self,
        collector: usize,
        done: Result<T, End>,
        next: impl FnOnce(&mut Self, T),
    ) -> Result<(), String> {
        match (done, self.armed_collectors.get(&collector)) {
            (Ok(value), _) => {
                next(self, value);
                Ok(())
            }
            (Err(End::Disk(what)), Some(ending)) => {
                let ending = *ending;
                self.trace.add(self.now, format_args!("collector {collector} fails: {what}"));
                self.end_collector(collector, ending);
                Ok(())
            }
            (Err(End::Disk(what)), None) => {
                Err(format!("collector {collector} fails without a fault: {what}"))
            }
            (Err(End::Violation(what)), _) => Err(format!("collector {collector}: {what}")),
        }
    }

    fn commit(&mut self, collector: usize) {
        let time = self.random.below(3);
        let node = &mut self.collectors[collector];
        let (life, work) = (node.life, node.has_work());
        let Some(process) = node.process.as_mut() else { return };
        if work && !process.committing {
            process.committing = true;
            self.after(time, Event::Write { collector, life });
        }
    }

    fn end_collector(&mut self, collector: usize, ending: Ending) {
        let seed = self.random.draw();
        self.armed_collectors.remove(&collector);
        let node = &mut self.collectors[collector];
        node.process = None;
        node.life += 1;
        match ending {
            Ending::Kill => node.disk.kill(),
            Ending::Cut => node.disk.power_cut(seed),
        }
        self.trace.add(self.now, format_args!("collector {collector} ends: {ending:?}"));
        let pause = if self.faulty() { self.random.below(6000) } else { 500 };
        self.after(pause, Event::StartCollector { collector });
    }
}
