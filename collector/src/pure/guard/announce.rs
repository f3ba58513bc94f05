//! Announces of rollouts: read from JSON with every problem at once, and settled against the
//! services and environments there are.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::duration;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::signal::is_name;
use bellwether_model::time::{self, Timestamp};
use bellwether_rules::record::Hash;
use bellwether_rules::service::{Catalogue, Mode, Risk, Service, Sli, Strategy};
use serde_json::{Map, Value};

use super::record::{Announced, Clause, Measured, MeasuredSli};
use crate::pure::notify::select::read_matcher;

/// Bytes of an announce, at most.
pub const BYTES_MAX: usize = 16 << 10;
/// How far the time of an announce may be from the collector's.
const SKEW_MS: u64 = 5 * 60 * 1000;
/// Clauses of one arm.
const CLAUSES: usize = 16;
const WATCH: Duration = Duration::from_secs(3600);
const WATCH_MAX: Duration = Duration::from_secs(24 * 3600);
const KEYS: [&str; 15] = [
    "id",
    "service",
    "environment",
    "from",
    "to",
    "strategy",
    "risk",
    "mode",
    "watch",
    "alpha",
    "share",
    "canary",
    "baseline",
    "irreversible",
    "at",
];

/// An announce as it was written.
#[derive(Clone, Debug)]
pub struct Announce {
    /// The rollout's name.
    pub id: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// The environment.
    pub environment: Arc<str>,
    from: Arc<str>,
    to: Arc<str>,
    strategy: Strategy,
    risk: Risk,
    mode: Option<Mode>,
    watch: Duration,
    alpha: Option<f64>,
    share: Option<f64>,
    canary: Vec<Clause>,
    baseline: Vec<Clause>,
    irreversible: bool,
    at: Option<Timestamp>,
    digest: Hash,
}

/// Problems of an announce, in sentences.
pub type Problems = Vec<String>;

impl Announce {
    /// Reads one.
    ///
    /// # Errors
    /// Every problem that its text has.
    pub fn read(bytes: &[u8]) -> Result<Announce, Problems> {
        if bytes.len() > BYTES_MAX {
            return Err(vec![format!("an announce has at most {BYTES_MAX} bytes")]);
        }
        let value: Value =
            serde_json::from_slice(bytes).map_err(|error| vec![error.to_string()])?;
        let Value::Object(fields) = value else {
            return Err(vec!["an announce is a JSON object".to_owned()]);
        };
        let mut reading = Reading { fields: &fields, problems: Vec::new() };
        let announce = reading.announce();
        if reading.problems.is_empty() { Ok(announce) } else { Err(reading.problems) }
    }

