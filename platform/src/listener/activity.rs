//! When a connection has to end: one deadline at a time, for what it is doing.
//!
//! While requests are under way, that of the oldest one; else that of the head being sent, or of
//! idling. The deadlines are timers rather than times, so that no clock is read here.
//! Invariant: at every moment exactly one such timer runs for the connection; a second one beside
//! it while bytes wait that the client does not take.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::watched::Progress;

/// What a connection did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// Send the whole head of a request.
    Head,
    /// Begin another request.
    Idle,
    /// Take the answer.
    Answer,
}

/// The times that each of them may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) head: Duration,
    pub(super) idle: Duration,
    /// A request from its head to the last of its answer.
    pub(super) request: Duration,
    /// Without a byte of what waits being taken.
    pub(super) stall: Duration,
}

/// What one connection is doing; shared by its reader, its requests and the one who closes it.
#[derive(Debug)]
pub(super) struct Activity {
    times: Times,
    state: Mutex<State>,
}

/// A request under way, until its answer is handed over or dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    number: u64,
}

type Timer = Pin<Box<Sleep>>;

#[derive(Debug)]
struct State {
    /// Oldest first; all have the same time, so the first deadline is that of the first.
    requests: VecDeque<(u64, Timer)>,
    next_number: u64,
    quiet: Quiet,
    /// While bytes wait.
    stall: Option<Timer>,
    waker: Option<Waker>,
}

/// Between requests.
#[derive(Debug)]
struct Quiet {
    late: Late,
    timer: Timer,
    /// HTTP/2 sends more than heads (window updates, pings): its bytes begin no request.
    multiplexed: bool,
}

impl Activity {
    /// A connection just made: the first head is awaited.
    pub(super) fn new(times: Times) -> Arc<Activity> {
        let timer = Box::pin(sleep(times.head));
        let quiet = Quiet { late: Late::Head, timer, multiplexed: false };
        let requests = VecDeque::new();
        let state = State { requests, next_number: 0, quiet, stall: None, waker: None };
        Arc::new(Activity { times, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        let mut state = self.state();
        let between = state.requests.is_empty() && state.quiet.late == Late::Idle;
        if between && !state.quiet.multiplexed {
            state.be_quiet(Late::Head, self.times.head);
        }
    }

    /// Bytes went out, or wait.
    pub(super) fn sent(&self, progress: Progress) {
        let mut state = self.state();
        match progress {
            Progress::Went => state.stall = None,
            Progress::Waits if state.stall.is_none() => {
                state.stall = Some(Box::pin(sleep(self.times.stall)));
                state.wake();
            }
            Progress::Waits => {}
        }
    }

    /// A request begins; it ends when the answer is dropped.
    pub(super) fn begin(self: &Arc<Activity>, version: hyper::Version) -> UnderWay {
        let mut state = self.state();
        let number = state.next_number;
        state.next_number += 1;
        state.quiet.multiplexed = version == hyper::Version::HTTP_2;
        state.requests.push_back((number, Box::pin(sleep(self.times.request))));
        state.wake();
        UnderWay { activity: Arc::clone(self), number }
    }

    /// The connection is asked to close: what is left without a request gets the time of a head.
    pub(super) fn close(&self) {
        self.state().be_quiet(Late::Idle, self.times.head);
    }

    /// Returns when the deadline of what the connection is doing has passed. For one waiter.
    pub(super) async fn late(&self) -> Late {
        poll_fn(|context| self.state().poll_late(context)).await
    }
}

impl State {
    fn be_quiet(&mut self, late: Late, time: Duration) {
        self.quiet.late = late;
        self.quiet.timer = Box::pin(sleep(time));
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Late> {
        self.waker = Some(context.waker().clone());
        if self.stall.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Late::Answer);
        }
        match self.requests.front_mut() {
            Some((_, timer)) => timer.as_mut().poll(context).map(|()| Late::Answer),
            None => self.quiet.timer.as_mut().poll(context).map(|()| self.quiet.late),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.requests.retain(|(number, _)| *number != self.number);
        if state.requests.is_empty() {
            state.be_quiet(Late::Idle, self.activity.times.idle);
        } else {
            state.wake();
        }
    }
}
