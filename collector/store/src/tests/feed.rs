use bellwether_model::feed::{Cursor, Feed, Origin, Standing, Unknown};
use bellwether_model::series::{ABSENT, SeriesRef};
use bellwether_model::wire::table::ColumnIndex;
use bellwether_platform::disk::sim::SimDisk;
use std::path::Path;

use super::*;
use crate::checkpoint::Checkpoints;

/// One target of one source, a row a second.
struct Target {
    store: Store,
    writer: Writer,
    lane: LaneId,
    second: i64,
    position: u64,
}

impl Target {
    fn new() -> Target {
        let (store, writer) = Store::new(Limits::default());
        Target::of(store, writer)
    }

    fn of(store: Store, mut writer: Writer) -> Target {
        let lane = writer.lane(Source(1), GroupId(3));
        Target { store, writer, lane, second: 0, position: 0 }
    }

    fn define(&mut self, names: &[&str]) {
        self.writer.define(self.lane, &columns(names), 1000);
    }

    fn row(&mut self, values: &[f64]) {
        (self.second, self.position) = (self.second + 1, self.position + 1);
        let time = Timestamp(self.second * 1000);
        self.writer.append(self.lane, Position(self.position), time, values);
        self.writer.mark(Source(1), time, Timestamp(time.0 + 999));
        self.writer.publish(Position(self.position));
    }

    fn view(&self) -> View {
        self.store.view(Timestamp(self.second * 1000 + 20))
    }

    fn births(&self, since: Cursor) -> Vec<(String, i64, Origin)> {
        let births = self.view().births(&[], since).unwrap().into_iter();
        let name = |series| self.view().labels(series).name().to_owned();
        births.map(|birth| (name(birth.series), birth.time.0, birth.origin)).collect()
    }

    fn series(&self, name: &str) -> SeriesRef {
        let matcher = Matcher::new("__name__", MatchOp::Equal, name).unwrap();
        self.view().series(&[matcher], ALL, 1)[0]
    }
}

fn after(time: i64) -> Origin {
    Origin::After(Timestamp(time))
}

#[test]
fn a_first_error_is_told_from_a_first_scrape() {
    let mut target = Target::new();
    let start = target.view().cursor();
    target.define(&["up", "code_200"]);
    target.row(&[1.0, 700.0]);
    let first = |name: &str| (name.to_owned(), 1_000, Origin::First);
    assert_eq!(target.births(start), [first("up"), first("code_200")]);
    let scraped = target.view().cursor();
    target.row(&[1.0, 800.0]);
    assert_eq!(target.births(scraped), []);
    let column = definition(labels("code_500", "1"));
    target.writer.add(target.lane, ColumnIndex(2), column);
    target.row(&[1.0, 880.0, 20.0]);
    assert_eq!(target.births(scraped), [("code_500".to_owned(), 3_000, after(2_000))]);
    let errors = Matcher::new("__name__", MatchOp::Regex, "code_5..").unwrap();
    let healthy = Matcher::new("__name__", MatchOp::Regex, "code_2..").unwrap();
    assert_eq!(target.view().births(&[errors], scraped).unwrap().len(), 1);
    assert_eq!(target.view().births(&[healthy], scraped).unwrap(), []);
    let mut news = Column::default();
    target.view().news(target.series("code_500"), scraped, &mut news).unwrap();
    assert_eq!((news.times, news.values), (vec![Timestamp(3_000)], vec![20.0]));
}

#[test]
fn a_column_is_born_with_its_first_value_and_again_after_its_end() {
    let mut target = Target::new();
    target.define(&["up", "late"]);
    target.row(&[1.0, ABSENT]);
    target.row(&[1.0, ABSENT]);
    let cursor = target.view().cursor();
    target.row(&[1.0, 5.0]);
    assert_eq!(target.births(cursor), [("late".to_owned(), 3_000, after(2_000))]);
    let cursor = target.view().cursor();
    target.row(&[1.0, ABSENT]);
    target.row(&[1.0, 6.0]);
    // Described anew, and moved to another place: nothing begins.
    target.define(&["late", "up"]);
    target.row(&[6.0, 1.0]);
    target.writer.end(target.lane, ColumnIndex(0));
    target.writer.add(target.lane, ColumnIndex(0), definition(labels("late", "1")));
    target.row(&[6.0, 1.0]);
    assert_eq!(target.births(cursor), []);
    assert_eq!(target.view().standing(target.series("late")), Standing::Lives);
    target.writer.end(target.lane, ColumnIndex(0));
    target.row(&[ABSENT, 1.0]);
    assert_eq!(target.view().standing(target.series("late")), Standing::Ended(Timestamp(8_000)));
    target.writer.add(target.lane, ColumnIndex(0), definition(labels("late", "1")));
    target.row(&[1.0, 1.0]);
    assert_eq!(target.births(cursor), [("late".to_owned(), 9_000, after(8_000))]);
}

