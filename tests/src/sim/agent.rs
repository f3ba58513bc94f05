//! A simulated host with its agent: the product's encoder, spool and shipping.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwether_agent::pure::config::SpoolSync;
use bellwether_agent::pure::ship::backlog::Bounds;
use bellwether_agent::pure::ticks::Ticks;
use bellwether_agent::shell::ship::drive::{Action, Drive};
use bellwether_agent::shell::spool::{Random, Setup, Spool, SpoolError};
use bellwether_model::id::{AgentId, BootId, Incarnation, Nonce};
use bellwether_model::time::{Mono, Nanos};
use bellwether_model::wire::answer::Answer;
use bellwether_model::wire::encode::Encoder;
use bellwether_platform::clock::{Clock, Exchange, ManualTime, Reading};
use bellwether_platform::disk::sim::{SimDisk, SplitMix};
use bytes::Bytes;

use super::rows::{Row, Tables};
use super::{Millis, Scenario, reading};

/// How long an unacknowledged frame may be without a sync: 10 s and a tick, and what the sampler
/// and the ticks are apart.
pub const UNSYNCED_MAX: Millis = 12_000;

/// A host.
pub struct AgentNode {
    /// Its place in the list.
    pub number: usize,
    /// The label `instance`.
    pub instance: String,
    /// Its machine id.
    pub machine: String,
    /// Its disk.
    pub disk: SimDisk,
    /// How far its date is ahead, in ms.
    pub skew: i64,
    /// Counts starts and ends of the process.
    pub life: u64,
    /// The process, while it runs.
    pub process: Option<Process>,
    /// The id it last ran under, and its newest incarnation.
    pub identity: Option<(AgentId, Incarnation)>,
    /// Whether a change of identity may have been under way when it ended.
    pub uncertain: bool,
    /// When the process ended, and whether the power has failed since.
    pub ended: Option<(Millis, bool)>,
    /// Whether the sampler has been stopped for an orderly end.
    pub stopping: bool,
    random: SplitMix,
    values: u64,
    bounds: Bounds,
    sync: SpoolSync,
    collectors: usize,
}

/// A running agent.
pub struct Process {
    /// Spool and machines.
    pub drive: Drive,
    /// Its clock.
    pub clock: Clock,
    /// For each collector the number of the request that is out.
    pub out: Vec<Option<u64>>,
    /// When that request left.
    pub sent: Vec<Mono>,
    /// When its next wake is due in the heap.
    pub wake: Option<Millis>,
    encoder: Encoder,
    tables: Tables,
    ticks: Ticks,
    time: ManualTime,
    at: Millis,
    skew: i64,
}

