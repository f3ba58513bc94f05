use proptest::prelude::*;

use super::*;

const SOURCE: Source = Source(7);

/// All ends that anybody may see at `now`.
fn ends(marks: &Marks, now: i64) -> Vec<i64> {
    let intervals = marks.of(SOURCE).into_iter();
    let ends = intervals.flat_map(|i| i.ends(Timestamp::MIN, Timestamp::MAX, Timestamp(now)));
    ends.map(|(_, end)| end.0).collect()
}

fn mark(marks: &mut Marks, from: i64, through: i64) {
    marks.apply(SOURCE, Change::Mark { from: Timestamp(from), through: Timestamp(through) });
}

#[test]
fn a_silence_ends_an_interval_and_a_backlog_heals_it() {
    let mut marks = Marks::default();
    mark(&mut marks, 0, 999);
    assert_eq!(ends(&marks, 5_998), [0_i64; 0]);
    assert_eq!(ends(&marks, 5_999), [5_999]);
    mark(&mut marks, 5_999, 6_998);
    assert_eq!(ends(&marks, 10_000), [0_i64; 0], "the backlog continues at the mark + 5 s");
    mark(&mut marks, 11_999, 12_998);
    assert_eq!(ends(&marks, 12_998), [11_998], "a gap of more than 5 s");
}

#[test]
fn a_goodbye_ends_at_its_time_and_what_follows_is_new() {
    let mut marks = Marks::default();
    mark(&mut marks, 0, 999);
    marks.apply(SOURCE, Change::End(Timestamp(999)));
    marks.apply(SOURCE, Change::End(Timestamp(4_000)));
    assert_eq!(ends(&marks, 999), [999], "said once");
    mark(&mut marks, 1_000, 1_999);
    assert_eq!(ends(&marks, 6_999), [999, 6_999]);
    marks.apply(SOURCE, Change::End(Timestamp(1_999)));
    mark(&mut marks, 1_999, 2_998);
    assert_eq!(ends(&marks, 7_998), [999, 1_999, 7_998], "even from the same time");
}

#[test]
fn unmarked_sources_never_end_and_forgotten_ones_are_gone() {
    let mut marks = Marks::default();
    marks.apply(SOURCE, Change::Unmarked);
    mark(&mut marks, 0, 999);
    assert_eq!(ends(&marks, i64::MAX), [0_i64; 0]);
    marks.apply(SOURCE, Change::Forget);
    assert!(marks.of(SOURCE).is_none());
}

#[test]
fn intervals_are_bounded() {
    let mut marks = Marks::default();
    let count = i64::try_from(INTERVALS).unwrap();
    let forgotten = (0..count + 3).filter(|i| {
        let at = Timestamp(i * 10_000);
        marks.apply(SOURCE, Change::Mark { from: at, through: at })
    });
    assert_eq!(forgotten.count(), 3);
    assert_eq!(ends(&marks, i64::MAX).first(), Some(&35_000));
    marks.forget_before(Timestamp(i64::MAX));
    assert_eq!(ends(&marks, i64::MAX).len(), 1, "the newest stays");
}

proptest! {
    /// Against a walk over all frames: an end lies wherever the next frame begins later than it.
    #[test]
    fn ends_are_those_of_a_walk(
        frames in prop::collection::vec(
            (0_i64..9_000, 0_i64..3_000, prop::bool::weighted(0.1)),
            1..60,
        ),
        asked in 0_usize..60,
    ) {
        let mut marks = Marks::default();
        let (mut at, mut naive, mut closed) = (0, Vec::new(), false);
        let mut kept = None;
        for (i, (gap, length, bye)) in frames.iter().enumerate() {
            let (from, through) = (at + gap, at + gap + length);
            mark(&mut marks, from, through);
            match naive.last_mut() {
                Some(end) if !closed && *gap <= 5_000 => *end = through + 5_000,
                _ => naive.push(through + 5_000),
            }
            closed = *bye;
            if *bye {
                marks.apply(SOURCE, Change::End(Timestamp(through)));
                *naive.last_mut().unwrap() = through;
            }
            at = through;
            if i == asked {
                kept = Some((marks.clone(), naive.clone()));
            }
        }
        let rising = naive.windows(2).all(|pair| pair[0] < pair[1]);
        if rising {
            prop_assert_eq!(ends(&marks, i64::MAX), naive);
        }
        if let Some((marks, naive)) = kept && naive.windows(2).all(|pair| pair[0] < pair[1]) {
            prop_assert_eq!(ends(&marks, i64::MAX), naive, "a clone stays as it is");
        }
    }
}
