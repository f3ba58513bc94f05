//! The newest rows, handed from the sampler to the page.
//!
//! The sampler copies values under a lock and shares the columns, which change rarely; a page is
//! written from its own copy, so that nobody who asks for it holds the sampler up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bellwether_model::exposition::Writer;
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::series::is_absent;
use bellwether_model::wire::table::ColumnSpec;

use crate::pure::input::own;
use crate::shell::collection::{Group, Report};

type Columns = Arc<[Option<ColumnSpec>]>;

/// The newest row of each group.
#[derive(Debug, Default)]
pub struct Latest {
    groups: Mutex<Vec<Published>>,
    order: Mutex<Order>,
    reports: Mutex<Vec<Report>>,
    is_filled: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Published {
    columns: Columns,
    /// Labels of the group that stand on the page.
    shown: LabelSet,
    values: Vec<f64>,
}

/// The columns of all groups sorted by name and labels, kept until a column comes or goes; without
/// those that the page has from the agent's own counters.
#[derive(Clone, Debug, Default)]
struct Order {
    of: Vec<Columns>,
    places: Arc<[(usize, usize)]>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Latest {
    /// Takes the rows of a tick over, before their edits are forgotten.
    pub fn publish(&self, groups: &[Group]) {
        self.is_filled.store(true, Ordering::Relaxed);
        let mut published = lock(&self.groups);
        published.resize_with(groups.len(), Published::default);
        for (published, group) in
            published.iter_mut().zip(groups).filter(|(_, g)| g.due && g.is_shown)
        {
            let table = &group.table;
            published.values.clear();
            published.values.extend_from_slice(table.values());
            if !table.edits().is_empty() || published.columns.len() != table.columns().len() {
                published.columns = table.columns().into();
                published.shown = group.shown.clone();
            }
        }
    }

    /// Whether there is a row.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.is_filled.load(Ordering::Relaxed)
    }

    /// The next rows are of other groups.
    pub fn begin_anew(&self) {
        lock(&self.groups).clear();
        lock(&self.reports).clear();
    }

    /// Takes over how it goes with each input.
    pub fn report<'a>(&self, reports: impl Iterator<Item = &'a Report>) {
        let mut held = lock(&self.reports);
        for (place, report) in reports.enumerate() {
            match held.get_mut(place) {
                Some(old) if old.error == report.error => {
                    old.last_success = report.last_success;
                    (old.took, old.series) = (report.took, report.series);
                    old.left_out = report.left_out;
                }
                Some(old) => *old = report.clone(),
                None => held.push(report.clone()),
            }
        }
    }

    /// How it goes with each input.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        lock(&self.reports).clone()
    }

    /// Appends the newest rows to a page, family by family; without the labels that all series of
    /// the agent share, which whoever scrapes the page gives. Series of targets have theirs.
    pub fn write(&self, page: &mut Writer<'_>) {
        let groups = lock(&self.groups).clone();
        for (group, column) in self.order(&groups).iter() {
            let Some(group) = groups.get(*group) else { continue };
            let (Some(Some(spec)), Some(value)) =
                (group.columns.get(*column), group.values.get(*column))
            else {
                continue;
            };
            if is_absent(*value) {
                continue;
            }
            page.family(spec.labels.name(), spec.kind, &spec.help);
            let labels = spec.labels.iter().filter(|(name, _)| *name != METRIC_NAME);
            let shown = group.shown.iter().filter(|(name, _)| spec.labels.get(name).is_none());
            let labels = shown.chain(labels);
            page.sample(spec.labels.name(), labels, *value, None);
        }
    }

    fn order(&self, groups: &[Published]) -> Arc<[(usize, usize)]> {
        let mut order = lock(&self.order);
        let is_same = order.of.len() == groups.len()
            && order.of.iter().zip(groups).all(|(of, group)| Arc::ptr_eq(of, &group.columns));
        if !is_same {
            *order = Order::new(groups);
        }
        Arc::clone(&order.places)
    }
}

impl Order {
    fn new(groups: &[Published]) -> Order {
        let mut sorted = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            for (column, spec) in group.columns.iter().enumerate() {
                let is_own = |name| own::FAMILIES.iter().any(|family| family.name == name);
                if let Some(spec) = spec.as_ref().filter(|spec| !is_own(spec.labels.name())) {
                    sorted.push((spec.labels.name(), &spec.labels, (place, column)));
                }
            }
        }
        sorted.sort();
        Order {
            of: groups.iter().map(|group| Arc::clone(&group.columns)).collect(),
            places: sorted.into_iter().map(|(_, _, place)| place).collect(),
        }
    }
}
