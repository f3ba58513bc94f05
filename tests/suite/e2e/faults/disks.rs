//! Disks that are full, and disks that turn read-only while they are used: real ones, on small file
//! systems of their own, which only root may mount. Without root the simulated disk must do
//! (`journal`, `spool`, and the simulator's full disks).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use bellwether_model::wire::answer::Case;
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{Folder, LightAgent, Process, Pushing, free_port, skip, until};

use super::super::daemons::{Agent, Collector, TOKEN, token_file};
use super::super::says;
use super::watched;

const SOON: Duration = Duration::from_secs(60);
/// Columns whose every value changes: half a megabyte in each frame.
const COLUMNS: usize = 50_000;
/// Three segments of the journal, and frames enough to fill them.
const FRAMES_MAX: u32 = 200;
const COULD_NOT_RUN: i32 = 2;

/// A mounted file system, unmounted when dropped.
struct Mounted {
    path: PathBuf,
}

impl Mounted {
    fn mount(path: PathBuf, arguments: &[&str]) -> Option<Mounted> {
        fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(arguments).arg(&path).output().ok()?.status.success();
        mounted.then_some(Mounted { path })
    }

    /// A file system in memory.
    fn memory(folder: &Folder, size: &str) -> Option<Mounted> {
        let options = format!("size={size}");
        Mounted::mount(folder.join("disk"), &["-t", "tmpfs", "-o", &options, "none"])
    }

    /// ext4 in a file, which turns read-only at its first error.
    fn ext4(folder: &Folder) -> Option<Mounted> {
        let image = folder.join("image");
        File::create(&image).unwrap().set_len(160 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output();
        made.ok().filter(|made| made.status.success())?;
        let image = image.to_str().unwrap().to_owned();
        Mounted::mount(folder.join("disk"), &["-o", "loop,errors=remount-ro", &image])
    }

    fn unmount(&self) {
        let done = Command::new("umount").arg(&self.path).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// The loop device.
    fn device(&self) -> String {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let line = mounts.lines().find(|line| line.contains(self.path.to_str().unwrap())).unwrap();
        line.split(' ').next().unwrap().trim_start_matches("/dev/").to_owned()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily, since a test that fails may leave processes on it.
        Command::new("umount").arg("-l").arg(&self.path).output().ok();
    }
}

fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let block = vec![7_u8; 1 << 20];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&[7; 512]).is_ok() {}
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    noise
}

/// Floats that no scale shortens.
fn noisy() -> Vec<f64> {
    let bytes = noise(COLUMNS * 4);
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| f64::from(u32::from_le_bytes(*word)).sqrt()).collect()
}

#[test]
fn a_full_disk_of_the_collector_is_503_until_there_is_room_and_loses_nothing() {
    let folder = Folder::new("full");
    let Some(disk) = Mounted::memory(&folder, "256m") else {
        return skip("a full disk: mounting a tmpfs is not permitted here");
    };
    let mut collector = Collector::start_on(&folder, &disk.path.join("data"), "");
    let watched = watched(&folder, &collector);
    watched.goes_on();
    fill(&disk.path.join("filler"));

    let mut agent = LightAgent::new(1, "big", COLUMNS);
    let mut pushing = Pushing::connect(&collector.address, Some(TOKEN)).unwrap();
    let start = Clock::collector().now().wall.saturating_sub(Duration::from_secs(300));
    let full = (1..=FRAMES_MAX).find_map(|second| {
        let values = noisy();
        let time = start.saturating_add(Duration::from_secs(1) * second);
        let frame = agent.frame(time, |place| values[place]);
        let body = agent.body(&[&frame], &[]);
        let (status, answer) = pushing.push(&body).unwrap();
        let is_taken = matches!(answer.case, Case::Applied | Case::RefusedColumns);
        (!is_taken).then_some((status, answer, body))
    });
    let (status, answer, body) = full.expect("a journal that is full");
    assert_eq!((status, answer.case), (503, Case::Overloaded), "{}", answer.text);
    assert_eq!(answer.text, "the journal has no room");
    until("the other agent is put off as well", SOON, || {
        (watched.answers("overloaded") > 0).then_some(())
    });
    assert!(collector.answers("overloaded") > watched.answers("overloaded"));
    assert!(collector.process.is_running());

    fs::remove_file(disk.path.join("filler")).unwrap();
    until("room again", SOON, || {
        let (_, answer) = pushing.push(&body).unwrap();
        matches!(answer.case, Case::Applied | Case::RefusedColumns).then_some(())
    });
    watched.goes_on();
    watched.catches_up();
    collector.is_whole("watched");
    assert_eq!(watched.figure("bellwether_agent_samples_dropped_total"), 0);
    drop((collector, watched));
}

/// A host with many devices, so that the frames of an agent are large.
fn broad_host(folder: &Folder) -> PathBuf {
    let proc = folder.join("proc");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/fixtures/small-vm/proc");
    let copied = Command::new("cp").arg("-a").args([&fixture, &proc]).status().unwrap();
    assert!(copied.success());
    let heads = "Inter-|   Receive |  Transmit\n face |bytes\n";
    let net = devices(16, |device, values| format!("net{device}: {values}\n"));
    fs::write(proc.join("net/dev"), heads.to_owned() + &net).unwrap();
    let disks = devices(17, |device, values| format!("9 {device} md{device} {values}\n"));
    fs::write(proc.join("diskstats"), disks).unwrap();
    proc
}

