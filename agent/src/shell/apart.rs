//! Threads for what may hang: each input that asks for such things has threads of its own, so that
//! it holds up neither the sampler nor another input.
//!
//! One thread works through an input's questions. Once it has been at one of them for
//! [`PATIENCE`], the next tick starts another thread, which takes over what waits; the one that
//! hangs is left to itself and goes on when its answer comes. Threads without work wait for more,
//! one of them; the others end. A question is asked once at a time, so that nothing here grows
//! beyond the files an input asks for: who asks again while a thread is at it, also after a
//! reload, gets that thread's answer. Threads are never joined: one that hangs ends with the
//! process.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;

use crate::pure::files::Source;

/// How long a question may keep those behind it waiting.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Threads of one input; what waits while all of them hang is stuck too.
pub const THREADS_MAX: usize = 32;
/// The calls made here need little.
const STACK_BYTES: usize = 128 << 10;

/// What to do on such a thread.
pub type Call = Box<dyn FnOnce() -> io::Result<Vec<u8>> + Send>;

/// What a question is about, whoever asks.
pub type Subject = (Source, PathBuf);

/// A question: what it is about, which file wants the answer and how to learn it.
struct Question {
    subject: Subject,
    file: AskedFile,
    call: Call,
}

/// A thread.
struct Thread {
    number: u64,
    /// Since when it has been at its question; `None` for one that waits for more.
    since: Option<Mono>,
    subject: Option<Subject>,
    /// Which file wants the answer; none since a reload.
    file: Option<AskedFile>,
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
    threads: Vec<Thread>,
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

    /// Puts a question behind those that wait, if nobody is at it.
    pub fn ask(&self, file: AskedFile, subject: Subject, call: Call) {
        let mut state = self.shared.lock();
        let is_it = |thread: &&mut Thread| thread.subject.as_ref() == Some(&subject);
        match state.threads.iter_mut().find(is_it) {
            Some(thread) => thread.file = Some(file),
            None => state.waiting.push_back(Question { subject, file, call }),
        }
    }

    /// Nobody wants what was asked, until it is asked again.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.waiting.clear();
        state.answers.clear();
        state.threads.iter_mut().for_each(|thread| thread.file = None);
    }

    /// Whether no thread is at a question.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.lock().is_idle()
    }

    /// Sees that somebody works on what waits.
    pub fn tend(&self, now: Mono) {
        let mut state = self.shared.lock();
        if state.waiting.is_empty() {
            return;
        }
        let hangs = |since: &Option<Mono>| since.is_some_and(|at| now.since(at) >= PATIENCE);
        if state.threads.iter().any(|thread| thread.since.is_none()) {
            self.shared.asked.notify_one();
        } else if state.threads.len() < THREADS_MAX
            && state.threads.iter().all(|thread| hangs(&thread.since))
        {
            state.started += 1;
            let number = state.started;
            let (shared, clock) = (Arc::clone(&self.shared), self.clock.clone());
            let builder = Builder::new().name("apart".to_owned()).stack_size(STACK_BYTES);
            // Without a thread the questions wait, and are stuck when their time is over.
            if builder.spawn(move || shared.work(number, &clock)).is_ok() {
                let since = Some(now);
                state.threads.push(Thread { number, since, subject: None, file: None });
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
        self.waiting.is_empty() && self.threads.iter().all(|thread| thread.since.is_none())
    }

    fn thread(&mut self, number: u64) -> Option<&mut Thread> {
        self.threads.iter_mut().find(|thread| thread.number == number)
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
            let Some(Question { subject, file, call }) = state.waiting.pop_front() else {
                if state.threads.iter().any(|thread| thread.since.is_none()) {
                    break;
                }
                if let Some(thread) = state.thread(number) {
                    thread.since = None;
                }
                self.idle.notify_all();
                state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let begun = clock.now().mono;
            if let Some(thread) = state.thread(number) {
                let (since, subject, file) = (Some(begun), Some(subject), Some(file));
                *thread = Thread { number, since, subject, file };
            }
            drop(state);
            let bytes = call();
            let took = clock.now().mono.since(begun);
            state = self.lock();
            let asker = state.thread(number).and_then(|thread| {
                thread.subject = None;
                thread.file.take()
            });
            if let Some(file) = asker {
                state.answers.push(Answer { file, bytes, took });
            }
        }
        state.threads.retain(|thread| thread.number != number);
        self.idle.notify_all();
    }
}

#[cfg(test)]
mod tests;
