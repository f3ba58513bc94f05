//! Which hosts live, and the series `up` (DESIGN §7.13): a sample at each change and every 15 s, 1
//! while any agent of those labels lives, 0 from its mark + 5 s on; it ends by goodbye, when a
//! person forgets the host, or after 24 h at 0. Backlog moves marks, never a sample already made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::id::AgentId;
use bellwether_model::time::{Mono, Now, Timestamp};

use super::entry::{Draining, HostState, UpEntry, UpState, UpValue};

/// An agent is taken for dead this long after its mark.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);
/// From one sample of `up` to the next while nothing changes.
const REPEAT: Duration = Duration::from_secs(15);
/// How long `up` stays 0 before its series ends.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A host first seen, and every host after a start of the collector, has this long to show its
/// first current frame: a collector that was away must not report its own absence as theirs.
const GRACE: Duration = Duration::from_secs(10);
/// A mark this far ahead of the collector's clock counts as now: an agent with a fast clock must
/// not outlive itself.
const AHEAD_MAX: Duration = Duration::from_secs(1);

/// One host.
#[derive(Clone, Debug)]
pub struct Host {
    labels: (String, String),
    mark: Timestamp,
    gone: bool,
}

impl Host {
    /// The label `job`.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.labels.0
    }

    /// The label `instance`.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.labels.1
    }

    /// All its samples up to here have come.
    #[must_use]
    pub fn mark(&self) -> Timestamp {
        self.mark
    }

    /// Whether it said goodbye.
    #[must_use]
    pub fn gone(&self) -> bool {
        self.gone
    }

    /// Whether it lives at a time.
    #[must_use]
    pub fn lives(&self, at: Timestamp) -> bool {
        !self.gone && at < self.mark.saturating_add(DEAD_AFTER)
    }
}

/// One series `up`.
#[derive(Clone, Debug)]
struct Up {
    last: Option<(Timestamp, UpValue)>,
    /// The first sample since which it says the same.
    since: Timestamp,
    /// No 0 is made before this.
    grace: Mono,
    /// The hosts of these labels: all hosts are looked at each second, each once.
    agents: BTreeSet<AgentId>,
}

/// All hosts and their `up`: each host is among the agents of the one series that has its labels.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    hosts: BTreeMap<AgentId, Host>,
    ups: BTreeMap<(String, String), Up>,
    draining: BTreeMap<AgentId, Draining>,
}

impl Presence {
    /// A person has a host drained: its `up` ends where it would turn 0.
    pub fn drain(&mut self, agent: AgentId, at: Timestamp) {
        let (job, instance) = self.hosts.get(&agent).map_or_else(Default::default, |host| {
            let (job, instance) = &host.labels;
            (job.clone(), instance.clone())
        });
        self.draining.entry(agent).or_insert(Draining { agent, job, instance, at });
    }

    /// A host is not drained any more.
    pub fn undrain(&mut self, agent: AgentId) {
        self.draining.remove(&agent);
    }

    /// Whether a host is being drained.
    #[must_use]
    pub fn is_draining(&self, agent: AgentId) -> bool {
        self.draining.contains_key(&agent)
    }

    /// All hosts that are being drained, those that have gone among them.
    pub fn draining(&self) -> impl Iterator<Item = &Draining> {
        self.draining.values()
    }

    /// Takes note of an applied frame. `labels` are job and instance.
    pub fn frame(&mut self, now: Now, agent: AgentId, labels: (&str, &str), mark: Timestamp) {
        let mark = mark.min(now.wall.saturating_add(AHEAD_MAX));
        let labels = (labels.0.to_owned(), labels.1.to_owned());
        let mark = self.hosts.get(&agent).map_or(mark, |host| host.mark.max(mark));
        let before = self.place(now, agent, Host { labels, mark, gone: false });
        if let Some(before) = before {
            self.drop_unsampled(&before);
        }
    }

    /// Puts a host in its place. Gives the labels that it had, if these were others.
    fn place(&mut self, now: Now, agent: AgentId, host: Host) -> Option<(String, String)> {
        self.note(now, host.labels.clone()).agents.insert(agent);
        let labels = host.labels.clone();
        let before = self.hosts.insert(agent, host)?.labels;
        if before == labels {
            return None;
        }
        if let Some(up) = self.ups.get_mut(&before) {
            up.agents.remove(&agent);
        }
        Some(before)
    }

    /// The same as [`Presence::frame`] for a host whose labels are known; costs no allocation.
    /// Returns whether it is.
    pub fn advance(&mut self, now: Now, agent: AgentId, mark: Timestamp) -> bool {
        let mark = mark.min(now.wall.saturating_add(AHEAD_MAX));
        let Some(host) = self.hosts.get_mut(&agent) else { return false };
        host.mark = host.mark.max(mark);
        host.gone = false;
        true
    }

    fn note(&mut self, now: Now, labels: (String, String)) -> &mut Up {
        self.ups.entry(labels).or_insert_with(|| Up {
            last: None,
            since: Timestamp::MIN,
            grace: now.mono + GRACE,
            agents: BTreeSet::new(),
        })
    }

    /// Takes note of a goodbye.
    pub fn goodbye(&mut self, agent: AgentId) {
        let Some(host) = self.hosts.get_mut(&agent) else { return };
        host.gone = true;
        let labels = host.labels.clone();
        self.drop_unsampled(&labels);
    }

    /// Removes a host; its `up` ends at the next tick. Returns whether it was there.
    pub fn forget(&mut self, agent: AgentId) -> bool {
        self.undrain(agent);
        let Some(host) = self.hosts.remove(&agent) else { return false };
        if let Some(up) = self.ups.get_mut(&host.labels) {
            up.agents.remove(&agent);
        }
        self.drop_unsampled(&host.labels);
        true
    }

