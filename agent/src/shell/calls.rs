//! Calls of the system that are no files, their answers as the text that inputs read.
//!
//! A page of another host takes the answers from elsewhere: see [`Calls`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use rtime_clock::adjtime::{Timex, adjtimex};

/// Asks about a path.
type AskPath = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;
/// Asks about the host.
pub type Ask = dyn Fn() -> io::Result<Vec<u8>> + Send + Sync;

/// The calls, as functions, so that a fake host has answers of its own.
#[derive(Clone)]
pub struct Calls {
    /// The space of the file system at a path; see [`crate::pure::files::Source::SpaceApart`].
    /// May wait for long.
    pub space: Arc<AskPath>,
    /// The state of the kernel's clock; see [`crate::pure::files::Source::Clock`].
    pub clock: Arc<Ask>,
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calls")
    }
}

impl Calls {
    /// Those of the running system.
    #[must_use]
    pub fn system() -> Calls {
        Calls { space: Arc::new(space), clock: Arc::new(clock) }
    }
}

fn space(path: &Path) -> io::Result<Vec<u8>> {
    let of = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| u128::from(blocks) * u128::from(of.f_frsize);
    let [size, free, available] = [of.f_blocks, of.f_bfree, of.f_bavail].map(bytes);
    Ok(format!("{size} {free} {available} {} {}", of.f_files, of.f_ffree).into_bytes())
}

fn clock() -> io::Result<Vec<u8>> {
    // No mode is set: the call only asks.
    let mut asked = Timex::new();
    let state = adjtimex(&mut asked)?;
    let of = asked.0;
    let fields = [
        i64::from(state),
        i64::from(of.status),
        of.offset,
        of.freq,
        of.maxerror,
        of.esterror,
        of.constant,
        of.tick,
        of.ppsfreq,
        of.jitter,
        i64::from(of.shift),
        of.stabil,
        of.jitcnt,
        of.calcnt,
        of.errcnt,
        of.stbcnt,
        i64::from(of.tai),
    ];
    Ok(fields.map(|field| field.to_string()).join(" ").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_answers_in_numbers() {
        let numbers = |text: Vec<u8>| -> Vec<i64> {
            let text = String::from_utf8(text).unwrap();
            text.split(' ').map(|number| number.parse().unwrap()).collect()
        };
        let space = numbers(space(Path::new("/")).unwrap());
        assert!(space.len() == 5 && space[0] >= space[1] && space[1] >= space[2], "{space:?}");
        let error = super::space(Path::new("/no/such/path")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let clock = numbers(clock().unwrap());
        assert!(clock.len() == 17 && clock[7] > 0, "{clock:?}");
    }
}
