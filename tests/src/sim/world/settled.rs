//! What must hold at the end of a run.

use bellwether_collector::pure::entry::UpValue;
use bellwether_model::label::{LabelSet, METRIC_NAME};

use super::super::account::{Excuse, Fate};
use super::super::ledger::Samples;
use super::super::{Millis, START};
use super::{HostEnd, World};

/// Frames made so shortly before the end may be on their way.
const ON_THEIR_WAY: Millis = 12_000;
/// Clocks of two hosts that are this far apart are not one, in ns.
const APART: u64 = 2_000_000_000;

impl World<'_> {
    /// Looks at both sides once all has come to rest.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let now = self.now;
        for agent in &mut self.agents {
            agent.running(now);
        }
        for collector in 0..self.collectors.len() {
            let node = &mut self.collectors[collector];
            if node.process.is_none() {
                return Err(format!("collector {collector} does not run"));
            }
            let flushed = node.write().and_then(|()| node.sync());
            flushed.map_err(|end| format!("{end:?}"))?;
            node.check(&self.account)?;
            node.check_replay(now)?;
            let excuse = Excuse { acked_before: node.void_before, made_after: now - ON_THEIR_WAY };
            let name = format!("collector-{collector}");
            let pending = self.agents.iter().filter_map(|agent| {
                let process = agent.process.as_ref().filter(|process| process.stands())?;
                Some((agent.number, process.drive.spool().cursor(&name).1))
            });
            let pending = pending.collect();
            let node = &self.collectors[collector];
            self.account.check_settled(collector, &node.ledger, pending, excuse)?;
            self.check_lives(collector)?;
            let cut = self.collectors[collector].was_cut();
            *self.counts.entry("journal cut at the front").or_default() += u64::from(cut);
        }
        let fates = [("kept", Fate::Kept), ("refused", Fate::Refused), ("lost", Fate::Lost)];
        for (name, fate) in fates {
            *self.counts.entry(name).or_default() += self.account.count(fate);
        }
        Ok(())
    }

    /// Hosts that run are up where their clock is the collector's. It is not where it stands still
    /// until the collector's has come up, and where another collector's is followed.
    fn check_lives(&mut self, collector: usize) -> Result<(), String> {
        let node = &mut self.collectors[collector];
        let theirs = node.wall(self.now).map_or(0, |wall| wall.0);
        let kept = (collector == 0).then(|| node.ledger.samples(&self.account));
        for agent in &self.agents {
            let Some(process) = &agent.process else { continue };
            let clock = process.clock.nanos().0;
            if let Some(kept) = &kept {
                let date = START + self.now.cast_signed();
                let (rows, newest) = rows_of(kept, &agent.instance);
                let (newest, stands) = (newest - date, process.stands());
                let [clock, collector] = [clock, theirs].map(|nanos| nanos / 1_000_000 - date);
                self.hosts.push(HostEnd { rows, newest, clock, collector, stands });
            }
            let up = node.ledger.last_up(&agent.instance);
            if clock.abs_diff(theirs) < APART && up != Some(UpValue::Up) {
                return Err(format!("{} runs, and is {up:?}", agent.instance));
            }
        }
        Ok(())
    }
}

/// How many rows of a host are kept, and the stamp of the newest.
fn rows_of(kept: &Samples, instance: &str) -> (usize, i64) {
    let of_host = |labels: &LabelSet| {
        labels.get(METRIC_NAME) == Some("sim_sequence") && labels.get("instance") == Some(instance)
    };
    let times = kept.series.iter().find(|(labels, _)| of_host(labels)).map(|(_, times)| times);
    let newest = times.and_then(|times| times.keys().last()).map_or(0, |time| time.0);
    (times.map_or(0, |times| times.len()), newest)
}
