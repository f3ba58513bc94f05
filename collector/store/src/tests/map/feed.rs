//! A follower of the store: what it is told is what the list of samples has.

use std::collections::BTreeMap;

use bellwether_model::feed::{Birth, Cursor, Feed, Standing, Unknown};
use bellwether_model::series::SeriesRef;

use super::*;

/// Polls from time to time, at the newest view; keeps all that it was told.
#[derive(Default)]
pub(super) struct Follower {
    /// Where each poll ended.
    cursors: Vec<u64>,
    /// From, to, and the oldest time that was given.
    polls: Vec<(u64, u64, i64)>,
    told: Vec<(u8, i64, u64)>,
    /// Series that some view showed.
    known: BTreeMap<SeriesRef, u8>,
}

impl Follower {
    /// Every sample was told once, but for those that were past retention when they could be, or
    /// evicted.
    pub(super) fn finish(&self, naive: &Naive, evicting: bool) {
        let mut told = self.told.clone();
        told.sort_unstable();
        assert!(told.windows(2).all(|w| (w[0].0, w[0].1) != (w[1].0, w[1].1)), "a sample twice");
        for label in 0..6 {
            for (position, time, bits) in naive.first_come(label) {
                let poll = self.polls.iter().find(|p| p.0 < position && position <= p.1);
                let given = poll.is_some_and(|poll| time > poll.2);
                let found = told.binary_search(&(label, time, bits)).is_ok();
                assert!(found == given || evicting && !found, "{} at {time}", label_set(label));
            }
        }
    }
}

impl Naive {
    /// Of each time the sample that came first: position, time, value.
    fn first_come(&self, label: u8) -> Vec<(u64, i64, u64)> {
        let visible = self.samples.iter().filter(|s| s.0 == label && s.2 <= self.cut);
        let times: BTreeSet<i64> = visible.clone().map(|s| s.3).collect();
        let first = |time| {
            let of_time = visible.clone().filter(|s| s.3 == time);
            let first = of_time.min_by_key(|s| (s.2, is_stale(s.4), std::cmp::Reverse(s.1)));
            first.map(|s| (s.2, time, s.4.to_bits()))
        };
        times.into_iter().filter_map(first).collect()
    }

    fn news(&self, label: u8, since: u64) -> Vec<(i64, u64)> {
        let first = self.first_come(label).into_iter();
        let new = first.filter(|(p, time, _)| *p > since && *time > self.now - RETENTION);
        new.map(|(_, time, bits)| (time, bits)).collect()
    }

    fn births(&self, since: u64) -> Vec<(u8, i64, Origin)> {
        let new = self.births.iter().filter(|b| b.1 > since && b.1 <= self.cut);
        let new = new.filter(|b| b.2 > self.now - RETENTION);
        new.map(|(label, _, time, origin)| (*label, *time, *origin)).collect()
    }

    fn standing(&self, label: u8) -> Standing {
        let window = Window { start: Timestamp(self.now - 300_000), end: Timestamp::MAX };
        match self.column(label, window).last() {
            Some((time, bits)) if *bits == STALE.to_bits() => Standing::Ended(Timestamp(*time)),
            Some(_) => Standing::Lives,
            None => Standing::Absent,
        }
    }

    /// All that a view of this moment says to one that has read up to `since`.
    fn compare(&self, view: &View, since: u64, known: &BTreeMap<SeriesRef, u8>) {
        let cursor = Cursor(Position(since));
        assert_eq!(view.cursor(), Cursor(Position(self.cut)));
        let ahead = Unknown::Ahead { end: view.cursor() };
        let past = Cursor(Position(self.cut + 1));
        assert_eq!(view.births(&[], past), Err(ahead));
        let here =
            |(series, label): &(&SeriesRef, &u8)| view.labels(**series) == label_set(**label);
        let names: Vec<(SeriesRef, u8)> =
            known.iter().filter(here).map(|(s, l)| (*s, *l)).collect();
        let label_of = |series| names.iter().find(|(s, _)| *s == series).map(|(_, label)| *label);
        match view.births(&[], cursor) {
            Ok(births) => {
                assert!(since >= self.births_since);
                // Of what is past retention the series may be gone.
                let recent = births.iter().filter(|b| b.time.0 > self.now - RETENTION);
                let told = recent.map(|Birth { series, time, origin }| {
                    (label_of(*series).unwrap(), time.0, *origin)
                });
                let (mut told, mut expected): (Vec<_>, _) = (told.collect(), self.births(since));
                let order = |b: &(u8, i64, Origin)| (b.1, b.0, format!("{:?}", b.2));
                told.sort_unstable_by_key(order);
                expected.sort_unstable_by_key(order);
                assert_eq!(told, expected, "since {since}");
            }
            Err(unknown) => {
                let oldest = Cursor(Position(self.births_since));
                assert_eq!(unknown, Unknown::Past { since: oldest });
                assert!(since < self.births_since);
            }
        }
        let mut out = Column::default();
        for (series, label) in &names {
            assert_eq!(view.news(*series, past, &mut out), Err(ahead));
            view.news(*series, cursor, &mut out).unwrap();
            assert_eq!(
                pairs(&out),
                self.news(*label, since),
                "{} since {since}",
                label_set(*label)
            );
            assert_eq!(view.standing(*series), self.standing(*label), "{}", label_set(*label));
        }
    }
}

/// The series that a view shows, with their labels.
fn shown(view: &View) -> Vec<(SeriesRef, u8)> {
    let label = |series| (0..6).find(|label| view.labels(series) == label_set(*label));
    let series = view.series(&[], ALL, 100).into_iter();
    series.map(|series| (series, label(series).unwrap())).collect()
}

fn pairs(column: &Column) -> Vec<(i64, u64)> {
    let bits = column.values.iter().map(|value| value.to_bits());
    column.times.iter().map(|time| time.0).zip(bits).collect()
}

impl Both {
    /// Polls from the last cursor, then asks again from an older one.
    pub(super) fn poll(&mut self, back: usize) {
        self.naive.now = self.clock;
        let view = self.store.view(Timestamp(self.clock));
        let since = self.follower.cursors.last().copied().unwrap_or_default();
        let mut out = Column::default();
        for (series, label) in shown(&view) {
            self.follower.known.insert(series, label);
            view.news(series, Cursor(Position(since)), &mut out).unwrap();
            assert!(out.times.is_sorted_by(|a, b| a < b));
            let told = pairs(&out).into_iter().map(|(time, bits)| (label, time, bits));
            self.follower.told.extend(told);
        }
        self.follower.cursors.push(self.naive.cut);
        self.follower.polls.push((since, self.naive.cut, self.clock - RETENTION));
        if self.evicting {
            return;
        }
        for (view, ..) in &self.views {
            self.follower.known.extend(shown(view));
        }
        let known = &self.follower.known;
        self.naive.compare(&view, since, known);
        let older = self.follower.cursors.iter().rev().nth(back + 1).copied().unwrap_or_default();
        self.naive.compare(&view, older, known);
        for (view, naive, _) in &self.views {
            naive.compare(view, older.min(naive.cut), known);
        }
    }
}
