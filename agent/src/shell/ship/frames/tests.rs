use std::time::Duration;

use bellwether_model::id::{BootId, Incarnation, Nonce};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::decode::{Decoder, Purpose};
use bellwether_model::wire::frame::{Frame, Inflater};
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};
use bellwether_platform::stop;
use tokio::sync::oneshot;

use super::*;
use crate::shell::ship::tests::shipping;
use crate::shell::ship::{Ask, Counted, ShipReport};

const HOST: GroupId = GroupId(0);
const LARGE: GroupId = GroupId(64);
const LARGER: GroupId = GroupId(65);

fn group(id: GroupId, columns: usize) -> Group {
    let target = LabelSet::new([("job", "j"), ("instance", "i")]).unwrap();
    let mut table = Table::new(target, Duration::from_secs(1));
    for number in 0..columns {
        table.add(ColumnSpec {
            labels: LabelSet::new([(METRIC_NAME, format!("m{number}").as_str())]).unwrap(),
            kind: MetricType::Gauge,
            value_kind: ValueKind::Float,
            unit: "".into(),
            help: "".into(),
            start: None,
        });
    }
    Group { due: true, ..Group::new(id, table) }
}

/// A host's group beside two of targets, of 150,000 columns.
fn groups() -> [Group; 3] {
    [group(HOST, 20), group(LARGE, 70_000), group(LARGER, 80_000)]
}

fn tick(second: i64) -> Tick {
    let time = Timestamp(second * 1000);
    Tick { time, complete_through: Timestamp(time.0 + 999), missed: 0 }
}

/// Takes a tick's rows; noise is as random as can be.
fn take(sink: &mut Frames, groups: &mut [Group], second: i64, is_noisy: bool) {
    let mut bits = second.cast_unsigned();
    for group in groups.iter_mut() {
        group.table.begin_row();
        for place in 0..group.table.columns().len() {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = f64::from_bits(bits >> 12 | 0x3ff0_0000_0000_0000) / 3.0;
            let value = if is_noisy { noise } else { 1.0 };
            group.table.set(ColumnIndex(u32::try_from(place).unwrap()), value);
        }
    }
    sink.take(tick(second), groups);
}

/// What was never made, by the order of [`NONE_DROPPED`].
fn never_made(handed: &Handed) -> [(u64, u64); 2] {
    handed.never_made.map(|(_, count)| (count.frames, count.samples))
}

#[test]
fn what_does_not_fit_is_counted_and_the_host_goes_on() {
    let origin = Origin { incarnation: Incarnation(1), nonce: Nonce(1), boot: BootId::default() };
    let (mut sink, (mut queue, _control)) = frames(origin);
    let (mut groups, mut inflater) = (groups(), Inflater::default());
    let mut decoder = Decoder::new(1 << 20);
    let all = vec![HOST, LARGE, LARGER];
    for (second, is_noisy, has, lost) in [
        (1, false, all.clone(), 0),
        (2, true, vec![HOST, LARGE], 80_000),
        (3, true, vec![HOST, LARGE], 80_000),
        (4, false, all, 0),
    ] {
        take(&mut sink, &mut groups, second, is_noisy);
        let handed = queue.try_recv().unwrap();
        assert_eq!(never_made(&handed), [(0, 0), (0, lost)], "tick {second}");
        let Made { bytes, samples } = handed.frame.unwrap();
        assert_eq!(u64::from(samples) + lost, 150_020);
        let (frame, _) = Frame::read(&bytes).unwrap();
        let sections = frame.sections(&mut inflater).unwrap();
        let read = decoder.read(frame.header(), sections, Purpose::Apply).unwrap().to_vec();
        assert_eq!(read, has, "tick {second}");
        for group in groups.iter().filter(|group| read.contains(&group.id)) {
            assert!(decoder.group_mut(group.id).unwrap().values() == group.table.values());
        }
        assert_eq!(sink.left_out.is_empty(), lost == 0);
    }
    drop(sink);
    assert!(queue.try_recv().is_err(), "nothing is left to tell");
}

