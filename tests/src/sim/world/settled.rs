//! What must hold at the end of a run.

use bellwether_collector::pure::entry::UpValue;

use super::super::Millis;
use super::super::account::{Excuse, Fate};
use super::World;

/// Frames made so shortly before the end may be on their way.
const ON_THEIR_WAY: Millis = 12_000;

impl World<'_> {
    /// Looks at both sides once all has come to rest.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        let now = self.now;
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
            // Hosts whose clock stands still make no frame that could carry a declaration.
            let jumped = self.jumped;
            let name = format!("collector-{collector}");
            let pending = self.agents.iter().filter(|_| jumped).filter_map(|agent| {
                let spool = agent.process.as_ref()?.drive.spool();
                Some((agent.number, spool.cursor(&name).1))
            });
            let node = &self.collectors[collector];
            self.account.check_settled(collector, &node.ledger, pending.collect(), excuse)?;
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

    /// Hosts that run are up.
    fn check_lives(&self, collector: usize) -> Result<(), String> {
        if self.jumped {
            // A clock that stands still until its collector's has come up makes no rows.
            return Ok(());
        }
        for agent in self.agents.iter().filter(|agent| agent.process.is_some()) {
            let up = self.collectors[collector].ledger.last_up(&agent.instance);
            if up != Some(UpValue::Up) {
                return Err(format!("{} runs, and is {up:?}", agent.instance));
            }
        }
        Ok(())
    }
}
