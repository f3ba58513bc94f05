//! From a decoded frame to the store: columns become series, rows are appended, marks move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::id::{AgentId, GroupId, Position, Stream};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::select::Metadata;
use bellwether_model::series::{MetricType, is_absent};
use bellwether_model::time::{Now, Timestamp};
use bellwether_model::wire::answer::{Case, RefusedColumn, RefusedReason};
use bellwether_model::wire::decode::Change;
use bellwether_model::wire::frame::Header;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec};
use bellwether_store::{Definition, LaneId, Refusal, Refused};

use super::super::entry::{UpEntry, UpValue};
use super::{Held, Keeper, up_value};

/// Rows stamped further ahead of their arrival are not stored: an agent follows the collector's
/// clock, so that such a stamp is a fault, and the store would refuse all rows before it.
const AHEAD_MAX: Duration = Duration::from_secs(600);

/// What became of the next frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Applied {
    /// Why it was not applied.
    pub(super) problem: Option<(Case, String)>,
    /// Columns that are not kept.
    pub(super) refused: Vec<RefusedColumn>,
}

impl Applied {
    pub(super) fn problem(case: Case, text: String) -> Applied {
        Applied { problem: Some((case, text)), refused: Vec::new() }
    }
}

impl Keeper {
    /// Lays a decoded frame into the store and makes it visible.
    pub(super) fn apply(
        &mut self,
        now: Now,
        arrived: Timestamp,
        key: &(AgentId, Stream),
        frame: (&Header, Position),
    ) -> Applied {
        let (header, position) = frame;
        let Some(held) = self.sessions.get_mut(key) else { return Applied::default() };
        held.session.apply(header, position);
        held.recount.frames += 1;
        held.seen = arrived;
        let ahead = arrived.saturating_add(AHEAD_MAX);
        let mut touched = std::mem::take(&mut self.touched);
        touched.clear();
        touched.extend_from_slice(held.decoder.touched());
        let refused = self.describe(key, &touched);
        let through = header.complete_through.min(ahead);
        let mut first = through;
        for group in &touched {
            let Some(held) = self.sessions.get_mut(key) else { break };
            let Some(row) = held.decoder.group_mut(*group) else { continue };
            let samples = present(row.values());
            held.recount.samples += samples;
            if row.time() > ahead {
                // Stored, it would stand before all that comes until then.
                self.stats.samples_ahead += samples;
                held.recount.ahead += samples;
                continue;
            }
            let lane = self.writer.lane(held.source, *group);
            let appended = self.writer.append(lane, position, row.time(), row.values());
            let (late, unplaced) = (u64::from(appended.out_of_order), u64::from(appended.refused));
            self.stats.samples += u64::from(appended.samples);
            self.stats.samples_out_of_order += late;
            self.stats.samples_unplaced += unplaced;
            held.recount.out_of_order += late;
            held.recount.unplaced += unplaced;
            held.recount.stored += samples - late - unplaced;
            first = first.min(row.time());
        }
        self.touched = touched;
        self.mark(now, key, header, (first, through));
        self.stats.frames += 1;
        self.writer.publish(position);
        Applied { problem: None, refused }
    }

    fn mark(
        &mut self,
        now: Now,
        key: &(AgentId, Stream),
        header: &Header,
        (first, through): (Timestamp, Timestamp),
    ) {
        let Some(held) = self.sessions.get(key) else { return };
        self.writer.mark(held.source, first, through);
        self.stats.lag_millis = now.wall.millis_since(header.complete_through);
        if key.1 != Stream::Metrics {
            return;
        }
        let is_known = self.presence.advance(now, key.0, header.complete_through);
        if header.opens_segment || !is_known {
            // Groups of targets say nothing of who the agent is.
            let target = held
                .decoder
                .groups()
                .filter(|(id, _)| *id < GroupId::TARGETS)
                .map(|(_, group)| group.target())
                .find_map(|target| Some((target.get("job")?, target.get("instance")?)));
            if let Some(labels) = target {
                self.presence.frame(now, key.0, labels, header.complete_through);
            }
        }
    }

