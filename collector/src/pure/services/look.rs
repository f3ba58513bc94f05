//! One SLI in one environment: its series of the last minute, and what they lack.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::series::{MetricType, is_stale};
use bellwether_model::time::Timestamp;
use bellwether_rules::service::{LE, Service, Sli};

use super::{Finding, SliReport, VersionReport, is_free};

const MINUTE: Duration = Duration::from_secs(60);
/// Series that have gone are looked for so long.
const HOUR: Duration = Duration::from_secs(3600);
/// Series of one selector that are looked at.
const SERIES_MAX: usize = 10_000;
/// Series that have gone are looked at until one tells when.
const GONE_MAX: usize = 16;
/// Seconds between readings, beyond which a verdict is slow.
const SLOW: f64 = 2.0;

/// Where and whose SLIs are looked at.
pub(super) struct Looking<'a> {
    pub(super) view: &'a dyn Select,
    pub(super) now: Timestamp,
    pub(super) service: &'a Service,
    /// Which series are of the environment.
    pub(super) within: &'a [Matcher],
}

/// What a series did in the last minute.
struct Seen {
    labels: LabelSet,
    /// By how much it rose.
    rise: f64,
    /// From its first sample to its last.
    seconds: f64,
    samples: usize,
}

/// What both counters of a request must share to be counted together: job, instance, version and
/// stratum.
type Key<'a> = [&'a str; 4];

impl Seen {
    fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.rise / self.seconds } else { 0.0 }
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).unwrap_or("")
    }
}

