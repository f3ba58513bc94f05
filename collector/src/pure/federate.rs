//! `/federate`: the last sample of each selected series as a text page for another Prometheus.
//!
//! As `web/federate.go` of Prometheus 3.14: five minutes of lookback, sorted by the metric's name
//! and then by labels, untyped, with times in milliseconds. Series that ended, and those without a
//! name, are left out. External labels are added where absent, and an empty `instance` where there
//! is none, so that the scraper does not add its own. A request without selectors gets an empty
//! page.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use bellwether_model::exposition::Writer;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::{MetricType, SeriesRef, is_stale};
use bellwether_model::time::Timestamp;
use bellwether_promql::evaluate::LOOKBACK;
use bellwether_promql::parse::parse_matchers;

use super::api::answer::{Limits, check};
use super::api::error::{ApiError, ErrorKind};
use super::api::params::Params;
use super::api::request::SELECTORS_MAX;

/// The type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label that the scraper would set.
const INSTANCE: &str = "instance";

/// A request for a page.
#[derive(Clone, Debug)]
pub(crate) struct Federation {
    /// `match[]`, not parsed yet; a series is on the page if any selects it.
    selectors: Vec<String>,
}

impl Federation {
    /// Reads the parameters.
    ///
    /// # Errors
    /// More selectors than allowed.
    pub(crate) fn read(params: &Params) -> Result<Federation, ApiError> {
        let selectors: Vec<String> = params.all("match[]").map(str::to_owned).collect();
        if selectors.len() > SELECTORS_MAX {
            let message = format!("more than {SELECTORS_MAX} match[] parameters");
            return Err(ApiError::new(ErrorKind::BadData, message));
        }
        Ok(Federation { selectors })
    }

    /// Writes the page as of `now`.
    ///
    /// # Errors
    /// A selector is wrong, a limit is exceeded, or the stop flag was set.
    pub(crate) fn page(
        &self,
        external: &LabelSet,
        view: &dyn Select,
        now: Timestamp,
        limits: &Limits,
        stop: &AtomicBool,
    ) -> Result<Vec<u8>, ApiError> {
        let mut sets = Vec::with_capacity(self.selectors.len());
        for text in &self.selectors {
            check(stop)?;
            let refused = |error: bellwether_promql::parse::ParseError| {
                ApiError::new(ErrorKind::BadData, error.to_string())
            };
            sets.push(parse_matchers(text).map_err(refused)?);
        }
        let window = Window::ending(now, LOOKBACK);
        let series = select(&sets, view, window, limits, stop)?;
        let added: BTreeMap<&str, &str> =
            [(INSTANCE, "")].into_iter().chain(external.iter()).collect();
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        let mut column = Column::default();
        let mut written = 0;
        for (labels, one) in series {
            check(stop)?;
            view.samples(one, window, &mut column);
            let (Some(time), Some(value)) = (column.times.last(), column.values.last()) else {
                continue;
            };
            if is_stale(*value) {
                continue;
            }
            written += sample_bytes(&labels, external);
            if written > limits.body_bytes_max {
                let message = format!("page is longer than {} bytes", limits.body_bytes_max);
                return Err(ApiError::new(ErrorKind::Execution, message));
            }
            let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
            let absent = added.iter().filter(|(name, _)| labels.get(name).is_none());
            let all = own.chain(absent.map(|(name, value)| (*name, *value)));
            writer.family(labels.name(), MetricType::Untyped, "");
            writer.sample(labels.name(), all, *value, Some(*time));
        }
        Ok(out)
    }
}

/// What a line takes, about: labels unescaped, the type line, value and time.
fn sample_bytes(labels: &LabelSet, external: &LabelSet) -> usize {
    labels.as_bytes().len() + external.as_bytes().len() + 2 * labels.name().len() + 64
}

