//! What is damaged, copied or wiped: what is gone is counted, on both sides by the same number, and
//! everything else is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bellwether_model::limit;
use bellwether_tests::harness::{Folder, free_port, until};

use super::super::daemons::{Agent, Collector, TOKEN, token_file};
use super::super::says;
use super::{is_undisturbed, watched};

const ROWS: u32 = 100;
const SOON: Duration = Duration::from_secs(30);
/// What a frame begins with in spool and journal.
const FRAME: &[u8] = b"BF\x02\x00";
/// Inside a frame, behind its numbers.
const INSIDE: usize = 24;
/// Frames of one segment.
const SEGMENT: u64 = limit::SEGMENT_FRAMES as u64;

fn agent(folder: &Folder, name: &str, collector: &str) -> Agent {
    let token = token_file(folder, "token");
    // Damage to what is not synced cannot be told from a torn write.
    let more = "spool: {sync: always}\n";
    Agent::start_with(folder, &folder.join(name), collector, &token, (ROWS, more), &[])
}

/// The files of a journal below a directory.
fn journals(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(journals(&path));
        } else if path.extension().is_some_and(|extension| extension == "journal") {
            found.push(path);
        }
    }
    found
}

/// Flips a bit in the middle one of the frames that a journal holds. `of` is text that the frame's
/// entry has near its beginning, to tell agents apart.
fn damage(dir: &Path, of: &[u8]) {
    let files = journals(dir);
    let [file] = files.as_slice() else { panic!("one segment: {files:?}") };
    let mut bytes = fs::read(file).unwrap();
    let is_frame = |at: &usize| {
        let entry = &bytes[at.saturating_sub(80)..*at];
        bytes[*at..].starts_with(FRAME)
            && entry.windows(of.len().max(1)).any(|w| w == of || of.is_empty())
    };
    let frames: Vec<usize> = (0..bytes.len() - FRAME.len()).filter(is_frame).collect();
    assert!(frames.len() > 100, "{} frames", frames.len());
    bytes[frames[frames.len() / 2] + INSIDE] ^= 8;
    fs::write(file, bytes).unwrap();
}

