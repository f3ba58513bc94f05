//! Targets: when they were read, how often, and whether they are there.
//!
//! A target that is scraped has an `up` beside `scrape_duration_seconds` of the same row. Only such
//! an `up` tells of a scrape; the one that a collector keeps of its agents has no such row, and its
//! 0 says that nobody reads. That the process is not there is told by `scrape_target_refused` of
//! the same row alone: a scrape may fail for much else in a process that serves well.

mod rows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

use super::super::record::Sight;
use super::{Arms, LOOKBACK_MS, Side, millis_of};
use rows::Rows;

/// How long after its end a second waits for samples, in milliseconds.
const WAIT_MS: i64 = 2_000;
/// How long the word that a target is gone holds without being said again, beside the interval in
/// which it is said, in milliseconds.
const GONE_MS: i64 = 5_000;
/// A target of which nothing was heard for so long is forgotten, in milliseconds.
const FORGET_MS: i64 = 2 * LOOKBACK_MS;
/// Series `up` of one target.
pub(super) const UPS_MAX: usize = 4;

/// One target of an arm, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Its job.
    pub job: Arc<str>,
    /// Its instance.
    pub instance: Arc<str>,
    /// What was seen of it in the second that was closed last; [`Sight::None`] if it serves this
    /// version no more.
    pub sight: Sight,
    /// The newest sample of its counters.
    pub read: Timestamp,
    /// Seconds between two reads.
    pub interval_seconds: i64,
}

/// Series that tell of a target's scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Up {
    pub(super) up: SeriesRef,
    pub(super) duration: SeriesRef,
    /// Agents of old and other scrapers have none.
    pub(super) refused: Option<SeriesRef>,
}

impl Up {
    pub(super) fn series(&self) -> [Option<SeriesRef>; 3] {
        [Some(self.up), Some(self.duration), self.refused]
    }
}

/// What came of a scrape. Of two at one time the later one of this order holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scraped {
    /// The process is not there.
    Refused,
    /// Its page cannot be read.
    Failed,
    Well,
}

/// A target, in one arm or, over time, in both.
#[derive(Debug)]
pub(super) struct Target {
    job: Arc<str>,
    instance: Arc<str>,
    pub(super) ups: Vec<Up>,
    /// The newest.
    scrapes: VecDeque<(Timestamp, Scraped)>,
    arms: Arms<Presence>,
}

/// A target's counters of one version.
#[derive(Debug, Default)]
struct Presence {
    rows: Rows,
    /// It was scraped without them after their newest row.
    left: bool,
}

/// All targets of both arms.
#[derive(Debug, Default)]
pub(super) struct Targets {
    all: BTreeMap<u32, Target>,
    numbers: BTreeMap<(Arc<str>, Arc<str>), u32>,
    next: u32,
}

impl Target {
    /// Takes a row of its counters.
    pub(super) fn row(&mut self, side: Side, time: Timestamp) {
        let presence = self.arms.of_mut(side);
        presence.left &= presence.rows.last() >= Some(time);
        presence.rows.push(time);
    }

    /// Takes a scrape, in any order.
    pub(super) fn scraped(&mut self, time: Timestamp, scraped: Scraped) {
        let at = self.scrapes.partition_point(|(before, _)| *before < time);
        match self.scrapes.get_mut(at) {
            Some((same, before)) if *same == time => *before = scraped.max(*before),
            _ => self.scrapes.insert(at, (time, scraped)),
        }
    }

    /// Whether the seconds of an interval are known as well as they are of the target's others.
    pub(super) fn counts(&self, side: Side, since: Timestamp, until: Timestamp) -> bool {
        rows::seconds(until.millis_since(since)) <= self.interval(side, until)
    }

    /// Whether a scrape at this very time went wrong.
    pub(super) fn failed_at(&self, time: Timestamp) -> bool {
        let found = self.scrapes.binary_search_by_key(&time, |(at, _)| *at).ok();
        found
            .and_then(|at| self.scrapes.get(at))
            .is_some_and(|(_, scraped)| *scraped != Scraped::Well)
    }

    /// The newest time before another at which it was read.
    pub(super) fn read_before(&self, time: Timestamp) -> Option<Timestamp> {
        let scrape = self.scrape(Timestamp(time.0.saturating_sub(1))).map(|(at, _)| at);
        scrape.max(self.read_well_before(time))
    }

