//! The handle that readers hold, and what the writer shares with them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use bellwether_model::id::Position;
use bellwether_model::time::Timestamp;

use crate::births::Births;
use crate::chunk::ROWS_MAX;
use crate::files::filed::Damages;
use crate::index::Index;
use crate::index::answers::Answers;
use crate::lane::{Epoch, Lane, LaneId};
use crate::liveness::Front;
use crate::stats::Stats;
use crate::view::View;
use crate::writer::Writer;
use crate::{lock, read};

/// How much longer than the retention samples are kept, so that a view made for an earlier `now`
/// loses nothing; also how long a dropped block waits for the views that see it.
pub const SLACK: Duration = Duration::from_secs(300);

/// Bounds of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series; new ones beyond it are refused, old ones kept.
    pub series_max: usize,
    /// Bytes of rows, sealed (in files, where there are files) and open. Beyond it the oldest
    /// blocks
    /// are dropped. Open rows and parts are never dropped: they are bounded by the series (480
    /// samples each).
    pub bytes_max: usize,
    /// How far back views see.
    pub retention: Duration,
    /// Rows of a sealed block: a multiple of 16 up to 480. Fewer make a simulation see many.
    pub block_rows: usize,
}

impl Default for Limits {
    /// A million series, 1 TiB, 48 hours.
    fn default() -> Limits {
        Limits {
            series_max: 1_000_000,
            bytes_max: 1 << 40,
            retention: Duration::from_secs(48 * 3600),
            block_rows: ROWS_MAX,
        }
    }
}

/// A store, as its readers see it. A clone is another handle.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// An empty store in memory and its only writer. One with chunk files is made by
    /// [`crate::Restoring`].
    #[must_use]
    pub fn new(limits: Limits) -> (Store, Writer) {
        let shared = Arc::new(Shared::new(limits));
        (Store::of(&shared), Writer::new(shared))
    }

    pub(crate) fn of(shared: &Arc<Shared>) -> Store {
        Store { shared: Arc::clone(shared) }
    }

    /// A view of all that is published, for a reader whose time is `now`.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> View {
        View::new(Arc::clone(&self.shared), now)
    }

    /// What [`bellwether_model::feed::Feed::complete_through`] of a view made now would say. Costs
    /// a look-up, however many sources there are.
    #[must_use]
    pub fn complete_through(&self, now: Timestamp) -> Timestamp {
        read(&self.shared.published).front.complete_through(now)
    }

    /// Counts as of the last publication.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = read(&self.shared.published).stats;
        stats.duplicates_merged = self.shared.duplicates.load(Ordering::Relaxed);
        stats.blocks_damaged = self.shared.damages.get().map_or(0, |damages| damages.count());
        stats.views = lock(&self.shared.views).live();
        stats
    }

    /// The bounds it was made with.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.limits
    }
}

/// Each lock is held for the time of a copy; whoever takes several takes them in this order.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) index: RwLock<Index>,
    pub(crate) lanes: RwLock<BTreeMap<LaneId, Arc<Lane>>>,
    pub(crate) published: RwLock<Published>,
    pub(crate) births: RwLock<Births>,
    pub(crate) views: Mutex<Views>,
    /// Of readers among themselves; held alone.
    pub(crate) answers: Mutex<Answers>,
    /// Samples that gave way to another of the same time, as readers met them.
    pub(crate) duplicates: AtomicU64,
    /// What is damaged in the chunk files, where there are any.
    pub(crate) damages: OnceLock<Arc<Damages>>,
}

impl Shared {
    pub(crate) fn new(limits: Limits) -> Shared {
        Shared {
            limits,
            index: RwLock::default(),
            lanes: RwLock::default(),
            published: RwLock::default(),
            births: RwLock::default(),
            views: Mutex::default(),
            answers: Mutex::default(),
            duplicates: AtomicU64::new(0),
            damages: OnceLock::new(),
        }
    }
}

/// What becomes visible at once.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) cut: Position,
    pub(crate) front: Front,
    pub(crate) stats: Stats,
}

/// The epochs of the views that live.
#[derive(Debug, Default)]
pub(crate) struct Views {
    epoch: Epoch,
    live: BTreeMap<Epoch, usize>,
}

impl Views {
    pub(crate) fn enter(&mut self) -> Epoch {
        *self.live.entry(self.epoch).or_insert(0) += 1;
        self.epoch
    }

    pub(crate) fn leave(&mut self, epoch: Epoch) {
        if let Some(count) = self.live.get_mut(&epoch) {
            *count -= 1;
            if *count == 0 {
                self.live.remove(&epoch);
            }
        }
    }

    /// The epoch that begins when what is being dropped is marked so.
    pub(crate) fn next(&self) -> Epoch {
        self.epoch + 1
    }

    /// Begins the next epoch: views made from now on do not see what was dropped in it.
    pub(crate) fn advance(&mut self) {
        self.epoch += 1;
    }

    /// No living view, and none to come, is of an earlier epoch.
    pub(crate) fn oldest(&self) -> Epoch {
        self.live.first_key_value().map_or(self.epoch, |(epoch, _)| *epoch)
    }

    fn live(&self) -> usize {
        self.live.values().sum()
    }
}
