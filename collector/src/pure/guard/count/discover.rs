//! Series that are new, and what their counters stood at.
//!
//! What a store knows of a series' birth is taken from it. Where it knows nothing any more (after a
//! restart), samples of the last minutes tell as much: a counter whose target was read shortly
//! before without it counts from 0. In a target whose scrape had failed nothing is known. A counter
//! that had stood under the other version, in the same target, and stands no lower now is the same
//! process under another name: it goes on from there.

use std::collections::BTreeMap;

use bellwether_model::feed::{Cursor, Feed, Origin, Unknown};
use bellwether_model::label::METRIC_NAME;
use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Column, Window};
use bellwether_model::series::{SeriesRef, is_stale};
use bellwether_model::time::Timestamp;

use super::counter::{Begin, Counter};
use super::select::{Role, Selector, equal};
use super::target::{Scraped, Target, Targets, UPS_MAX, Up};
use super::{Arms, Counting, Dropped, Followed, LOOKBACK_MS, SERIES_MAX, Side, millis_of};

/// Series that are to be followed.
pub(super) type Fresh = BTreeMap<SeriesRef, (Side, Vec<Role>)>;
/// What stores know of births, by series and time of the first sample.
pub(super) type Births = BTreeMap<(SeriesRef, Timestamp), Origin>;

/// How long after the begin of what is read a series may begin and be taken to have been there
/// before, in milliseconds.
const EDGE_MS: i64 = 1000 * super::INTERVAL_SECONDS;

const UP: &str = "up";
const DURATION: &str = "scrape_duration_seconds";
const REFUSED: &str = "scrape_target_refused";

/// Samples of the series of an [`Up`].
type Columns = [Column; 3];

/// Notes a series with what a selector takes it for. It is of the arm that names it first.
pub(super) fn note(fresh: &mut Fresh, series: SeriesRef, selector: &Selector) {
    let (side, roles) = fresh.entry(series).or_insert_with(|| (selector.side, Vec::new()));
    if *side == selector.side && !roles.contains(&selector.role) {
        roles.push(selector.role);
    }
}

impl Counting {
    /// Looks for series by what samples there are.
    pub(super) fn search(
        &mut self,
        view: &dyn Feed,
        since: Cursor,
        now: Timestamp,
        dropped: &mut Dropped,
    ) -> Result<(), Unknown> {
        self.search_ups(view);
        self.refused = Arms::default();
        let (mut fresh, mut births) = (Fresh::new(), Births::new());
        for selector in self.selectors.iter() {
            for series in view.series(&selector.matchers, self.lookback(), SERIES_MAX) {
                note(&mut fresh, series, selector);
            }
            let born = match view.births(&selector.matchers, since) {
                Err(Unknown::Past { since }) => view.births(&selector.matchers, since)?,
                born => born?,
            };
            births.extend(born.iter().map(|born| ((born.series, born.time), born.origin)));
        }
        self.begin(view, fresh, &births, now, dropped);
        Ok(())
    }

    /// Follows series, in the order of their first samples: what a series is born from is known
    /// when it is.
    pub(super) fn begin(
        &mut self,
        view: &dyn Feed,
        mut fresh: Fresh,
        births: &Births,
        now: Timestamp,
        dropped: &mut Dropped,
    ) {
        fresh.retain(|series, _| !self.series.contains_key(series));
        if fresh.is_empty() {
            return;
        }
        let window = self.lookback();
        let mut column = std::mem::take(&mut self.column);
        let mut order = Vec::with_capacity(fresh.len());
        let mut refused: Arms<usize> = Arms::default();
        let mut room: Arms<usize> = Arms { canary: SERIES_MAX, baseline: SERIES_MAX };
        for followed in self.series.values() {
            let room = room.of_mut(followed.side);
            *room = room.saturating_sub(1);
        }
        for (series, (side, roles)) in fresh {
            let room = room.of_mut(side);
            if *room == 0 {
                *refused.of_mut(side) += 1;
                continue;
            }
            *room -= 1;
            view.samples(series, window, &mut column);
            self.add(view, series, side, roles);
            order.extend(column.times.first().map(|first| (*first, series)));
        }
        for side in Side::ALL {
            let now = *refused.of(side);
            dropped.refused += now as u64;
            *self.refused.of_mut(side) += now;
        }
        order.sort_unstable();
        for (first, series) in order {
            let begins = self.begins(series, first, births, window.start);
            view.samples(series, window, &mut column);
            self.take(series, &column, now, &begins, dropped);
        }
        self.column = column;
    }

    fn add(&mut self, view: &dyn Feed, series: SeriesRef, side: Side, roles: Vec<Role>) {
        let labels = view.labels(series);
        let job = labels.get("job").unwrap_or_default();
        let (target, is_new) = self.targets.number(job, labels.get("instance").unwrap_or_default());
        if is_new {
            self.find_ups(view, target);
        }
        let twin = labels.without(&self.plan.version_label);
        *self.twins.entry(twin.clone()).or_default().of_mut(side) = Some(series);
        let stratum = self.strata.of(&labels);
        let (roles, counter) = (roles.into_boxed_slice(), Counter::new());
        let followed = Followed { side, target, stratum, roles, twin, counter };
        self.series.insert(series, followed);
    }

