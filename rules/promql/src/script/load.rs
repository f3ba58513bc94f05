//! Series as loaded by scripts: a map that answers as a store's view does.
//!
//! Native histograms are remembered, not kept: [`Loaded::finds_histograms`] says whether one is
//! among the series that a selector finds, so that a caller knows that an evaluation needs what is
//! not there. `load_with_nhcb` keeps the classic series as they are and remembers the series that
//! it would make of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::{Matcher, matches_all};
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

use super::series::Point;

/// Samples held: of a script, or of one test of rules.
pub const SAMPLES_MAX: usize = 10_000_000;

/// More than [`SAMPLES_MAX`] samples were to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {SAMPLES_MAX} samples are loaded")]
pub struct TooMuch;

/// The endings of the series that a classic histogram consists of.
const CLASSIC: [&str; 3] = ["_bucket", "_count", "_sum"];
const BUCKET_LABEL: &str = "le";

/// Series in the order of their labels.
#[derive(Debug, Default)]
pub struct Loaded {
    series: Vec<(LabelSet, Samples)>,
    count: usize,
}

/// The samples of one series.
#[derive(Clone, Debug, Default)]
struct Samples {
    floats: BTreeMap<Timestamp, f64>,
    has_histograms: bool,
}

impl Loaded {
    /// Adds points at `start`, `start + step`, … of series; a time that has a sample takes the new
    /// one.
    ///
    /// # Errors
    /// More than [`SAMPLES_MAX`] samples in all.
    pub fn add(
        &mut self,
        start: Timestamp,
        step: Duration,
        series: &[(LabelSet, Vec<Point>)],
    ) -> Result<(), TooMuch> {
        let mut all: BTreeMap<LabelSet, Samples> =
            std::mem::take(&mut self.series).into_iter().collect();
        for (labels, points) in series {
            self.count = self.count.saturating_add(points.len());
            if self.count > SAMPLES_MAX {
                return Err(TooMuch);
            }
            let samples = all.entry(labels.clone()).or_default();
            let mut at = start;
            for point in points {
                match point {
                    Point::Missing => {}
                    Point::Value(value) => drop(samples.floats.insert(at, *value)),
                    Point::Histogram => samples.has_histograms = true,
                }
                at = at.saturating_add(step);
            }
        }
        self.series = all.into_iter().collect();
        Ok(())
    }

    /// Remembers the series that `load_with_nhcb` makes of classic histograms.
    pub fn add_custom_buckets(&mut self, series: &[(LabelSet, Vec<Point>)]) {
        let mut all: BTreeMap<LabelSet, Samples> =
            std::mem::take(&mut self.series).into_iter().collect();
        for (labels, _) in series {
            if let Some(base) = base(labels) {
                all.entry(base).or_default().has_histograms = true;
            }
        }
        self.series = all.into_iter().collect();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Loaded::default();
    }

    /// Whether a series with native histograms meets every matcher.
    #[must_use]
    pub fn finds_histograms(&self, matchers: &[Matcher]) -> bool {
        self.series
            .iter()
            .any(|(labels, samples)| samples.has_histograms && matches_all(matchers, labels))
    }

    /// Whether a query's text holds the name of a series with native histograms: all that can be
    /// known of what a text selects that does not parse.
    #[must_use]
    pub fn names_histogram(&self, query: &str) -> bool {
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let words: BTreeSet<&str> = query.split(|c| !in_name(c)).collect();
        let with = self.series.iter().filter(|(_, samples)| samples.has_histograms);
        with.map(|(labels, _)| labels.name()).any(|name| words.contains(name))
    }

    fn matched<'s>(
        &'s self,
        matchers: &'s [Matcher],
        window: Window,
    ) -> impl Iterator<Item = (usize, &'s LabelSet)> {
        let all = self.series.iter().enumerate();
        all.filter(move |(_, (labels, samples))| {
            matches_all(matchers, labels) && samples.within(window).next().is_some()
        })
        .map(|(at, (labels, _))| (at, labels))
    }
}

impl Samples {
    fn within(&self, window: Window) -> impl Iterator<Item = (Timestamp, f64)> {
        use std::ops::Bound::{Excluded, Included};
        // A map refuses a range whose ends are the wrong way round.
        let end = window.end.max(window.start);
        let inside = self.floats.range((Excluded(window.start), Included(end)));
        inside.filter(move |(at, _)| window.contains(**at)).map(|(at, value)| (*at, *value))
    }
}

impl Select for Loaded {
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef> {
        let refs = self.matched(matchers, window).take(limit.saturating_add(1));
        refs.map(|(at, _)| SeriesRef(u32::try_from(at).expect("invariant: series are bounded")))
            .collect()
    }

