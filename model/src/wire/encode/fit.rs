//! What is left out of a frame that would be too large.
//!
//! The largest groups go first, by what they take as stored: one that has grown too large must not
//! cost the others their rows. The agent's own go after those of targets, unless one is too large
//! for any frame. What is left is encoded as it was: no row builds on one of another group.

use std::cmp::Reverse;

use super::{Part, Pending};
use crate::id::GroupId;
use crate::limit;
use crate::wire::frame::{self, Packing};

/// Attempts by how well sections compress, after which they count as if they did not: what is left
/// then fits for sure.
const ATTEMPTS: u32 = 4;

/// How much may stay, from one attempt to the next.
#[derive(Default)]
pub(super) struct Room {
    attempts: u32,
}

/// How much may stay.
#[derive(Clone, Copy)]
pub(super) enum Stays {
    /// So many bytes of label texts.
    Texts(usize),
    /// So many bytes of sections.
    Bytes(usize),
    /// Of what sections take as stored, as much as `bound` is of `declared`.
    Share { bound: usize, declared: usize },
}

impl Room {
    /// What may stay where a frame of `declared` bytes is over its `bound`.
    pub(super) fn next(&mut self, declared: usize, bound: usize) -> Stays {
        if bound == limit::FRAME_INFLATED_BYTES {
            return Stays::Bytes(bound);
        }
        self.attempts += 1;
        if self.attempts > ATTEMPTS {
            return Stays::Bytes(frame::ROOM);
        }
        Stays::Share { bound, declared }
    }
}

impl Pending {
    /// Takes out the sections for which there is no room, one at least.
    pub(super) fn leave_out(&mut self, stays: Stays) -> Vec<Part> {
        let weights = self.weights(stays);
        let total: usize = weights.iter().sum();
        let room = match stays {
            Stays::Texts(bytes) | Stays::Bytes(bytes) => bytes,
            // Sizes are below 2^32.
            Stays::Share { bound, declared } => {
                (total as u64 * bound as u64 / declared as u64) as usize
            }
        };
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|place| {
            let (part, weight) = (self.parts[*place], weights[*place]);
            let is_guarded = part.group < GroupId::TARGETS && weight <= frame::ROOM;
            (is_guarded, Reverse(weight), Reverse(*place))
        });
        let (mut kept, mut goes) = (total, vec![false; weights.len()]);
        for place in order {
            if kept <= room && kept < total {
                break;
            }
            kept -= weights[place];
            goes[place] = true;
        }
        self.take(&goes)
    }

    /// What each section takes.
    fn weights(&self, stays: Stays) -> Vec<usize> {
        let mut rest = self.sections.as_slice();
        let parts = self.parts.iter().map(|part| {
            let (section, after) = rest.split_at(part.len);
            rest = after;
            match (stays, part.packing) {
                (Stays::Texts(_), _) => part.texts,
                (Stays::Share { .. }, Packing::Zstd) => {
                    frame::compressed(section).len().min(part.len)
                }
                _ => part.len,
            }
        });
        parts.collect()
    }

    /// Takes out the marked sections.
    fn take(&mut self, goes: &[bool]) -> Vec<Part> {
        let (mut start, mut end) = (0, 0);
        for (part, goes) in self.parts.iter().zip(goes) {
            if !goes {
                self.sections.copy_within(start..start + part.len, end);
                end += part.len;
            }
            start += part.len;
        }
        self.sections.truncate(end);
        let all = std::mem::take(&mut self.parts).into_iter().zip(goes);
        let (gone, stay): (Vec<_>, Vec<_>) = all.partition(|(_, goes)| **goes);
        self.parts.extend(stay.into_iter().map(|(part, _)| part));
        gone.into_iter().map(|(part, _)| part).collect()
    }
}

#[cfg(test)]
mod tests;
