//! The system calls of the collector: a frame's sync has returned before its answer is sent.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, peer, skip};

/// What a frame in the journal and a good answer with its case `applied` begin with
/// (`model/WIRE.md`), as strace prints them.
const FRAME: &str = r"BF\2\";
const APPLIED: &str = r"BWA1\1";

/// What a trace shows.
#[derive(Debug, Default)]
struct Shown {
    /// Answers that said `applied` after a frame was written; a request may have none.
    answers: usize,
    /// Lines of answers that left before the sync of what they acknowledge.
    early: Vec<String>,
}

/// Reads the lines of `strace -f -y` over time.
#[derive(Debug, Default)]
struct Reader {
    /// Calls that have not returned, by thread: the line they began at, and their text.
    open: BTreeMap<String, (usize, String)>,
    /// Frames written and not yet synced: file, and line at which the write returned.
    unsynced: BTreeMap<String, usize>,
    /// Whether a frame was written since the last answer.
    has_written: bool,
    shown: Shown,
}

impl Reader {
    /// Takes line `at` into account; `folder` is where the collector's journal is.
    fn take(&mut self, at: usize, line: &str, folder: &str) {
        let Some((thread, call)) = line.split_once(' ') else { return };
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix("<unfinished ...>") {
            self.begins(begun);
            self.open.insert(thread.to_owned(), (at, begun.to_owned()));
        } else if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|c| c.split_once('>')) {
            if let Some((begun_at, begun)) = self.open.remove(thread) {
                self.returns(begun_at, at, &format!("{begun}{rest}"), folder);
            }
        } else {
            self.begins(call);
            self.returns(at, at, call, folder);
        }
    }

    fn begins(&mut self, call: &str) {
        let is_send =
            ["write(", "writev(", "sendto(", "sendmsg("].iter().any(|c| call.starts_with(c));
        if !is_send || !call.contains(APPLIED) {
            return;
        }
        self.shown.answers += usize::from(self.has_written);
        self.has_written = false;
        if !self.unsynced.is_empty() {
            self.shown.early.push(call.to_owned());
        }
    }

    fn returns(&mut self, begun_at: usize, at: usize, call: &str, folder: &str) {
        let path = call.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let Some((path, _)) = path.filter(|(path, _)| path.starts_with(folder)) else { return };
        if call.contains("write") && call.contains(FRAME) {
            self.unsynced.insert(path.to_owned(), at);
            self.has_written = true;
        } else if call.contains("sync(") && call.trim_end().ends_with("= 0") {
            // A sync covers what was written before it began.
            if self.unsynced.get(path).is_some_and(|written_at| *written_at < begun_at) {
                self.unsynced.remove(path);
            }
        }
    }
}

fn read(trace: &str, folder: &str) -> Shown {
    let mut reader = Reader::default();
    for (at, line) in trace.lines().enumerate() {
        reader.take(at, line, folder);
    }
    reader.shown
}

#[test]
fn a_trace_with_an_early_answer_is_noticed() {
    let write = "10 pwrite64(5</d/collector/1>, \"\\1\\0BF\\2\\0\"..., 90, 0) = 90";
    let sync = "10 fdatasync(5</d/collector/1>) = 0";
    let other = "10 fdatasync(6</d/agent/1>) = 0";
    let answer = "11 writev(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{\"BWA1\\1\\0\", 9}], 1) = 9";
    let begun = "12 fdatasync(5</d/collector/1> <unfinished ...>";
    let ended = "12 <... fdatasync resumed>) = 0";
    let shown = |lines: &[&str]| read(&lines.join("\n"), "/d/collector");
    let early = |lines: &[&str]| shown(lines).early.len();

    let good = shown(&[write, sync, answer, write, begun, ended, answer, answer]);
    assert_eq!((good.answers, good.early.len()), (2, 0), "{good:?}");
    assert_eq!(early(&[write, answer, sync]), 1, "the answer precedes the sync");
    assert_eq!(early(&[write, begun, answer, ended]), 1, "the sync has not returned");
    assert_eq!(early(&[begun, write, ended, answer]), 1, "the sync began before the write");
    assert_eq!(early(&[write, other, answer]), 1, "another file was synced");
}

#[test]
fn the_sync_of_a_frame_returns_before_its_answer_leaves() {
    let Some(strace) = peer("strace") else {
        return skip("strace is not installed");
    };
    let folder = Folder::new("strace");
    let trial = Command::new(&strace).arg("-o").arg(folder.join("trial")).arg("true").output();
    if !trial.is_ok_and(|trial| trial.status.success()) {
        return skip("strace may not trace here (ptrace is not permitted)");
    }
    let (data, trace) = (folder.join("data"), folder.join("trace"));
    let mut up = Process::start(
        "strace of bellwether up",
        Command::new(strace)
            .args(["-f", "-y", "-s", "600", "-e"])
            .arg("trace=fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg")
            .arg("-o")
            .arg(&trace)
            .arg(daemon(Daemon::Collector))
            .arg("up")
            .arg("--data-dir")
            .arg(&data)
            .args(["--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--for", "10s"])
            .arg("--agent-bin")
            .arg(daemon(Daemon::Agent)),
    );
    assert!(up.end(Duration::from_secs(60)).success());

    let trace = std::fs::read_to_string(trace).unwrap();
    let shown = read(&trace, data.join("collector").to_str().unwrap());
    assert!(shown.answers >= 5, "the trace shows only {} good answers", shown.answers);
    assert!(shown.early.is_empty(), "answers without a sync before them: {:#?}", shown.early);
}
