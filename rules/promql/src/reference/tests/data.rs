//! Random series, and a view over them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::{STALE, SeriesRef};
use bellwether_model::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

/// Series in a map: the plainest view there is.
#[derive(Clone, Default)]
pub(in crate::reference) struct Data(Vec<(LabelSet, Vec<(i64, f64)>)>);

impl Data {
    pub(in crate::reference) fn new(
        series: impl IntoIterator<Item = (LabelSet, Vec<(i64, f64)>)>,
    ) -> Data {
        let sorted: BTreeMap<LabelSet, Vec<(i64, f64)>> = series.into_iter().collect();
        Data(sorted.into_iter().collect())
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
    ) -> impl Iterator<Item = (usize, &'a LabelSet)> {
        let all = self.0.iter().map(|(labels, _)| labels).enumerate();
        all.filter(|(_, labels)| {
            let value = |matcher: &Matcher| labels.get(matcher.name()).unwrap_or("").to_owned();
            matchers.iter().all(|matcher| matcher.matches(&value(matcher)))
        })
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (labels, samples) in &self.0 {
            writeln!(f, "  {labels} {samples:?}")?;
        }
        Ok(())
    }
}

impl Select for Data {
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef> {
        let inside =
            |at: &usize| self.0[*at].1.iter().any(|(time, _)| window.contains(Timestamp(*time)));
        let found = self.matching(matchers).map(|(at, _)| at).filter(inside);
        found
            .take(limit.saturating_add(1))
            .map(|at| SeriesRef(u32::try_from(at).unwrap()))
            .collect()
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

    fn label_names(&self, matchers: &[Matcher], _window: Window) -> Vec<String> {
        let mut names: Vec<String> = self
            .matching(matchers)
            .flat_map(|(_, labels)| labels.iter().map(|(name, _)| name.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], _window: Window) -> Vec<String> {
        let mut values: Vec<String> = self
            .matching(matchers)
            .filter_map(|(_, labels)| labels.get(name).map(str::to_owned))
            .collect();
        values.sort();
        values.dedup();
        values
    }

    fn metadata(&self, _metric: &str) -> Option<Cow<'_, Metadata>> {
        None
    }
}

/// The last stamp of any sample, in milliseconds.
pub(in crate::reference) const LAST: i64 = 300_000;

/// Values that break arithmetic.
fn odd_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        Just(0.0),
        Just(1e308),
        Just(-1.7e308),
        Just(5e-324),
        Just(1e16),
        Just(0.1),
    ]
}

/// What the values of a series do.
fn values(len: usize) -> BoxedStrategy<Vec<f64>> {
    let gauge = prop_oneof![
        3 => -20i32..20,
        1 => Just(0),
    ];
    prop_oneof![
        // A counter that falls now and then.
        4 => vec((0u32..9, prop::bool::weighted(0.1)), len).prop_map(|rises| {
            let mut total = 0.0;
            rises.into_iter().map(|(rise, resets)| {
                total = if resets { f64::from(rise) } else { total + f64::from(rise) };
                total
            }).collect()
        }),
        3 => vec(gauge, len).prop_map(|values| values.into_iter().map(f64::from).collect()),
        2 => vec(-1e3..1e3, len),
        2 => vec(prop_oneof![2 => -5.0..5.0, 1 => odd_value()], len),
        1 => prop_oneof![Just(7.0), odd_value()].prop_map(move |value| vec![value; len]),
        1 => vec(prop::num::f64::ANY.prop_map(without_markers), len),
    ]
    .boxed()
}

/// One kind of not-a-number, so that none is a marker by chance.
fn without_markers(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

/// Samples around every ten seconds, with gaps and stale markers.
fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    (0usize..30, 0i64..LAST / 2, prop_oneof![Just(10_000i64), Just(5_000), Just(15_000)])
        .prop_flat_map(|(len, start, spacing)| {
            let places = vec((prop_oneof![3 => Just(0i64), 1 => 0i64..4_000], 0u8..20), len);
            (values(len), places).prop_map(move |(values, places)| {
                let mut time = start;
                let mut samples = Vec::new();
                for (value, (late, fate)) in values.into_iter().zip(places) {
                    time += spacing;
                    match fate {
                        0 | 1 => {}
                        2 => samples.push((time + late, STALE)),
                        _ => samples.push((time + late, value)),
                    }
                }
                samples.retain(|(time, _)| *time <= LAST);
                samples
            })
        })
}

fn labels() -> impl Strategy<Value = LabelSet> {
    let value = || prop_oneof![Just(""), Just("1"), Just("2"), Just("a10"), Just("a9")];
    let bound = prop_oneof![
        2 => Just("0.1"), 2 => Just("1"), 1 => Just("1.0"), 2 => Just("5"), 3 => Just("+Inf"),
        1 => Just("-1"), 1 => Just("x"),
    ];
    prop_oneof![
        4 => (prop_oneof![Just("a_total"), Just("b"), Just("c")], value(), value())
            .prop_map(|(name, x, y)| [(METRIC_NAME, name), ("x", x), ("y", y)].to_vec()),
        2 => (value(), bound)
            .prop_map(|(x, le)| [(METRIC_NAME, "h_bucket"), ("x", x), ("le", le)].to_vec()),
        1 => value().prop_map(|x| {
            [(METRIC_NAME, "b"), ("__type__", "gauge"), ("__unit__", "s"), ("x", x)].to_vec()
        }),
    ]
    .prop_map(|pairs| LabelSet::new(pairs).unwrap())
}

/// Fewer than a dozen series: Go sorts up to twelve elements in an order that ties show.
pub(in crate::reference) fn data() -> impl Strategy<Value = Data> {
    vec((labels(), samples()), 0..12).prop_map(Data::new)
}