    /// The newest time before another at which it was read, and the scrape went well.
    pub(super) fn read_well_before(&self, time: Timestamp) -> Option<Timestamp> {
        let until = self.scrapes.partition_point(|(at, _)| *at < time);
        let mut scrapes = self.scrapes.range(..until).rev();
        let scrape = scrapes.find(|(_, scraped)| *scraped == Scraped::Well).map(|(at, _)| *at);
        let before = Timestamp(time.0.saturating_sub(1));
        let rows = Side::ALL.map(|side| self.arms.of(side).rows.newest(before));
        rows.into_iter().flatten().chain(scrape).max()
    }

    /// Seconds between two reads, as of a time; a second if it is not known.
    fn interval(&self, side: Side, until: Timestamp) -> i64 {
        let known = |side| self.arms.of(side).rows.interval(until);
        known(side).or_else(|| known(side.other())).or_else(|| self.scraping(until)).unwrap_or(1)
    }

    fn scraping(&self, until: Timestamp) -> Option<i64> {
        let end = self.scrapes.partition_point(|(at, _)| *at <= until);
        let newest = self.scrapes.range(..end).rev().map(|(at, _)| *at);
        rows::interval(newest)
    }

    /// The newest scrape up to a time.
    fn scrape(&self, until: Timestamp) -> Option<(Timestamp, Scraped)> {
        let end = self.scrapes.partition_point(|(at, _)| *at <= until);
        self.scrapes.range(..end).next_back().copied()
    }

    /// What is seen of it in one arm, in the window from `start` to `end`.
    fn sight(&self, side: Side, start: Timestamp, end: Timestamp) -> Sight {
        let presence = self.arms.of(side);
        let Some(row) = presence.rows.newest(end) else { return Sight::None };
        if row > start {
            return Sight::Seen;
        }
        let later = self.scrapes.iter().rev().take_while(|(at, _)| *at > row);
        let without =
            later.into_iter().any(|(at, scraped)| *scraped == Scraped::Well && *at <= end);
        if presence.left || without || end.millis_since(row) > LOOKBACK_MS {
            return Sight::None;
        }
        let fresh = GONE_MS + 1000 * self.interval(side, end);
        match self.scrape(end) {
            Some((at, Scraped::Refused)) if at > row && end.millis_since(at) < fresh => Sight::Dead,
            _ => Sight::Blind,
        }
    }

    /// Whether no sample of up to `end` is to come of one arm.
    fn is_settled(&self, side: Side, end: Timestamp, when: &When) -> bool {
        let presence = self.arms.of(side);
        let Some(row) = presence.rows.last() else { return true };
        if row >= end || presence.left {
            return true;
        }
        if self.scrapes.back().is_some_and(|(at, _)| *at >= end && *at > row) {
            return true;
        }
        let next = row.0.saturating_add(1000 * self.interval(side, end));
        let later = when.complete >= end && next > end.0;
        later || when.now.0 > next.saturating_add(WAIT_MS)
    }

    fn heard(&self) -> Timestamp {
        let scrape = self.scrapes.back().map(|(at, _)| *at);
        let rows = Side::ALL.map(|side| self.arms.of(side).rows.last());
        rows.into_iter().flatten().chain(scrape).max().unwrap_or(Timestamp::MIN)
    }

    /// Forgets what lies before the end of the newest closed window.
    fn forget(&mut self, end: Timestamp) {
        for side in Side::ALL {
            let last = self.arms.of(side).rows.last();
            let without = |(at, scraped): &(Timestamp, Scraped)| {
                *scraped == Scraped::Well && Some(*at) > last
            };
            let until = self.scrapes.partition_point(|(at, _)| *at <= end);
            let left = last.is_some() && self.scrapes.range(..until).any(without);
            let presence = self.arms.of_mut(side);
            presence.left = last.is_some_and(|last| last <= end) && (presence.left || left);
            presence.rows.forget(end);
        }
        let until = self.scrapes.partition_point(|(at, _)| *at <= end);
        self.scrapes.drain(..until.saturating_sub(rows::KEPT));
    }
}

/// How far a reading has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) complete: Timestamp,
    pub(super) now: Timestamp,
}

