//! Identities and positions. All are newtypes: two of them never mix.

use std::fmt;

macro_rules! bytes16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;

            /// Reads 32 hexadecimal digits; dashes are passed over.
            fn from_str(text: &str) -> Result<$name, BadId> {
                parse16(text).map($name)
            }
        }
    };
}

bytes16!(
    /// An agent: random bytes made with its spool directory and bound to the machine id.
    AgentId
);
bytes16!(
    /// One boot of a host, from `/proc/sys/kernel/random/boot_id`.
    BootId
);
bytes16!(
    /// A collector's store; a new one is made when the data directory is empty.
    StoreId
);

/// A text is not sixteen bytes in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hexadecimal digits")]
pub struct BadId;

fn parse16(text: &str) -> Result<[u8; 16], BadId> {
    let mut bytes = [0_u8; 16];
    let mut digits = text.trim().chars().filter(|c| *c != '-');
    for byte in &mut bytes {
        let mut nibble = || digits.next().and_then(|c| c.to_digit(16)).ok_or(BadId);
        *byte = u8::try_from((nibble()? << 4) | nibble()?).map_err(|_| BadId)?;
    }
    if digits.next().is_some() { Err(BadId) } else { Ok(bytes) }
}

/// What a sequence of frames carries; each has its own numbers and spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stream {
    /// Column groups of samples.
    Metrics = 0,
    /// Log records.
    Logs = 1,
}

impl Stream {
    /// The stream of a wire number.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Stream> {
        match number {
            0 => Some(Stream::Metrics),
            1 => Some(Stream::Logs),
            _ => None,
        }
    }
}

/// Counts the starts of one agent's process; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u32);

/// Random, one per incarnation: tells a clone from its original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u64);

/// A frame's number: incarnation in the upper half, n (from 1) in the lower.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// Joins the halves.
    #[must_use]
    pub fn new(incarnation: Incarnation, n: u32) -> Seq {
        Seq((u64::from(incarnation.0) << 32) | u64::from(n))
    }

    /// The upper half.
    #[must_use]
    pub fn incarnation(self) -> Incarnation {
        Incarnation((self.0 >> 32) as u32)
    }

    /// The lower half; the first frame of an incarnation is 1.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    pub fn n(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.incarnation().0, self.n())
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq({self})")
    }
}

/// The number of a journal entry; the first is 1, and 0 means before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A column group of one agent; numbered by the agent, stable within an incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The first number of groups whose labels `job` and `instance` are those of a target that the
    /// agent observes; below it they are the agent's own.
    pub const TARGETS: GroupId = GroupId(64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_what_they_print() {
        let id = AgentId(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("3d1219c7-c4c5-404a-aa1f-6d2a48adfda4".parse::<BootId>().is_ok());
        assert_eq!("3d".parse::<BootId>(), Err(BadId));
        assert_eq!("é".parse::<BootId>(), Err(BadId));
    }

    #[test]
    fn seq_orders_by_incarnation_first() {
        assert!(Seq::new(Incarnation(2), 1) > Seq::new(Incarnation(1), u32::MAX));
        assert_eq!(Seq::new(Incarnation(7), 9).to_string(), "7:9");
    }
}
