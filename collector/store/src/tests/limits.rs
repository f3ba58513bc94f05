use bellwether_model::series::STALE;
use bellwether_model::wire::table::ColumnIndex;

use super::*;

fn refused(place: u32, reason: Refusal) -> Refused {
    Refused { place: ColumnIndex(place), reason }
}

#[test]
fn columns_over_a_limit_are_named_and_tried_again() {
    let (store, mut writer) = Store::new(limits_of(3, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    assert_eq!(writer.define(lane, &columns(&["a", "b"]), 10), []);
    let wide = columns(&["c", "d", "a", "b", "a"]);
    let full = [refused(1, Refusal::StoreFull), refused(4, Refusal::Repeated)];
    assert_eq!(writer.define(lane, &wide, 10), full, "what is held stays, though listed later");
    let appended = writer.append(lane, Position(1), Timestamp(1000), &[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(appended, Appended { samples: 3, out_of_order: 0, refused: 2 });
    assert_eq!(writer.define(lane, &wide[..4], 10), [refused(1, Refusal::StoreFull)]);
    let other = writer.lane(Source(1), GroupId(2));
    assert_eq!(writer.define(other, &columns(&["a"]), 4), [], "known elsewhere: no new series");
    assert_eq!(
        writer.add(other, ColumnIndex(1), definition(labels("b", "1"))),
        Some(refused(1, Refusal::SourceFull))
    );
    let far = ColumnIndex(u32::MAX);
    assert_eq!(
        writer.add(other, far, definition(labels("b", "1"))).unwrap().reason,
        Refusal::TooWide
    );
    writer.publish(Position(1));
    let stats = store.stats();
    assert_eq!((stats.refused_store_full, stats.refused_repeated), (2, 1));
    assert_eq!((stats.refused_source_full, stats.refused_too_wide), (1, 1));
    assert_eq!((stats.series, stats.samples_refused), (3, 2));
}

#[test]
fn a_changed_list_ends_series_and_seals_nothing() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    for i in 1..=3 {
        writer.define(lane, &columns(&["a", "b"]), 10);
        writer.append(lane, Position(i), Timestamp(i.cast_signed()), &[1.0, 2.0]);
    }
    writer.publish(Position(3));
    writer.define(lane, &columns(&["b"]), 10);
    writer.append(lane, Position(4), Timestamp(4), &[2.0]);
    writer.publish(Position(4));
    assert_eq!((store.stats().blocks, store.stats().parts), (0, 0));
    let view = store.view(Timestamp(10));
    let ended: Vec<_> = samples(&view, "a", ALL);
    assert_eq!(ended[..3], [(1, 1.0), (2, 1.0), (3, 1.0)]);
    assert_eq!((ended[3].0, ended[3].1.to_bits()), (4, STALE.to_bits()));
    assert_eq!(samples(&view, "b", ALL).len(), 4);
}

#[test]
fn columns_that_change_with_every_row_make_no_small_blocks() {
    let (store, mut writer) = Store::new(limits_of(100, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    for i in 1..=480 {
        let other = format!("b{}", i % 7);
        writer.define(lane, &columns(&["a", &other]), 10);
        writer.append(lane, Position(i), Timestamp(i.cast_signed()), &[1.0, i as f64]);
        writer.publish(Position(i));
        assert!(store.stats().parts < 10, "{:?}", store.stats());
    }
    assert_eq!((store.stats().blocks, store.stats().parts), (1, 0));
    let view = store.view(Timestamp(1000));
    assert_eq!(samples(&view, "a", ALL).len(), 480);
    // Every seventh row a value, and in the next its end.
    let times: Vec<i64> = samples(&view, "b3", ALL).iter().map(|s| s.0).collect();
    assert_eq!(times[..4], [3, 4, 10, 11]);
    let two = Window { start: Timestamp(4), end: Timestamp(6) };
    let names = view.label_values("__name__", &[], two);
    assert_eq!(names, ["a", "b4", "b5", "b6"], "what has no sample there is not listed");
}

#[test]
fn bytes_are_bounded_by_dropping_the_oldest() {
    let (store, mut writer) = Store::new(limits_of(10, 20_000));
    let lane = writer.lane(Source(1), GroupId(1));
    writer.define(lane, &columns(&["a"]), 10);
    for i in 1..=10_000 {
        let value = f64::from_bits(0x3ff0_0000_0000_0000 | (i * 0x1234_5678_9abd) >> 8);
        writer.append(lane, Position(i), Timestamp(i.cast_signed()), &[value]);
    }
    writer.publish(Position(10_000));
    let stats = store.stats();
    assert!(stats.sealed_bytes + stats.open_bytes <= 20_000, "{stats:?}");
    let kept = samples(&store.view(Timestamp(10_000)), "a", ALL);
    assert_eq!(stats.samples_evicted, 10_000 - kept.len() as u64);
    assert_eq!(kept.last().unwrap().0, 10_000);
    assert!(kept.len() > 1000 && stats.samples_evicted > 0);
}

#[test]
fn one_series_in_two_lanes_merges_and_the_later_position_wins() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lanes = [1, 2].map(|source| {
        let lane = writer.lane(Source(source), GroupId(1));
        writer.define(lane, &columns(&["a"]), 10);
        lane
    });
    for (i, (lane, time)) in [(0, 1), (1, 2), (1, 3), (0, 3), (0, 5)].into_iter().enumerate() {
        let (position, value) = (Position(i as u64 + 1), i as f64);
        writer.append(lanes[lane], position, Timestamp(time), &[value]);
    }
    writer.publish(Position(5));
    let view = store.view(Timestamp(10));
    assert_eq!(samples(&view, "a", ALL), [(1, 0.0), (2, 1.0), (3, 3.0), (5, 4.0)]);
    assert_eq!(store.stats().duplicates_merged, 1);
}

#[test]
fn a_silent_source_hands_over_to_another_without_a_marker() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lanes = [1, 2].map(|source| {
        let lane = writer.lane(Source(source), GroupId(1));
        writer.define(lane, &columns(&["a"]), 10);
        lane
    });
    writer.append(lanes[0], Position(1), Timestamp(1000), &[1.0]);
    writer.mark(Source(1), Timestamp(1000), Timestamp(1999));
    writer.append(lanes[1], Position(2), Timestamp(4000), &[2.0]);
    writer.mark(Source(2), Timestamp(4000), Timestamp(4999));
    writer.publish(Position(2));
    let values = |now: i64| samples(&store.view(Timestamp(now)), "a", ALL);
    assert_eq!(values(9_998), [(1000, 1.0), (4000, 2.0)]);
    let both_ended = values(9_999);
    assert_eq!(both_ended.len(), 3);
    assert_eq!((both_ended[2].0, both_ended[2].1.to_bits()), (9_999, STALE.to_bits()));
}

#[test]
fn a_marker_ends_what_lived_in_its_interval_only() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    writer.define(lane, &columns(&["a"]), 10);
    writer.append(lane, Position(1), Timestamp(1000), &[1.0]);
    writer.mark(Source(1), Timestamp(1000), Timestamp(1999));
    writer.mark(Source(1), Timestamp(20_000), Timestamp(20_999));
    writer.publish(Position(1));
    let view = store.view(Timestamp(60_000));
    let seen = samples(&view, "a", ALL);
    assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [1000, 6999]);
    let late = Window { start: Timestamp(6_000), end: Timestamp(60_000) };
    assert_eq!(samples(&view, "a", late).len(), 1, "also without its sample in the window");
}

#[test]
fn a_series_leaves_a_living_lane_with_its_last_block() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    writer.define(lane, &columns(&["a", "b"]), 10);
    for i in 1..=1000 {
        if i == 2 {
            writer.end(lane, ColumnIndex(1));
        }
        writer.append(lane, Position(i), Timestamp(i.cast_signed() * 100_000), &[1.0, 2.0]);
    }
    let names = |now: i64| {
        let view = store.view(Timestamp(now));
        view.label_values("__name__", &[], ALL)
    };
    writer.publish(Position(1000));
    assert_eq!(names(200_000), ["a", "b"]);
    writer.retain(Timestamp(100_000_000));
    writer.publish(Position(1000));
    assert_eq!(names(100_000_000), ["a"]);
    assert_eq!((store.stats().series, store.stats().series_removed), (1, 1));
}

