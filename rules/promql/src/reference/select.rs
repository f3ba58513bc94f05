//! Selectors and subqueries: which samples a step sees.

use std::collections::BTreeSet;

use bellwether_model::label::LabelSet;
use bellwether_model::select::{Column, Window};
use bellwether_model::series::is_stale;
use bellwether_model::time::Timestamp;

use super::{Element, Evaluator, Failure, Series, Steps, Vectors, every, nameless};
use crate::tree::{At, Expr, Node, Selector, Subquery, When};

impl Evaluator<'_> {
    /// The last sample of each series before each step, with its own time.
    pub(super) fn selected(&self, selector: &Selector, steps: &Steps) -> Vectors {
        let at_step = |step: &i64| {
            let end = self.read_at(&selector.when, *step);
            let window =
                Window { start: Timestamp(end - self.times.lookback), end: Timestamp(end) };
            let mut vector = Vec::new();
            for series in self.view.series(&selector.matchers, window, usize::MAX - 1) {
                let mut column = Column::default();
                self.view.samples(series, window, &mut column);
                let last = column.times.last().zip(column.values.last());
                if let Some((time, value)) = last.filter(|(_, value)| !is_stale(**value)) {
                    let labels = self.view.labels(series);
                    let (value, time) = (*value, time.0);
                    vector.push(Element { labels, ..nameless(value, time) });
                }
            }
            vector
        };
        let mut vectors: Vectors = steps.times.iter().map(at_step).collect();
        let labels = vectors.iter().flatten().map(|element| element.labels.clone());
        let order: Vec<LabelSet> = labels.collect::<BTreeSet<_>>().into_iter().collect();
        for element in vectors.iter_mut().flatten() {
            let rank = order.iter().position(|labels| *labels == element.labels);
            element.rank = [rank.unwrap_or_default(), 0];
        }
        vectors
    }

    /// The time that a selector or subquery reads at a step.
    fn read_at(&self, when: &When, step: i64) -> i64 {
        let base = match when.at {
            None => step,
            Some(At::Time(time)) => time.0,
            Some(At::Start) => self.times.start,
            Some(At::End) => self.times.end,
        };
        base - self.millis(&when.offset).expect("durations are checked first")
    }

    /// The windows of a range selector or subquery at each step, by series.
    pub(super) fn windows(&mut self, expr: &Expr, steps: &Steps) -> Result<Vec<Series>, Failure> {
        match &expr.node {
            Node::Range(range) => {
                let length = self.millis(&range.range)?;
                let mut series: Vec<Series> = Vec::new();
                for (at, step) in steps.times.iter().enumerate() {
                    let end = self.read_at(&range.selector.when, *step);
                    let start = end - length;
                    let window = Window { start: Timestamp(start), end: Timestamp(end) };
                    let found = self.view.series(&range.selector.matchers, window, usize::MAX - 1);
                    for one in found {
                        let mut column = Column::default();
                        self.view.samples(one, window, &mut column);
                        let samples = column.times.iter().zip(&column.values);
                        let samples = samples.filter(|(_, value)| !is_stale(**value));
                        let samples = samples.map(|(time, value)| (time.0, *value)).collect();
                        let labels = self.view.labels(one);
                        let element = Element { labels, ..nameless(0.0, 0) };
                        let known = series.iter().position(|one| one.labels == element.labels);
                        let place = known.unwrap_or_else(|| {
                            series.push(fresh(&element, steps.times.len()));
                            series.len() - 1
                        });
                        series[place].windows[at] = (start, end, samples);
                    }
                }
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
                series.iter_mut().enumerate().for_each(|(at, one)| one.rank = [at, 0]);
                Ok(series)
            }
            Node::Subquery(subquery) => self.subquery(subquery, steps),
            other => panic!("invariant: the parser has a matrix here, not {other:?}"),
        }
    }

    fn subquery(&mut self, subquery: &Subquery, steps: &Steps) -> Result<Vec<Series>, Failure> {
        let length = self.millis(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => self.millis(step)?,
            None => self.times.subquery_step,
        };
        let ends: Vec<i64> =
            steps.times.iter().map(|step| self.read_at(&subquery.when, *step)).collect();
        let (first, last) = (ends[0] - length, ends[ends.len() - 1]);
        let begin = step * (first.div_euclid(step) + 1);
        let inner = Steps { times: every(begin, last, step), is_range: begin != last };
        if inner.times.is_empty() {
            return Ok(Vec::new());
        }
        let vectors = self.vectors(&subquery.expr, &inner)?;
        let mut series: Vec<Series> = Vec::new();
        for (time, vector) in inner.times.iter().zip(vectors) {
            for element in vector {
                // At one step equal labels were let pass, and are series of their own.
                let known = series.iter().position(|one| one.labels == element.labels);
                let at = known.filter(|_| inner.is_range).unwrap_or_else(|| {
                    series.push(fresh(&element, ends.len()));
                    series.len() - 1
                });
                let one = &mut series[at];
                for (end, window) in ends.iter().zip(&mut one.windows) {
                    if end - length < *time && time <= end {
                        window.2.push((*time, element.value));
                    }
                }
            }
        }
        for one in &mut series {
            for (end, window) in ends.iter().zip(&mut one.windows) {
                (window.0, window.1) = (end - length, *end);
            }
        }
        Ok(series)
    }
}

/// A series of an element's, without samples.
fn fresh(element: &Element, steps: usize) -> Series {
    Series {
        labels: element.labels.clone(),
        drops_name: element.drops_name,
        rank: element.rank,
        windows: vec![(0, 0, Vec::new()); steps],
    }
}