#[test]
fn rows_for_which_the_queue_has_no_place_are_counted_even_if_no_frame_follows() {
    let origin = Origin { incarnation: Incarnation(1), nonce: Nonce(1), boot: BootId::default() };
    let (mut sink, (mut queue, _control)) = frames(origin);
    let mut groups = [group(HOST, 20)];
    let ticks = i64::try_from(QUEUE).unwrap() + 3;
    for second in 0..ticks {
        take(&mut sink, &mut groups, second, false);
    }
    assert!(sink.is_stalled);
    let held: Vec<Handed> = std::iter::from_fn(|| queue.try_recv().ok()).collect();
    assert_eq!(held.len(), QUEUE);
    assert!(held.iter().all(|handed| never_made(handed) == [(0, 0); 2]));
    take(&mut sink, &mut groups, ticks, false);
    let handed = queue.try_recv().unwrap();
    assert_eq!((handed.frame.is_some(), never_made(&handed)), (true, [(3, 60), (0, 0)]));
    // The same again, and the agent ends before anybody has taken a frame.
    for second in 1..=ticks {
        take(&mut sink, &mut groups, ticks + second, false);
    }
    drop(sink);
    let held: Vec<Handed> = std::iter::from_fn(|| queue.try_recv().ok()).collect();
    let (last, frames) = held.split_last().unwrap();
    assert_eq!(frames.len(), QUEUE);
    assert_eq!((last.frame.is_none(), never_made(last)), (true, [(3, 60), (0, 0)]));
}

#[test]
fn the_newest_that_shipping_asks_is_done() {
    let origin = |nonce| Origin {
        incarnation: Incarnation(1),
        nonce: Nonce(nonce),
        boot: BootId::default(),
    };
    let (mut sink, (mut queue, control)) = frames(origin(1));
    let mut groups = [group(HOST, 20)];
    let mut header = |sink: &mut Frames, second| {
        take(sink, &mut groups, second, false);
        let handed = queue.try_recv().unwrap();
        let header = *Frame::read(&handed.frame.unwrap().bytes).unwrap().0.header();
        (header.opens_segment, header.nonce.0, header.seq.n())
    };
    assert_eq!(header(&mut sink, 1), (true, 1, 1));
    assert_eq!(header(&mut sink, 2), (false, 1, 2));
    (0..1000).for_each(|_| control.send_modify(|control| control.cuts += 1));
    assert_eq!(header(&mut sink, 3), (true, 1, 3));
    control.send_modify(|control| control.cuts += 1);
    control.send_modify(|control| control.origin = origin(2));
    assert_eq!(header(&mut sink, 4), (true, 2, 1));
    assert_eq!(header(&mut sink, 5), (false, 2, 2));
}

#[tokio::test]
async fn the_account_has_what_was_never_made() {
    let nobody = "http://127.0.0.1:1".to_owned();
    let (mut sink, ship, _time) = shipping(&[nobody]);
    let (asks, stopper) = (ship.asks(), stop::stop().0);
    let account = async |samples| -> ShipReport {
        loop {
            let (reply, answer) = oneshot::channel();
            assert!(asks.send(Ask::Report(reply)).await.is_ok());
            let report = answer.await.unwrap();
            if report.collected.samples == samples {
                return report;
            }
        }
    };
    let counted = |frames, samples| Counted { frames, samples };
    let test = async {
        let mut groups = groups();
        for (second, is_noisy) in [(1, false), (2, true), (3, false)] {
            take(&mut sink, &mut groups, second, is_noisy);
        }
        let report = account(3 * 150_020).await;
        let of = &report.collectors[0];
        assert_eq!((report.collected.frames, of.owed), (3, report.collected));
        assert_eq!((report.spooled, of.held), (counted(3, 3 * 150_020 - 80_000), report.spooled));
        assert_eq!(of.dropped, [("unencodable".to_owned(), counted(0, 80_000))].into());
        // Rows that find the queue full, and no frame after them.
        let mut groups = [group(HOST, 20)];
        let ticks = i64::try_from(QUEUE).unwrap() + 2;
        (4..4 + ticks).for_each(|second| take(&mut sink, &mut groups, second, false));
        drop(sink);
        let report = account(3 * 150_020 + 20 * ticks.cast_unsigned()).await;
        let of = &report.collectors[0];
        assert_eq!(of.dropped["queue"], counted(2, 40));
        assert_eq!(of.owed.frames, of.held.frames + 2);
        assert_eq!(of.owed.samples, of.held.samples + 80_040);
    };
    tokio::select! {
        () = test => {}
        ended = ship.run(&stopper) => panic!("{ended:?}"),
    }
}
