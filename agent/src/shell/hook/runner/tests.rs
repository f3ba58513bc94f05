//! Kills and power cuts at every operation of the disk: a program is started at most once for each
//! key, and what was answered stays the answer. Each sync, left out, breaks that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bellwether_model::signal::Signed;
use bellwether_model::time::{Timestamp, date_millis};
use bellwether_platform::disk::SyncPoint;
use bellwether_platform::disk::sim::{SimDisk, SplitMix};

use super::*;
use crate::pure::hook::config::testing::plan;
use crate::pure::hook::output::{Exit, Ran};
use crate::pure::hook::testing::{NOW, key, signal, signed};

const DIR: &str = "/var/hook";
const SEEDS: u64 = 300;
const MONTH_MS: i64 = 31 * 24 * 3600 * 1000;

/// The host: what serves, and every program that ran.
#[derive(Default)]
struct Host {
    /// Whether 2.3.9 serves, and not 2.4.0. A program toggles it, whatever it is asked for.
    is_old: bool,
    ran: BTreeMap<String, u32>,
    generations: Vec<u64>,
    events: VecDeque<(usize, Event)>,
}

#[derive(Clone, Default)]
struct Hands(Rc<RefCell<Host>>);

impl Programs for Hands {
    fn observe(&mut self, lane: usize, _: &AllowPlan) {
        let mut host = self.0.borrow_mut();
        let version = if host.is_old { "2.3.9" } else { "2.4.0" };
        host.events.push_back((lane, Event::Observed(Ok(version.to_owned()))));
    }

    fn run(&mut self, lane: usize, _: &AllowPlan, signal: &Signal) {
        let mut host = self.0.borrow_mut();
        host.is_old = !host.is_old;
        *host.ran.entry(signal.data.key.clone()).or_default() += 1;
        host.generations.push(signal.data.generation);
        let ran = Ran { exit: Exit::Code(0), output: String::new() };
        host.events.push_back((lane, Event::Ended(ran)));
    }
}

struct World {
    disk: SimDisk,
    hands: Hands,
    sight: Sight,
    now: Now,
    signals: Vec<Signal>,
    /// What was told of keys that were begun.
    told: BTreeMap<String, Status>,
}

/// A wish back or forth.
fn wish(number: u8, now: Timestamp) -> Signal {
    let mut signal = signal(number, u64::from(number));
    if number.is_multiple_of(2) {
        let data = &mut signal.data;
        std::mem::swap(&mut data.from, &mut data.to);
        data.precondition.current_version.clone_from(&data.from);
    }
    signal.data.deadline = date_millis(Timestamp(now.0 + 120_000));
    signal
}

impl World {
    fn new(seed: u64, sight: Sight) -> World {
        World {
            disk: SimDisk::new(seed),
            hands: Hands::default(),
            sight,
            now: Now { wall: NOW, mono: Mono::default() },
            signals: (1..=3).map(|number| wish(number, NOW)).collect(),
            told: BTreeMap::new(),
        }
    }

    /// One life of a runner: start, these signals, end.
    fn live(&mut self, order: &[usize]) -> Result<(), String> {
        self.hands.0.borrow_mut().events.clear();
        let opened = Ledger::open(Arc::new(self.disk.clone()), Path::new(DIR));
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if error.to_string().contains("damaged") => return Err(error.to_string()),
            Err(_) => return Ok(()),
        };
        let mut allow = plan().allow;
        if self.sight == Sight::Blind {
            allow.iter_mut().for_each(|entry| entry.observe = None);
        }
        let mut runner = Runner::new(self.now, allow, opened, self.hands.clone());
        runner.prune(self.now);
        runner.free(self.now, 0);
        self.settle(&mut runner)?;
        for at in order {
            let one: Signed = signed(&self.signals[*at], self.now.wall);
            let taken = runner.take(self.now, &key(), &Signals { signals: vec![one] });
            assert_eq!(taken.distrusted, []);
            self.settle(&mut runner)?;
        }
        Ok(())
    }

    /// Lets programs end, and checks everything.
    fn settle(&mut self, runner: &mut Runner<Hands>) -> Result<(), String> {
        loop {
            let next = self.hands.0.borrow_mut().events.pop_front();
            let Some((lane, event)) = next else { break };
            runner.on(self.now, lane, event);
        }
        let has_failed = !runner.faults().is_empty();
        let host = self.hands.0.borrow();
        for answer in runner.answers() {
            let status = match answer.status {
                Status::AlreadyDone => Status::Done,
                status => status,
            };
            let is_of_ledger = !matches!(status, Status::Accepted | Status::Refused);
            if has_failed || answer.retry || !is_of_ledger || answer.detail.contains("ledger:") {
                continue;
            }
            if answer.detail.contains("cannot be read") {
                return Err(format!("{} cannot be read", answer.key));
            }
            if !host.ran.contains_key(&answer.key) && status != Status::Unknown {
                continue;
            }
            let first = *self.told.entry(answer.key.clone()).or_insert(status);
            if first != status {
                return Err(format!("{} was {first:?} and is {status:?}", answer.key));
            }
        }
        if let Some((key, times)) = host.ran.iter().find(|(_, times)| **times > 1) {
            return Err(format!("{key} ran {times} times"));
        }
        if !host.generations.is_sorted_by(|a, b| a < b) {
            return Err(format!("generations ran as {:?}", host.generations));
        }
        Ok(())
    }

    fn end(&self, cut: Option<u64>) {
        match cut {
            None => self.disk.kill(),
            Some(seed) => self.disk.power_cut(seed),
        }
    }
}

