//! Threads that help queries with parts of their work: as many as there are cores but one, shared
//! by all queries. A query that finds none free does all parts itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bellwether_promql::pool::Pool;
use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// How much a query's thread gives way, as of `nice`.
const NICENESS: i32 = 5;

/// The right to so many threads.
#[derive(Debug)]
pub(crate) struct Threads {
    width: usize,
    free: AtomicUsize,
}

impl Threads {
    /// One less than there are cores, but one.
    pub(crate) fn of_this_machine() -> Threads {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Threads::new(cores.saturating_sub(1).max(1))
    }

    fn new(helpers: usize) -> Threads {
        Threads { width: helpers + 1, free: AtomicUsize::new(helpers) }
    }

    /// Takes up to so many; they are free again when the guard is dropped.
    fn take(&self, wanted: usize) -> Taken<'_> {
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
            Some(free - free.min(wanted))
        });
        Taken { threads: self, count: taken.unwrap_or(0).min(wanted) }
    }
}

impl Pool for Threads {
    fn width(&self) -> usize {
        self.width
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= parts {
                    break;
                }
                part(at);
            }
        };
        let helpers = self.take(parts.saturating_sub(1));
        thread::scope(|scope| {
            for _ in 0..helpers.count {
                let builder = thread::Builder::new().name("query".to_owned());
                let help = || {
                    yield_to_others();
                    work();
                };
                // Without a thread the parts are done here.
                builder.spawn_scoped(scope, help).ok();
            }
            work();
        });
    }
}

struct Taken<'a> {
    threads: &'a Threads,
    count: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.threads.free.fetch_add(self.count, Ordering::Relaxed);
    }
}

/// Lets this thread give way to those that take in frames and evaluate rules.
pub(crate) fn yield_to_others() {
    // Linux has a priority for each thread; where it is refused the thread runs as others do.
    setpriority_process(Some(gettid()), NICENESS).ok();
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_part_is_done_once() {
        for (helpers, parts) in [(0, 5), (1, 0), (3, 1), (3, 100)] {
            let threads = Threads::new(helpers);
            let done = Mutex::new(vec![0; parts]);
            threads.run(parts, &|part| done.lock().unwrap()[part] += 1);
            assert_eq!(done.into_inner().unwrap(), vec![1; parts]);
            assert_eq!(threads.free.into_inner(), helpers, "all are free again");
        }
    }

    #[test]
    fn helpers_are_shared() {
        let threads = Threads::new(3);
        let first = threads.take(2);
        let second = threads.take(5);
        assert_eq!((first.count, second.count, threads.take(1).count), (2, 1, 0));
        drop(first);
        assert_eq!(threads.take(9).count, 2);
    }
}
