//! The faults, one by one.

use bellwether_model::id::{Position, StoreId};
use bellwether_platform::disk::Disk;
use bellwether_platform::disk::sim::SimDisk;

use super::super::copy;
use super::super::fault::FaultKind;
use super::super::ledger::Ledger;
use super::{Ending, Event, GRACE, World};

/// Hosts with agents, clones among them.
const NODES_MAX: usize = 5;

impl World<'_> {
    pub(super) fn next_fault(&mut self) {
        if self.scenario.faults.is_empty() {
            return;
        }
        let pause = self.random.below(2 * self.scenario.fault_every) + 1;
        if self.now + pause + 5000 < self.scenario.faults_until {
            self.after(pause, Event::Fault);
        }
    }

    pub(super) fn fault(&mut self) -> Result<(), String> {
        self.next_fault();
        let kinds = &self.scenario.faults;
        let kind = kinds[self.random.below(kinds.len() as u64) as usize];
        let node = self.random.below(self.agents.len() as u64) as usize;
        let collector = self.random.below(self.collectors.len() as u64) as usize;
        self.trace.add(self.now, format_args!("fault {kind:?} host {node} collector {collector}"));
        self.count(fault_name(kind));
        match kind {
            FaultKind::KillAgent => self.break_agent(node, Ending::Kill),
            FaultKind::CutAgent => self.break_agent(node, Ending::Cut),
            FaultKind::StopAgent => self.stop_agent(node),
            FaultKind::KillCollector => self.break_collector(collector, Ending::Kill),
            FaultKind::CutCollector => self.break_collector(collector, Ending::Cut),
            FaultKind::CloneSame => self.clone_agent(node, true),
            FaultKind::CloneOther => self.clone_agent(node, false),
            FaultKind::Wipe => self.replace_collector(collector, None),
            FaultKind::Restore => self.restore_collector(collector),
            FaultKind::FullAgent => {
                fill(&self.agents[node].disk, self.random.below(100_000));
                self.full_agents.insert(node, ());
                let time = 5000 + self.random.below(40_000);
                let end = (self.now + time).min(self.scenario.faults_until);
                self.at(end, Event::Space { agent: Some(node), collector: None });
                Ok(())
            }
            FaultKind::FullCollector => {
                fill(&self.collectors[collector].disk, self.random.below(9000));
                let time = 5000 + self.random.below(40_000);
                let end = (self.now + time).min(self.scenario.faults_until);
                self.at(end, Event::Space { agent: None, collector: Some(collector) });
                Ok(())
            }
            FaultKind::JumpAgent => {
                let jump = self.jump();
                self.agents[node].skew += jump;
                Ok(())
            }
            FaultKind::JumpCollector => {
                let jump = self.jump();
                self.collectors[collector].skew += jump;
                Ok(())
            }
            FaultKind::Partition => {
                let until = self.now + 5000 + self.random.below(90_000);
                let until = until.min(self.scenario.faults_until);
                self.partitions.insert((node, collector), until);
                Ok(())
            }
        }
    }

    /// What was set to strike later strikes now.
    pub(super) fn faults_end(&mut self) -> Result<(), String> {
        for (collector, ending) in std::mem::take(&mut self.armed_collectors) {
            self.end_collector(collector, ending);
        }
        let armed = std::mem::take(&mut self.armed_agents);
        armed.into_iter().try_for_each(|(node, ending)| self.end_agent(node, ending))
    }

    pub(super) fn jump(&mut self) -> i64 {
        if self.random.once_in(2) { 3_600_000 } else { -3_600_000 }
    }

    pub(super) fn break_agent(&mut self, node: usize, ending: Ending) -> Result<(), String> {
        if self.armed_agents.contains_key(&node) {
            return Ok(());
        }
        if self.random.once_in(2) {
            let disk = &self.agents[node].disk;
            disk.stop_at(disk.operations() + self.random.below(60));
            self.armed_agents.insert(node, ending);
            return Ok(());
        }
        self.end_agent(node, ending)
    }

    pub(super) fn break_collector(
        &mut self,
        collector: usize,
        ending: Ending,
    ) -> Result<(), String> {
        if self.armed_collectors.contains_key(&collector) {
            return Ok(());
        }
        if self.random.once_in(2) {
            let disk = &self.collectors[collector].disk;
            disk.stop_at(disk.operations() + self.random.below(60));
            self.armed_collectors.insert(collector, ending);
        } else {
            self.end_collector(collector, ending);
        }
        Ok(())
    }

    pub(super) fn stop_agent(&mut self, node: usize) -> Result<(), String> {
        let agent = &mut self.agents[node];
        if agent.process.is_none() || agent.stopping {
            return Ok(());
        }
        agent.stopping = true;
        let life = agent.life;
        self.after(GRACE, Event::StopEnds { node, life });
        self.drive(node, |drive, actions| drive.stop(actions), None)
    }

    pub(super) fn clone_agent(&mut self, node: usize, same_machine: bool) -> Result<(), String> {
        let number = self.agents.len();
        if number == NODES_MAX
            || self.armed_agents.contains_key(&node)
            || self.full_agents.contains_key(&node)
            || self.agents[node].identity.is_none()
        {
            return Ok(());
        }
        self.may_renew |= same_machine;
        let (seed, other) = (self.random.draw(), self.random.draw());
        let disk = copy(&self.agents[node].disk, seed);
        self.scenario.disabled.into_iter().for_each(|point| disk.disable(point));
        let clone = self.agents[node].cloned(number, disk, same_machine, other);
        self.agents.push(clone);
        let pause = self.random.below(5000);
        self.after(pause, Event::StartAgent { node: number });
        Ok(())
    }

    pub(super) fn restore_collector(&mut self, collector: usize) -> Result<(), String> {
        if self.armed_collectors.contains_key(&collector) {
            return Ok(());
        }
        let seed = self.random.draw();
        let node = &mut self.collectors[collector];
        match node.backup.take() {
            Some(backup) => self.replace_collector(collector, Some(backup)),
            None => {
                let disk = copy(&node.disk, seed);
                self.scenario.disabled.into_iter().for_each(|point| disk.disable(point));
                node.backup = Some((disk, node.ledger.clone(), node.store_id));
                Ok(())
            }
        }
    }

    pub(super) fn replace_collector(
        &mut self,
        collector: usize,
        backup: Option<(SimDisk, Ledger, Option<StoreId>)>,
    ) -> Result<(), String> {
        self.end_collector(collector, Ending::Kill);
        self.may_renew = true;
        self.replaced.insert(collector);
        let fresh = self.disk();
        let node = &mut self.collectors[collector];
        let (disk, ledger, id) = backup.unwrap_or((fresh, Ledger::default(), None));
        (node.disk, node.ledger, node.store_id) = (disk, ledger, id);
        node.synced = Position(0);
        node.claims.clear();
        node.void_before = self.now;
        self.account.voided(collector);
        Ok(())
    }
}

fn fill(disk: &SimDisk, left: u64) {
    disk.set_capacity(u64::MAX);
    // A disk that has stopped stays as it is.
    if let Ok(free) = disk.free_bytes(std::path::Path::new("/")) {
        disk.set_capacity(u64::MAX - free + left);
    }
}

fn fault_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::KillAgent => "fault: kill agent",
        FaultKind::CutAgent => "fault: cut agent",
        FaultKind::StopAgent => "fault: stop agent",
        FaultKind::KillCollector => "fault: kill collector",
        FaultKind::CutCollector => "fault: cut collector",
        FaultKind::CloneSame => "fault: clone, same machine",
        FaultKind::CloneOther => "fault: clone, other machine",
        FaultKind::Wipe => "fault: wipe",
        FaultKind::Restore => "fault: restore",
        FaultKind::FullAgent => "fault: full agent",
        FaultKind::FullCollector => "fault: full collector",
        FaultKind::JumpAgent => "fault: jump agent",
        FaultKind::JumpCollector => "fault: jump collector",
        FaultKind::Partition => "fault: partition",
    }
}
