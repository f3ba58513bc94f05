//! What the hot paths ask of the allocator in steady state, counted over the whole process: so it
//! runs alone, without the test harness and its threads.
//!
//! The agent's sampling and encoding of a tick, the collector's admission of a delta frame, and the
//! judging of a rollout's second ask for nothing. What is beside them has a named bound: the frame
//! that leaves the sampler's thread is one allocation of a tick, files that are not read for each
//! row are opened anew in some ticks, every 15 s and less often, and a part that the store seals
//! comes every 16th row.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test binary: a panic here is the failure it reports"
)]

mod counting;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bellwether_agent::pure::config::InputPlan;
use bellwether_agent::pure::input::{Facts, INPUTS, InputSpec, Pace};
use bellwether_agent::pure::ticks::Tick as Ticked;
use bellwether_agent::shell::calls::Calls;
use bellwether_agent::shell::collection::{Collection, Group};
use bellwether_agent::shell::host::{Host, Roots};
use bellwether_agent::shell::metrics::Metrics;
use bellwether_agent::shell::sampler::{Handover, Sampler, Sink};
use bellwether_agent::shell::ship::{Frames, Handed, frames};
use bellwether_collector::pure::keeper::{
    Batch, EntryClass, JournalClosed, Keeper, KeeperLimits, Submit,
};
use bellwether_model::id::{
    AgentId, BootId, GroupId, Incarnation, Nonce, Position, StoreId, Stream,
};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::limit::SEGMENT_FRAMES;
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::{Mono, Nanos, Now, Timestamp};
use bellwether_model::wire::answer::Case;
use bellwether_model::wire::encode::{Encoder, Origin};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::frame::Frame;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};
use bellwether_platform::clock::{Clock, ManualTime, Reading};
use bellwether_platform::stop::{self, Stopper};
use bellwether_rules::verdict::{Arm, Config, Judge, Tick};
use bellwether_store::{Limits, Store};

use counting::{Counting, allocations};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Rows that the store keeps open before it seals a part of them.
const OPEN_ROWS: usize = 16;
const COLUMNS: u32 = 500;
const START: i64 = 1_700_000_000_000;

fn main() {
    let tick = sample_and_encode();
    println!("agent: {tick} allocations for 100 ticks of sampling and encoding");
    assert_eq!(tick, 0, "sampling and encoding allocate");
    let ticks = sampler();
    println!("sampler: by tick {ticks:?}");
    let [plain, others] = [1..=1, 2..=u64::MAX]
        .map(|asked| ticks.iter().filter(|count| asked.contains(count)).count());
    assert_eq!(plain + others, ticks.len(), "a frame is not free");
    assert!(others * 4 <= ticks.len(), "more than one tick in four allocates beyond its frame");
    let judged = judge();
    println!("judge: {judged} allocations for 1000 seconds");
    assert_eq!(judged, 0, "judging allocates");
    let frames = admit();
    println!("collector: by frame between two parts {frames:?}");
    let quiet = frames.iter().filter(|count| **count == 0).count();
    let sealed = frames.iter().filter(|count| **count > 0).count();
    assert!(sealed * OPEN_ROWS <= frames.len() + OPEN_ROWS, "more than one row in 16 allocates");
    assert!(quiet > 0, "no frame is admitted without an allocation");
}

/// Allocations of a thousand seconds of a rollout with three strata, a tenth of the canary's
/// requests being bad, after ten others.
fn judge() -> u64 {
    let mut judge = Judge::new(Config::default()).expect("invariant: the defaults are in range");
    let mut ticks = [Tick::default(); 3];
    let mut before = 0;
    for second in 0..1010 {
        if second == 10 {
            before = allocations();
        }
        for (tick, stratum) in ticks.iter_mut().zip(0..) {
            let (canary, baseline) = (Arm { n: 10, bad: 1 }, Arm { n: 190, bad: 0 });
            *tick = Tick { second, stratum, canary, baseline };
        }
        judge.step(&ticks).expect("counts that can be");
    }
    assert!(judge.has_failed());
    allocations() - before
}

fn origin() -> Origin {
    Origin { incarnation: Incarnation(1), nonce: Nonce(7), boot: BootId::default() }
}