/// A frame that was made.
pub struct Made {
    /// Its bytes.
    pub frame: Bytes,
    /// Samples in it.
    pub samples: u32,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl AgentNode {
    /// A host with an empty disk.
    #[must_use]
    pub fn new(number: usize, scenario: &Scenario, disk: SimDisk, seed: u64) -> AgentNode {
        let age_max = Duration::from_secs(24 * 3600);
        AgentNode {
            number,
            instance: format!("host-{number}"),
            machine: format!("machine-{number}"),
            disk,
            skew: 0,
            life: 0,
            process: None,
            identity: None,
            uncertain: false,
            ended: None,
            stopping: false,
            random: SplitMix(seed),
            values: 0,
            bounds: Bounds { bytes_max: scenario.spool_bytes_max, age_max },
            sync: if scenario.sync_always { SpoolSync::Always } else { SpoolSync::Auto },
            collectors: scenario.collectors,
        }
    }

    /// A copy of this host on another disk, with another name.
    #[must_use]
    pub fn cloned(&self, number: usize, disk: SimDisk, same_machine: bool, seed: u64) -> AgentNode {
        AgentNode {
            number,
            instance: format!("host-{number}"),
            machine: if same_machine { self.machine.clone() } else { format!("machine-{number}") },
            disk,
            skew: self.skew,
            life: 0,
            process: None,
            identity: None,
            uncertain: true,
            ended: None,
            stopping: false,
            random: SplitMix(seed),
            values: 0,
            bounds: self.bounds,
            sync: self.sync,
            collectors: self.collectors,
        }
    }

    /// Whether every frame is synced when it is written.
    #[must_use]
    pub fn syncs_always(&self) -> bool {
        self.sync == SpoolSync::Always
    }

    /// Bytes that the spool's files may have.
    #[must_use]
    pub fn disk_bytes_max(&self) -> u64 {
        let file = (self.bounds.bytes_max / 3).clamp(16 << 10, 5 << 18);
        self.bounds.bytes_max + self.bounds.bytes_max / 4 + 8 * file
    }

    /// Starts the process. `times` are what the collectors that can be reached say of the time: an
    /// agent asks them before it stamps a row.
    ///
    /// # Errors
    /// The disk failed.
    pub fn start(&mut self, now: Millis, times: &[(usize, Nanos)]) -> Result<(), SpoolError> {
        self.life += 1;
        let first = reading(now, self.skew);
        let mut told: Vec<Nanos> = times.iter().map(|(_, time)| *time).collect();
        told.sort_unstable();
        let median = told.get(told.len().saturating_sub(1) / 2).copied();
        let (clock, time) =
            Clock::manual_agent(Reading { system: median.unwrap_or(first.system), ..first });
        for (collector, answered) in times.iter().copied() {
            let (sent, got) = (first.mono, first.mono);
            let exchange = Exchange { collector, sent, received: answered, answered, got };
            clock.observe(exchange).expect("an exchange without a delay");
        }
        time.set_system(first.system);
        let setup = Setup {
            dir: PathBuf::from("/state/agent/metrics"),
            bounds: self.bounds,
            sync: self.sync,
            machine: self.machine.clone(),
            boot: BootId([7; 16]),
        };
        let mut random = random_of(&mut self.random);
        let spool = Spool::open(Arc::new(self.disk.clone()), setup, random())?;
        let encoder = Encoder::new(spool.origin());
        let ticks = Ticks::after(clock.now().wall, Duration::from_secs(1));
        let names = (0..self.collectors).map(|number| format!("collector-{number}")).collect();
        let drive = Drive::new(spool, clock.clone(), names, Box::new(random));
        self.stopping = false;
        self.process = Some(Process {
            drive,
            clock,
            out: vec![None; self.collectors],
            sent: vec![Mono::default(); self.collectors],
            wake: None,
            encoder,
            tables: Tables::new(&self.instance),
            ticks,
            time,
            at: now,
            skew: self.skew,
        });
        Ok(())
    }

    /// Makes the rows of a tick if one has come.
    pub fn sample(&mut self, now: Millis) -> Option<Made> {
        let AgentNode { process, random, values, number, skew, .. } = self;
        let process = process.as_mut()?;
        process.pass(now, *skew);
        let wall = process.clock.now().wall;
        if process.ticks.wait(wall).is_some() {
            return None;
        }
        let tick = process.ticks.take(wall)?;
        if random.once_in(25) {
            process.encoder.cut();
        }
        let mut value = || {
            *values += 1;
            (*number as u64 * 1_000_000_000 + *values) as f64
        };
        let (frame, samples, rows) =
            process.tables.frame(tick, &mut process.encoder, random, &mut value);
        Some(Made { frame, samples, rows })
    }

    /// How long until the next tick may have come, in ms.
    #[must_use]
    pub fn next_sample(&self) -> Millis {
        let Some(process) = &self.process else { return 1000 };
        let wait = process.ticks.wait(process.clock.now().wall);
        wait.map_or(1, |wait| u64::try_from(wait.as_millis()).unwrap_or(1000).clamp(1, 1000))
    }

    /// Sets the clock by a collector's answer.
    pub fn observe(&mut self, now: Millis, collector: usize, answer: &Answer) {
        let Some(process) = self.running(now) else { return };
        if answer.answered.0 == 0 {
            return;
        }
        let got = process.clock.now().mono;
        let (received, answered) = (answer.received, answer.answered);
        let exchange =
            Exchange { collector, sent: process.sent[collector], received, answered, got };
        // An exchange that says nothing is counted by the clock.
        process.clock.observe(exchange).ok();
    }

    /// The running process with its clocks set.
    pub fn running(&mut self, now: Millis) -> Option<&mut Process> {
        let skew = self.skew;
        let process = self.process.as_mut()?;
        process.pass(now, skew);
        Some(process)
    }

    /// Numbers for the next choice.
    pub fn draw(&mut self, below: u64) -> u64 {
        self.random.below(below)
    }
}

impl Process {
    /// Whether all that was collected for each collector is acknowledged, held or dropped.
    ///
    /// # Errors
    /// A collector for which it is not.
    pub fn check_account(&self) -> Result<(), String> {
        let spool = self.drive.spool();
        for (collector, tally) in &spool.account().collectors {
            let held = spool.held(collector);
            if tally.outstanding() != held {
                return Err(format!("{held:?} is held for {collector}, of {tally:?}"));
            }
        }
        Ok(())
    }

    /// Whether its time stands still until its collector's has come up: then it makes no frame
    /// that could carry a declaration.
    #[must_use]
    pub fn stands(&self) -> bool {
        !self.clock.stats().holding.is_zero()
    }

    /// Lets the clocks run up to now.
    fn pass(&mut self, now: Millis, skew: i64) {
        self.time.advance(Duration::from_millis(now - self.at));
        self.at = now;
        if skew != self.skew {
            self.skew = skew;
            self.time.set_system(reading(now, skew).system);
        }
    }

    /// Does what concerns the encoder.
    pub fn encode_as(&mut self, action: &Action) {
        match action {
            Action::Cut => self.encoder.cut(),
            Action::Identity { origin, .. } => self.encoder = Encoder::new(*origin),
            _ => {}
        }
    }
}

fn random_of(random: &mut SplitMix) -> impl FnMut() -> Random + Send + 'static {
    let mut own = SplitMix(random.draw());
    move || {
        let mut agent = [0; 16];
        agent[..8].copy_from_slice(&own.draw().to_le_bytes());
        agent[8..].copy_from_slice(&own.draw().to_le_bytes());
        Random { agent: AgentId(agent), nonce: Nonce(own.draw()) }
    }
}
