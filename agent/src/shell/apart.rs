//! Threads for what may hang: each input that asks for such things has threads of its own, so that
//! it holds up neither the sampler nor another input.
//!
//! One thread works through an input's questions. Once it has been at one of them for
//! [`PATIENCE`], the next tick starts another thread, which takes over what waits; the one that
//! hangs is left to itself and goes on when its answer comes. Threads without work wait for more,
//! one of them; the others end. A question is asked once at a time, so that nothing here grows
//! beyond the files an input asks for. Threads are never joined: one that hangs ends with the
//! process.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;

/// How long a question may keep those behind it waiting.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Threads of one input; what waits while all of them hang is stuck too.
pub const THREADS_MAX: usize = 32;
/// The calls made here need little.
const STACK_BYTES: usize = 128 << 10;

/// What to do on such a thread.
pub type Call = Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send>;

/// A question: which file it is about and how to learn the answer.
struct Question {
    file: AskedFile,
    call: Call,
}

/// A file and the serial that tells it from another with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedFile {
    /// The number in [`crate::pure::files::Files`].
    pub number: u32,
    /// The serial.
    pub serial: u64,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// To which question.
    pub file: AskedFile,
    /// What was learned.
    pub bytes: io::Result<Vec<u8>>,
    /// How long it took.
    pub took: Duration,
}

/// The threads of one input.
pub struct Apart {
    shared: Arc<Shared>,
    clock: Clock,
}

struct Shared {
    state: Mutex<State>,
    /// A question waits, or the end has come.
    asked: Condvar,
    /// A thread has no more to do.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Question>,
    answers: Vec<Answer>,
    /// Since when each thread has been at its question; `None` for one that waits for more.
    threads: Vec<(u64, Option<Mono>)>,
    started: u64,
    is_over: bool,
}

impl std::fmt::Debug for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Apart")
    }
}

impl Apart {
    /// No threads yet.
    #[must_use]
    pub fn new(clock: Clock) -> Apart {
        let shared =
            Shared { state: Mutex::default(), asked: Condvar::new(), idle: Condvar::new() };
        Apart { shared: Arc::new(shared), clock }
    }

    /// Puts a question behind those that wait.
    pub fn ask(&self, file: AskedFile, call: Call) {
        self.shared.lock().waiting.push_back(Question { file, call });
    }

    /// Sees that somebody works on what waits.
    pub fn tend(&self, now: Mono) {
        let mut state = self.shared.lock();
        if state.waiting.is_empty() {
            return;
        }
        let hangs = |since: &Option<Mono>| since.is_some_and(|at| now.since(at) >= PATIENCE);
        if state.threads.iter().any(|(_, since)| since.is_none()) {
            self.shared.asked.notify_one();
        } else if state.threads.len() < THREADS_MAX
            && state.threads.iter().all(|(_, since)| hangs(since))
        {
            state.started += 1;
            let number = state.started;
            let (shared, clock) = (Arc::clone(&self.shared), self.clock.clone());
            let builder = Builder::new().name("apart".to_owned()).stack_size(STACK_BYTES);
            // Without a thread the questions wait, and are stuck when their time is over.
            if builder.spawn(move || shared.work(number, &clock)).is_ok() {
                state.threads.push((number, Some(now)));
            }
        }
    }

    /// Takes the answers that have come.
    pub fn take_answers(&self, into: &mut Vec<Answer>) {
        into.append(&mut self.shared.lock().answers);
    }

    /// Whether an answer waits to be taken.
    #[cfg(test)]
    pub(crate) fn has_answers(&self) -> bool {
        !self.shared.lock().answers.is_empty()
    }

    /// Waits until all is answered, `time` at most; returns whether it is.
    #[must_use]
    pub fn wait(&self, time: Duration) -> bool {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .idle
            .wait_timeout_while(state, time, |state| !state.is_idle())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_idle()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.asked.notify_all();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.threads.iter().all(|(_, since)| since.is_none())
    }

    fn set_since(&mut self, number: u64, since: Option<Mono>) {
        for (_, place) in self.threads.iter_mut().filter(|(thread, _)| *thread == number) {
            *place = since;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one thread.
    fn work(&self, number: u64, clock: &Clock) {
        let mut state = self.lock();
        while !state.is_over {
            let Some(Question { file, call }) = state.waiting.pop_front() else {
                if state.threads.iter().any(|(_, since)| since.is_none()) {
                    break;
                }
                state.set_since(number, None);
                self.idle.notify_all();
                state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let begun = clock.now().mono;
            state.set_since(number, Some(begun));
            drop(state);
            let bytes = call();
            let took = clock.now().mono.since(begun);
            state = self.lock();
            state.answers.push(Answer { file, bytes, took });
        }
        state.threads.retain(|(thread, _)| *thread != number);
        self.idle.notify_all();
    }
}

#[cfg(test)]
mod tests;
