//! The collector's own metrics. Parts keep plain counts; they become metrics when the page is asked
//! for.

use bellwether_model::time::Timestamp;
use bellwether_platform::journal::commit::CommitQueue;
use bellwether_platform::listener::{Answers, Bodies, Figure, FigureKind, ListenerStats};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::sync::Arc;

use super::deliver::figures::NotifyMetrics;
use super::guard_figures::GuardMetrics;
use super::recover::StartDamage;
use super::serve::Watch;
use crate::pure::keeper::KeeperStats;
use bellwether_model::wire::answer::{Case, RefusedReason};
use bellwether_model::wire::envelope::SkipReason;

const VALID: &str = "invariant: the name is valid";

/// Where the counts are kept.
pub struct Sources {
    /// Keeper, store, rules and clock.
    pub watch: Watch,
    /// The journal.
    pub queue: CommitQueue,
    /// Connections.
    pub listener: Arc<ListenerStats>,
    /// Request bodies.
    pub bodies: Bodies,
    /// Answers.
    pub answers: Answers,
    /// What the start found gone.
    pub damage: StartDamage,
}

impl Sources {
    /// Of a collector's parts.
    #[must_use]
    pub fn new(
        watch: &Watch,
        queue: &CommitQueue,
        (bodies, answers): (&Bodies, &Answers),
        (listener, damage): (Arc<ListenerStats>, StartDamage),
    ) -> Sources {
        Sources {
            watch: watch.clone(),
            queue: queue.clone(),
            listener,
            bodies: bodies.clone(),
            answers: answers.clone(),
            damage,
        }
    }
}

/// The registry with everything in it, and the handle of the counter that the push route keeps.
///
/// # Panics
/// Two metrics have one name, which a test rules out.
#[must_use]
pub fn registry(sources: Sources) -> (Registry, IntCounterVec) {
    let registry = Registry::new();
    let answers =
        Opts::new("bellwether_collector_push_total", "Requests of agents, by their answer.");
    let answers = IntCounterVec::new(answers, &["case"]).expect(VALID);
    for case in Case::ALL {
        answers.with_label_values(&[case.as_str()]).inc_by(0);
    }
    let build =
        Opts::new("bellwether_collector_build_info", "The collector's version, in a label.");
    let build = IntGaugeVec::new(build, &["version"]).expect(VALID);
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let board = sources.watch.board.clone();
    let notices = NotifyMetrics(Arc::new(move || board.figures()));
    let board = sources.watch.board.clone();
    let guard = GuardMetrics(Arc::new(move || board.guard()));
    let parts: [Box<dyn Collector>; 3] =
        [Box::new(answers.clone()), Box::new(build), Box::new(Pulled(sources, notices, guard))];
    for part in parts {
        registry.register(part).expect("invariant: names differ");
    }
    (registry, answers)
}

/// How it went with reading the configuration again.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    successful: IntGauge,
    success_time: IntGauge,
}

impl ReloadMetrics {
    /// Registers them; the configuration that the collector starts with was read `at`.
    ///
    /// # Panics
    /// They are registered already.
    #[must_use]
    pub fn new(registry: &Registry, at: Timestamp) -> ReloadMetrics {
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help).expect(VALID);
            registry.register(Box::new(gauge.clone())).expect("invariant: names differ");
            gauge
        };
        let metrics = ReloadMetrics {
            successful: gauge(
                "bellwether_collector_config_last_reload_successful",
                "Whether the last attempt to read the configuration again went well.",
            ),
            success_time: gauge(
                "bellwether_collector_config_last_reload_success_timestamp_seconds",
                "When the configuration in use was read.",
            ),
        };
        metrics.configured(Some(at));
        metrics
    }

    /// Takes note of the reading of a configuration; `None` if it was of no use.
    pub fn configured(&self, at: Option<Timestamp>) {
        self.successful.set(i64::from(at.is_some()));
        at.into_iter().for_each(|at| self.success_time.set(at.0 / 1000));
    }
}

/// Turns counts into metrics at each scrape.
struct Pulled(Sources, NotifyMetrics, GuardMetrics);

