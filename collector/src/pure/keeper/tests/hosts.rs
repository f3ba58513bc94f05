//! What people ask of a host: to be drained, to be forgotten.

use super::super::Commanded;
use super::*;

/// A keeper and its store from the journal alone.
fn replayed(bench: &Bench) -> (Keeper, Store) {
    let (store, writer) = Store::new(Limits::default());
    let mut keeper = Keeper::new(StoreId([1; 16]), KeeperLimits::default(), writer);
    for (position, entry) in (1..).zip(&bench.journal.entries) {
        keeper.replay(now(bench.second), Position(position), entry).unwrap();
    }
    (keeper, store)
}

#[test]
fn a_drained_host_is_told_until_it_is_not() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let at = now(1);
    let unknown = bench.keeper.drain(at, AGENT, true, &mut bench.journal);
    assert_eq!(unknown, Ok(Commanded::Unknown));
    let one = bench.frame(1.0);
    assert!(!bench.push(&[&one], false).drain);
    bench.keeper.tick(now(bench.second), &mut bench.journal).unwrap();
    let done = bench.keeper.drain(at, AGENT, true, &mut bench.journal).unwrap();
    assert_eq!(done, Commanded::Done(Position(bench.journal.entries.len() as u64)));
    let two = bench.frame(2.0);
    assert!(bench.push(&[&two], false).drain);
    assert!(bench.push(&[], true).drain);
    bench.keeper.tick(now(bench.second), &mut bench.journal).unwrap();
    assert_eq!(bench.values("up"), [Some(1.0), None], "no 0");
    bench.keeper.snapshot(now(bench.second), &mut bench.journal).unwrap();
    let (mut keeper, _) = replayed(&bench);
    assert!(keeper.presence().is_draining(AGENT));
    let done = keeper.drain(at, AGENT, false, &mut bench.journal).unwrap();
    assert!(matches!(done, Commanded::Done(_)));
    assert!(!keeper.presence().is_draining(AGENT));
}

#[test]
fn a_forgotten_host_is_gone_and_its_samples_stay() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.keeper.snapshot(now(0), &mut bench.journal).unwrap();
    bench.table.add(column("m", &[]));
    for value in [1.0, 2.0] {
        let frame = bench.frame(value);
        bench.push(&[&frame], false);
        bench.keeper.tick(now(bench.second), &mut bench.journal).unwrap();
    }
    bench.keeper.drain(now(bench.second), AGENT, true, &mut bench.journal).unwrap();
    bench.second += 1;
    let at = now(bench.second);
    let done = bench.keeper.forget(at, AGENT, &mut bench.journal).unwrap();
    assert_eq!(done, Commanded::Done(Position(bench.journal.entries.len() as u64)));
    bench.keeper.tick(at, &mut bench.journal).unwrap();
    assert_eq!(bench.values("up"), [Some(1.0), None], "it ends without a 0");
    assert_eq!(bench.values("m"), [Some(1.0), Some(2.0), None]);
    let again = bench.keeper.forget(at, AGENT, &mut bench.journal);
    assert_eq!(again, Ok(Commanded::Unknown));
    let (keeper, store) = replayed(&bench);
    for keeper in [&bench.keeper, &keeper] {
        assert_eq!((keeper.sessions(), keeper.sources.len()), (0, 0));
        assert!(!keeper.presence().knows(AGENT) && !keeper.presence().is_draining(AGENT));
        assert!(keeper.ups.is_empty());
    }
    assert_eq!(keeper.presence().state(), bench.keeper.presence().state());
    for name in ["up", "m"] {
        assert_eq!(values(&store, bench.second, name), bench.values(name), "{name}");
    }
    // One that ships after all is nobody this collector knows: it begins anew.
    let three = bench.frame(3.0);
    let answer = bench.push(&[&three], false);
    assert_eq!((answer.case, answer.at, answer.drain), (Case::Gap, seq(1), false));
}

#[test]
fn a_full_journal_does_nothing_to_a_host() {
    let mut bench = Bench::pushed(KeeperLimits::default());
    bench.journal.full = true;
    let entries = bench.journal.entries.len();
    let at = now(bench.second);
    let (keeper, journal) = (&mut bench.keeper, &mut bench.journal);
    for on in [true, false] {
        assert_eq!(keeper.drain(at, AGENT, on, journal), Ok(Commanded::NoRoom));
    }
    assert_eq!(keeper.forget(at, AGENT, journal), Ok(Commanded::NoRoom));
    assert_eq!(keeper.forget(at, AgentId([2; 16]), journal), Ok(Commanded::Unknown));
    assert!(keeper.presence().knows(AGENT) && !keeper.presence().is_draining(AGENT));
    assert_eq!((keeper.sessions(), journal.entries.len()), (1, entries));
    journal.full = false;
    assert!(matches!(keeper.forget(at, AGENT, journal), Ok(Commanded::Done(_))));
}