/// Lines of devices with so many noisy values each.
fn devices(values: usize, line: impl Fn(usize, &str) -> String) -> String {
    const DEVICES: usize = 700;
    let bytes = noise(DEVICES * values * 6);
    let (words, _) = bytes.as_chunks::<6>();
    let number =
        |word: &[u8; 6]| word.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)).to_string();
    let row = |words: &[[u8; 6]]| words.iter().map(number).collect::<Vec<_>>().join(" ");
    words.chunks(values).enumerate().map(|(at, words)| line(at, &row(words))).collect()
}

/// An agent on a disk of this size, which has no collector until frames are lost for `reason` and
/// the disk has grown: what is lost is counted by both sides, and everything else is there.
fn lost_for(reason: &str, size: &str) -> Option<()> {
    let folder = Folder::new("full-agent");
    let disk = Mounted::memory(&folder, size)?;
    let proc = broad_host(&folder);
    folder.write_secret("token", TOKEN);
    let address = format!("127.0.0.1:{}", free_port());
    let data = disk.path.join("full");
    let (token, flags) = (token_file(&folder, "token"), ["--procfs", proc.to_str().unwrap()]);
    let spool = (100, "spool: {bytes_max: 4MiB}\n");
    let agent = Agent::start_with(&folder, &data, &address, &token, spool, &flags);
    until("a frame that is lost", 2 * SOON, || (agent.skipped(reason) > 0).then_some(()));
    let grown = Command::new("mount").args(["-o", "remount,size=16m"]).arg(&disk.path).status();
    assert!(grown.unwrap().success());
    let held = agent.figure("bellwether_agent_frames_spooled_total");
    until("frames written again", SOON, || {
        (agent.figure("bellwether_agent_frames_spooled_total") > held + 200).then_some(())
    });

    let collector = Collector::start_at(&folder, &address);
    agent.goes_on();
    agent.catches_up();
    let declared = until("the skip counted", SOON, || {
        Some(collector.skipped(reason)).filter(|count| *count > 0)
    });
    let numbers: Vec<u64> = collector.numbers("full").iter().map(|n| n & 0xffff_ffff).collect();
    let missing = numbers.last().unwrap() - numbers.len() as u64;
    assert_eq!((agent.skipped(reason), declared), (missing, missing));
    let others = ["spool_full", "spool_age", "refused", "corrupt", "disk", "clone", "store"];
    assert!(others.iter().all(|other| *other == reason || agent.skipped(other) == 0));
    drop((agent, collector));
    Some(())
}

#[test]
fn an_agent_without_room_loses_what_must_go_and_declares_it() {
    // Room for one file of the spool: the live segment cannot give way, what follows is not
    // written. Room for two: the older one gives way, as if the spool's own bound were reached.
    let cases = [("disk", "1500k"), ("spool_full", "2800k")];
    let done = thread::scope(|scope| {
        let runs = cases.map(|(reason, size)| scope.spawn(move || lost_for(reason, size)));
        runs.map(|run| run.join().unwrap())
    });
    if done.contains(&None) {
        skip("a full disk of the agent: mounting a tmpfs is not permitted here");
    }
}

/// Ends with words about the disk.
fn ends_in_words(process: &mut Process) {
    assert_eq!(process.end(SOON).code(), Some(COULD_NOT_RUN));
    says(process, "read-only", SOON);
}

#[test]
fn a_disk_that_turns_read_only_ends_both_in_words_and_loses_nothing() {
    let folder = Folder::new("read-only");
    let Some(disk) = Mounted::ext4(&folder) else {
        return skip("a read-only disk: mkfs.ext4 or mounting a loop device is not possible here");
    };
    let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", disk.device());
    if !Path::new(&trigger).exists() {
        return skip("a read-only disk: this kernel has no trigger_fs_error");
    }
    let mut collector = Collector::start_on(&folder, &disk.path.join("data"), "");
    let token = token_file(&folder, "token");
    let beside = disk.path.join("beside");
    let mut beside = Agent::start_with(&folder, &beside, &collector.address, &token, (10, ""), &[]);
    let watched = watched(&folder, &collector);
    watched.goes_on();
    beside.goes_on();
    fs::write(&trigger, "1").unwrap();
    ends_in_words(&mut collector.process);
    ends_in_words(&mut beside.process);
    let held = watched.acked();
    // Neither starts on such a disk, and both say why.
    let config = folder.join("collector.yaml");
    let mut command = Collector::command(&collector.address, &collector.data, &config);
    ends_in_words(&mut Process::start("bellwether again", &mut command));
    assert_eq!(watched.acked(), held, "nothing is acknowledged meanwhile");

    let image = folder.join("image");
    disk.unmount();
    let checked = Command::new("e2fsck").arg("-fy").arg(&image).output().unwrap();
    assert!(checked.status.code().is_some_and(|code| code <= 1), "{checked:?}");
    let image = image.to_str().unwrap().to_owned();
    let again = Mounted::mount(disk.path.clone(), &["-o", "loop", &image]).unwrap();
    collector.again();
    beside.again();
    watched.goes_on();
    watched.catches_up();
    beside.goes_on();
    collector.is_whole("watched");
    assert_eq!(collector.figure("bellwether_collector_frames_lost_total"), 0);
    let numbers = collector.numbers("beside");
    for run in [1, 2] {
        let rows: Vec<u64> = numbers.iter().filter(|n| **n >> 32 == run).copied().collect();
        let first = (run << 32) | 1;
        let whole: Vec<u64> = (first..first + rows.len() as u64).collect();
        assert_eq!(rows, whole, "run {run}: each acknowledged row once");
    }
    drop((collector, watched, beside, again));
}
