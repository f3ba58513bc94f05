//! A host of one series whose value is the test's to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bellwether_model::time::Timestamp;
use bellwether_model::wire::answer::Case;
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{LightAgent, Pushing};

use super::super::pair::INGEST;

/// From one row to the next, in ms.
const ROW: i64 = 1000;
const PAUSE: Duration = Duration::from_millis(20);

/// Pushes `light_total{instance="host-a",job="light",place="0"}` once a second, over whatever
/// becomes of the collector, until dropped.
pub(in super::super) struct Host {
    value: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// The value is 0 until it is set.
    pub(in super::super) fn start(collector: &str) -> Host {
        let (value, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (address, shown, ends) = (collector.to_owned(), value.clone(), is_over.clone());
        let thread = thread::spawn(move || run(&address, &shown, &ends));
        Host { value, is_over, thread: Some(thread) }
    }

    /// The value of all rows from now on.
    pub(in super::super) fn set(&self, value: u32) {
        self.value.store(value, Ordering::Relaxed);
    }
}

fn run(address: &str, value: &AtomicU32, is_over: &AtomicBool) {
    let clock = Clock::collector();
    let mut agent = LightAgent::new(7, "host-a", 1);
    let mut connection = None;
    let mut last = Timestamp(0);
    while !is_over.load(Ordering::Relaxed) {
        let now = clock.now().wall;
        if now.millis_since(last) < ROW {
            thread::park_timeout(PAUSE);
            continue;
        }
        last = now;
        let shown = f64::from(value.load(Ordering::Relaxed));
        let frame = agent.frame(now, |_| shown);
        let body = agent.body(&[&frame], &[]);
        // An unanswered frame goes again until it is answered, as an agent's does.
        while !is_over.load(Ordering::Relaxed) {
            match push(&mut connection, address, &body) {
                Some(Case::Applied | Case::Duplicate) => break,
                None | Some(Case::Overloaded) => thread::park_timeout(PAUSE),
                Some(case) => panic!("a row is answered by {}", case.as_str()),
            }
        }
    }
}

fn push(connection: &mut Option<Pushing>, address: &str, body: &[u8]) -> Option<Case> {
    let mut pushing = match connection.take() {
        Some(pushing) => pushing,
        None => Pushing::connect(address, Some(INGEST)).ok()?,
    };
    let (_, answer) = pushing.push(body).ok()?;
    *connection = Some(pushing);
    Some(answer.case)
}

impl Drop for Host {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the host failed");
    }
}
