//! What the ledger says is what it has, and what it cannot keep it does not say.

use std::io::ErrorKind;

use bellwether_model::signal::Status;
use bellwether_model::time::date_millis;
use bellwether_platform::disk::sim::SimDisk;

use super::*;
use crate::pure::hook::decide::answer;
use crate::pure::hook::testing::{NOW, signal};

const DIR: &str = "/var/hook";

fn open(disk: &SimDisk) -> (Ledger, Vec<Started>) {
    Ledger::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap()
}

fn started(number: u8) -> Started {
    Started { at: date_millis(NOW), signal: signal(number, u64::from(number)) }
}

fn done(number: u8, at: Timestamp) -> Done {
    let signal = signal(number, u64::from(number));
    let answer = answer(&signal, Status::Done, "said".to_owned());
    Done { at: date_millis(at), signal, answer, output: "said".to_owned() }
}

fn key(number: u8) -> String {
    signal(number, 1).data.key
}

#[test]
fn what_was_begun_and_done_is_found_again() {
    let disk = SimDisk::new(0);
    let (mut ledger, cut_off) = open(&disk);
    assert!(cut_off.is_empty());
    assert_eq!(ledger.known(&key(1)).unwrap(), Known::Nothing);
    ledger.begin(NOW, &started(1)).unwrap();
    ledger.finish(&done(1, NOW)).unwrap();
    ledger.begin(NOW, &started(2)).unwrap();
    for again in 0..2 {
        let (ledger, cut_off) = open(&disk);
        assert_eq!(cut_off, [started(2)], "{again}");
        assert_eq!(ledger.known(&key(1)).unwrap(), Known::Done(Box::new(done(1, NOW))));
        assert_eq!(ledger.known(&key(2)).unwrap(), Known::Started(Box::new(started(2))));
        let highest = ledger.highest(&Lane::of(&signal(1, 1))).unwrap();
        assert_eq!(*highest, Highest { generation: 2, key: key(2) });
        disk.power_cut(again);
    }
}

#[test]
fn a_full_disk_begins_nothing_and_can_be_tried_again() {
    let disk = SimDisk::new(0);
    let (mut ledger, _) = open(&disk);
    disk.set_capacity(0);
    assert!(matches!(ledger.begin(NOW, &started(1)), Err(NotBegun::Passing(_))));
    disk.set_capacity(u64::MAX);
    ledger.begin(NOW, &started(1)).unwrap();
    assert!(open(&disk).0.unfinished_are_gone(&disk));
}

impl Ledger {
    fn unfinished_are_gone(&self, disk: &SimDisk) -> bool {
        disk.list(&self.dir).unwrap().iter().all(|name| !name.ends_with(UNFINISHED))
    }
}

#[test]
fn after_a_sync_that_failed_nothing_is_begun_any_more() {
    let points = [
        SyncPoint::ReplaceData,
        SyncPoint::ReplaceDir,
        SyncPoint::LedgerBeginData,
        SyncPoint::LedgerBeginDir,
    ];
    for point in points {
        let disk = SimDisk::new(0);
        let (mut ledger, _) = open(&disk);
        disk.inject(move |op| (op.point == Some(point)).then_some(ErrorKind::Other));
        assert!(matches!(ledger.begin(NOW, &started(1)), Err(NotBegun::Lasting(_))), "{point:?}");
        disk.heal();
        assert!(matches!(ledger.begin(NOW, &started(2)), Err(NotBegun::Lasting(_))), "{point:?}");
        disk.kill();
        open(&disk).0.begin(NOW, &started(2)).unwrap();
    }
}

#[test]
fn what_is_old_goes_and_what_is_damaged_is_named() {
    let month = Timestamp(NOW.0 + 31 * 24 * 3600 * 1000);
    let disk = SimDisk::new(0);
    let (mut ledger, _) = open(&disk);
    for number in 1..=3 {
        ledger.begin(NOW, &started(number)).unwrap();
        let at = if number == 3 { month } else { NOW };
        ledger.finish(&done(number, at)).unwrap();
    }
    disk.alter(&Path::new(DIR).join(Name::Done(key(2)).file()), |bytes| bytes.truncate(9));
    let (mut ledger, cut_off) = open(&disk);
    assert!(cut_off.is_empty());
    assert_eq!(ledger.known(&key(2)).unwrap(), Known::Unreadable);
    assert_eq!(ledger.prune(month).unwrap(), 1);
    assert_eq!(ledger.known(&key(1)).unwrap(), Known::Nothing);
    assert!(matches!(ledger.known(&key(3)).unwrap(), Known::Done(_)));
    assert_eq!(open(&disk).0.known(&key(2)).unwrap(), Known::Unreadable, "it is not begun again");

    let name = Name::Generation(Lane::of(&signal(1, 1)));
    disk.alter(&Path::new(DIR).join(name.file()), Vec::clear);
    let refused = Ledger::open(Arc::new(disk), Path::new(DIR)).err().unwrap().to_string();
    assert!(refused.contains("checkout@production.generation is damaged"), "{refused}");
}
