//! Pools that run parts in orders and on threads of their own choosing.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::pool::{Pool, Serial};

/// One thread that claims a width and takes the parts from the last to the first.
#[derive(Debug)]
struct Backwards(usize);

impl Pool for Backwards {
    fn width(&self) -> usize {
        self.0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).rev().for_each(part);
    }
}

/// One thread that claims a width and takes every third part first.
#[derive(Debug)]
struct Leaping(usize);

impl Pool for Leaping {
    fn width(&self) -> usize {
        self.0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..3).for_each(|first| (first..parts).step_by(3).for_each(part));
    }
}

/// Threads that each take the next part until none is left.
#[derive(Debug)]
struct Threads(usize);

impl Pool for Threads {
    fn width(&self) -> usize {
        self.0
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || loop {
            let taken = next.fetch_add(1, Ordering::Relaxed);
            if taken >= parts {
                break;
            }
            part(taken);
        };
        std::thread::scope(|scope| {
            for _ in 0..self.0.min(parts) {
                scope.spawn(work);
            }
        });
    }
}

/// The plainest pool first.
pub(in crate::reference) fn pools() -> Vec<Box<dyn Pool>> {
    vec![
        Box::new(Serial),
        Box::new(Backwards(2)),
        Box::new(Leaping(7)),
        Box::new(Backwards(64)),
        Box::new(Threads(3)),
    ]
}
