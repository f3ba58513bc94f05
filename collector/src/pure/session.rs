//! The ordered stream of one agent (`model/WIRE.md`, sessions): what was applied, and which frame
//! may come next. It judges; the keeper acts.

use bellwether_model::id::{Incarnation, Nonce, Position, Seq};
use bellwether_model::wire::envelope::Skip;
use bellwether_model::wire::frame::Header;

/// Incarnations remembered; older ones are unknown, so their frames are a clone's.
pub const INCARNATIONS_MAX: usize = 32;

/// One start of the agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub incarnation: Incarnation,
    /// Its nonce.
    pub nonce: Nonce,
    /// The highest n applied.
    pub applied: u32,
}

/// What a frame is to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Applied before.
    Duplicate,
    /// The next one.
    Next,
    /// Numbers are missing that no skip covers.
    Gap {
        /// What should have come.
        expected: Seq,
    },
    /// Sent by another process with the same id.
    Clone,
}

/// What was applied of one (agent, stream).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Ascending.
    known: Vec<Known>,
    last: Position,
}

impl Session {
    /// A session as a snapshot holds it; `known` is ascending.
    #[must_use]
    pub fn restore(known: Vec<Known>, last: Position) -> Session {
        Session { known, last }
    }

    /// The remembered incarnations, ascending.
    #[must_use]
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// The entry of the last applied frame; its sync releases every answer of the session.
    #[must_use]
    pub fn last(&self) -> Position {
        self.last
    }

    /// The last applied frame; 0 if none.
    #[must_use]
    pub fn applied(&self) -> Seq {
        let newest = self.known.last();
        newest.map_or(Seq(0), |newest| Seq::new(newest.incarnation, newest.applied))
    }

    /// Judges a frame by the rules of the contract, in their order.
    #[must_use]
    pub fn judge(&self, header: &Header, skips: &[Skip]) -> Verdict {
        let (incarnation, n) = (header.seq.incarnation(), header.seq.n());
        let newest = self.known.last().map_or(Incarnation(0), |newest| newest.incarnation);
        let known = self.known.iter().find(|known| known.incarnation == incarnation);
        let same = known.is_some_and(|known| known.nonce == header.nonce);
        let applied = known.map_or(0, |known| known.applied);
        if incarnation <= newest && !same || incarnation < newest && n > applied {
            return Verdict::Clone;
        }
        if n <= applied {
            return Verdict::Duplicate;
        }
        let mut next = Seq::new(incarnation, applied.saturating_add(1));
        for skip in skips {
            if skip.first <= next && next <= skip.last {
                next = Seq::new(incarnation, skip.last.n().saturating_add(1));
            }
        }
        if header.seq <= next {
            Verdict::Next
        } else {
            Verdict::Gap { expected: Seq::new(incarnation, applied.saturating_add(1)) }
        }
    }

    /// Takes a frame as applied. Returns whether a new incarnation begins with it.
    pub fn apply(&mut self, header: &Header, position: Position) -> bool {
        let (incarnation, n) = (header.seq.incarnation(), header.seq.n());
        self.last = position;
        match self.known.last_mut() {
            Some(newest) if newest.incarnation == incarnation => {
                newest.applied = n;
                false
            }
            _ => {
                if self.known.len() == INCARNATIONS_MAX {
                    self.known.remove(0);
                }
                self.known.push(Known { incarnation, nonce: header.nonce, applied: n });
                true
            }
        }
    }

    /// The declared numbers that lie between the last applied frame and `next`, by reason.
    pub fn passed<'a>(
        &self,
        next: Seq,
        skips: &'a [Skip],
    ) -> impl Iterator<Item = (&'a Skip, u64)> + use<'a> {
        let after = self.applied().0 + 1;
        skips.iter().filter_map(move |skip| {
            let (first, last) = (skip.first.0.max(after), skip.last.0.min(next.0 - 1));
            (first <= last).then(|| (skip, last - first + 1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_model::id::BootId;
    use bellwether_model::time::Timestamp;
    use bellwether_model::wire::envelope::SkipReason;

    fn header(incarnation: u32, n: u32, nonce: u64) -> Header {
        Header {
            seq: Seq::new(Incarnation(incarnation), n),
            nonce: Nonce(nonce),
            boot: BootId::default(),
            complete_through: Timestamp(0),
            sections: 0,
            opens_segment: false,
        }
    }

    fn skip(incarnation: u32, first: u32, last: u32) -> Skip {
        let seq = |n| Seq::new(Incarnation(incarnation), n);
        Skip { first: seq(first), last: seq(last), reason: SkipReason::SpoolFull }
    }

    fn gap(incarnation: u32, n: u32) -> Verdict {
        Verdict::Gap { expected: Seq::new(Incarnation(incarnation), n) }
    }

    #[test]
    fn the_rules_in_their_order() {
        let mut session = Session::default();
        assert_eq!(session.judge(&header(4, 2, 1), &[]), gap(4, 1), "never seen expects 1");
        assert_eq!(session.judge(&header(4, 3, 1), &[skip(4, 1, 2)]), Verdict::Next);
        assert_eq!(session.judge(&header(4, 1, 1), &[]), Verdict::Next);
        assert!(session.apply(&header(4, 1, 1), Position(1)));
        assert!(!session.apply(&header(4, 2, 1), Position(2)));
        assert_eq!(session.judge(&header(4, 2, 1), &[]), Verdict::Duplicate);
        assert_eq!(session.judge(&header(4, 3, 2), &[]), Verdict::Clone, "another nonce");
        assert_eq!(session.judge(&header(3, 1, 9), &[]), Verdict::Clone, "unknown and older");
        assert_eq!(session.judge(&header(4, 5, 1), &[]), gap(4, 3));
        assert_eq!(session.judge(&header(4, 6, 1), &[skip(4, 3, 4)]), gap(4, 3), "5 is missing");
        let two = [skip(4, 2, 3), skip(4, 4, 5)];
        assert_eq!(session.judge(&header(4, 6, 1), &two), Verdict::Next);
        assert!(session.apply(&header(5, 1, 7), Position(3)));
        assert_eq!(session.judge(&header(4, 2, 1), &[]), Verdict::Duplicate, "of an older one");
        assert_eq!(session.judge(&header(4, 3, 1), &[]), Verdict::Clone, "old ones drain first");
        assert_eq!(session.applied(), Seq::new(Incarnation(5), 1));
    }

    #[test]
    fn passed_skips_are_counted_once() {
        let mut session = Session::default();
        session.apply(&header(4, 10, 1), Position(1));
        let skips = [skip(4, 5, 12), skip(4, 20, 22), skip(5, 1, 3)];
        let next = Seq::new(Incarnation(5), 3);
        let counts: Vec<u64> = session.passed(next, &skips).map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 3, 2]);
    }

    #[test]
    fn incarnations_are_bounded() {
        let mut session = Session::default();
        for i in 1..=200 {
            session.apply(&header(i, 1, u64::from(i)), Position(u64::from(i)));
        }
        assert_eq!(session.known().len(), INCARNATIONS_MAX);
        assert_eq!(session.judge(&header(1, 1, 1), &[]), Verdict::Clone);
    }
}
