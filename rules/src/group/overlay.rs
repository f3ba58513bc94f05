//! A view that ends at a slot, with some samples laid over it: what the rules before have written.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher, matches_all};
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;
use bellwether_promql::tree::Selector;

use crate::file::{Rule, RuleGroup, RuleKind};

/// Numbers of series that the view below does not have.
const OWN: u32 = 1 << 31;

/// A view without what is later than a time, and samples newer than its own. A sample at a time
/// that the view has too takes its place.
pub struct Overlay<'a> {
    below: &'a dyn Select,
    end: Timestamp,
    /// Only what one of these selects is laid over; without them everything is.
    readers: Option<Vec<&'a Selector>>,
    /// In the order in which the series were first laid over.
    added: Vec<Added>,
    by_labels: BTreeMap<LabelSet, usize>,
    by_ref: BTreeMap<SeriesRef, usize>,
}

struct Added {
    labels: LabelSet,
    below: Option<SeriesRef>,
    /// Of the series if the view below does not have it.
    own: SeriesRef,
    samples: Vec<(Timestamp, f64)>,
}

impl<'a> Overlay<'a> {
    /// Nothing laid over; nothing later than `end` shows, whatever a query asks for.
    #[must_use]
    pub fn new(below: &'a dyn Select, end: Timestamp) -> Overlay<'a> {
        let (by_labels, by_ref) = (BTreeMap::new(), BTreeMap::new());
        Overlay { below, end, readers: None, added: Vec::new(), by_labels, by_ref }
    }

    /// The same for the rules of one group at one slot: what none of them can read is not laid
    /// over, since it need not be looked for in the view below.
    #[must_use]
    pub fn of_group(below: &'a dyn Select, end: Timestamp, group: &'a RuleGroup) -> Overlay<'a> {
        Overlay { readers: readers(group), ..Overlay::new(below, end) }
    }

    /// Lets later samples show, up to another end.
    pub fn extend(&mut self, end: Timestamp) {
        self.end = end;
    }

    fn cut(&self, window: Window) -> Window {
        Window { end: window.end.min(self.end), ..window }
    }

    /// Lays a sample over, unless nobody reads it: says whether. Later samples of a series are not
    /// older.
    pub fn add(&mut self, labels: LabelSet, time: Timestamp, value: f64) -> bool {
        let is_read = |readers: &Vec<&Selector>| {
            readers.iter().any(|selector| matches_all(&selector.matchers, &labels))
        };
        if !self.readers.as_ref().is_none_or(is_read) {
            return false;
        }
        let at = match self.by_labels.get(&labels) {
            Some(at) => *at,
            None => {
                let at = self.added.len();
                let own = SeriesRef(OWN | u32::try_from(at).unwrap_or(u32::MAX >> 1));
                let below = find(self.below, &labels);
                self.by_labels.insert(labels.clone(), at);
                self.by_ref.insert(below.unwrap_or(own), at);
                self.added.push(Added { labels, below, own, samples: Vec::new() });
                at
            }
        };
        let Some(added) = self.added.get_mut(at) else { return false };
        match added.samples.last_mut() {
            Some((last, old)) if *last == time => *old = value,
            _ => added.samples.push((time, value)),
        }
        true
    }

    fn matched(&self, matchers: &[Matcher], window: Window) -> Vec<&Added> {
        let inside = |added: &Added| added.samples.iter().any(|(time, _)| window.contains(*time));
        self.added
            .iter()
            .filter(|added| inside(added) && matches_all(matchers, &added.labels))
            .collect()
    }

    fn by_ref(&self, series: SeriesRef) -> Option<&Added> {
        self.added.get(*self.by_ref.get(&series)?)
    }
}

/// The selectors of a group's rules; `None` if what they read cannot be told from them.
fn readers(group: &RuleGroup) -> Option<Vec<&Selector>> {
    let mut readers = Vec::new();
    for rule in &group.rules {
        if asks_more(rule) {
            return None;
        }
        rule.expr.each_selector(&mut |selector| readers.push(selector));
    }
    Some(readers)
}