impl Looking<'_> {
    pub(super) fn sli(&self, name: &str, sli: &Sli) -> SliReport {
        let total = self.selected(sli.total());
        let (seen, mut findings) = self.seen(&total);
        let mut report = SliReport {
            name: name.to_owned(),
            judgeable: false,
            series: seen.len(),
            interval_seconds: None,
            versions: Vec::new(),
            findings: Vec::new(),
        };
        if seen.is_empty() {
            report.findings.push(self.missing(&total));
            return report;
        }
        self.kind(&seen, &mut findings);
        self.versioned(&seen, &mut findings);
        let (more, bad) = match sli {
            Sli::Bad { bad, .. } => self.bad(&seen, bad, &mut findings),
            Sli::Good { good, .. } => self.good(&seen, sli, good, &mut findings),
        };
        findings.extend(more);
        report.versions = self.versions(&seen, &bad);
        report.interval_seconds = interval(&seen);
        findings.extend(pace(report.interval_seconds));
        let is_idle = |version: &VersionReport| version.requests_per_second <= 0.0;
        if !report.versions.is_empty() && report.versions.iter().all(is_idle) {
            let message = "no request in the last minute: a rollout would have no baseline";
            findings.push(Finding::warning("idle", message));
        }
        report.judgeable = is_free(&findings);
        report.findings = findings;
        report
    }

    /// A selector in this environment.
    fn selected(&self, matchers: &[Matcher]) -> Vec<Matcher> {
        matchers.iter().chain(self.within).cloned().collect()
    }

    /// The series of a selector that have a sample in the last minute.
    fn seen(&self, matchers: &[Matcher]) -> (Vec<Seen>, Vec<Finding>) {
        let window = Window::ending(self.now, MINUTE);
        let mut refs = self.view.series(matchers, window, SERIES_MAX);
        let mut findings = Vec::new();
        if refs.len() > SERIES_MAX {
            refs.truncate(SERIES_MAX);
            let message = format!("{} has more than {SERIES_MAX} series", shown(matchers));
            let finding = Finding::warning("too_many", message);
            findings.push(finding.with_help("the others were not looked at here"));
        }
        let mut column = Column::default();
        let seen = refs.into_iter().filter_map(|series| {
            self.view.samples(series, window, &mut column);
            minute(self.view.labels(series), &column)
        });
        (seen.collect(), findings)
    }

    /// Why a selector has no series.
    fn missing(&self, matchers: &[Matcher]) -> Finding {
        let what = shown(matchers);
        let hour = Window::ending(self.now, HOUR);
        let mut column = Column::default();
        let gone = self.view.series(matchers, hour, GONE_MAX).into_iter().filter_map(|series| {
            self.view.samples(series, hour, &mut column);
            let samples = column.times.iter().zip(&column.values);
            samples.filter(|(_, value)| !is_stale(**value)).map(|(time, _)| *time).next_back()
        });
        if let Some(last) = gone.max() {
            let seconds = self.now.millis_since(last).max(0) / 1000;
            let message = format!(
                "not read in the last minute: the last sample of {what} is {seconds} s old"
            );
            let finding = Finding::problem("not_scraped", message);
            return finding.with_help("see whether its targets are up, and `bellwether host list`");
        }
        let name = matchers.iter().find(|matcher| matcher.name() == METRIC_NAME);
        let named: Vec<Matcher> = name.into_iter().cloned().collect();
        let other = self.view.series(&named, hour, 1).first().map(|one| self.view.labels(*one));
        let finding = Finding::problem("no_series", format!("no series is like {what}"));
        match other {
            Some(labels) => finding.with_help(format!("there is {labels}")),
            None => finding.with_help("no target that is read has this metric"),
        }
    }

    /// Counters are needed, where the type is known.
    fn kind(&self, seen: &[Seen], findings: &mut Vec<Finding>) {
        let names: BTreeSet<&str> = seen.iter().map(|one| one.labels.name()).collect();
        let is_gauge = |name: &&&str| {
            self.view.metadata(name).is_some_and(|known| known.kind == MetricType::Gauge)
        };
        if let Some(name) = names.iter().find(is_gauge) {
            let message = format!("`{name}` is a gauge: requests are counted by counters");
            findings.push(Finding::problem("gauge", message));
        }
    }

    fn version<'s>(&self, seen: &'s Seen) -> &'s str {
        seen.label(&self.service.version_label)
    }

    /// Series without a version belong to no arm.
    fn versioned(&self, seen: &[Seen], findings: &mut Vec<Finding>) {
        let mut without = seen.iter().filter(|one| self.version(one).is_empty());
        let Some(first) = without.next() else { return };
        let (count, label) = (1 + without.count(), &self.service.version_label);
        let which = format!("such as {}", first.labels);
        findings.push(if count == seen.len() {
            let message = format!("no series has the label `{label}`, {which}");
            Finding::problem("no_version", message)
                .with_help("let the scrape say the version, or name its label in `version_label`")
        } else {
            let message =
                format!("{count} of {} series lack the label `{label}`, {which}", seen.len());
            Finding::warning("some_without_version", message).with_help("they belong to no arm")
        });
    }

    fn key<'s>(&self, seen: &'s Seen) -> Key<'s> {
        let stratum = self.service.stratum_label.as_deref();
        let stratum = stratum.map_or("", |label| seen.label(label));
        [seen.label("job"), seen.label("instance"), self.version(seen), stratum]
    }

    /// Whether bad counters can be laid beside totals, and the rates of bad requests by version.
    fn bad(
        &self,
        total: &[Seen],
        bad: &[Matcher],
        findings: &mut Vec<Finding>,
    ) -> (Option<Finding>, BTreeMap<String, f64>) {
        let (bad, more) = self.seen(&self.selected(bad));
        findings.extend(more);
        let keys: BTreeSet<Key<'_>> = total.iter().map(|one| self.key(one)).collect();
        let alone =
            bad.iter().find(|one| !self.version(one).is_empty() && !keys.contains(&self.key(one)));
        let finding = alone.map(|one| {
            let message = format!("{} has no counter of all requests beside it", one.labels);
            let same = self.shared();
            Finding::problem("bad_without_total", message)
                .with_help(format!("both counters must have the same {same}"))
        });
        (finding, self.rates(&bad))
    }

    /// Whether each counter of all requests has one of good ones, and the rates of bad requests.
    fn good(
        &self,
        total: &[Seen],
        sli: &Sli,
        good: &[Matcher],
        findings: &mut Vec<Finding>,
    ) -> (Option<Finding>, BTreeMap<String, f64>) {
        let (good, more) = self.seen(&self.selected(good));
        findings.extend(more);
        let keys: BTreeSet<Key<'_>> = good.iter().map(|one| self.key(one)).collect();
        let alone = total
            .iter()
            .find(|one| !self.version(one).is_empty() && !keys.contains(&self.key(one)));
        let finding = alone.map(|one| match sli.buckets() {
            Some((buckets, le)) => self.bucket(one, &buckets, le),
            None => {
                let message = format!(
                    "{} has no counter of good requests beside it: all would count as bad",
                    one.labels
                );
                let same = self.shared();
                Finding::problem("good_missing", message)
                    .with_help(format!("both counters must have the same {same}"))
            }
        });
        let mut bad = self.rates(total);
        for (version, good) in self.rates(&good) {
            bad.entry(version).and_modify(|rate| *rate = (*rate - good).max(0.0));
        }
        (finding, bad)
    }

    /// What is there in place of a bucket at the threshold.
    fn bucket(&self, of: &Seen, buckets: &[Matcher], le: &Matcher) -> Finding {
        let mut matchers = self.selected(buckets);
        for label in ["job", "instance", self.service.version_label.as_str()] {
            let value = of.label(label);
            matchers.push(
                Matcher::new(label, MatchOp::Equal, value)
                    .expect("invariant: equality needs no pattern"),
            );
        }
        let window = Window::ending(self.now, MINUTE);
        let found = self.view.label_values(LE, &matchers, window);
        let wanted = le.set_of_values().and_then(|values| values.first()?.parse::<f64>().ok());
        let (Some(wanted), false) = (wanted, found.is_empty()) else {
            let message = format!("{} has no buckets", of.labels);
            let finding = Finding::problem("no_bucket", message);
            return finding.with_help("native histograms are not read: expose classic buckets too");
        };
        let bounds = found.iter().filter_map(|text| Some((text, text.parse::<f64>().ok()?)));
        let finite = bounds.filter(|(_, bound)| bound.is_finite());
        let nearest =
            finite.min_by(|(_, a), (_, b)| (a - wanted).abs().total_cmp(&(b - wanted).abs()));
        let message = format!("the buckets of {} have no bound {wanted}", of.labels);
        let finding = Finding::problem("no_bucket", message);
        match nearest {
            Some((text, _)) => finding.with_help(format!("the nearest is le={text:?}")),
            None => finding.with_help("there is no other than +Inf"),
        }
    }

    /// The labels that both counters share, in words.
    fn shared(&self) -> String {
        let version = &self.service.version_label;
        match &self.service.stratum_label {
            None => format!("`job`, `instance` and `{version}`"),
            Some(stratum) => format!("`job`, `instance`, `{version}` and `{stratum}`"),
        }
    }

    fn rates(&self, seen: &[Seen]) -> BTreeMap<String, f64> {
        let mut rates = BTreeMap::new();
        for one in seen {
            *rates.entry(self.version(one).to_owned()).or_insert(0.0) += one.per_second();
        }
        rates
    }

    fn versions(&self, seen: &[Seen], bad: &BTreeMap<String, f64>) -> Vec<VersionReport> {
        let mut versions: BTreeMap<&str, (VersionReport, BTreeSet<[&str; 2]>)> = BTreeMap::new();
        for one in seen.iter().filter(|one| !self.version(one).is_empty()) {
            let version = self.version(one);
            let (report, targets) = versions.entry(version).or_insert_with(|| {
                let report = VersionReport {
                    version: version.to_owned(),
                    series: 0,
                    targets: 0,
                    requests_per_second: 0.0,
                    bad_per_second: bad.get(version).copied().unwrap_or(0.0),
                };
                (report, BTreeSet::new())
            });
            targets.insert([one.label("job"), one.label("instance")]);
            report.series += 1;
            report.targets = targets.len();
            report.requests_per_second += one.per_second();
        }
        versions.into_values().map(|(report, _)| report).collect()
    }
}