/// The selected series that have a name, each once, by name and labels.
fn select(
    sets: &[Vec<Matcher>],
    view: &dyn Select,
    window: Window,
    limits: &Limits,
    stop: &AtomicBool,
) -> Result<Vec<(LabelSet, SeriesRef)>, ApiError> {
    let mut found: Vec<(LabelSet, SeriesRef)> = Vec::new();
    for matchers in sets {
        check(stop)?;
        let refs = view.series(matchers, window, limits.series_max);
        found.extend(refs.into_iter().map(|one| (view.labels(one), one)));
        found.sort_unstable_by_key(|(_, one)| *one);
        found.dedup_by_key(|(_, one)| *one);
        if found.len() > limits.series_max {
            let message = format!("more than {} series match", limits.series_max);
            return Err(ApiError::new(ErrorKind::Execution, message));
        }
    }
    found.retain(|(labels, _)| !labels.name().is_empty());
    found.sort_unstable_by(|(a, _), (b, _)| a.name().cmp(b.name()).then_with(|| a.cmp(b)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use bellwether_model::series::STALE;

    use super::super::api::map_view::MapView;
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn view() -> MapView {
        MapView::default()
            .with(&[("__name__", "up"), ("job", "node"), ("instance", "a")], &[(999_000, 1.0)])
            .with(&[("__name__", "up"), ("job", "api"), ("zone", "q\"\\\n")], &[(999_500, 0.0)])
            .with(&[("__name__", "load"), ("a", "z"), ("instance", "a")], &[(998_000, 0.25)])
            .with(&[("__name__", "ended")], &[(990_000, 1.0), (999_000, STALE)])
            .with(&[("__name__", "old")], &[(700_000, 1.0)])
            .with(&[("__name__", "young")], &[(700_001, 1e21), (1_000_001, 2.0)])
            .with(&[("nameless", "yes")], &[(999_000, 1.0)])
    }

    fn page(query: &str, external: &[(&str, &str)], limits: &Limits) -> Result<String, ApiError> {
        let external = LabelSet::new(external.iter().copied()).unwrap();
        let federation = Federation::read(&Params::decode(query, b""))?;
        let stop = AtomicBool::new(false);
        let page = federation.page(&external, &view(), NOW, limits, &stop)?;
        Ok(String::from_utf8(page).unwrap())
    }

    #[test]
    fn pages_are_sorted_untyped_and_stamped() {
        let all = page("match[]={}", &[], &Limits::default()).unwrap();
        assert_eq!(
            all,
            "# TYPE load untyped\n\
             load{a=\"z\",instance=\"a\"} 0.25 998000\n\
             # TYPE up untyped\n\
             up{instance=\"a\",job=\"node\"} 1 999000\n\
             up{job=\"api\",zone=\"q\\\"\\\\\\n\",instance=\"\"} 0 999500\n\
             # TYPE young untyped\n\
             young{instance=\"\"} 1e+21 700001\n"
        );
    }

    #[test]
    fn selectors_are_joined_and_external_labels_added() {
        let external = [("site", "north"), ("job", "else"), ("instance", "c")];
        let joined =
            page("match[]=up&match[]={job=\"node\"}", &external, &Limits::default()).unwrap();
        assert_eq!(
            joined,
            "# TYPE up untyped\n\
             up{instance=\"a\",job=\"node\",site=\"north\"} 1 999000\n\
             up{job=\"api\",zone=\"q\\\"\\\\\\n\",instance=\"c\",site=\"north\"} 0 999500\n"
        );
        assert_eq!(page("", &external, &Limits::default()).unwrap(), "");
        assert_eq!(page("match[]=none", &external, &Limits::default()).unwrap(), "");
    }

    #[test]
    fn wrong_selectors_and_limits_are_errors() {
        let limits = Limits::default();
        let kind = |query: &str, limits: &Limits| page(query, &[], limits).unwrap_err().kind;
        assert_eq!(kind("match[]=up&match[]=-up", &limits), ErrorKind::BadData);
        assert_eq!(kind("match[]=up[5m]", &limits), ErrorKind::BadData);
        let many = "match[]=up&".repeat(SELECTORS_MAX + 1);
        assert_eq!(kind(&many, &limits), ErrorKind::BadData);
        let few = Limits { series_max: 1, ..limits };
        assert_eq!(kind("match[]=up", &few), ErrorKind::Execution);
        let short = Limits { body_bytes_max: 150, ..limits };
        assert_eq!(kind("match[]=up", &short), ErrorKind::Execution);
        assert!(page("match[]=load", &[], &short).is_ok());
    }
}