    /// Brings the store's columns in line with the decoder's.
    pub(super) fn describe(
        &mut self,
        key: &(AgentId, Stream),
        touched: &[GroupId],
    ) -> Vec<RefusedColumn> {
        let mut all = Vec::new();
        let series_max = self.limits.series_per_agent;
        for group in touched {
            let Some(held) = self.sessions.get_mut(key) else { break };
            let Some(state) = held.decoder.group_mut(*group) else { continue };
            let change = state.take_change();
            if change == Change::Same {
                continue;
            }
            let target = state.target().clone();
            let lane = self.writer.lane(held.source, *group);
            let mut refused = Vec::new();
            match change {
                Change::Same => {}
                Change::Key(columns) => {
                    let columns = define(&target, &columns, &mut refused);
                    refused
                        .extend(self.writer.define(lane, &columns, series_max).iter().map(named));
                }
                Change::Edits(edits) => self.edit(lane, &target, edits, &mut refused),
            }
            all.extend(refused.into_iter().map(|(place, reason)| RefusedColumn {
                group: *group,
                place,
                reason,
            }));
        }
        let held = self.sessions.get_mut(key);
        if let Some(held) = held.filter(|_| !all.is_empty()) {
            for RefusedColumn { reason, .. } in &all {
                *self.stats.refused_columns.entry(reason.as_str()).or_default() += 1;
                held.recount.refuse(*reason);
            }
        }
        all
    }

    fn edit(
        &mut self,
        lane: LaneId,
        target: &LabelSet,
        edits: Vec<(u32, Option<ColumnSpec>)>,
        refused: &mut Vec<(u32, RefusedReason)>,
    ) {
        for (place, column) in edits {
            let at = ColumnIndex(place);
            match column {
                None => self.writer.end(lane, at),
                Some(column) => match definition(target, &column) {
                    Some(definition) => {
                        refused.extend(self.writer.add(lane, at, definition).iter().map(named));
                    }
                    None => refused.push((place, RefusedReason::Labels)),
                },
            }
        }
    }

    /// Appends a sample of `up`.
    pub(super) fn up(&mut self, now: Now, up: &UpEntry, position: Position) {
        self.presence.sampled(now, up);
        let key = (up.job.clone(), up.instance.clone());
        let source = match self.ups.get(&key) {
            Some(source) => *source,
            None => self.new_source(),
        };
        let lane = self.writer.lane(source, GroupId(0));
        self.writer.unmarked(source);
        let labels = [(METRIC_NAME, "up"), ("job", &*up.job), ("instance", &*up.instance)];
        let Ok(labels) = LabelSet::new(labels) else { return };
        let help = "Whether an agent of these labels lives.".into();
        let metadata = Arc::new(Metadata { kind: MetricType::Gauge, help, unit: "".into() });
        self.writer.define(lane, &[Some(Definition { labels, metadata })], usize::MAX);
        let (time, value) = up_value(up);
        self.writer.append(lane, position, time, &[value]);
        if up.value == UpValue::End {
            // A lane of another one's past would mark this series in its rows.
            self.writer.forget(source);
            self.ups.remove(&key);
        } else {
            self.ups.insert(key, source);
        }
        self.writer.publish(position);
    }

    /// An orderly end: the agent's series end now, not at its mark and five seconds.
    pub(super) fn end(&mut self, agent: AgentId, at: Timestamp) {
        self.presence.goodbye(agent);
        if let Some(source) = self.sources.get(&agent) {
            self.writer.end_source(*source, at);
        }
    }

    /// A person has a host drained, or has taken that back.
    pub(super) fn drained(&mut self, agent: AgentId, at: Timestamp, on: bool) {
        if on {
            self.presence.drain(agent, at);
        } else {
            self.presence.undrain(agent);
        }
    }

    /// A person has a host forgotten.
    pub(super) fn forgotten(&mut self, agent: AgentId, at: Timestamp) {
        self.end(agent, at);
        self.presence.forget(agent);
        self.drop_host(agent);
    }

