//! TERM and INT stop, HUP asks for a reload, a second INT ends the process at once.

use std::convert::Infallible;
use std::io;
use std::process;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::Stopper;

/// The exit code of a process that SIGINT ended, as shells report it.
const EXIT_INTERRUPTED: i32 = 130;

/// The signals of the operating system, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caught {
    Terminate,
    Interrupt,
    Hangup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Stop,
    Reload,
    EndAtOnce,
    Nothing,
}

fn effect(caught: Caught, already_stopping: bool) -> Effect {
    match (caught, already_stopping) {
        (Caught::Interrupt, true) => Effect::EndAtOnce,
        (Caught::Interrupt | Caught::Terminate, false) => Effect::Stop,
        (Caught::Hangup, false) => Effect::Reload,
        (Caught::Terminate | Caught::Hangup, true) => Effect::Nothing,
    }
}

impl Signals {
    /// Catches SIGTERM, SIGINT and SIGHUP from now on. Called inside a tokio runtime.
    ///
    /// # Errors
    /// The operating system refuses a handler.
    pub fn catch() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Fires `stopper` on TERM and INT and notifies `reload` on HUP (several before it is looked
    /// at count as one). Ends the process at the first INT that comes while it is stopping, so that
    /// this must be left running through the grace period.
    pub async fn run(mut self, stopper: Stopper, reload: Arc<Notify>) -> Infallible {
        loop {
            let caught = tokio::select! {
                _ = self.terminate.recv() => Caught::Terminate,
                _ = self.interrupt.recv() => Caught::Interrupt,
                _ = self.hangup.recv() => Caught::Hangup,
            };
            match effect(caught, stopper.is_stopped()) {
                Effect::Stop => stopper.stop(),
                Effect::Reload => reload.notify_one(),
                Effect::EndAtOnce => process::exit(EXIT_INTERRUPTED),
                Effect::Nothing => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Raised, getpid, kill_process};

    use super::*;

    #[test]
    fn only_an_interrupt_while_stopping_ends_at_once() {
        use {Caught::*, Effect::*};
        assert_eq!(effect(Interrupt, false), Stop);
        assert_eq!(effect(Terminate, false), Stop);
        assert_eq!(effect(Hangup, false), Reload);
        assert_eq!(effect(Interrupt, true), EndAtOnce);
        assert_eq!(effect(Terminate, true), Nothing);
        assert_eq!(effect(Hangup, true), Nothing);
    }

    #[tokio::test]
    async fn a_hangup_reloads_and_a_terminate_stops() {
        let (stopper, stop) = crate::stop::stop();
        let reload = Arc::new(Notify::new());
        let signals = Signals::catch().unwrap();
        let running = tokio::spawn(signals.run(stopper, Arc::clone(&reload)));
        kill_process(getpid(), Raised::HUP).unwrap();
        reload.notified().await;
        assert!(!stop.is_stopped());
        kill_process(getpid(), Raised::TERM).unwrap();
        stop.stopped().await;
        running.abort();
    }
}