impl Collector for Pulled {
    /// Without descriptions the registry does not check for repeats; a test does.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (stats, sessions) = self.0.watch.keeper.stats();
        let mut families = Vec::new();
        let mut put = |figure: Figure| families.extend(family(&figure));
        self.keeper(&stats, sessions).into_iter().for_each(&mut put);
        self.store().into_iter().for_each(&mut put);
        self.journal().into_iter().for_each(&mut put);
        self.rules(&stats).into_iter().for_each(&mut put);
        self.0.listener.figures().into_iter().for_each(&mut put);
        self.0.bodies.figures().into_iter().for_each(&mut put);
        self.0.answers.figures().into_iter().for_each(&mut put);
        families.extend(skipped(&stats));
        families.extend(refused(&stats));
        families.extend(self.seconds(&stats));
        families.extend(self.1.collect());
        families.extend(self.2.collect());
        families
    }
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Figure {
    Figure { name, help, kind: FigureKind::Counter, value }
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Figure {
    Figure { name, help, kind: FigureKind::Gauge, value }
}

fn family(figure: &Figure) -> Vec<MetricFamily> {
    match figure.kind {
        FigureKind::Counter => {
            let counter = IntCounter::new(figure.name, figure.help).expect(VALID);
            counter.inc_by(figure.value);
            counter.collect()
        }
        FigureKind::Gauge => {
            let gauge = IntGauge::new(figure.name, figure.help).expect(VALID);
            gauge.set(i64::try_from(figure.value).unwrap_or(i64::MAX));
            gauge.collect()
        }
    }
}

fn skipped(stats: &KeeperStats) -> Vec<MetricFamily> {
    let opts = Opts::new(
        "bellwether_collector_frames_skipped_total",
        "Frames that agents declared as never to come, by reason.",
    );
    let skipped = IntCounterVec::new(opts, &["reason"]).expect(VALID);
    for reason in SkipReason::ALL {
        let count = stats.skipped.get(reason.as_str()).copied().unwrap_or(0);
        skipped.with_label_values(&[reason.as_str()]).inc_by(count);
    }
    skipped.collect()
}

fn refused(stats: &KeeperStats) -> Vec<MetricFamily> {
    let opts = Opts::new(
        "bellwether_collector_columns_refused_total",
        "Columns refused, each time they were described, by reason.",
    );
    let refused = IntCounterVec::new(opts, &["reason"]).expect(VALID);
    for reason in RefusedReason::ALL {
        let count = stats.refused_columns.get(reason.as_str()).copied().unwrap_or(0);
        refused.with_label_values(&[reason.as_str()]).inc_by(count);
    }
    refused.collect()
}

impl Pulled {
    fn rules(&self, kept: &KeeperStats) -> [Figure; 9] {
        let stats = self.0.watch.board.stats();
        [
            counter(
                "bellwether_rule_group_iterations_total",
                "Rule groups evaluated at a slot.",
                stats.iterations,
            ),
            counter(
                "bellwether_rule_group_iterations_missed_total",
                "Slots that had passed before their group could be evaluated.",
                stats.missed,
            ),
            counter("bellwether_rule_evaluations_total", "Rules evaluated.", stats.evaluations),
            counter(
                "bellwether_rule_evaluation_failures_total",
                "Rules whose evaluation failed.",
                stats.failures,
            ),
            counter(
                "bellwether_rule_evaluations_unrecorded_total",
                "Evaluations of groups that the journal had no room for.",
                stats.unrecorded,
            ),
            counter("bellwether_rule_samples_total", "Samples that rules wrote.", stats.samples),
            counter(
                "bellwether_rule_samples_repeated_total",
                "Samples left out because an earlier rule of the group wrote the same series.",
                stats.doubles,
            ),
            counter(
                "bellwether_rule_series_refused_total",
                "Series of rules that the store had no place for.",
                kept.refused_series,
            ),
            counter(
                "bellwether_rule_evaluations_lost_total",
                "Evaluations in the journal that build on one that corruption has taken.",
                kept.lost_evaluations,
            ),
        ]
    }

    fn keeper(&self, stats: &KeeperStats, sessions: usize) -> [Figure; 12] {
        [
            counter("bellwether_collector_frames_total", "Frames applied.", stats.frames),
            counter(
                "bellwether_collector_frames_duplicate_total",
                "Frames that had been applied before.",
                stats.duplicates,
            ),
            counter("bellwether_collector_samples_total", "Samples stored.", stats.samples),
            counter(
                "bellwether_collector_samples_ahead_total",
                "Samples stamped too far ahead of their arrival, not stored.",
                stats.samples_ahead,
            ),
            counter(
                "bellwether_collector_samples_unplaced_total",
                "Samples of applied frames whose column was refused.",
                stats.samples_unplaced,
            ),
            counter(
                "bellwether_collector_samples_out_of_order_total",
                "Samples of applied frames not newer than the last row of their group.",
                stats.samples_out_of_order,
            ),
            counter(
                "bellwether_collector_frames_lost_total",
                "Acknowledged frames that damage to the journal has taken.",
                stats.lost_frames,
            ),
            counter(
                "bellwether_collector_checkpoints_total",
                "Checkpoints written.",
                stats.checkpoints,
            ),
            counter(
                "bellwether_collector_checkpoints_failed_total",
                "Checkpoints put off for want of space.",
                stats.checkpoints_failed,
            ),
            gauge(
                "bellwether_collector_date_doubted",
                "1 while the date is too far ahead of what it was for samples to expire by it.",
                u64::from(stats.date_doubted),
            ),
            counter(
                "bellwether_collector_clock_steps_total",
                "Steps of the collector's clock forward to the host's.",
                self.0.watch.clock.stats().steps,
            ),
            gauge(
                "bellwether_collector_sessions",
                "Streams of agents that are known.",
                u64::try_from(sessions).unwrap_or(u64::MAX),
            ),
        ]
    }

    fn store(&self) -> Vec<Figure> {
        let stats = self.0.watch.store.stats();
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        vec![
            gauge("bellwether_store_series", "Series held.", size(stats.series)),
            gauge("bellwether_store_lanes", "Column groups held.", size(stats.lanes)),
            gauge("bellwether_store_blocks", "Sealed blocks held.", size(stats.blocks)),
            gauge("bellwether_store_files", "Chunk files held.", size(stats.files)),
            counter(
                "bellwether_store_files_gone_total",
                "Chunk files that the start found gone; their samples are lost.",
                self.0.damage.files,
            ),
            counter(
                "bellwether_store_blocks_damaged_total",
                "Blocks in chunk files that were found damaged; their samples are missing.",
                stats.blocks_damaged,
            ),
            gauge(
                "bellwether_store_sealed_bytes",
                "Bytes of blocks, on the disk and in memory.",
                size(stats.sealed_bytes),
            ),
            gauge("bellwether_store_open_bytes", "Bytes of open rows.", size(stats.open_bytes)),
            gauge(
                "bellwether_store_pinned_bytes",
                "Bytes of dropped blocks that wait for older views.",
                size(stats.pinned_bytes),
            ),
            gauge("bellwether_store_views", "Views that live.", size(stats.views)),
            counter("bellwether_store_series_created_total", "Series made.", stats.series_created),
            counter("bellwether_store_series_removed_total", "Series gone.", stats.series_removed),
            counter("bellwether_store_rows_total", "Rows appended.", stats.rows_appended),
            counter(
                "bellwether_store_samples_out_of_order_total",
                "Samples refused: not newer than the last row of their group.",
                stats.samples_out_of_order,
            ),
            counter(
                "bellwether_store_samples_refused_total",
                "Samples refused: their column has no series.",
                stats.samples_refused,
            ),
            counter(
                "bellwether_store_samples_expired_total",
                "Samples dropped past retention.",
                stats.samples_expired,
            ),
            counter(
                "bellwether_store_samples_evicted_total",
                "Samples dropped for the bytes the store may hold.",
                stats.samples_evicted,
            ),
            counter(
                "bellwether_store_duplicates_merged_total",
                "Samples that gave way to another of the same series and time, at each reading.",
                stats.duplicates_merged,
            ),
        ]
    }

    fn journal(&self) -> Vec<Figure> {
        let status = self.0.queue.status();
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        vec![
            gauge("bellwether_journal_bytes", "Bytes of segments and spares.", status.bytes),
            gauge("bellwether_journal_segments", "Segments held.", size(status.segments)),
            gauge("bellwether_journal_spares", "Spare segments ready.", size(status.spares)),
            counter(
                "bellwether_journal_groups_total",
                "Groups of entries written and synced.",
                status.groups,
            ),
            counter(
                "bellwether_journal_losses_total",
                "Parts of the journal that the start needed and found gone or damaged.",
                self.0.damage.journal,
            ),
            gauge(
                "bellwether_journal_synced_position",
                "Number of the last durable entry.",
                self.0.queue.synced().0,
            ),
        ]
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges for people")]
    fn seconds(&self, stats: &KeeperStats) -> Vec<MetricFamily> {
        let put = |name: &str, help: &str, value: f64| {
            let gauge = Gauge::new(name, help).expect(VALID);
            gauge.set(value);
            gauge.collect()
        };
        let ahead = self.0.watch.clock.stats().ahead_of_system_nanos as f64 / 1e9;
        let mut families = put(
            "bellwether_collector_clock_ahead_of_system_seconds",
            "How far the collector's clock is ahead of the host's.",
            ahead,
        );
        families.extend(put(
            "bellwether_collector_frame_lag_seconds",
            "The collector's clock less the complete-through of the last applied frame.",
            stats.lag_millis as f64 / 1e3,
        ));
        families
    }
}
