//! Readers beside a running writer: each view shows whole rows up to its cut, and stays as it is.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const ROWS: u64 = 20_000;
const WIDTH: usize = 7;

fn names(round: u64) -> Vec<String> {
    // The layout changes every 1,000 rows: one column moves.
    let mut names: Vec<String> = (0..WIDTH).map(|i| format!("m{i}")).collect();
    names.rotate_left((round / 1000) as usize % WIDTH);
    names
}

fn write(mut writer: Writer) {
    let lanes = [0, 1].map(|group| writer.lane(Source(1), GroupId(group)));
    for i in 1..=ROWS {
        let names = names(i);
        // All within the slack: a view that lives longer may lose what was dropped.
        let time = i.cast_signed();
        for (lane, x) in lanes.iter().zip(["0", "1"]) {
            let columns = names.iter().map(|name| Some(definition(labels(name, x))));
            writer.define(*lane, &columns.collect::<Vec<_>>(), 100);
            writer.append(*lane, Position(i), Timestamp(time), &[i as f64; WIDTH]);
        }
        writer.mark(Source(1), Timestamp(time), Timestamp(time));
        writer.publish(Position(i));
        if i % 50 == 0 {
            writer.retain(Timestamp(time));
        }
    }
}

/// Every column ends with the cut's row, and holds the same values at the same times.
fn check(view: &View) -> Vec<u64> {
    let cut = view.cut().0;
    let mut out = Column::default();
    let mut first: Option<Vec<f64>> = None;
    let window = Window::ending(Timestamp(cut.cast_signed()), Duration::from_millis(600));
    let series = view.series(&[], window, 100);
    assert_eq!(series.len(), if cut == 0 { 0 } else { 2 * WIDTH }, "at {cut}");
    for series in series {
        view.samples(series, window, &mut out);
        assert_eq!(out.values.last(), Some(&(cut as f64)));
        assert!(out.times.iter().zip(&out.values).all(|(t, v)| t.0 as f64 == *v));
        let first = first.get_or_insert_with(|| out.values.clone());
        assert_eq!(first, &out.values);
    }
    first.unwrap_or_default().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn readers_see_whole_rows_while_the_writer_runs() {
    let retention = Duration::from_millis(1200);
    let (store, writer) =
        Store::new(Limits { series_max: 100, bytes_max: 16_000, retention, ..Limits::default() });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (store, done) = (store.clone(), &done);
                scope.spawn(move || {
                    let mut views = 0_u64;
                    while !done.load(Ordering::Acquire) || views == 0 {
                        let now = store.view(Timestamp(0)).cut().0.cast_signed();
                        let view = store.view(Timestamp(now));
                        let seen = check(&view);
                        let other = store.view(Timestamp(now));
                        assert!(other.cut() >= view.cut());
                        assert_eq!(check(&view), seen);
                        views += 1;
                    }
                    views
                })
            })
            .collect();
        write(writer);
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    let stats = store.stats();
    assert_eq!(stats.views, 0);
    assert_eq!(stats.rows_appended, 2 * ROWS);
    assert!(stats.samples_expired + stats.samples_evicted > 0, "blocks were dropped meanwhile");
}