#[test]
fn a_group_that_becomes_another_target_begins_anew() {
    let mut target = Target::new();
    target.define(&["one_up", "one_errors"]);
    target.row(&[1.0, 3.0]);
    let cursor = target.view().cursor();
    target.define(&["two_up", "two_errors"]);
    target.row(&[1.0, 900.0]);
    let first = |name: &str| (name.to_owned(), 2_000, Origin::First);
    assert_eq!(target.births(cursor), [first("two_up"), first("two_errors")]);
}

#[test]
fn a_second_source_of_a_series_is_no_beginning_unless_the_first_is_silent() {
    let mut target = Target::new();
    target.define(&["up", "errors"]);
    target.row(&[1.0, 50.0]);
    let cursor = target.view().cursor();
    let second = target.writer.lane(Source(2), GroupId(0));
    target.writer.define(second, &columns(&["other", "errors"]), 1000);
    let at = |t: &mut Target, time: i64, values: &[f64]| {
        t.position += 1;
        t.writer.append(second, Position(t.position), Timestamp(time), values);
        t.writer.publish(Position(t.position));
    };
    at(&mut target, 1_500, &[1.0, ABSENT]);
    at(&mut target, 2_500, &[1.0, 52.0]);
    let births = [
        ("other".to_owned(), 1_500, Origin::First),
        ("errors".to_owned(), 2_500, Origin::Elsewhere),
    ];
    assert_eq!(target.births(cursor), births);
    let cursor = target.view().cursor();
    target.writer.define(second, &columns(&["other"]), 1000);
    at(&mut target, 3_500, &[1.0]);
    target.writer.define(second, &columns(&["other", "errors"]), 1000);
    at(&mut target, 10_000, &[1.0, 1.0]);
    assert_eq!(target.births(cursor), [("errors".to_owned(), 10_000, after(3_500))]);
}

#[test]
fn what_is_not_known_is_said() {
    let target = Target::new();
    let mut news = Column::default();
    let ahead = Err(Unknown::Ahead { end: Cursor(Position(0)) });
    let foreign = Cursor(Position(1));
    assert_eq!(target.view().news(SeriesRef(7), foreign, &mut news), ahead);
    assert_eq!(target.view().births(&[], foreign).map(drop), ahead);
    assert_eq!(target.view().standing(SeriesRef(7)), Standing::Absent);
    assert_eq!(target.view().news(SeriesRef(7), Cursor::default(), &mut news), Ok(()));
}

#[test]
fn a_series_that_was_ended_and_defined_again_before_a_checkpoint_is_born_after_it() {
    let disk = SimDisk::new(0);
    let arc = || Arc::new(disk.clone());
    let files = || FileLimits { bytes: 3000, span: Duration::from_secs(50) };
    let finish = |restoring: Restoring| restoring.finish(arc(), Path::new("/f"), files()).unwrap();
    let restored = finish(Restoring::new(Limits::default()));
    let filer = restored.filer;
    let mut target = Target::of(restored.store, restored.writer);
    target.define(&["up", "errors", "silent"]);
    target.row(&[1.0, 50.0, ABSENT]);
    target.writer.end(target.lane, ColumnIndex(1));
    target.row(&[1.0, ABSENT, ABSENT]);
    target.writer.add(target.lane, ColumnIndex(1), definition(labels("errors", "1")));
    let mut checkpoints = Checkpoints::open(arc(), Path::new("/c")).unwrap();
    let capture = target.writer.capture();
    checkpoints.write(capture.position(), |sections| capture.put(&filer, sections)).unwrap();
    let mut restoring = Restoring::new(Limits::default());
    let number = *checkpoints.numbers().last().unwrap();
    let mut each = |kind, bytes: &[u8]| restoring.record(kind, bytes).map(drop);
    let at = Cursor(checkpoints.read(number, &mut each).unwrap());
    let restored = finish(restoring);
    let (second, position) = (target.second, target.position);
    target = Target { second, position, ..Target::of(restored.store, restored.writer) };
    target.row(&[1.0, 1.0, 2.0]);
    let born = |name: &str| (name.to_owned(), 3_000, after(2_000));
    assert_eq!(target.births(at), [born("errors"), born("silent")]);
    let past = target.view().births(&[], Cursor(Position(1)));
    assert_eq!(past, Err(Unknown::Past { since: at }));
    let mut news = Column::default();
    target.view().news(target.series("up"), Cursor(Position(1)), &mut news).unwrap();
    assert_eq!(news.times, [Timestamp(2_000), Timestamp(3_000)], "samples are known by position");
}
