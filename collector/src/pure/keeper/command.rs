//! What people and goodbyes ask of the keeper: limits, draining, forgetting, an orderly end.

use bellwether_model::id::{AgentId, Position};
use bellwether_model::time::Now;
use bellwether_model::wire::decode::Decoder;

use super::super::entry;
use super::{Batch, EntryClass, JournalClosed, Keeper, KeeperLimits};

/// What became of a command about a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commanded {
    /// Done; durable once the entry at this position is.
    Done(Position),
    /// The host is not known.
    Unknown,
    /// The journal has no room: nothing is done.
    NoRoom,
}

impl Keeper {
    /// Keeps other bounds from now on, but for the retention. Agents whose columns were refused
    /// send them anew.
    pub fn set_limits(&mut self, limits: KeeperLimits) {
        self.limits = KeeperLimits { retention: self.limits.retention, ..limits };
        let places = self.limits.places_per_session();
        for held in self.sessions.values_mut() {
            if held.recount.has_refused() {
                held.decoder = Decoder::new(places);
            } else {
                held.decoder.set_places_max(places);
            }
        }
    }

    /// Gives the position of the goodbye's entry; 0 if the agent is gone already, or the journal
    /// has no room: then it will be found dead instead.
    pub(super) fn goodbye(
        &mut self,
        now: Now,
        agent: AgentId,
        batch: &mut dyn Batch,
    ) -> Result<Position, JournalClosed> {
        self.entry.clear();
        entry::put_goodbye(&mut self.entry, agent, now.wall);
        if !self.presence.stays(agent) || !batch.has_room(self.entry.len()) {
            return Ok(Position(0));
        }
        let position = batch.push(EntryClass::Data, &self.entry)?;
        self.end(agent, now.wall);
        self.writer.publish(position);
        Ok(position)
    }

    /// Removes a host and its sessions.
    ///
    /// # Errors
    /// The journal has failed.
    pub fn forget(
        &mut self,
        now: Now,
        agent: AgentId,
        batch: &mut dyn Batch,
    ) -> Result<Commanded, JournalClosed> {
        self.entry.clear();
        entry::put_forget(&mut self.entry, agent, now.wall);
        let commanded = self.command(agent, batch)?;
        if let Commanded::Done(position) = commanded {
            self.forgotten(agent, now.wall);
            self.writer.publish(position);
        }
        Ok(commanded)
    }

    /// Has a host drained, or takes that back (`model/WIRE.md`, drain).
    ///
    /// # Errors
    /// The journal has failed.
    pub fn drain(
        &mut self,
        now: Now,
        agent: AgentId,
        on: bool,
        batch: &mut dyn Batch,
    ) -> Result<Commanded, JournalClosed> {
        self.entry.clear();
        entry::put_drain(&mut self.entry, agent, now.wall, on);
        let commanded = self.command(agent, batch)?;
        if let Commanded::Done(position) = commanded {
            self.drained(agent, now.wall, on);
            self.writer.publish(position);
        }
        Ok(commanded)
    }

    /// Journals the entry in hand, a command about a host.
    fn command(&self, agent: AgentId, batch: &mut dyn Batch) -> Result<Commanded, JournalClosed> {
        if !self.sources.contains_key(&agent) {
            return Ok(Commanded::Unknown);
        }
        if !batch.has_room(self.entry.len()) {
            return Ok(Commanded::NoRoom);
        }
        batch.push(EntryClass::Control, &self.entry).map(Commanded::Done)
    }
}
