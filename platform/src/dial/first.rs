//! The first byte that comes over a connection: HTTP/1.1 begins with an `H`, HTTP/2 never does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::watched::Watcher;

/// No byte yet; larger than any.
const NONE: u16 = 0x100;

/// The first byte, once it has come.
#[derive(Clone, Debug)]
pub(super) struct FirstByte(Arc<AtomicU16>);

impl FirstByte {
    /// Whether it begins `HTTP/1.1`. The first frame of an HTTP/2 server begins with a length whose
    /// upper byte is zero.
    pub(super) fn is_of_http_one(&self) -> bool {
        self.0.load(Ordering::Relaxed) == u16::from(b'H')
    }

    fn is_to_come(&self) -> bool {
        self.0.load(Ordering::Relaxed) == NONE
    }
}

/// A stream whose first byte is kept.
pub(super) type Watched<I> = crate::watched::Watched<I, FirstByte>;

pub(super) fn watch<I>(io: I) -> (FirstByte, Watched<I>) {
    let first = FirstByte(Arc::new(AtomicU16::new(NONE)));
    (first.clone(), Watched { io, watcher: first })
}

impl Watcher for FirstByte {
    fn came(&self, bytes: &[u8]) {
        if self.is_to_come()
            && let Some(byte) = bytes.first()
        {
            self.0.store(u16::from(*byte), Ordering::Relaxed);
        }
    }

    /// A server of HTTP/1.1 may answer and close while HTTP/2 is still greeting it.
    fn wants_last_words(&self) -> bool {
        self.is_to_come()
    }
}