/// Allocations of a hundred ticks on this host. Columns that come or go are no steady state: a tick
/// with them is repeated; slow inputs have their own cadence and threads.
fn sample_and_encode() -> u64 {
    let fast = |spec: &&_| {
        let spec: &bellwether_agent::pure::input::InputSpec = spec;
        spec.is_default && spec.pace == Pace::Common
    };
    let plans: Vec<InputPlan> = INPUTS.iter().filter(fast).map(InputPlan::new).collect();
    let target = LabelSet::new([("job", "node"), ("instance", "a")]).expect("labels");
    // Time stands still, or an input would seem slow on a host that is busy.
    let reading = Reading { mono: Mono(Duration::from_secs(9)), system: Nanos(START * 1_000_000) };
    let (clock, _) = Clock::manual_agent(reading);
    let host = Host::new(Roots::default(), Calls::system(), clock.clone());
    let facts = Facts { page_bytes: 4096, ..Facts::default() };
    let mut collection = Collection::new(&plans, &target, host, clock, facts).expect("inputs");
    let mut encoder = Encoder::new(origin());
    let mut frame = Vec::with_capacity(1 << 20);
    let (mut counted, mut quiet, mut second) = (0, 0, START / 1000);
    let first = second;
    while quiet < 100 {
        second += 1;
        assert!(second < first + 1000, "the host's devices never rest");
        let before = allocations();
        let tick = Timestamp(second * 1000);
        collection.collect(tick);
        let changes = collection.groups().iter().any(|group| !group.table.edits().is_empty());
        encoder.begin(tick);
        let opens = encoder.next_seq().n() % SEGMENT_FRAMES == 1;
        for group in collection.groups_mut().iter_mut().filter(|group| group.due) {
            encoder.row(group.id, &mut group.table, tick);
        }
        frame.clear();
        encoder.finish(&mut frame).expect("a frame");
        if second > first + 10 && !changes && !opens {
            counted += allocations() - before;
            quiet += 1;
        }
    }
    counted
}

/// The sampler's sink, which counts what a tick has asked for and lets the next one come.
struct Counted {
    frames: Frames,
    queue: Box<dyn FnMut() -> Option<Handed> + Send>,
    time: ManualTime,
    counts: Vec<u64>,
    before: u64,
    seen: u32,
    /// Tells of the first tick, after which time is this one's.
    first: Option<(Sender<()>, Receiver<()>)>,
    done: Option<(Sender<Vec<u64>>, Stopper)>,
}

impl Sink for Counted {
    fn take(&mut self, tick: Ticked, groups: &mut [Group]) {
        let changes = groups.iter().any(|group| !group.table.edits().is_empty());
        self.frames.take(tick, groups);
        let asked = allocations() - self.before;
        let handed = (self.queue)().and_then(|handed| handed.frame).expect("a frame");
        let (frame, _) = Frame::read(&handed.bytes).expect("a whole frame");
        if let Some((told, go)) = self.first.take() {
            told.send(()).expect("who waits");
            go.recv().expect("who waits");
        }
        self.seen += 1;
        assert!(self.seen < 1000, "the host's devices never rest");
        if self.seen > 10 && !changes && !frame.header().opens_segment {
            self.counts.push(asked);
        }
        if self.counts.len() == 100
            && let Some((done, stopper)) = self.done.take()
        {
            done.send(std::mem::take(&mut self.counts)).expect("who waits");
            stopper.stop();
        }
        self.time.advance(Duration::from_secs(1));
        drop(handed);
        self.before = allocations();
    }
}

