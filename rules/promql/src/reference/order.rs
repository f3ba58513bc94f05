//! Orders that Prometheus takes from Go: the heap of `topk`, the sort of a result, and the order of
//! label values with numbers in them.
//!
//! A tie between equal values is decided by how the heap moves, so the heap is here as it is there.
//! Sorts keep ties as they stood. Go's does so up to twelve elements, except that it turns those
//! that are not numbers around.

use std::cmp::Ordering;

/// Adds an element to a heap whose least is at the front.
pub(super) fn heap_push<T>(heap: &mut Vec<T>, element: T, less: &dyn Fn(&T, &T) -> bool) {
    heap.push(element);
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !less(&heap[at], &heap[parent]) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

/// Puts an element in the place of the front.
pub(super) fn heap_replace<T>(heap: &mut [T], element: T, less: &dyn Fn(&T, &T) -> bool) {
    heap[0] = element;
    let mut at = 0;
    loop {
        let left = 2 * at + 1;
        if left >= heap.len() {
            return;
        }
        let right = left + 1;
        let child =
            if right < heap.len() && less(&heap[right], &heap[left]) { right } else { left };
        if !less(&heap[child], &heap[at]) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}

/// Rising, and what is not a number last; as they stood if neither comes first.
pub(super) fn rising(a: f64, b: f64) -> Ordering {
    numbers_first(a, b).then(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

/// Falling, and what is not a number last.
pub(super) fn falling(a: f64, b: f64) -> Ordering {
    numbers_first(a, b).then(b.partial_cmp(&a).unwrap_or(Ordering::Equal))
}

fn numbers_first(a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan())
}

/// Runs of digits by number, other runs by text; the first run that differs decides.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (runs_a, runs_b) = (runs(a), runs(b));
    for (x, y) in runs_a.iter().zip(&runs_b) {
        let numbers = x.parse::<i64>().ok().zip(y.parse::<i64>().ok());
        let order = match numbers {
            Some((x, y)) => x.cmp(&y),
            None => x.cmp(y),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    runs_a.len().cmp(&runs_b.len())
}

fn runs(text: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut from = 0;
    let mut digits = None;
    for (at, character) in text.char_indices() {
        let digit = character.is_ascii_digit();
        if digits.is_some_and(|before| before != digit) {
            runs.push(&text[from..at]);
            from = at;
        }
        digits = Some(digit);
    }
    if from < text.len() {
        runs.push(&text[from..]);
    }
    runs
}
