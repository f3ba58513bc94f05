//! What is kept for those who ask again does not outlive what it depends on.

use bellwether_model::series::SeriesRef;
use bellwether_model::wire::table::ColumnIndex;

use super::*;

fn found(store: &Store, now: i64, matchers: &[Matcher]) -> Vec<String> {
    let view = store.view(Timestamp(now));
    let series = view.series(matchers, ALL, 100);
    series.into_iter().map(|series| view.labels(series).to_string()).collect()
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(name, MatchOp::Equal, value).unwrap()
}

fn defined(name: &str, x: &str) -> Option<Definition> {
    Some(definition(labels(name, x)))
}

#[test]
fn answers_end_with_the_birth_of_a_series() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    let questions = [vec![equal("__name__", "a")], vec![equal("x", "1")], vec![equal("x", "2")]];
    let ask = |now: i64| questions.each_ref().map(|question| found(&store, now, question));
    assert_eq!(ask(1), [vec![], vec![], vec![]] as [Vec<String>; 3]);
    writer.define(lane, &[defined("a", "1")], 10);
    writer.append(lane, Position(1), Timestamp(1), &[1.0]);
    writer.publish(Position(1));
    let one = r#"a{x="1"}"#;
    assert_eq!(ask(1), [vec![one], vec![one], vec![]]);
    assert_eq!(ask(1), [vec![one], vec![one], vec![]]);
    writer.define(lane, &[defined("a", "1"), defined("a", "2"), defined("b", "1")], 10);
    writer.append(lane, Position(2), Timestamp(2), &[1.0, 2.0, 3.0]);
    let before = store.view(Timestamp(2));
    assert_eq!(before.series(&questions[0], ALL, 9), [SeriesRef(0)], "not yet published");
    writer.publish(Position(2));
    let (two, other) = (r#"a{x="2"}"#, r#"b{x="1"}"#);
    assert_eq!(ask(2), [vec![one, two], vec![one, other], vec![two]]);
    assert_eq!(before.series(&questions[0], ALL, 9), [SeriesRef(0)]);
}

#[test]
fn answers_end_when_a_series_comes_to_another_lane() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let question = [equal("__name__", "a")];
    for (source, at) in [(1, 1), (2, 2), (3, 3)] {
        let lane = writer.lane(Source(source), GroupId(1));
        writer.define(lane, &columns(&["a"]), 10);
        writer.append(lane, Position(at), Timestamp(at.cast_signed()), &[1.0]);
        writer.publish(Position(at));
        // Only the newest lane has a row in the window.
        let view = store.view(Timestamp(10));
        let window = Window { start: Timestamp(at.cast_signed() - 1), end: Timestamp(10) };
        assert_eq!(view.series(&question, window, 9), [SeriesRef(0)]);
        let mut seen = Vec::new();
        view.each(&[SeriesRef(0)], ALL, &mut |labels, column| {
            seen.push((labels.to_string(), column.len()));
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(seen, [(r#"a{x="1"}"#.to_owned(), usize::try_from(at).unwrap())]);
    }
}

#[test]
fn answers_end_when_a_series_is_gone() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    let question = [equal("__name__", "a")];
    writer.define(lane, &columns(&["a", "b"]), 10);
    for i in 1..=1000_u64 {
        if i == 2 {
            writer.end(lane, ColumnIndex(0));
        }
        writer.append(lane, Position(i), Timestamp(i.cast_signed() * 10_000), &[1.0, 2.0]);
        writer.publish(Position(i));
        let now = Timestamp(i.cast_signed() * 10_000);
        writer.retain(now);
        // It has a sample and a marker, and is seen for an hour.
        let seen = found(&store, now.0, &question);
        assert_eq!(seen.len(), usize::from(i < 362), "at {i}");
    }
    assert_eq!(store.stats().series_removed, 1);
    writer.define(lane, &columns(&["b", "a"]), 10);
    writer.append(lane, Position(1001), Timestamp(10_010_000), &[2.0, 1.0]);
    writer.publish(Position(1001));
    assert_eq!(found(&store, 10_010_000, &question), [r#"a{x="1"}"#], "another of the same name");
}

#[test]
fn a_view_reads_on_while_rows_are_sealed_and_merged() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    writer.define(lane, &columns(&["a", "b"]), 10);
    let append = |writer: &mut Writer, i: u64| {
        let (at, time) = (Position(i), Timestamp(i.cast_signed()));
        writer.append(lane, at, time, &[i as f64, 0.5]);
        writer.publish(at);
    };
    (1..=9).for_each(|i| append(&mut writer, i));
    let view = store.view(Timestamp(9));
    let window = Window { start: Timestamp(3), end: Timestamp(400) };
    let expected: Vec<(i64, f64)> = (4..=9_i32).map(|i| (i64::from(i), f64::from(i))).collect();
    assert_eq!(samples(&view, "a", window), expected);
    for i in 10..=1000 {
        append(&mut writer, i);
        assert_eq!(samples(&view, "a", window), expected, "after {i}");
        assert_eq!(samples(&view, "b", window).len(), 6, "after {i}");
    }
    assert_eq!((store.stats().blocks, samples(&view, "a", ALL).len()), (2, 9));
}