    fn labels(&self, series: SeriesRef) -> LabelSet {
        self.series.get(series.0 as usize).map(|(labels, _)| labels.clone()).unwrap_or_default()
    }

    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column) {
        out.clear();
        if let Some((_, samples)) = self.series.get(series.0 as usize) {
            samples.within(window).for_each(|(at, value)| out.push(at, value));
        }
    }

    fn label_names(&self, matchers: &[Matcher], window: Window) -> Vec<String> {
        let matched = self.matched(matchers, window);
        let names: BTreeSet<&str> =
            matched.flat_map(|(_, labels)| labels.iter().map(|(name, _)| name)).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Vec<String> {
        let matched = self.matched(matchers, window);
        let values: BTreeSet<&str> = matched.filter_map(|(_, labels)| labels.get(name)).collect();
        values.into_iter().map(str::to_owned).collect()
    }

    fn metadata(&self, _: &str) -> Option<Cow<'_, Metadata>> {
        None
    }
}

/// The series of a native histogram that a classic one is made into.
fn base(labels: &LabelSet) -> Option<LabelSet> {
    let name = labels.name();
    let (base, ending) =
        CLASSIC.iter().find_map(|ending| name.strip_suffix(ending).map(|base| (base, *ending)))?;
    // Prometheus leaves out buckets whose bound is no number.
    let is_bucket = ending == "_bucket";
    if is_bucket && !labels.get(BUCKET_LABEL)?.parse().is_ok_and(|bound: f64| !bound.is_nan()) {
        return None;
    }
    let kept = labels.iter().filter(|(name, _)| *name != BUCKET_LABEL);
    let renamed = kept.map(|(name, value)| (name, if name == METRIC_NAME { base } else { value }));
    LabelSet::new(renamed).ok()
}

#[cfg(test)]
mod tests {
    use bellwether_model::matcher::MatchOp;

    use super::super::series;
    use super::*;

    fn loaded(lines: &[&str]) -> Loaded {
        let mut loaded = Loaded::default();
        let series: Vec<_> = lines.iter().map(|line| series::read(line).unwrap()).collect();
        loaded.add(Timestamp(0), Duration::from_secs(60), &series).unwrap();
        loaded
    }

    fn found(loaded: &Loaded, matcher: (&str, MatchOp, &str), window: (i64, i64)) -> Vec<String> {
        let matchers = [Matcher::new(matcher.0, matcher.1, matcher.2).unwrap()];
        let window = Window { start: Timestamp(window.0), end: Timestamp(window.1) };
        let refs = loaded.series(&matchers, window, 100);
        let mut column = Column::default();
        let shown = refs.into_iter().map(|one| {
            loaded.samples(one, window, &mut column);
            format!("{} {:?}", loaded.labels(one), column.values)
        });
        shown.collect()
    }

    #[test]
    fn windows_are_open_on_the_left() {
        let loaded = loaded(&["b 1+1x3", "a 10 _ 30", r#"a{x="1"} _ _ _ 7"#]);
        let all = ("__name__", MatchOp::Regex, ".+");
        assert_eq!(found(&loaded, all, (-1, 0)), ["a [10.0]", "b [1.0]"]);
        assert_eq!(found(&loaded, all, (0, 120_000)), ["a [30.0]", "b [2.0, 3.0]"]);
        assert_eq!(found(&loaded, all, (120_000, 180_000)), [r#"a{x="1"} [7.0]"#, "b [4.0]"]);
        assert!(found(&loaded, all, (180_000, 180_000)).is_empty());
        assert!(found(&loaded, all, (180_000, 0)).is_empty());
    }

    #[test]
    fn loading_adds_and_clearing_forgets() {
        let mut both = loaded(&["a 1 2"]);
        let more = [series::read("a _ 5 6").unwrap()];
        both.add(Timestamp(0), Duration::from_secs(60), &more).unwrap();
        let all = ("__name__", MatchOp::Equal, "a");
        assert_eq!(found(&both, all, (-1, 120_000)), ["a [1.0, 5.0, 6.0]"]);
        both.clear();
        assert!(found(&both, all, (-1, 120_000)).is_empty());
    }

    #[test]
    fn histograms_are_found_by_selectors() {
        let mut loaded = loaded(&["h {{count:1}} 2", "f 1", "c_sum 1", r#"c_bucket{le="1"} 3"#]);
        let classic =
            [series::read("c_sum 1").unwrap(), series::read(r#"d_bucket{le="1"} 3"#).unwrap()];
        let finds = |loaded: &Loaded, name: &str| {
            let name = Matcher::new("__name__", MatchOp::Regex, name).unwrap();
            loaded.finds_histograms(&[name])
        };
        for (selected, found) in [("f", false), ("h", true), ("c", false), ("f|h", true)] {
            assert_eq!(finds(&loaded, selected), found, "{selected}");
        }
        loaded.add_custom_buckets(&classic);
        for (selected, found) in [("c", true), ("d", true), ("c_sum", false), ("f", false)] {
            assert_eq!(finds(&loaded, selected), found, "{selected}");
        }
        assert!(loaded.names_histogram("h </ 3") && loaded.names_histogram("sum(c)"));
        assert!(!loaded.names_histogram("hh + f"));
    }
}