#[test]
fn names_values_metadata_and_limits_are_answered() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    writer.define(lane, &columns(&["c", "a", "b"]), 10);
    writer.append(lane, Position(1), Timestamp(1000), &[1.0; 3]);
    let before = store.view(Timestamp(2000));
    writer.publish(Position(1));
    assert!(before.series(&[], ALL, 10).is_empty(), "not published when the view was made");
    let view = store.view(Timestamp(2000));
    assert_eq!(view.label_names(&[], ALL), ["__name__", "x"]);
    let not_b = Matcher::new("__name__", MatchOp::NotEqual, "b").unwrap();
    assert_eq!(view.label_values("__name__", &[not_b], ALL), ["a", "c"]);
    let names = |limit| {
        let series = view.series(&[], ALL, limit);
        series.into_iter().map(|s| view.labels(s).name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(1), ["a", "b"], "one more than the limit");
    assert_eq!(names(9), ["a", "b", "c"]);
    assert_eq!(view.metadata("a").unwrap().kind, MetricType::Gauge);
    assert_eq!(view.metadata("z"), None);
    let later = Window { start: Timestamp(1000), end: Timestamp(9000) };
    assert!(view.series(&[], later, 9).is_empty(), "no row after the window's open start");
}

#[test]
fn forgotten_sources_leave_nothing() {
    let (store, mut writer) = Store::new(limits_of(10, usize::MAX));
    let lane = writer.lane(Source(1), GroupId(1));
    writer.define(lane, &columns(&["a"]), 10);
    writer.append(lane, Position(1), Timestamp(0), &[1.0]);
    writer.mark(Source(1), Timestamp(0), Timestamp(999));
    writer.publish(Position(1));
    writer.forget(Source(1));
    writer.retain(Timestamp(1000));
    assert_eq!(
        samples(&store.view(Timestamp(0)), "a", Window { start: Timestamp(-1), ..ALL }).len(),
        1
    );
    writer.retain(Timestamp(10_000_000));
    writer.publish(Position(1));
    let stats = store.stats();
    assert_eq!((stats.lanes, stats.series, stats.open_bytes), (0, 0, 0));
    assert_eq!(writer.append(lane, Position(2), Timestamp(10_000_000), &[1.0]).refused, 1);
}
