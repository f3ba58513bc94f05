//! A list of samples as a view that grows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bellwether_model::feed::{Birth, Cursor, Feed, Origin, Standing, Unknown};
use bellwether_model::id::Position;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::{STALE, SeriesRef};
use bellwether_model::time::Timestamp;

type Labels = Vec<(&'static str, String)>;

/// One series: its labels and samples by position, time and value.
#[derive(Clone)]
struct Series {
    labels: LabelSet,
    samples: Vec<(u64, Timestamp, f64)>,
}

#[derive(Clone, Default)]
pub(super) struct Map {
    series: Vec<Series>,
    numbers: BTreeMap<Labels, usize>,
    births: Vec<(u64, Birth)>,
    /// By target: its newest row, and the series that it had.
    rows: BTreeMap<u32, (Timestamp, Vec<usize>)>,
    pub(super) position: u64,
    pub(super) births_since: u64,
    pub(super) complete: Option<Timestamp>,
    pub(super) now: Timestamp,
}

impl Map {
    /// Adds a row of a target, with all its series; those that are gone end.
    pub(super) fn row(&mut self, target: u32, time: Timestamp, values: &[(Labels, f64)]) {
        self.position += 1;
        let before = self.rows.remove(&target);
        let mut has = Vec::new();
        for (labels, value) in values {
            let number = self.number(labels);
            has.push(number);
            let had = before.as_ref().is_some_and(|(_, had)| had.contains(&number));
            if !had {
                let goes_on = |(_, had): &&(Timestamp, Vec<usize>)| {
                    had.iter().any(|n| values.iter().any(|(l, _)| self.numbers.get(l) == Some(n)))
                };
                let at = before.as_ref().filter(goes_on).map(|(at, _)| *at);
                let origin = at.map_or(Origin::First, Origin::After);
                let birth =
                    Birth { series: SeriesRef(u32::try_from(number).unwrap()), time, origin };
                self.births.push((self.position, birth));
            }
            self.series[number].samples.push((self.position, time, *value));
        }
        for number in before.into_iter().flat_map(|(_, had)| had) {
            if !has.contains(&number) {
                self.series[number].samples.push((self.position, time, STALE));
            }
        }
        self.rows.insert(target, (time, has));
    }

    fn number(&mut self, labels: &Labels) -> usize {
        let next = self.series.len();
        let number = *self.numbers.entry(labels.clone()).or_insert(next);
        if number == next {
            let set = LabelSet::new(labels.iter().map(|(n, v)| (*n, v.as_str()))).unwrap();
            self.series.push(Series { labels: set, samples: Vec::new() });
        }
        number
    }

    fn of(&self, series: SeriesRef) -> &Series {
        &self.series[series.0 as usize]
    }

    fn meets(series: &Series, matchers: &[Matcher]) -> bool {
        let value = |name| series.labels.get(name).unwrap_or_default();
        matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
    }

    fn ahead(&self, since: Cursor) -> Result<(), Unknown> {
        if since > self.cursor() { Err(Unknown::Ahead { end: self.cursor() }) } else { Ok(()) }
    }
}

impl Select for Map {
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef> {
        let found = self.series.iter().zip(0..).filter(|(series, _)| {
            Self::meets(series, matchers)
                && series.samples.iter().any(|(_, time, _)| window.contains(*time))
        });
        found.map(|(_, number)| SeriesRef(number)).take(limit + 1).collect()
    }

    fn labels(&self, series: SeriesRef) -> LabelSet {
        self.of(series).labels.clone()
    }

    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column) {
        out.clear();
        let mut samples: Vec<_> = self.of(series).samples.iter().map(|s| (s.1, s.2)).collect();
        samples.sort_by_key(|sample| sample.0);
        samples.retain(|sample| window.contains(sample.0));
        samples.into_iter().for_each(|(time, value)| out.push(time, value));
    }

    fn label_names(&self, _: &[Matcher], _: Window) -> Vec<String> {
        Vec::new()
    }

    fn label_values(&self, _: &str, _: &[Matcher], _: Window) -> Vec<String> {
        Vec::new()
    }

    fn metadata(&self, _: &str) -> Option<Cow<'_, Metadata>> {
        None
    }
}

impl Feed for Map {
    fn complete_through(&self) -> Timestamp {
        self.complete.unwrap_or(self.now).min(self.now)
    }

    fn cursor(&self) -> Cursor {
        Cursor(Position(self.position))
    }

    fn births(&self, matchers: &[Matcher], since: Cursor) -> Result<Vec<Birth>, Unknown> {
        self.ahead(since)?;
        if since.0.0 < self.births_since {
            return Err(Unknown::Past { since: Cursor(Position(self.births_since)) });
        }
        let from = self.births.partition_point(|(position, _)| *position <= since.0.0);
        let born = self.births[from..].iter().map(|(_, birth)| *birth);
        Ok(born.filter(|birth| Self::meets(self.of(birth.series), matchers)).collect())
    }

    fn news(&self, series: SeriesRef, since: Cursor, out: &mut Column) -> Result<(), Unknown> {
        self.ahead(since)?;
        out.clear();
        let samples = &self.of(series).samples;
        let from = samples.partition_point(|(position, ..)| *position <= since.0.0);
        let mut new: Vec<_> = samples[from..].iter().map(|s| (s.1, s.2)).collect();
        new.sort_by_key(|sample| sample.0);
        new.into_iter().for_each(|(time, value)| out.push(time, value));
        Ok(())
    }

    fn standing(&self, _: SeriesRef) -> Standing {
        Standing::Lives
    }
}
