//! Which hosts live, and the series `up` (DESIGN §7.13): a sample at each change and every 15 s, 1
//! while any agent of those labels lives, 0 from its mark + 5 s on; it ends by goodbye, when a
//! person forgets the host, or after 24 h at 0. Backlog moves marks, never a sample already made.

use std::collections::BTreeMap;
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
}

/// All hosts and their `up`.
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
        self.note(now, labels.clone());
        let host = self.hosts.entry(agent).or_insert_with(|| Host {
            labels: labels.clone(),
            mark,
            gone: false,
        });
        let before = std::mem::replace(&mut host.labels, labels);
        host.mark = host.mark.max(mark);
        host.gone = false;
        let changed = before != host.labels;
        if changed {
            self.drop_unsampled(&before);
        }
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

    fn note(&mut self, now: Now, labels: (String, String)) {
        let fresh = || Up { last: None, since: Timestamp::MIN, grace: now.mono + GRACE };
        self.ups.entry(labels).or_insert_with(fresh);
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
        self.drop_unsampled(&host.labels);
        true
    }

    /// A series without a sample has no end.
    fn drop_unsampled(&mut self, labels: &(String, String)) {
        let lives = self.hosts.values().any(|host| host.labels == *labels && !host.gone);
        if !lives && self.ups.get(labels).is_some_and(|up| up.last.is_none()) {
            self.ups.remove(labels);
            self.hosts.retain(|_, host| host.labels != *labels);
        }
    }

    /// Whether an agent is among the hosts.
    #[must_use]
    pub fn knows(&self, agent: AgentId) -> bool {
        self.hosts.contains_key(&agent)
    }

    /// All hosts, by agent.
    pub fn hosts(&self) -> impl Iterator<Item = (AgentId, &Host)> {
        self.hosts.iter().map(|(agent, host)| (*agent, host))
    }

    /// Takes note of a sample of `up` that is in the journal, made now or replayed.
    pub fn sampled(&mut self, now: Now, up: &UpEntry) {
        let labels = (up.job.clone(), up.instance.clone());
        if up.value == UpValue::End {
            self.ups.remove(&labels);
            self.hosts.retain(|_, host| host.labels != labels);
            return;
        }
        self.note(now, labels.clone());
        let Some(series) = self.ups.get_mut(&labels) else { return };
        if series.last.is_none_or(|(_, value)| value != up.value) {
            series.since = up.time;
        }
        series.last = Some((up.time, up.value));
    }

    /// The samples of `up` that are due.
    #[must_use]
    pub fn due(&self, now: Now) -> Vec<UpEntry> {
        let due = self.ups.iter().filter_map(|(labels, up)| {
            let (time, value) = self.due_one(now, labels, up)?;
            let after_last = up.last.map_or(time, |(last, _)| Timestamp(last.0 + 1));
            let (job, instance) = labels.clone();
            Some(UpEntry { job, instance, time: time.max(after_last), value })
        });
        due.collect()
    }

    fn due_one(
        &self,
        now: Now,
        labels: &(String, String),
        up: &Up,
    ) -> Option<(Timestamp, UpValue)> {
        let hosts = || self.hosts.values().filter(|host| host.labels == *labels);
        let mark = hosts().filter(|host| !host.gone).map(|host| host.mark).max();
        let Some(mark) = mark else {
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
        let mut silent = self.hosts.iter().filter(|(_, h)| h.labels == *labels && !h.gone);
        if silent.all(|(agent, _)| self.is_draining(*agent)) {
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
            self.note(now, labels.clone());
            self.hosts.insert(host.agent, Host { labels, mark: host.mark, gone: host.gone });
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
mod tests {
    use super::*;

    const AGENT: AgentId = AgentId([1; 16]);

    fn at(second: i64) -> Now {
        let mono = Mono(Duration::from_secs(second.unsigned_abs()));
        Now { wall: Timestamp(second * 1000), mono }
    }

    fn tick(presence: &mut Presence, second: i64) -> Vec<(i64, UpValue)> {
        let due = presence.due(at(second));
        due.iter().for_each(|up| presence.sampled(at(second), up));
        due.into_iter().map(|up| (up.time.0, up.value)).collect()
    }

    fn frame(presence: &mut Presence, now: i64, mark: i64) {
        presence.frame(at(now), AGENT, ("node", "a"), Timestamp(mark * 1000 + 999));
    }

    #[test]
    fn up_while_it_lives_down_from_mark_and_five_seconds() {
        let mut presence = Presence::default();
        frame(&mut presence, 100, 100);
        assert_eq!(tick(&mut presence, 100), [(100_000, UpValue::Up)]);
        for second in 101..=120 {
            frame(&mut presence, second, second);
            let due = tick(&mut presence, second);
            assert_eq!(due.len(), usize::from(second == 115), "every 15 s: {due:?}");
        }
        for second in 121..=125 {
            assert_eq!(tick(&mut presence, second), []);
        }
        assert_eq!(tick(&mut presence, 126), [(125_999, UpValue::Down)]);
        frame(&mut presence, 130, 121);
        assert_eq!(tick(&mut presence, 130), [], "backlog rewrites nothing");
        frame(&mut presence, 131, 131);
        assert_eq!(tick(&mut presence, 131), [(131_000, UpValue::Up)]);
        presence.goodbye(AGENT);
        assert_eq!(tick(&mut presence, 132), [(132_000, UpValue::End)]);
        assert_eq!(tick(&mut presence, 133), []);
        assert_eq!(presence.hosts().count(), 0);
    }

    #[test]
    fn a_host_that_comes_and_goes_between_two_ticks_has_no_up() {
        let mut presence = Presence::default();
        frame(&mut presence, 100, 100);
        presence.goodbye(AGENT);
        assert_eq!(tick(&mut presence, 101), [], "no end of what has not begun");
        assert_eq!(presence.hosts().count(), 0);
        frame(&mut presence, 102, 102);
        assert!(presence.forget(AGENT));
        assert_eq!(tick(&mut presence, 103), []);
        frame(&mut presence, 104, 104);
        presence.frame(at(104), AGENT, ("node", "b"), Timestamp(104_999));
        let due = presence.due(at(104));
        assert_eq!(
            due.iter().map(|up| (&*up.instance, up.value)).collect::<Vec<_>>(),
            [("b", UpValue::Up)]
        );
    }

    #[test]
    fn another_agent_of_the_same_labels_keeps_it_up() {
        let mut presence = Presence::default();
        frame(&mut presence, 100, 100);
        presence.frame(at(100), AgentId([2; 16]), ("node", "a"), Timestamp(200_000));
        tick(&mut presence, 100);
        assert_eq!(tick(&mut presence, 105), [], "a mark ahead of the clock is cut, both live");
        presence.goodbye(AGENT);
        assert_eq!(tick(&mut presence, 109), [], "newly seen hosts have their grace");
        assert_eq!(tick(&mut presence, 110), [(106_000, UpValue::Down)]);
    }

    #[test]
    fn a_restart_gives_grace_and_a_day_at_zero_ends_it() {
        let mut presence = Presence::default();
        frame(&mut presence, 100, 100);
        tick(&mut presence, 100);
        let (hosts, ups) = presence.state();
        let mut restored = Presence::default();
        restored.restore(at(500), &hosts, &ups, &[]);
        restored.started(at(500));
        assert_eq!(tick(&mut restored, 505), []);
        assert_eq!(tick(&mut restored, 510), [(105_999, UpValue::Down)]);
        tick(&mut restored, 525);
        let (hosts, ups) = restored.state();
        assert_eq!((ups[0].last.time, ups[0].since), (Timestamp(525_000), Timestamp(105_999)));
        restored.restore(at(530), &hosts, &ups, &[]);
        restored.started(at(530));
        assert_eq!(restored.state(), (hosts, ups), "a snapshot holds all of it");
        let day = 24 * 3600;
        assert_eq!(tick(&mut restored, 106 + day).last().unwrap().1, UpValue::End);
    }

    #[test]
    fn a_drained_host_ends_without_a_zero() {
        let mut presence = Presence::default();
        frame(&mut presence, 100, 100);
        tick(&mut presence, 100);
        presence.drain(AGENT, Timestamp(100_000));
        frame(&mut presence, 101, 101);
        for second in 102..=106 {
            assert_eq!(tick(&mut presence, second), [], "it lives");
        }
        assert_eq!(tick(&mut presence, 107), [(107_000, UpValue::End)]);
        assert!(presence.is_draining(AGENT) && presence.hosts().count() == 0);
        let of: Vec<_> = presence.draining().map(|host| host.instance.as_str()).collect();
        assert_eq!(of, ["a"]);
        // Started again, it is there again, and goes as quietly.
        frame(&mut presence, 120, 120);
        assert_eq!(tick(&mut presence, 120), [(120_000, UpValue::Up)]);
        assert_eq!(tick(&mut presence, 126), [(126_000, UpValue::End)]);
        frame(&mut presence, 130, 130);
        tick(&mut presence, 130);
        presence.undrain(AGENT);
        assert_eq!(tick(&mut presence, 140), [(135_999, UpValue::Down)]);
    }

    #[test]
    fn another_agent_of_the_same_labels_is_not_drained() {
        let mut presence = Presence::default();
        frame(&mut presence, 100, 100);
        presence.frame(at(100), AgentId([2; 16]), ("node", "a"), Timestamp(100_999));
        tick(&mut presence, 100);
        presence.drain(AGENT, Timestamp(100_000));
        assert_eq!(tick(&mut presence, 110), [(105_999, UpValue::Down)]);
    }
}