/// The id of an agent, as its spool has it.
fn id(agent: &Agent) -> Vec<u8> {
    let text = fs::read_to_string(agent.data.join("agent/metrics/identity")).unwrap();
    let hex = text.lines().find_map(|line| line.strip_prefix("agent ")).unwrap();
    (0..16).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// How many of an agent's rows are not kept, of all up to the last of each run.
fn missing(collector: &Collector, instance: &str) -> u64 {
    let numbers = collector.numbers(instance);
    assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let mut runs: Vec<u64> = numbers.iter().map(|number| number >> 32).collect();
    runs.dedup();
    let last = |run: u64| numbers.iter().filter(|n| *n >> 32 == run).max().unwrap() & 0xffff_ffff;
    runs.into_iter().map(last).sum::<u64>() - numbers.len() as u64
}

#[test]
fn a_corrupt_frame_in_the_spool_costs_the_rest_of_its_segment_and_is_declared() {
    let folder = Folder::new("corrupt-spool");
    folder.write_secret("token", TOKEN);
    let address = format!("127.0.0.1:{}", free_port());
    // Nobody listens there yet: everything stays in the spool, the middle in the second segment.
    let mut agent = agent(&folder, "corrupt", &address);
    until("frames in the spool", SOON, || {
        let frames = agent.figure("bellwether_agent_frames_spooled_total");
        (frames > 2 * SEGMENT + 100).then_some(())
    });
    agent.process.kill();
    damage(&agent.data, b"");
    let collector = Collector::start_at(&folder, &address);
    let watched = watched(&folder, &collector);
    agent.again();
    agent.goes_on();
    // The frame itself, and those behind it in its segment, which have lost their base row.
    let (lost, rest) = until("the same count on both sides", SOON, || {
        let lost = (agent.skipped("corrupt"), agent.skipped("refused"));
        let declared = (collector.skipped("corrupt"), collector.skipped("refused"));
        (lost.0 > 0 && lost == declared).then_some(lost)
    });
    assert!(lost == 1 && rest < SEGMENT, "{lost} and {rest} frames of one segment");
    assert_eq!(missing(&collector, "corrupt"), lost + rest);
    is_undisturbed(&watched, &collector);
}

#[test]
fn a_corrupt_entry_in_the_journal_costs_rows_up_to_the_next_key_section_and_is_counted() {
    let folder = Folder::new("corrupt-journal");
    let mut collector = Collector::start(&folder, "");
    let watched = watched(&folder, &collector);
    let agent = agent(&folder, "corrupt", &collector.address);
    until("frames in the journal", SOON, || (agent.acked().1 > 400).then_some(()));
    watched.goes_on();
    collector.process.kill();
    damage(&collector.data, &id(&agent));
    collector.again();
    says(&collector.process, "entries of the journal are damaged and lost", SOON);
    agent.goes_on();
    watched.goes_on();
    let lost = collector.figure("bellwether_collector_frames_lost_total");
    assert!((1..=SEGMENT).contains(&lost), "{lost} frames of one segment");
    assert_eq!(missing(&collector, "corrupt"), lost);
    collector.is_whole("watched");
    assert_eq!(watched.skipped("store") + agent.skipped("store"), 0);
}

#[test]
fn a_clone_takes_another_id_and_both_go_on() {
    let folder = Folder::new("clone");
    let collector = Collector::start(&folder, "");
    let watched = watched(&folder, &collector);
    let mut original = agent(&folder, "original", &collector.address);
    original.goes_on();
    original.stop();
    let copied = Command::new("cp").arg("-a").args([&original.data, &folder.join("copy")]).status();
    assert!(copied.unwrap().success());
    original.again();
    original.goes_on();
    let copy = agent(&folder, "copy", &collector.address);
    copy.goes_on();
    original.goes_on();
    let clones = (original.answers("clone"), copy.answers("clone"));
    assert_eq!(clones, (0, 1), "who came second is the clone");
    assert_eq!(collector.answers("clone"), 1);
    assert_ne!(id(&original), id(&copy));
    // What the copy made under the other's id is set aside and counted: the frame that was answered
    // so, at least, which is declared, and those that were on their way to the spool meanwhile.
    let dropped = copy.told()["shipping"]["collectors"][0]["dropped"]["clone"]["frames"].clone();
    let lost = dropped.as_u64().unwrap_or(0);
    let declared = until("the skip counted", SOON, || {
        Some(collector.skipped("clone")).filter(|count| *count > 0)
    });
    println!("the clone set {lost} frames aside, {declared} of them from its spool");
    assert!(declared <= lost, "{declared} frames declared of {lost}");
    assert_eq!(copy.skipped("clone"), declared);
    assert_eq!(missing(&collector, "original"), 0);
    assert_eq!(missing(&collector, "copy"), lost);
    is_undisturbed(&watched, &collector);
}

#[test]
fn a_wiped_collector_is_told_what_it_has_lost() {
    let folder = Folder::new("wiped");
    let mut collector = Collector::start(&folder, "");
    let agent = agent(&folder, "kept", &collector.address);
    // The first segment has gone by then.
    until("frames acknowledged", SOON, || (agent.acked().1 > SEGMENT + 100).then_some(()));
    collector.process.kill();
    fs::remove_dir_all(&collector.data).unwrap();
    collector.again();
    says(&agent.process, "the collector's store is another one", SOON);
    agent.goes_on();
    let declared = until("the skip counted", SOON, || {
        Some(collector.skipped("store")).filter(|count| *count > 0)
    });
    assert_eq!(agent.skipped("store"), declared);
    let numbers = collector.numbers("kept");
    assert_eq!(numbers[0] & 0xffff_ffff, declared + 1, "kept from the first that was held");
    assert_eq!(missing(&collector, "kept"), declared);
    assert_eq!(collector.figure("bellwether_collector_frames_lost_total"), 0);
}
