use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use super::*;
use crate::pure::files::{Asks, CLOCK};

fn roots(proc: &str) -> Roots {
    Roots { proc: proc.into(), ..Roots::default() }
}

#[test]
fn files_stay_open_and_are_read_again() {
    let host = Host::new(roots("/proc"), Calls::system(), Clock::agent());
    let (mut host, mut files) = (host, Files::default());
    let uptime = Asks::new(&mut files, 0).ask(Root::Proc, "uptime", Refresh::EachRow);
    let stat = Asks::new(&mut files, 0).ask(Root::Proc, "stat", Refresh::EachRow);
    let absent = Asks::new(&mut files, 0).ask(Root::Proc, "no-such", Refresh::EachRow);
    for row in 1..3 {
        host.read(&mut files, 0, row, Mono::default()).unwrap();
        let asks = Asks::new(&mut files, 0);
        assert!(asks.bytes(uptime).unwrap().ends_with(b"\n"));
        assert!(asks.bytes(stat).unwrap().starts_with(b"cpu "));
        assert_eq!(asks.bytes(absent), Err(ReadError::Missing));
        assert_eq!(host.kept, 2);
    }
    files.release_all(0);
    host.close_released(&mut files);
    assert_eq!(host.kept, 0);
}

/// Two inputs share a file; what the first has asked for besides hangs.
#[test]
fn what_an_input_shares_with_one_that_hangs_is_read_for_it() {
    let (release, released) = channel::<()>();
    let (calls, released) = (Arc::new(AtomicUsize::new(0)), Mutex::new(released));
    let count = Arc::clone(&calls);
    let clock = move || {
        if count.fetch_add(1, Ordering::Relaxed) > 0 {
            released.lock().unwrap().recv().map_err(Error::other)?;
        }
        Ok(b"0".to_vec())
    };
    let calls_of = Calls { clock: Arc::new(clock), ..Calls::system() };
    let (mut host, mut files) =
        (Host::new(roots("/proc"), calls_of, Clock::agent()), Files::default());
    let each = Refresh::EachRow;
    let shared = Asks::new(&mut files, 0).ask(Root::Proc, "uptime", each);
    let hangs = Asks::new(&mut files, 0).ask_clock();
    let late = Asks::new(&mut files, 0).ask(Root::Proc, "stat", each);
    Asks::new(&mut files, 1).ask(Root::Proc, "uptime", each);
    Asks::new(&mut files, 1).ask(Root::Proc, "stat", each);
    let row = |host: &mut Host, files: &mut Files, row| {
        let now = Mono(Duration::from_secs(row));
        host.begin_tick();
        [0, 1].iter().for_each(|input| host.take_answers(files, *input, row, now));
        host.read_ahead(files, [0, 1].into_iter(), row, now);
        let read = [0, 1].map(|input| host.read(files, input, row, now));
        [0, 1].iter().for_each(|input| host.ask_apart(files, *input, DueApart::All, now));
        host.wait_apart();
        let asks = Asks::new(files, 1);
        let all = [shared, late, hangs];
        let readings = all.map(|file| (asks.readings(file), asks.bytes(file).err()));
        (read.map(|read| read.err()), readings)
    };
    let stuck = || {
        let path = CLOCK.into();
        Some(InputError::Read { path, error: ReadError::Stuck })
    };
    let good = |count| (count, None);
    assert_eq!(row(&mut host, &mut files, 1), ([None, None], [good(1); 3]));
    let hung = (2, Some(ReadError::Stuck));
    // The tick has waited for long: what was not read in it is of the row before, and then apart.
    assert_eq!(row(&mut host, &mut files, 2), ([stuck(), None], [good(2), good(1), hung]));
    for n in 3..6 {
        let (read, readings) = row(&mut host, &mut files, n);
        assert_eq!(read, [stuck(), None]);
        assert_eq!(readings[0], good(n));
        assert_eq!(readings[2], hung);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2, "nobody asks again while it hangs");
    (0..2).for_each(|_| release.send(()).unwrap());
    while host.is_hung() {
        std::thread::yield_now();
    }
    let (read, readings) = row(&mut host, &mut files, 60);
    assert_eq!((read, readings[2]), ([None, None], good(3)));
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_an_error_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = std::env::temp_dir().join(format!("bellwether-host-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let pipe = dir.join("loadavg");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let roots = roots(dir.to_str().unwrap());
    let mut host = Host::new(roots, Calls::system(), Clock::agent());
    let mut files = Files::default();
    let load = Asks::new(&mut files, 0).ask(Root::Proc, "loadavg", Refresh::EachRow);
    host.read(&mut files, 0, 1, Mono::default()).unwrap();
    let no_seeking = ReadError::System(Errno::SPIPE.raw_os_error());
    assert_eq!(Asks::new(&mut files, 0).bytes(load), Err(no_seeking));
    assert_eq!(read_small(&pipe).unwrap_err().raw_os_error(), Some(29));
    std::fs::remove_dir_all(&dir).unwrap();
}