    /// What a counter stood at before its first sample, once that is asked for.
    fn begins(
        &self,
        series: SeriesRef,
        first: Timestamp,
        births: &Births,
        start: Timestamp,
    ) -> impl Fn(&Targets, Timestamp) -> Begin + use<> {
        let origin = births.get(&(series, first)).copied();
        let followed = self.series.get(&series);
        let target = followed.map(|followed| followed.target);
        let twin = followed.and_then(|followed| {
            let twin = self.twins.get(&followed.twin)?.of(followed.side.other()).as_ref()?;
            self.series.get(twin)?.counter.newest()
        });
        let is_edge = first.millis_since(start) <= EDGE_MS;
        move |targets, time| {
            // A counter that was no number for a while begins anew with what it has then.
            let target = target.and_then(|target| targets.get(target));
            let Some(target) = target.filter(|_| time == first) else { return Begin::Unknown };
            let at = match origin {
                Some(Origin::After(at)) => Some(at),
                Some(Origin::First | Origin::Elsewhere) => None,
                None if is_edge => None,
                None => target.read_before(time),
            };
            let Some(at) = at.filter(|at| !target.failed_at(*at)) else { return Begin::Unknown };
            match twin {
                Some((seen, value)) if seen < time => Begin::At(at.min(time), value),
                _ => Begin::At(at, 0),
            }
        }
    }

    /// What is read of a series that was not followed.
    fn lookback(&self) -> Window {
        let start = millis_of(self.closed.saturating_add(1)).saturating_sub(LOOKBACK_MS);
        Window { start: Timestamp(start), end: Timestamp::MAX }
    }

    /// Takes what came of targets' scrapes.
    pub(super) fn follow_ups(&mut self, view: &dyn Feed, since: Cursor) -> Result<(), Unknown> {
        // First those that are new: what a row says is taken at once, or the row is misread.
        for name in [DURATION, REFUSED] {
            match view.births(&[equal(METRIC_NAME, name)], since) {
                Ok(born) => {
                    for born in born {
                        let labels = view.labels(born.series);
                        let label = |name| labels.get(name).unwrap_or_default();
                        if let Some(number) = self.targets.find(label("job"), label("instance")) {
                            self.find_ups(view, number);
                        }
                    }
                }
                Err(Unknown::Past { .. }) => self.search_ups(view),
                Err(ahead) => return Err(ahead),
            }
        }
        let mut columns = Columns::default();
        for number in self.targets.numbers() {
            let Some(target) = self.targets.get_mut(number) else { continue };
            for at in 0..target.ups.len() {
                let Some(told) = target.ups.get(at).copied() else { break };
                for (series, column) in told.series().into_iter().zip(&mut columns) {
                    column.clear();
                    series.map_or(Ok(()), |series| view.news(series, since, column))?;
                }
                take_scrapes(target, &columns);
            }
        }
        Ok(())
    }

    fn search_ups(&mut self, view: &dyn Feed) {
        for number in self.targets.numbers() {
            self.find_ups(view, number);
        }
    }

    /// Finds the series that tell of a target's scrapes, and reads those that are new.
    fn find_ups(&mut self, view: &dyn Feed, number: u32) {
        let window = self.lookback();
        let Some((job, instance)) = self.targets.name(number) else { return };
        let Some(target) = self.targets.get_mut(number) else { return };
        let find = |name: &str| -> Vec<SeriesRef> {
            let matchers: [Matcher; 3] =
                [equal(METRIC_NAME, name), equal("job", &job), equal("instance", &instance)];
            view.series(&matchers, window, UPS_MAX)
        };
        let (durations, refusals) = (find(DURATION), find(REFUSED));
        for up in find(UP) {
            let labels = view.labels(up).without(METRIC_NAME);
            let beside = |all: &[SeriesRef]| {
                let mut all = all.iter().copied();
                all.find(|series| view.labels(*series).without(METRIC_NAME) == labels)
            };
            let Some(duration) = beside(&durations) else { continue };
            let told = Up { up, duration, refused: beside(&refusals) };
            let has_room = target.ups.len() < UPS_MAX;
            match target.ups.iter_mut().find(|held| held.up == up) {
                Some(held) if *held == told => continue,
                Some(held) => *held = told,
                None if has_room => target.ups.push(told),
                None => continue,
            }
            let mut columns = Columns::default();
            for (series, column) in told.series().into_iter().zip(&mut columns) {
                series.into_iter().for_each(|series| view.samples(series, window, column));
            }
            take_scrapes(target, &columns);
        }
    }
}

/// Takes samples of `up` that stand beside those of a scrape.
fn take_scrapes(target: &mut Target, [up, duration, refused]: &Columns) {
    let at = |column: &Column, time| {
        let at = column.times.binary_search(&time).ok()?;
        column.values.get(at).copied().filter(|value| !is_stale(*value))
    };
    for (time, value) in up.times.iter().zip(&up.values) {
        if is_stale(*value) || at(duration, *time).is_none() {
            continue;
        }
        let is_refused = at(refused, *time).is_some_and(|refused| refused > 0.0);
        let scraped = match *value > 0.0 {
            true => Scraped::Well,
            false if is_refused => Scraped::Refused,
            false => Scraped::Failed,
        };
        target.scraped(*time, scraped);
    }
}
