//! A runtime of one thread beside the main one, for those who ask the network.

use std::io;
use std::time::Duration;

use tokio::runtime::{self, Runtime};

/// A look-up goes through the system's modules, which need some.
const STACK_BYTES: usize = 512 << 10;
/// A thread without a look-up ends after this.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A runtime that may be dropped anywhere: what hangs in a look-up is left to itself.
#[derive(Debug)]
pub struct Lone(Option<Runtime>);

impl Lone {
    /// One with so many threads at most for look-ups.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn runtime(lookups: usize) -> io::Result<Lone> {
        let built = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(lookups)
            .thread_keep_alive(KEEP_ALIVE)
            .thread_stack_size(STACK_BYTES)
            .thread_name("lookup")
            .build();
        Ok(Lone(Some(built?)))
    }

    /// Runs a future to its end.
    ///
    /// # Panics
    /// Never: the runtime is there until it is dropped.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("invariant: there until it is dropped").block_on(future)
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}
