//! Work cut into parts. The parts are cut by the data alone and their results are put together in
//! their order, so that a query's answer has the same bits however many threads there are.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Threads, or none.
pub trait Pool: Sync + fmt::Debug {
    /// How many parts can run at once; at least 1.
    fn width(&self) -> usize;

    /// Calls `part` with every number below `parts`, each once, in any order, on any threads, and
    /// returns after the last call has.
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// The pool without threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Pool for Serial {
    fn width(&self) -> usize {
        1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(part);
    }
}

/// The results of `part` for every number below `parts`, in order.
pub(crate) fn map<T: Send>(
    pool: &dyn Pool,
    parts: usize,
    part: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let slots: Vec<Mutex<Option<T>>> = (0..parts).map(|_| Mutex::new(None)).collect();
    pool.run(parts, &|i| {
        if let Some(slot) = slots.get(i) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(part(i));
        }
    });
    let taken = slots.into_iter().map(|slot| {
        let value = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        value.expect("invariant: a pool runs every part")
    });
    taken.collect()
}

/// As [`map`], each part taking one item over.
pub(crate) fn map_items<I: Send, T: Send>(
    pool: &dyn Pool,
    items: Vec<I>,
    part: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    let items: Vec<Mutex<Option<I>>> =
        items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    map(pool, items.len(), |i| {
        let item = items
            .get(i)
            .and_then(|item| item.lock().unwrap_or_else(PoisonError::into_inner).take());
        part(item.expect("invariant: a pool runs every part once"))
    })
}