    /// A series without a sample has no end.
    fn drop_unsampled(&mut self, labels: &(String, String)) {
        let Some(up) = self.ups.get(labels) else { return };
        if up.last.is_none() && self.staying(up).next().is_none() {
            self.drop_up(labels);
        }
    }

    /// Removes a series with its hosts.
    fn drop_up(&mut self, labels: &(String, String)) {
        for agent in self.ups.remove(labels).into_iter().flat_map(|up| up.agents) {
            self.hosts.remove(&agent);
        }
    }

    /// The hosts of a series that have not said goodbye.
    fn staying<'a>(&'a self, up: &'a Up) -> impl Iterator<Item = (AgentId, &'a Host)> {
        let hosts = up.agents.iter().filter_map(|agent| Some((*agent, self.hosts.get(agent)?)));
        hosts.filter(|(_, host)| !host.gone)
    }

    /// Whether an agent is among the hosts.
    #[must_use]
    pub fn knows(&self, agent: AgentId) -> bool {
        self.hosts.contains_key(&agent)
    }

    /// Whether an agent is among the hosts and has not said goodbye.
    #[must_use]
    pub fn stays(&self, agent: AgentId) -> bool {
        self.hosts.get(&agent).is_some_and(|host| !host.gone)
    }

    /// All hosts, by agent.
    pub fn hosts(&self) -> impl Iterator<Item = (AgentId, &Host)> {
        self.hosts.iter().map(|(agent, host)| (*agent, host))
    }

    /// Takes note of a sample of `up` that is in the journal, made now or replayed.
    pub fn sampled(&mut self, now: Now, up: &UpEntry) {
        let labels = (up.job.clone(), up.instance.clone());
        if up.value == UpValue::End {
            self.drop_up(&labels);
            return;
        }
        let series = self.note(now, labels);
        if series.last.is_none_or(|(_, value)| value != up.value) {
            series.since = up.time;
        }
        series.last = Some((up.time, up.value));
    }

    /// The samples of `up` that are due.
    #[must_use]
    pub fn due(&self, now: Now) -> Vec<UpEntry> {
        let due = self.ups.iter().filter_map(|(labels, up)| {
            let (time, value) = self.due_one(now, up)?;
            let after_last = up.last.map_or(time, |(last, _)| Timestamp(last.0 + 1));
            let (job, instance) = labels.clone();
            Some(UpEntry { job, instance, time: time.max(after_last), value })
        });
        due.collect()
    }

    fn due_one(&self, now: Now, up: &Up) -> Option<(Timestamp, UpValue)> {
        let Some(mark) = self.staying(up).map(|(_, host)| host.mark).max() else {
            return Some((now.wall, UpValue::End));
        };
        let dead = mark.saturating_add(DEAD_AFTER);
        let repeat = |value| match up.last {
            Some((at, last)) => last != value || now.wall >= at.saturating_add(REPEAT),
            None => true,
        };
        if now.wall < dead {
            return repeat(UpValue::Up).then_some((now.wall, UpValue::Up));
        }
        if self.staying(up).all(|(agent, _)| self.is_draining(agent)) {
            return Some((now.wall, UpValue::End));
        }
        if now.mono < up.grace {
            return None;
        }
        let said = |value| up.last.is_some_and(|(_, last)| last == value);
        if said(UpValue::Down) && now.wall >= up.since.saturating_add(FORGET_AFTER) {
            return Some((now.wall, UpValue::End));
        }
        let was_up = said(UpValue::Up);
        let at = if was_up { dead } else { now.wall };
        repeat(UpValue::Down).then_some((at, UpValue::Down))
    }

    /// How many hosts have not said goodbye, were not found dead, and are not current.
    #[must_use]
    pub fn late(&self, at: Timestamp) -> u64 {
        let late = |host: &&Host| {
            let known_dead = self.ups.get(&host.labels).and_then(|up| up.last);
            let known_dead = known_dead.is_some_and(|(_, value)| value == UpValue::Down);
            !host.gone && !known_dead && !host.lives(at)
        };
        self.hosts.values().filter(late).count() as u64
    }

    /// Hosts and last samples, for a snapshot.
    #[must_use]
    pub fn state(&self) -> (Vec<HostState>, Vec<UpState>) {
        let hosts = self.hosts.iter().map(|(agent, host)| HostState {
            agent: *agent,
            job: host.labels.0.clone(),
            instance: host.labels.1.clone(),
            mark: host.mark,
            gone: host.gone,
        });
        let ups = self.ups.iter().filter_map(|((job, instance), up)| {
            let (time, value) = up.last?;
            let last = UpEntry { job: job.clone(), instance: instance.clone(), time, value };
            Some(UpState { last, since: up.since })
        });
        (hosts.collect(), ups.collect())
    }

    /// Takes up the state of a snapshot.
    pub fn restore(
        &mut self,
        now: Now,
        hosts: &[HostState],
        ups: &[UpState],
        draining: &[Draining],
    ) {
        *self = Presence::default();
        self.draining = draining.iter().map(|host| (host.agent, host.clone())).collect();
        for host in hosts {
            let labels = (host.job.clone(), host.instance.clone());
            self.place(now, host.agent, Host { labels, mark: host.mark, gone: host.gone });
        }
        for up in ups {
            self.sampled(now, &up.last);
            let labels = (up.last.job.clone(), up.last.instance.clone());
            self.ups.entry(labels).and_modify(|series| series.since = up.since);
        }
    }

    /// The collector has started: every host has its grace again.
    pub fn started(&mut self, now: Now) {
        self.ups.values_mut().for_each(|up| up.grace = now.mono + GRACE);
    }
}

#[cfg(test)]
mod tests;
