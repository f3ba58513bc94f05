use std::sync::mpsc;

use bellwether_model::time::Nanos;
use bellwether_platform::clock::{ManualTime, Reading};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn apart() -> (Apart, Clock, ManualTime) {
    let first = Reading { mono: Mono(Duration::from_secs(1)), system: Nanos(0) };
    let (clock, time) = Clock::manual_agent(first);
    (Apart::new(clock.clone()), clock, time)
}

fn file(number: u32) -> AskedFile {
    AskedFile { number, serial: 1 }
}

fn subject(number: u32) -> Subject {
    (Source::SpaceApart, number.to_string().into())
}

fn numbers(apart: &Apart) -> Vec<u32> {
    let mut answers = Vec::new();
    apart.take_answers(&mut answers);
    answers.iter().map(|answer| answer.file.number).collect()
}

#[test]
fn one_thread_answers_in_order_and_waits_for_more() {
    let (apart, clock, _time) = apart();
    for round in 0..3 {
        for number in 0..3 {
            apart.ask(file(number), subject(number), Box::new(move || Ok(vec![round])));
        }
        apart.tend(clock.now().mono);
        assert!(apart.wait(LONG));
        assert_eq!(numbers(&apart), [0, 1, 2]);
        assert_eq!(apart.shared.lock().started, 1);
    }
}

#[test]
fn another_takes_over_from_one_that_hangs_until_it_answers() {
    let (apart, clock, time) = apart();
    let (release, hang) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    apart.ask(
        file(7),
        subject(7),
        Box::new(move || {
            begun.send(()).unwrap();
            assert!(hang.recv().is_err());
            Ok(Vec::new())
        }),
    );
    apart.ask(file(8), subject(8), Box::new(|| Ok(Vec::new())));
    apart.tend(clock.now().mono);
    begins.recv().unwrap();
    apart.tend(clock.now().mono);
    assert_eq!(apart.shared.lock().started, 1, "within the patience");
    time.advance(PATIENCE);
    apart.tend(clock.now().mono);
    while apart.shared.lock().answers.is_empty() {
        assert!(!apart.wait(Duration::from_millis(1)), "one hangs");
    }
    assert_eq!(numbers(&apart), [8]);
    // What comes later needs no third thread.
    apart.ask(file(9), subject(9), Box::new(|| Err(io::ErrorKind::NotFound.into())));
    apart.tend(clock.now().mono);
    while apart.shared.lock().answers.is_empty() {
        assert!(!apart.wait(Duration::from_millis(1)));
    }
    assert_eq!((numbers(&apart), apart.shared.lock().started), (vec![9], 2));
    drop(release);
    assert!(apart.wait(LONG));
    assert_eq!(numbers(&apart), [7]);
}

#[test]
fn threads_are_bounded_however_many_questions_hang() {
    let (apart, clock, time) = apart();
    let (release, hang) = mpsc::channel::<()>();
    let hang = Arc::new(Mutex::new(hang));
    let hangs = 2 * u32::try_from(THREADS_MAX).unwrap();
    for number in 0..hangs {
        let hang = Arc::clone(&hang);
        let call = move || {
            assert!(hang.lock().unwrap().recv().is_err());
            Ok(Vec::new())
        };
        apart.ask(file(number), subject(number), Box::new(call));
    }
    for _ in 0..hangs {
        apart.tend(clock.now().mono);
        time.advance(PATIENCE);
    }
    assert!(apart.shared.lock().threads.len() <= THREADS_MAX);
    drop(release);
    while !apart.wait(LONG) {
        apart.tend(clock.now().mono);
    }
    let mut all = numbers(&apart);
    all.sort_unstable();
    assert_eq!(all, (0..hangs).collect::<Vec<_>>());
    assert!(apart.shared.lock().threads.len() <= 1, "those without work have ended");
}

#[test]
fn who_asks_what_a_thread_is_at_gets_its_answer() {
    let (apart, clock, time) = apart();
    let (release, hang) = mpsc::channel::<()>();
    let hang = move || {
        assert!(hang.recv().is_err());
        Ok(b"late".to_vec())
    };
    apart.ask(file(7), subject(1), Box::new(hang));
    apart.tend(clock.now().mono);
    while !apart.shared.lock().waiting.is_empty() {
        std::thread::yield_now();
    }
    for number in 1..100 {
        apart.forget();
        apart.ask(file(number), subject(1), Box::new(|| Ok(Vec::new())));
        time.advance(PATIENCE);
        apart.tend(clock.now().mono);
    }
    assert_eq!(apart.shared.lock().started, 1);
    drop(release);
    assert!(apart.wait(LONG));
    assert_eq!(numbers(&apart), [99]);
}