    /// Forgets a host's sessions; its samples stay until they are past retention.
    pub(super) fn drop_host(&mut self, agent: AgentId) {
        self.sessions.retain(|(held, _), _| *held != agent);
        if let Some(source) = self.sources.remove(&agent) {
            self.writer.forget(source);
        }
    }

    /// Drops a session that a frame opened which could not be decoded. With an agent's only session
    /// its source goes, of which the store has not heard: whoever sends such frames under ever new
    /// ids leaves nothing.
    pub(super) fn drop_unused(&mut self, key: &(AgentId, Stream)) {
        let held = self.sessions.get(key);
        if !held.is_some_and(|held| held.session.known().is_empty()) {
            return;
        }
        self.sessions.remove(key);
        if has_session(&self.sessions, key.0) {
            return;
        }
        if let Some(source) = self.sources.remove(&key.0)
            && source.0 + 1 == self.next_source
        {
            self.next_source = source.0;
        }
    }

    /// Forgets the sources of agents without a session.
    pub(super) fn drop_strays(&mut self) {
        let Keeper { sources, sessions, writer, .. } = self;
        sources.retain(|agent, source| {
            let stays = has_session(sessions, *agent);
            if !stays {
                writer.forget(*source);
            }
            stays
        });
    }

    /// Forgets the sessions of agents that are not among the hosts any more and whose samples are
    /// past retention. One that comes back begins anew, and declares what this store had.
    pub(super) fn drop_sessions(&mut self, now: Now) {
        let horizon = now.wall.saturating_sub(self.limits.retention);
        let old = |(agent, _): &(AgentId, Stream), held: &Held| {
            held.seen < horizon && !self.presence.knows(*agent)
        };
        let old: Vec<AgentId> = self
            .sessions
            .iter()
            .filter(|(key, held)| old(key, held))
            .map(|((agent, _), _)| *agent)
            .collect();
        for agent in old {
            self.presence.undrain(agent);
            self.drop_host(agent);
        }
    }

    /// Empties the decoders of agents that have sent nothing for longer than the store keeps
    /// samples: their columns may be gone from it, and open anew when they come back.
    pub(super) fn rest(&mut self, now: Now, retention: Duration) {
        let horizon = now.wall.saturating_sub(retention);
        let silent = self.sessions.values_mut().filter(|held| held.seen < horizon);
        silent.for_each(|held| held.decoder.clear());
    }
}

fn has_session(sessions: &BTreeMap<(AgentId, Stream), Held>, agent: AgentId) -> bool {
    let streams = [Stream::Metrics, Stream::Logs];
    streams.iter().any(|stream| sessions.contains_key(&(agent, *stream)))
}

/// Values that are there.
fn present(values: &[f64]) -> u64 {
    values.iter().map(|value| u64::from(!is_absent(*value))).sum()
}

fn named(refused: &Refused) -> (u32, RefusedReason) {
    let reason = match refused.reason {
        Refusal::SourceFull => RefusedReason::SeriesPerAgent,
        Refusal::StoreFull => RefusedReason::SeriesTotal,
        Refusal::Repeated | Refusal::TooWide => RefusedReason::Labels,
    };
    (refused.place.0, reason)
}

fn define(
    target: &LabelSet,
    columns: &[Option<ColumnSpec>],
    refused: &mut Vec<(u32, RefusedReason)>,
) -> Vec<Option<Definition>> {
    let columns = columns.iter().zip(0_u32..).map(|(column, place)| {
        let definition = column.as_ref().map(|column| definition(target, column));
        if definition == Some(None) {
            refused.push((place, RefusedReason::Labels));
        }
        definition.flatten()
    });
    columns.collect()
}

/// A column's series; `None` if it repeats a label of its target, or has too many with it.
fn definition(target: &LabelSet, column: &ColumnSpec) -> Option<Definition> {
    let pairs = target.iter().chain(column.labels.iter());
    let labels = LabelSet::new(pairs).ok()?;
    let (help, unit) = (column.help.as_ref().into(), column.unit.as_ref().into());
    Some(Definition { labels, metadata: Arc::new(Metadata { kind: column.kind, help, unit }) })
}