impl Targets {
    /// The number of a target, and whether it is new.
    pub(super) fn number(&mut self, job: &str, instance: &str) -> (u32, bool) {
        let name = (Arc::from(job), Arc::from(instance));
        if let Some(number) = self.numbers.get(&name) {
            return (*number, false);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let (job, instance) = name.clone();
        let (scrapes, arms) = (VecDeque::new(), Arms::default());
        self.all.insert(number, Target { job, instance, ups: Vec::new(), scrapes, arms });
        self.numbers.insert(name, number);
        (number, true)
    }

    pub(super) fn find(&self, job: &str, instance: &str) -> Option<u32> {
        self.numbers.get(&(Arc::from(job), Arc::from(instance))).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Target> {
        self.all.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Target> {
        self.all.get_mut(&number)
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.all.keys().copied().collect()
    }

    pub(super) fn name(&self, number: u32) -> Option<(Arc<str>, Arc<str>)> {
        self.all.get(&number).map(|target| (Arc::clone(&target.job), Arc::clone(&target.instance)))
    }

    /// How long a window is that begins with a second, in seconds: the longest interval between two
    /// reads of a target that is read.
    pub(super) fn window(&self, start: i64) -> i64 {
        let mut length = 1;
        loop {
            let end = Timestamp(millis_of(start.saturating_add(length)));
            let longest = self.longest_interval(end);
            if longest <= length {
                return length;
            }
            length = longest;
        }
    }

    fn longest_interval(&self, end: Timestamp) -> i64 {
        let mut longest = 1;
        for target in self.all.values() {
            for side in Side::ALL {
                let row = target.arms.of(side).rows.newest(end);
                let since = row.map(|row| end.millis_since(row));
                if since.is_some_and(|since| since <= 1000 * super::INTERVAL_SECONDS) {
                    longest = longest.max(target.interval(side, end));
                }
            }
        }
        longest.min(super::INTERVAL_SECONDS)
    }

    /// Whether no sample of the seconds before `end` is to come, or is waited for any longer.
    pub(super) fn are_settled(&self, end: i64, when: &When) -> bool {
        let end = Timestamp(millis_of(end));
        if when.now.0 >= end.0.saturating_add(WAIT_MS) {
            return true;
        }
        let is_past = |target: &Target| target.heard() >= end;
        let complete = when.complete >= end && when.now >= end;
        if !complete && !self.all.values().any(is_past) {
            return false;
        }
        let settled = |target: &Target| Side::ALL.iter().all(|s| target.is_settled(*s, end, when));
        self.all.values().all(settled)
    }

    /// What is seen of an arm in the window of the seconds from `start` to before `end`.
    pub(super) fn sight(&self, side: Side, start: i64, end: i64) -> Sight {
        let (start, end) = (Timestamp(millis_of(start)), Timestamp(millis_of(end)));
        let mut arm = Sight::None;
        for target in self.all.values() {
            arm = match (arm, target.sight(side, start, end)) {
                (_, Sight::Seen) => return Sight::Seen,
                (seen, Sight::None) => seen,
                // Of some nothing is known: the arm is not gone for certain.
                (Sight::Blind, _) | (_, Sight::Blind) => Sight::Blind,
                (_, Sight::Dead) => Sight::Dead,
            };
        }
        arm
    }

    /// The targets of an arm, by name, as of the end of a second.
    pub(super) fn states(&self, side: Side, closed: i64) -> Vec<TargetState> {
        let end = Timestamp(millis_of(closed.saturating_add(1)));
        let state = |target: &Target| {
            let read = target.arms.of(side).rows.last()?;
            let interval_seconds = target.interval(side, end);
            let start = Timestamp(end.0.saturating_sub(1000 * interval_seconds));
            let (job, instance) = (Arc::clone(&target.job), Arc::clone(&target.instance));
            let sight = target.sight(side, start, end);
            Some(TargetState { job, instance, sight, read, interval_seconds })
        };
        self.numbers.values().filter_map(|number| state(self.all.get(number)?)).collect()
    }

    /// Forgets rows before the end of a second, and targets of which nothing is heard any more,
    /// whose numbers are returned.
    pub(super) fn forget(&mut self, closed: i64) -> BTreeSet<u32> {
        let end = Timestamp(millis_of(closed.saturating_add(1)));
        let mut gone = BTreeSet::new();
        for (number, target) in &mut self.all {
            target.forget(end);
            if end.millis_since(target.heard()) > FORGET_MS {
                gone.insert(*number);
            }
        }
        self.all.retain(|number, _| !gone.contains(number));
        self.numbers.retain(|_, number| !gone.contains(number));
        gone
    }
}
