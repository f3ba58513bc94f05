//! What was read is written as it was, and read again.

use std::fmt::Debug;

use bellwether_model::wire::bytes::{Malformed, Reader};

/// How values of a type become bytes and come back.
pub(super) struct Codec<T> {
    pub(super) read: fn(&mut Reader<'_>) -> Result<T, Malformed>,
    pub(super) put: fn(&T, &mut Vec<u8>),
}

impl<T: PartialEq + Debug> Codec<T> {
    /// Reads one, if there is one, which comes back as it is.
    pub(super) fn read(&self, reader: &mut Reader<'_>) -> Option<T> {
        let value = (self.read)(reader).ok()?;
        self.comes_back(&value);
        Some(value)
    }

    pub(super) fn comes_back(&self, value: &T) {
        let mut out = Vec::new();
        (self.put)(value, &mut out);
        assert_eq!((self.read)(&mut Reader::new(&out)).as_ref(), Ok(value));
    }
}
