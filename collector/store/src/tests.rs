//! The store from outside: against a naive map, at its limits, under threads.

mod feed;
mod kept;
mod limits;
mod map;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::select::{Column, Metadata, Select, Window};
use bellwether_model::series::MetricType;
use bellwether_model::time::Timestamp;

use crate::*;

const ALL: Window = Window { start: Timestamp::MIN, end: Timestamp::MAX };

fn labels(name: &str, x: &str) -> LabelSet {
    LabelSet::new([("__name__", name), ("x", x)]).unwrap()
}

fn definition(labels: LabelSet) -> Definition {
    let metadata =
        Metadata { kind: MetricType::Gauge, help: labels.name().into(), unit: "".into() };
    Definition { labels, metadata: Arc::new(metadata) }
}

fn columns(names: &[&str]) -> Vec<Option<Definition>> {
    names.iter().map(|name| Some(definition(labels(name, "1")))).collect()
}

fn limits_of(series_max: usize, bytes_max: usize) -> Limits {
    Limits { series_max, bytes_max, retention: Duration::from_secs(3600), ..Limits::default() }
}

fn samples(view: &View, name: &str, window: Window) -> Vec<(i64, f64)> {
    let matcher = Matcher::new("__name__", MatchOp::Equal, name).unwrap();
    let mut out = Column::default();
    for series in view.series(&[matcher], ALL, 10) {
        view.samples(series, window, &mut out);
    }
    out.times.iter().map(|t| t.0).zip(out.values).collect()
}