fn sights() -> [Sight; 2] {
    [Sight::Blind, Sight::Observed]
}

/// Random lives, ended anywhere.
fn run(seed: u64, disabled: Option<SyncPoint>) -> Result<(), String> {
    let sight = sights()[usize::from(seed.is_multiple_of(2))];
    let mut world = World::new(seed, sight);
    disabled.into_iter().for_each(|point| world.disk.disable(point));
    let mut random = SplitMix(seed ^ 0x6b0c);
    for life in 0..8 {
        if random.once_in(2) {
            world.disk.stop_at(world.disk.operations() + random.below(60));
        }
        let order: Vec<usize> =
            (0..random.below(5)).map(|_| usize::try_from(random.below(3)).unwrap()).collect();
        world.live(&order).map_err(|what| format!("seed {seed}, life {life}: {what}"))?;
        let cut = random.draw();
        world.end((!random.once_in(3)).then_some(cut));
        if random.once_in(6) {
            world.now.wall.0 += MONTH_MS;
        }
    }
    Ok(())
}

#[test]
fn a_program_is_started_at_most_once_over_all_cuts() {
    for sight in sights() {
        let mut whole = World::new(0, sight);
        whole.live(&[0, 0, 1, 0, 2, 1]).unwrap();
        let host = whole.hands.0.borrow();
        assert_eq!(host.generations, [1, 2, 3]);
        let operations = whole.disk.operations();
        assert!(operations > 60, "{operations}");
        for stop in 0..operations {
            for cut in [None, Some(stop), Some(!stop), Some(stop ^ 0x55)] {
                let mut world = World::new(0, sight);
                world.disk.stop_at(stop);
                let place = |what: String| format!("{sight:?}, stop {stop}, {cut:?}: {what}");
                world.live(&[0, 0, 1, 0, 2, 1]).map_err(place).unwrap();
                world.end(cut);
                // The next one recovers, and is ended in that.
                world.disk.stop_at(world.disk.operations() + stop % 23);
                world.live(&[0, 1]).map_err(place).unwrap();
                world.end(cut);
                world.live(&[0, 1, 2, 0]).map_err(place).unwrap();
                let (_, left) = Ledger::open(Arc::new(world.disk.clone()), Path::new(DIR)).unwrap();
                assert!(left.is_empty(), "something begun stays without an end");
            }
        }
    }
}

#[test]
fn random_lives_start_each_program_once() {
    for seed in 0..SEEDS {
        run(seed, None).unwrap();
    }
}

#[test]
fn every_sync_of_the_ledger_is_needed() {
    let points = [
        SyncPoint::MakeDir,
        SyncPoint::ReplaceData,
        SyncPoint::ReplaceDir,
        SyncPoint::LedgerOpen,
        SyncPoint::LedgerBeginData,
        SyncPoint::LedgerBeginDir,
        SyncPoint::LedgerPrune,
    ];
    for point in points {
        let found = (0..4 * SEEDS).any(|seed| run(seed, Some(point)).is_err());
        assert!(found, "nothing breaks without {point:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_synced_begins_nothing() {
    let mut world = World::new(0, Sight::Observed);
    world.disk.inject(|op| {
        (op.point == Some(SyncPoint::LedgerBeginDir)).then_some(std::io::ErrorKind::Other)
    });
    world.live(&[0, 1]).unwrap();
    assert!(world.hands.0.borrow().ran.is_empty());
    world.disk.heal();
    world.end(None);
    world.live(&[0, 2]).unwrap();
    let host = world.hands.0.borrow();
    assert_eq!(host.ran.keys().collect::<Vec<_>>(), [&signal(3, 3).data.key]);
}

#[test]
fn what_is_not_allowed_is_answered_and_what_is_not_believed_is_not() {
    let world = World::new(0, Sight::Observed);
    let opened = Ledger::open(Arc::new(world.disk.clone()), Path::new(DIR)).unwrap();
    let mut runner = Runner::new(world.now, plan().allow, opened, world.hands.clone());
    let mut evil = signal(1, 1);
    evil.data.to = "$(rm)".to_owned();
    let mut forged = signed(&signal(2, 2), NOW);
    forged.signature = forged.signature.replace("v1,", "v1,A");
    let stale = signed(&signal(3, 3), Timestamp(NOW.0 - 301_000));
    let early = signed(&signal(4, 4), NOW);
    let signals = vec![signed(&evil, NOW), forged, stale, early];
    let taken = runner.take(world.now, &key(), &Signals { signals });
    let distrusted = vec![Distrust::Signature, Distrust::Stale];
    assert_eq!(taken, Taken { taken: 0, distrusted }, "the lane is not free yet");
    let answers = runner.answers();
    let [refused] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((refused.key.as_str(), refused.status), (evil.data.key.as_str(), Status::Refused));
    assert_eq!(runner.seen(world.now), [evil.data.key.clone()]);
    let later = Now { mono: Mono(SEEN_TIME), ..world.now };
    assert_eq!(runner.seen(later), Vec::<String>::new(), "it may be asked for again");
    assert!(world.hands.0.borrow().ran.is_empty() && runner.is_idle());
}