/// Whether a rule may read what no selector of its expression names: `info()` does, and so does a
/// query in a template.
fn asks_more(rule: &Rule) -> bool {
    let annotations = match &rule.kind {
        RuleKind::Alert(alert) => Some(&alert.annotations),
        RuleKind::Record(_) => None,
    };
    let mut templates =
        rule.labels.values().chain(annotations.into_iter().flat_map(|a| a.values()));
    rule.query.contains("info(") || templates.any(|template| template.as_str().contains("query"))
}

/// The series of a view with exactly these labels.
fn find(view: &dyn Select, labels: &LabelSet) -> Option<SeriesRef> {
    let exact = |(name, value)| {
        Matcher::new(name, MatchOp::Equal, value).expect("invariant: an equality has no pattern")
    };
    let matchers: Vec<Matcher> = labels.iter().map(exact).collect();
    let all = Window { start: Timestamp::MIN, end: Timestamp::MAX };
    let found = view.series(&matchers, all, usize::MAX);
    found.into_iter().find(|series| view.labels(*series) == *labels)
}

impl Select for Overlay<'_> {
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef> {
        let window = self.cut(window);
        let below = self.below.series(matchers, window, limit);
        let added = self.matched(matchers, window);
        if added.is_empty() {
            return below;
        }
        let mut all: Vec<(LabelSet, SeriesRef)> =
            below.into_iter().map(|series| (self.below.labels(series), series)).collect();
        for added in added {
            if let Err(at) = all.binary_search_by(|(labels, _)| labels.cmp(&added.labels)) {
                all.insert(at, (added.labels.clone(), added.below.unwrap_or(added.own)));
            }
        }
        all.truncate(limit.saturating_add(1));
        all.into_iter().map(|(_, series)| series).collect()
    }

    fn labels(&self, series: SeriesRef) -> LabelSet {
        match self.by_ref(series) {
            Some(added) => added.labels.clone(),
            None => self.below.labels(series),
        }
    }

    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column) {
        let window = self.cut(window);
        let added = self.by_ref(series);
        match added.map(|added| added.below) {
            Some(None) => out.clear(),
            Some(Some(below)) => self.below.samples(below, window, out),
            None => return self.below.samples(series, window, out),
        }
        let samples = added.map_or(&[][..], |added| &added.samples);
        for (time, value) in samples.iter().filter(|(time, _)| window.contains(*time)) {
            let kept = out.times.partition_point(|known| known < time);
            out.times.truncate(kept);
            out.values.truncate(kept);
            out.push(*time, *value);
        }
    }

    fn each(
        &self,
        series: &[SeriesRef],
        window: Window,
        visit: &mut dyn FnMut(LabelSet, &mut Column) -> ControlFlow<()>,
    ) {
        let mut column = Column::default();
        let mut goes_on = ControlFlow::Continue(());
        let is_below = |series: &SeriesRef| !self.by_ref.contains_key(series);
        for run in series.chunk_by(|one, next| is_below(one) && is_below(next)) {
            match run {
                [one] if !is_below(one) => {
                    self.samples(*one, window, &mut column);
                    goes_on = visit(self.labels(*one), &mut column);
                }
                _ => self.below.each(run, self.cut(window), &mut |labels, column| {
                    goes_on = visit(labels, column);
                    goes_on
                }),
            }
            if goes_on.is_break() {
                return;
            }
        }
    }

    fn label_names(&self, matchers: &[Matcher], window: Window) -> Vec<String> {
        let window = self.cut(window);
        let mut names: BTreeSet<String> =
            self.below.label_names(matchers, window).into_iter().collect();
        for added in self.matched(matchers, window) {
            names.extend(added.labels.iter().map(|(name, _)| name.to_owned()));
        }
        names.into_iter().collect()
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Vec<String> {
        let window = self.cut(window);
        let mut values: BTreeSet<String> =
            self.below.label_values(name, matchers, window).into_iter().collect();
        let added = self.matched(matchers, window).into_iter();
        values.extend(added.filter_map(|added| added.labels.get(name)).map(str::to_owned));
        values.into_iter().collect()
    }

    fn metadata(&self, metric: &str) -> Option<Cow<'_, Metadata>> {
        self.below.metadata(metric)
    }
}

impl fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("added", &self.added.len()).finish_non_exhaustive()
    }
}