/// What a column says; `None` if it has no sample that is one.
fn minute(labels: LabelSet, column: &Column) -> Option<Seen> {
    let samples = column.times.iter().zip(&column.values);
    let mut samples = samples.filter(|(_, value)| !value.is_nan());
    let (first, mut before) = samples.next().map(|(time, value)| (*time, *value))?;
    let mut seen = Seen { labels, rise: 0.0, seconds: 0.0, samples: 1 };
    let mut last = first;
    for (time, value) in samples {
        // A counter that falls began anew.
        seen.rise += if *value >= before { value - before } else { *value };
        (last, before) = (*time, *value);
        seen.samples += 1;
    }
    seen.seconds = f64::from(i32::try_from(last.millis_since(first)).unwrap_or(i32::MAX)) / 1e3;
    Some(seen)
}

/// Seconds from one reading to the next of the series that is read least often.
fn interval(seen: &[Seen]) -> Option<f64> {
    let often = seen
        .iter()
        .filter(|one| one.samples > 1)
        .map(|one| one.seconds / f64::from(u32::try_from(one.samples - 1).unwrap_or(u32::MAX)));
    often.max_by(f64::total_cmp)
}

fn pace(interval: Option<f64>) -> Option<Finding> {
    let message = match interval {
        Some(seconds) if seconds <= SLOW => return None,
        Some(seconds) => format!("read every {seconds:.0} s: a verdict takes as much longer"),
        None => "read only once in the last minute: a verdict takes minutes".to_owned(),
    };
    Some(Finding::warning("slow", message).with_help("scrape it every second"))
}

/// A selector as people write it.
fn shown(matchers: &[Matcher]) -> String {
    let is_name = |m: &&Matcher| m.name() == METRIC_NAME && m.op() == MatchOp::Equal;
    let name = matchers.iter().find(is_name).map_or("", |matcher| matcher.value());
    let rest = matchers.iter().filter(|matcher| name.is_empty() || !is_name(matcher));
    let rest = rest.map(ToString::to_string).collect::<Vec<_>>().join(",");
    if rest.is_empty() { name.to_owned() } else { format!("{name}{{{rest}}}") }
}