    /// What is watched from now on, as services and environments have it now.
    ///
    /// # Errors
    /// Every problem.
    pub fn settle(
        &self,
        catalogue: &Catalogue,
        by: &str,
        now: Timestamp,
    ) -> Result<Announced, Problems> {
        let mut problems = Vec::new();
        if let Some(at) = self.at
            && at.millis_since(now).unsigned_abs() > SKEW_MS
        {
            problems.push("`at` is more than five minutes from the collector's time".to_owned());
        }
        let service = catalogue.services.get(&self.service);
        let policy = catalogue.policy(&self.service, &self.environment);
        let (Some(service), Some(policy)) = (service, policy) else {
            problems.push(format!("no service file describes `{}`", self.service));
            return Err(problems);
        };
        problems.extend(catalogue.strange(service, &self.environment));
        let risk = self.risk.max(policy.risk_floor);
        let alpha = self.alpha.unwrap_or(risk.alpha());
        if alpha > risk.alpha() {
            let (most, risk) = (risk.alpha(), risk.name());
            problems.push(format!("`alpha` is {alpha}, but {most} at most where risk is {risk}"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let announced = Announced {
            rollout: Arc::clone(&self.id),
            service: Arc::clone(&self.service),
            environment: Arc::clone(&self.environment),
            from: Arc::clone(&self.from),
            to: Arc::clone(&self.to),
            strategy: self.strategy,
            risk,
            mode: self.mode.map_or(policy.mode, |mode| mode.min(policy.mode)),
            alpha,
            share: self.share,
            watch_ms: u64::try_from(self.watch.as_millis()).unwrap_or(u64::MAX),
            hook: policy.hook,
            measured: measured(service, &policy.matchers),
            canary: self.canary.clone(),
            baseline: self.baseline.clone(),
            labels: policy.alert_labels,
            runbook: service.runbook.clone(),
            irreversible: self.irreversible,
            digest: self.digest.0,
            by: by.to_owned(),
            at: now,
        };
        if !announced.can_be_kept() {
            let message = "the selectors of `{}` are longer than the journal keeps";
            return Err(vec![message.replace("{}", &self.service)]);
        }
        Ok(announced)
    }

    /// Whether it is a repetition of one that is known.
    #[must_use]
    pub fn repeats(&self, known: &Announced) -> bool {
        self.digest.0 == known.digest
    }
}

fn measured(service: &Service, environment: &[Matcher]) -> Measured {
    let clauses = |matchers: &[Matcher]| matchers.iter().map(Clause::from).collect();
    let slis = service.slis.iter().map(|(name, sli)| {
        let (total, part, is_good) = match sli {
            Sli::Bad { total, bad } => (total, bad, false),
            Sli::Good { total, good } => (total, good, true),
        };
        let (total, part) = (clauses(total), clauses(part));
        MeasuredSli { name: name.as_str().into(), total, part, is_good }
    });
    Measured {
        version_label: service.version_label.clone(),
        stratum_label: service.stratum_label.clone(),
        environment: clauses(environment),
        slis: slis.collect(),
        train_requests: service.train_requests,
    }
}

struct Reading<'a> {
    fields: &'a Map<String, Value>,
    problems: Problems,
}

impl Reading<'_> {
    fn announce(&mut self) -> Announce {
        for key in self.fields.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let mut problem = format!("unknown key `{key}`; there are: ");
            problem.push_str(&KEYS.join(", "));
            self.problems.push(problem);
        }
        let announce = Announce {
            id: self.name("id"),
            service: self.name("service"),
            environment: self.name("environment"),
            from: self.name("from"),
            to: self.name("to"),
            strategy: self
                .word("strategy", &Strategy::ALL.map(|s| (s.name(), s)))
                .unwrap_or_default(),
            risk: self.word("risk", &Risk::ALL.map(|r| (r.name(), r))).unwrap_or_default(),
            mode: self.word("mode", &Mode::ALL.map(|m| (m.name(), m))),
            watch: self.watch(),
            alpha: self.number("alpha", 0.5),
            share: self.number("share", 0.999_999),
            canary: self.clauses("canary"),
            baseline: self.clauses("baseline"),
            irreversible: self.flag("irreversible"),
            at: self.date("at"),
            digest: Hash::of(canonical(self.fields).as_bytes()),
        };
        if announce.from == announce.to && !announce.to.is_empty() {
            self.problems.push("`from` and `to` are the same version".to_owned());
        }
        announce
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.fields.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.problems.push(format!("`{key}` must be a text"));
                None
            }
        }
    }

    fn name(&mut self, key: &str) -> Arc<str> {
        let before = self.problems.len();
        let text = self.text(key);
        if self.problems.len() > before {
            return "".into();
        }
        match text {
            Some(text) if is_name(&text) => text.into(),
            Some(_) => {
                let rule =
                    "1 to 128 letters, digits, `.`, `_` and `-`, a letter, digit or `_` first";
                self.problems.push(format!("`{key}` must be {rule}"));
                "".into()
            }
            None => {
                self.problems.push(format!("`{key}` is missing"));
                "".into()
            }
        }
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let mut problem = format!("`{key}` must be one of ");
            for (place, (word, _)) in words.iter().enumerate() {
                write!(problem, "{}{word}", if place == 0 { "" } else { ", " }).ok();
            }
            self.problems.push(problem);
        }
        found.map(|(_, value)| *value)
    }

    fn watch(&mut self) -> Duration {
        let Some(text) = self.text("watch") else { return WATCH };
        match duration::parse(&text) {
            Ok(watch) if watch <= WATCH_MAX => watch,
            Ok(_) => {
                self.problems.push("`watch` is 24h at most".to_owned());
                WATCH
            }
            Err(error) => {
                self.problems.push(format!("`watch`: {error}"));
                WATCH
            }
        }
    }

    fn number(&mut self, key: &str, most: f64) -> Option<f64> {
        let value = self.fields.get(key).filter(|value| !value.is_null())?;
        let number = value.as_f64().filter(|number| *number > 0.0 && *number <= most);
        if number.is_none() {
            self.problems.push(format!("`{key}` must be a number above 0, {most} at most"));
        }
        number
    }

    fn clauses(&mut self, key: &str) -> Vec<Clause> {
        let items = match self.fields.get(key) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= CLAUSES => items.as_slice(),
            Some(_) => {
                self.problems.push(format!("`{key}` must be a list of {CLAUSES} matchers at most"));
                return Vec::new();
            }
        };
        let mut clauses = Vec::new();
        for item in items {
            let read = item.as_str().ok_or_else(|| "must be texts".to_owned());
            match read.and_then(read_matcher) {
                Ok(matcher) => clauses.push(Clause::from(&matcher)),
                Err(error) => self.problems.push(format!("`{key}`: {error}")),
            }
        }
        clauses
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.fields.get(key) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.problems.push(format!("`{key}` must be true or false"));
                false
            }
        }
    }

    fn date(&mut self, key: &str) -> Option<Timestamp> {
        let text = self.text(key)?;
        let read = time::parse(&text);
        if let Err(error) = &read {
            self.problems.push(format!("`{key}`: {error}"));
        }
        read.ok()
    }
}

/// The same text for the same announce, however it is laid out; but for its time.
fn canonical(fields: &Map<String, Value>) -> String {
    let mut keys: Vec<(&String, &Value)> = fields.iter().filter(|(key, _)| *key != "at").collect();
    keys.sort_by_key(|(key, _)| *key);
    let mut out = String::new();
    for (key, value) in keys {
        write!(out, "{key}\0{value}\0").ok();
    }
    out
}

/// Labels that tell which rollout an alert is of, with those of its environment.
pub(super) fn alert_labels(announced: &Announced, name: &str, severity: &str) -> LabelSet {
    let mut labels: Vec<(&str, &str)> = announced.labels.iter().collect();
    let own = [
        ("alertname", name),
        ("environment", &*announced.environment),
        ("from", &*announced.from),
        ("risk", announced.risk.name()),
        ("rollout", &*announced.rollout),
        ("service", &*announced.service),
        ("severity", severity),
        ("to", &*announced.to),
    ];
    labels.retain(|(name, _)| own.iter().all(|(own, _)| own != name));
    labels.extend(own);
    LabelSet::new(labels).unwrap_or_default()
}