/// Allocations of each of a hundred ticks of the sampler with the sink that an agent has, chosen as
/// in [`sample_and_encode`]. Here time goes on, so that files are opened that are read less often.
fn sampler() -> Vec<u64> {
    let fast = |spec: &&InputSpec| spec.is_default && spec.pace == Pace::Common;
    let plans: Vec<InputPlan> = INPUTS.iter().filter(fast).map(InputPlan::new).collect();
    let target = LabelSet::new([("job", "node"), ("instance", "a")]).expect("labels");
    let reading =
        Reading { mono: Mono(Duration::from_secs(9)), system: Nanos((START + 999) * 1_000_000) };
    let (clock, time) = Clock::manual_agent(reading);
    let host = Host::new(Roots::default(), Calls::system(), clock.clone());
    let facts = Facts { page_bytes: 4096, ..Facts::default() };
    let collection = Collection::new(&plans, &target, host, clock.clone(), facts).expect("inputs");
    let metrics = Metrics::new(plans.iter().map(|plan| plan.spec.name));
    let (frames, (mut queue, _control)) = frames(origin());
    let (stopper, stop) = stop::stop();
    let guard = stopper.on_return();
    let ((told, begun), (go, wait), (done, counts)) = (channel(), channel(), channel());
    let sink = Counted {
        frames,
        queue: Box::new(move || queue.try_recv().ok()),
        time: time.clone(),
        counts: Vec::with_capacity(100),
        before: 0,
        seen: 0,
        first: Some((told, wait)),
        done: Some((done, stopper)),
    };
    let (latest, changed) = (Arc::default(), Handover::default());
    let sampler = Sampler { collection, clock, latest, metrics, sink: Box::new(sink), changed };
    let thread = sampler.start(stop, guard).expect("a thread");
    // Its first tick is a second or less ahead of whenever it read the clock, and time goes on in
    // small steps, or an input would seem slow.
    while begun.recv_timeout(Duration::from_millis(1)).is_err() {
        time.advance(Duration::from_millis(1));
    }
    go.send(()).expect("the sampler waits");
    let counts = counts.recv().expect("the sampler counts");
    drop(thread.join().expect("the sampler ends"));
    counts
}

/// The journal, without a disk.
struct Taken(u64);

impl Batch for Taken {
    fn has_room(&self, _: usize) -> bool {
        true
    }

    fn push(&mut self, _: EntryClass, _: &[u8]) -> Result<Position, JournalClosed> {
        self.0 += 1;
        Ok(Position(self.0))
    }
}

fn column(number: u32) -> ColumnSpec {
    let number = number.to_string();
    let labels = LabelSet::new([(METRIC_NAME, "m"), ("n", number.as_str())]).expect("labels");
    ColumnSpec {
        labels,
        kind: MetricType::Gauge,
        value_kind: ValueKind::Float,
        unit: "".into(),
        help: "".into(),
        start: None,
    }
}

/// Bodies of one delta frame each, a fifth of the columns changed.
fn bodies(count: u32) -> Vec<Vec<u8>> {
    let target = LabelSet::new([("job", "node"), ("instance", "a")]).expect("labels");
    let mut table = Table::new(target, Duration::from_secs(1));
    let columns: Vec<ColumnIndex> = (0..COLUMNS).map(|n| table.add(column(n))).collect();
    let mut encoder = Encoder::new(origin());
    let mut values = vec![0_u32; columns.len()];
    let mut bodies = Vec::new();
    for second in 0..count {
        table.begin_row();
        for (place, column) in columns.iter().enumerate() {
            if place % 5 == second as usize % 5 {
                values[place] += 3;
            }
            table.set(*column, f64::from(values[place]));
        }
        let time = Timestamp(START + i64::from(second) * 1000);
        encoder.begin(Timestamp(time.0 + 999));
        encoder.row(GroupId(0), &mut table, time);
        let envelope = Envelope {
            agent: AgentId([3; 16]),
            stream: Stream::Metrics,
            goodbye: false,
            sent_wall: Nanos(0),
            sent_mono: 0,
            skips: Vec::new(),
            frames: 1,
        };
        let mut body = Vec::new();
        envelope.put(&mut body);
        encoder.finish(&mut body).expect("a frame");
        bodies.push(body);
    }
    bodies
}

/// Allocations of each of a hundred delta frames.
fn admit() -> Vec<u64> {
    let (_store, writer) = Store::new(Limits::default());
    let mut keeper = Keeper::new(StoreId([9; 16]), KeeperLimits::default(), writer);
    let mut journal = Taken(0);
    let bodies = bodies(119);
    let mut counts = Vec::with_capacity(bodies.len());
    for (second, body) in (0_u32..).zip(&bodies) {
        let wall = Timestamp(START + i64::from(second) * 1000);
        let now = Now { wall, mono: Mono(Duration::from_secs(u64::from(second))) };
        let submit = Submit { body, received: Nanos(wall.0 * 1_000_000) };
        let before = allocations();
        let reply = keeper.admit(now, submit, &mut journal).expect("a journal");
        assert_eq!(reply.answer.case, Case::Applied);
        drop(reply);
        counts.push(allocations() - before);
    }
    counts.split_off(19)
}
