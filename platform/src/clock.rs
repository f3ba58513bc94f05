//! The clock: the only two functions of the repository that read the operating system's are here.
//!
//! Wall time is the boot-time clock plus an offset, and the offset is steered, so that wall time
//! never goes backward within a process, whatever is done to the system's date. How it is steered
//! is pure and separate: [`CollectorClock`] and [`AgentClock`] take [`Reading`]s as arguments (the
//! simulator feeds them too), and [`Clock`] is the shared handle that reads, steers and answers.
//! Across a restart nothing is remembered here: what is durable knows its own last stamp.

mod agent;
mod collector;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_model::time::{Mono, Nanos, Now, Timestamp};
use rustix::time::{ClockId, Timespec, clock_gettime};

pub use agent::{AgentClock, Exchange, RefusedExchange};
pub use collector::CollectorClock;

/// Both clocks of the operating system, read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The boot-time clock.
    pub mono: Mono,
    /// The system's date.
    pub system: Nanos,
}

impl Reading {
    /// The system's date less the boot-time clock, in nanoseconds.
    fn offset(self) -> i64 {
        self.system.0.saturating_sub(nanos_of(self.mono.0))
    }
}

/// What the clock's own metrics show, as of the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockStats {
    /// Wall time less the system's date, in nanoseconds.
    pub ahead_of_system_nanos: i64,
    /// Steps forward since the start.
    pub steps: u64,
    /// How long wall time still stands still; zero while it runs.
    pub holding: Duration,
    /// Exchanges with collectors that could not be used.
    pub refused_exchanges: u64,
}

/// The clock of a process. Cheap to clone; any thread may ask it.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

/// Sets the readings of a [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualTime {
    reading: Arc<Mutex<Reading>>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    steering: Mutex<Steering>,
}

#[derive(Debug)]
enum Source {
    System,
    Manual(ManualTime),
}

#[derive(Debug)]
enum Steering {
    Collector(CollectorClock),
    Agent(AgentClock),
}

impl Clock {
    /// The collector's clock: follows its system's date by [`CollectorClock`]'s rules.
    #[must_use]
    pub fn collector() -> Clock {
        let first = read_system();
        Clock::of(Source::System, Steering::Collector(CollectorClock::new(first)))
    }

    /// An agent's clock: follows its collectors by [`AgentClock`]'s rules.
    #[must_use]
    pub fn agent() -> Clock {
        let first = read_system();
        Clock::of(Source::System, Steering::Agent(AgentClock::unbegun(first)))
    }

    /// An agent is about to stamp its first row: from now on its time never goes back. Until then a
    /// first exchange with a collector sets it either way.
    pub fn begin(&self) {
        if let Steering::Agent(clock) = &mut *self.steering() {
            clock.begin();
        }
    }

    /// A collector's clock that reads what the returned handle says: for tests of what takes a
    /// `Clock`.
    #[must_use]
    pub fn manual(first: Reading) -> (Clock, ManualTime) {
        let time = ManualTime { reading: Arc::new(Mutex::new(first)) };
        let steering = Steering::Collector(CollectorClock::new(first));
        (Clock::of(Source::Manual(time.clone()), steering), time)
    }

    /// [`Clock::manual`] with an agent's steering.
    #[must_use]
    pub fn manual_agent(first: Reading) -> (Clock, ManualTime) {
        let time = ManualTime { reading: Arc::new(Mutex::new(first)) };
        let steering = Steering::Agent(AgentClock::new(first));
        (Clock::of(Source::Manual(time.clone()), steering), time)
    }

    fn of(source: Source, steering: Steering) -> Clock {
        Clock { shared: Arc::new(Shared { source, steering: Mutex::new(steering) }) }
    }

    /// Wall and monotonic time of one moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let (mono, wall) = self.read();
        Now { wall: Timestamp::from(wall), mono }
    }

    /// Wall time in nanoseconds: the stamp of log records.
    #[must_use]
    pub fn nanos(&self) -> Nanos {
        self.read().1
    }

    /// Takes one exchange with a collector into account; only an agent's clock can use it.
    ///
    /// # Errors
    /// Says why the exchange was not used; it is counted.
    pub fn observe(&self, exchange: Exchange) -> Result<(), RefusedExchange> {
        match &mut *self.steering() {
            Steering::Agent(clock) => clock.observe(exchange),
            Steering::Collector(_) => Err(RefusedExchange::NotAnAgent),
        }
    }

    /// The figures of the clock's own metrics, after reading it once.
    #[must_use]
    pub fn stats(&self) -> ClockStats {
        self.read();
        match &*self.steering() {
            Steering::Agent(clock) => clock.stats(),
            Steering::Collector(clock) => clock.stats(),
        }
    }

    /// The reading is taken under the lock: a later answer never comes from an earlier reading.
    fn read(&self) -> (Mono, Nanos) {
        let mut steering = self.steering();
        let reading = match &self.shared.source {
            Source::System => read_system(),
            Source::Manual(time) => *time.lock(),
        };
        let wall = match &mut *steering {
            Steering::Agent(clock) => clock.wall(reading),
            Steering::Collector(clock) => clock.wall(reading),
        };
        (reading.mono, wall)
    }

    fn steering(&self) -> MutexGuard<'_, Steering> {
        self.shared.steering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ManualTime {
    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut reading = self.lock();
        reading.mono = reading.mono + by;
        reading.system = Nanos(reading.system.0.saturating_add(nanos_of(by)));
    }

    /// Sets the system's date, as an operator or a time service would.
    pub fn set_system(&self, system: Nanos) {
        self.lock().system = system;
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_system() -> Reading {
    Reading { mono: read_boot_time(), system: read_date() }
}

/// One of the two readers: time since boot, sleep included.
fn read_boot_time() -> Mono {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(tv_sec).expect("invariant: time since boot is not negative");
    let nanos = u32::try_from(tv_nsec).expect("invariant: nanoseconds are below 1e9");
    Mono(Duration::new(seconds, nanos))
}

/// The other reader: the system's date.
fn read_date() -> Nanos {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
    Nanos(tv_sec.saturating_mul(1_000_000_000).saturating_add(tv_nsec))
}

/// A duration as nanoseconds; what does not fit (292 years) saturates.
fn nanos_of(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// Nanoseconds as a duration; negative ones as zero.
fn duration_of(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests;
