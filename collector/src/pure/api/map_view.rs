//! A view over a few series, for tests.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{Matcher, matches_all};
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::SeriesRef;
use bellwether_model::time::Timestamp;

/// Series by labels, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapView(Vec<(LabelSet, Vec<(i64, f64)>)>);

impl MapView {
    /// Adds a series; its times rise.
    pub(crate) fn with(mut self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> MapView {
        let labels = LabelSet::new(labels.iter().copied()).unwrap();
        self.0.push((labels, samples.to_vec()));
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        self
    }

    fn matched(&self, matchers: &[Matcher], window: Window) -> Vec<usize> {
        let inside = |samples: &[(i64, f64)]| {
            samples.iter().any(|(time, _)| window.contains(Timestamp(*time)))
        };
        let all = self.0.iter().enumerate();
        all.filter(|(_, (l, s))| matches_all(matchers, l) && inside(s)).map(|(i, _)| i).collect()
    }
}

impl Select for MapView {
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef> {
        let refs = self.matched(matchers, window).into_iter();
        refs.take(limit.saturating_add(1)).map(|i| SeriesRef(u32::try_from(i).unwrap())).collect()
    }

    fn labels(&self, series: SeriesRef) -> LabelSet {
        self.0[series.0 as usize].0.clone()
    }

    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column) {
        out.clear();
        for (time, value) in &self.0[series.0 as usize].1 {
            if window.contains(Timestamp(*time)) {
                out.push(Timestamp(*time), *value);
            }
        }
    }

    fn label_names(&self, matchers: &[Matcher], window: Window) -> Vec<String> {
        let names: BTreeSet<&str> = self
            .matched(matchers, window)
            .into_iter()
            .flat_map(|i| self.0[i].0.iter().map(|(name, _)| name))
            .collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Vec<String> {
        let matched = self.matched(matchers, window).into_iter();
        let values: BTreeSet<&str> = matched.filter_map(|i| self.0[i].0.get(name)).collect();
        values.into_iter().map(str::to_owned).collect()
    }

    fn metadata(&self, _: &str) -> Option<Cow<'_, Metadata>> {
        None
    }
}
