use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use bellwether_model::exposition;
use bellwether_model::id::Incarnation;
use bellwether_model::series::is_absent;
use bellwether_model::time::{Mono, Nanos};
use bellwether_platform::clock::{ManualTime, Reading};

use super::*;
use crate::pure::config::{Overrides, Surroundings, read};
use crate::pure::input::INPUTS;
use crate::pure::probe::{Sight, TargetPlan};
use crate::pure::scrape;
use crate::pure::scrape::page::{Page, Scan};
use crate::pure::scrape::rows::Scrape;
use crate::pure::scrape::target::ScrapeTarget;
use crate::shell::calls::Calls;
use crate::shell::host::Roots;
use crate::shell::latest::Latest;
use crate::shell::scrape::{Event, Numbered};

/// A host of a few files in a directory of its own.
struct FakeHost {
    root: PathBuf,
    clock: Clock,
    time: ManualTime,
}

impl FakeHost {
    fn new(name: &str) -> FakeHost {
        let root = std::env::temp_dir().join(format!("bellwether-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("net")).unwrap();
        let first = Reading { mono: Mono(Duration::from_secs(1)), system: Nanos(0) };
        let (clock, time) = Clock::manual_agent(first);
        FakeHost { root, clock, time }
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.root.join(path), text).unwrap();
    }

    fn collection(&self, plans: &[InputPlan]) -> Collection {
        self.collection_with(plans, Calls::system())
    }

    fn collection_with(&self, plans: &[InputPlan], calls: Calls) -> Collection {
        let roots =
            Roots { proc: self.root.clone(), sys: self.root.clone(), host: self.root.clone() };
        let host = Host::new(roots, calls, self.clock.clone());
        let facts = Facts { incarnation: Incarnation(1), ..Facts::default() };
        Collection::new(plans, &LabelSet::default(), host, self.clock.clone(), facts).unwrap()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).unwrap();
    }
}

fn plan(name: &str) -> InputPlan {
    InputPlan::new(INPUTS.iter().find(|spec| spec.name == name).unwrap())
}

/// The values of the last tick, by series.
fn values(collection: &Collection) -> BTreeMap<String, f64> {
    let due = collection.groups().iter().filter(|group| group.due);
    let rows = due.flat_map(|group| group.table.columns().iter().zip(group.table.values()));
    let set = rows.filter(|(_, value)| !is_absent(**value));
    set.map(|(spec, value)| (spec.as_ref().unwrap().labels.to_string(), *value)).collect()
}

fn success(input: &str) -> String {
    format!("node_scrape_collector_success{{collector={input:?}}}")
}

#[test]
fn an_input_that_fails_stops_no_other_and_comes_back() {
    let host = FakeHost::new("failing");
    host.write("stat", "cpu0 1 1 1 1\nbtime 7\n");
    host.write("loadavg", "1.00 2.00 3.00 1/2 3\n");
    let mut collection = host.collection(&[plan("stat"), plan("loadavg"), plan("cpu")]);
    assert_eq!(collection.collect(Timestamp(1000)).samples, 1 + 3 + 10 + 6);

    host.write("loadavg", "?\n");
    for failures in 1..=4 {
        host.time.advance(Duration::from_secs(1));
        let collected = collection.collect(Timestamp(1000 * (1 + failures)));
        assert_eq!(collected.failed.len(), 1);
        assert_eq!(collected.failed[0].1.to_string(), "loadavg:1: three load averages expected");
        let values = values(&collection);
        assert_eq!((values.len(), values["node_boot_time_seconds"]), (17, 7.0));
        assert_eq!((values[&success("loadavg")], values[&success("stat")]), (0.0, 1.0));
        // Readers are told that the series ended once it is no passing thing.
        let has_ended = collection.groups()[0].table.live() == 17;
        assert_eq!(has_ended, failures >= 3, "{failures}");
    }
    host.write("loadavg", "9.00 2.00 3.00 1/2 3\n");
    host.time.advance(Duration::from_secs(1));
    assert_eq!(collection.collect(Timestamp(6000)).failed, []);
    let values = values(&collection);
    assert_eq!((values["node_load1"], values[&success("loadavg")]), (9.0, 1.0));
}

#[test]
fn inputs_of_one_cadence_share_a_group_and_are_due_together() {
    let host = FakeHost::new("cadences");
    host.write("stat", "cpu0 1 1 1 1\nbtime 7\n");
    let slow = InputPlan { interval: Duration::from_secs(15), ..plan("cpu") };
    let fast = InputPlan { rows_per_second: 4, ..plan("sequence") };
    let mut collection = host.collection(&[plan("stat"), slow, plan("time"), fast]);
    assert_eq!(collection.base(), Duration::from_millis(250));
    let mut due = |tick| {
        collection.collect(Timestamp(tick));
        let due: Vec<u32> =
            collection.groups().iter().filter(|group| group.due).map(|group| group.id.0).collect();
        (due, values(&collection).get("bellwether_agent_sequence").copied())
    };
    let first = f64::from(u32::MAX) + 1.0;
    assert_eq!(due(15_000), (vec![0, 1, 2], Some(first + 1.0)));
    assert_eq!(due(15_250), (vec![2], Some(first + 2.0)));
    assert_eq!(due(16_000), (vec![0, 2], Some(first + 3.0)));
    let cadences: Vec<_> =
        collection.groups().iter().map(|group| group.table.cadence().as_millis()).collect();
    assert_eq!(cadences, [1000, 15_000, 250]);
}

#[test]
fn a_bound_makes_an_input_unhealthy_and_keeps_what_fits() {
    let host = FakeHost::new("bound");
    host.write("stat", "cpu0 1 1 1 1\ncpu1 1 1 1 1\n");
    let mut collection = host.collection(&[InputPlan { series_max: 15, ..plan("cpu") }]);
    let collected = collection.collect(Timestamp(0));
    assert_eq!((collected.refused, collected.samples), (5, 15 + 2));
    assert_eq!(values(&collection)[&success("cpu")], 0.0);
}

#[test]
fn the_page_has_each_family_once_whatever_groups_it_is_in() {
    let host = FakeHost::new("page");
    host.write("stat", "cpu0 1 1 1 1\nbtime 7\nintr 5 4\n");
    host.write("net/dev", "\n\n we\"ird: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    let slow = InputPlan { interval: Duration::from_secs(15), ..plan("cpu") };
    let mut collection = host.collection(&[plan("stat"), slow, plan("netdev")]);
    let latest = Latest::default();
    collection.collect(Timestamp(0));
    latest.publish(collection.groups());
    // The slow group's row stays on the page.
    collection.collect(Timestamp(1000));
    latest.publish(collection.groups());
    let mut page = Vec::new();
    latest.write(&mut exposition::Writer::new(&mut page));
    let page = String::from_utf8(page).unwrap();
    let mut families: Vec<&str> = page.lines().filter(|l| l.starts_with("# TYPE")).collect();
    families.dedup();
    assert_eq!(families.len(), 2 + 2 + 16 + 2, "{page}");
    let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples.len(), 2 + 10 + 16 + 6);
    assert!(page.contains("node_network_receive_bytes_total{device=\"we\\\"ird\"} 1\n"), "{page}");
    let heads = |word| page.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!(heads("# TYPE node_scrape_collector_success "), 1);
    assert_eq!(heads("# HELP node_scrape_collector_success "), 1);
    let mut sorted = families.clone();
    sorted.sort_unstable();
    assert_eq!(families, sorted);
}

/// Answers of which that of `/hangs` tells when it is asked for and waits until it may come.
fn hanging() -> (Calls, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (release, wait) = mpsc::channel();
    let (begun, begins) = mpsc::channel();
    let wait = Mutex::new(wait);
    let space = move |path: &Path| {
        if path.ends_with("hangs") {
            begun.send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        Ok(b"5 4 3 2 1".to_vec())
    };
    let clock = || Err(std::io::ErrorKind::PermissionDenied.into());
    (Calls { space: Arc::new(space), clock: Arc::new(clock) }, release, begins)
}

#[test]
fn a_mount_that_hangs_is_marked_and_holds_up_neither_the_tick_nor_other_mounts() {
    let host = FakeHost::new("hanging");
    let mount = |point| format!("1 1 8:1 / {point} rw - ext4 /dev/a rw\n");
    fs::create_dir_all(host.root.join("1")).unwrap();
    host.write("1/mountinfo", &[mount("/hangs"), mount("/b")].concat());
    host.write("loadavg", "1.00 2.00 3.00 1/2 3\n");
    let (calls, release, begins) = hanging();
    let mut collection = host.collection_with(&[plan("filesystem"), plan("loadavg")], calls);
    let series = |name: &str, point: &str, error: &str| {
        let error = match error {
            "" => String::new(),
            error => format!("device_error={error:?},"),
        };
        format!(
            "node_filesystem_{name}{{device=\"/dev/a\",{error}fstype=\"ext4\",mountpoint={point:?}}}"
        )
    };
    collection.prime();
    begins.recv().unwrap();
    // Each tick comes back though the call does not. The first one starts a thread that asks the
    // mount behind it, and five seconds after the question the mount is marked.
    let mut other = None;
    for second in 1..=30 {
        host.time.advance(Duration::from_secs(1));
        assert_eq!(collection.collect(Timestamp(1000 * second)).failed, []);
        assert_eq!(values(&collection)["node_load1"], 1.0);
        let has_row = values(&collection).contains_key(&success("filesystem"));
        assert_eq!(
            has_row,
            second == 1 || second % 15 == 0,
            "at the first tick and on its cadence"
        );
        if second % 15 == 0 {
            let values = values(&collection);
            assert_eq!(values[&series("device_error", "/hangs", "mountpoint timeout")], 1.0);
            assert!(!values.contains_key(&series("size_bytes", "/hangs", "")));
            assert_eq!(values[&success("filesystem")], 1.0);
            other = values.get(&series("size_bytes", "/b", "")).copied();
        }
        if second == 1 || second % 15 == 14 {
            // The second thread answers in real time, when asked first and before each row.
            while !collection.host.has_answers() {
                std::thread::yield_now();
            }
        }
    }
    assert_eq!(other, Some(5.0));
    assert!(begins.try_recv().is_err(), "nobody asks again while it hangs");
    release.send(()).unwrap();
    collection.wait_apart();
    host.time.advance(Duration::from_secs(15));
    collection.collect(Timestamp(45_000));
    let values = values(&collection);
    assert_eq!(values[&series("size_bytes", "/hangs", "")], 5.0);
    assert_eq!(values[&series("device_error", "/hangs", "")], 0.0);
    assert!(!values.contains_key(&series("device_error", "/hangs", "mountpoint timeout")));
}

/// What an input reads hangs, at once or later: it has no row until the answer has come, the others
/// have theirs.
#[test]
fn an_input_that_hangs_fails_alone_and_goes_on_when_it_is_answered() {
    for good in [0, 2] {
        hang_after(good);
    }
}

fn hang_after(good: usize) {
    let host = FakeHost::new(&format!("hangs-after-{good}"));
    let (release, released) = mpsc::channel::<()>();
    let (asked, released) = (Arc::new(AtomicUsize::new(0)), Mutex::new(released));
    let asks = Arc::clone(&asked);
    let clock = move || {
        if asks.fetch_add(1, Ordering::Relaxed) >= good {
            released.lock().unwrap().recv().unwrap();
        }
        Ok(vec!["1"; 17].join(" ").into_bytes())
    };
    let calls = Calls { clock: Arc::new(clock), ..hanging().0 };
    let mut collection = host.collection_with(&[plan("timex"), plan("loadavg")], calls);
    for row in 1..=5 {
        host.time.advance(Duration::from_secs(15));
        host.write("loadavg", &format!("{row}.00 2.00 3.00 1/2 3\n"));
        let failed = collection.collect(Timestamp(15_000 * row)).failed;
        let values = values(&collection);
        assert_eq!(values["node_load1"], f64::from(u16::try_from(row).unwrap()));
        let hangs = usize::try_from(row).unwrap() > good;
        assert_eq!(values[&success("timex")], f64::from(u8::from(!hangs)), "row {row}");
        assert_eq!(values.contains_key("node_timex_status"), !hangs);
        let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, if hangs { vec!["timex"] } else { vec![] });
    }
    assert_eq!(asked.load(Ordering::Relaxed), good + 1, "nobody asks again while it hangs");
    for _ in 0..2 {
        release.send(()).unwrap();
    }
    while collection.host.is_hung() {
        std::thread::yield_now();
    }
    host.time.advance(Duration::from_secs(60));
    assert_eq!(collection.collect(Timestamp(135_000)).failed, []);
    assert_eq!(values(&collection)["node_timex_status"], 1.0);
}

#[test]
fn a_mount_that_was_good_hangs_and_is_good_again() {
    let host = FakeHost::new("good-hangs");
    fs::create_dir_all(host.root.join("1")).unwrap();
    host.write("1/mountinfo", "1 1 8:1 / /hangs rw - ext4 /dev/a rw\n");
    let (calls, release, begins) = hanging();
    // The other one makes ticks come each second.
    host.write("loadavg", "1.00 2.00 3.00 1/2 3\n");
    let mut collection = host.collection_with(&[plan("filesystem"), plan("loadavg")], calls);
    release.send(()).unwrap();
    collection.prime();
    collection.wait_apart();
    begins.recv().unwrap();
    let labels =
        |error: &str| format!("{{device=\"/dev/a\",{error}fstype=\"ext4\",mountpoint=\"/hangs\"}}");
    let mut ticks = 0..;
    let mut row = |collection: &mut Collection| {
        for second in ticks.by_ref() {
            assert_eq!(collection.collect(Timestamp(1000 * second)).failed, []);
            host.time.advance(Duration::from_secs(1));
            if second % 15 == 0 {
                break;
            }
        }
        let values = values(collection);
        let value = |name: &str, error| values.get(&(name.to_owned() + &labels(error))).copied();
        let timeout = "device_error=\"mountpoint timeout\",";
        (
            value("node_filesystem_size_bytes", ""),
            value("node_filesystem_device_error", ""),
            value("node_filesystem_device_error", timeout),
        )
    };
    let good = (Some(5.0), Some(0.0), None);
    assert_eq!(row(&mut collection), good);
    // Asked a second before the row, it is not late yet; then it is.
    assert_eq!(row(&mut collection), good);
    begins.recv().unwrap();
    for _ in 0..2 {
        assert_eq!(row(&mut collection), (None, None, Some(1.0)));
    }
    assert!(begins.try_recv().is_err(), "nobody asks again while it hangs");
    release.send(()).unwrap();
    collection.wait_apart();
    assert_eq!(row(&mut collection), good);
}

/// A slow input holds up two ticks; then its rows, and of those behind it that a tick had no time
/// left for, hold what was read a tick before, until it is quick again. Nothing changes for those
/// before it.
#[test]
fn an_input_that_is_slow_holds_up_two_ticks_and_loses_no_row() {
    const TOOK: Duration = Duration::from_millis(900);
    let host = FakeHost::new("slow");
    let (time, is_slow) = (host.time.clone(), Arc::new(AtomicBool::new(true)));
    let (slow, calls) = (Arc::clone(&is_slow), Arc::new(Mutex::new(Vec::new())));
    let called = Arc::clone(&calls);
    let clock = move || {
        let mut called = called.lock().unwrap();
        called.push(std::thread::current().name().unwrap().to_owned());
        if slow.load(Ordering::Relaxed) {
            time.advance(TOOK);
        }
        Ok(vec![called.len().to_string(); 17].join(" ").into_bytes())
    };
    fs::create_dir_all(host.root.join("sys/fs")).unwrap();
    let plans = ["filefd", "timex", "loadavg"]
        .map(|name| InputPlan { interval: Duration::from_secs(1), ..plan(name) });
    let calls_of = Calls { clock: Arc::new(clock), ..hanging().0 };
    let mut collection = host.collection_with(&plans, calls_of);
    let seconds = "node_scrape_collector_duration_seconds{collector=\"timex\"}";
    let mut waits = Vec::new();
    for row in 1..=20 {
        host.write("loadavg", &format!("{row}.00 2.00 3.00 1/2 3\n"));
        host.write("sys/fs/file-nr", &format!("{row}\t0\t9\n"));
        is_slow.store(row < 8, Ordering::Relaxed);
        let before = calls.lock().unwrap().len();
        assert_eq!(collection.collect(Timestamp(1000 * row)).failed, []);
        let values = values(&collection);
        let [status, load] = ["node_timex_status", "node_load1"].map(|name| values[name]);
        let now = f64::from(u16::try_from(row).unwrap());
        assert_eq!(values["node_filefd_allocated"], now);
        assert_eq!(status, now, "no reading is lost");
        assert!([now - 1.0, now].contains(&load) && load > 0.0, "{load} in row {row}");
        let took = values[seconds];
        assert_eq!(took > 0.8, row <= 8, "{took} s in row {row}");
        // By whom the next row's is read: once all that was asked has come, nobody is in between.
        collection.wait_apart();
        waits.push(calls.lock().unwrap()[before..].iter().any(|thread| thread == "reader"));
    }
    let waited: Vec<usize> = (1..).zip(&waits).filter(|(_, w)| **w).map(|(row, _)| row).collect();
    assert_eq!(waited[..2], [1, 2]);
    assert!(waited[2..].iter().all(|row| *row > 15) && waited.len() > 2, "{waited:?}");
}

/// What hangs is known to be at it over any number of reloads: nobody else is sent after it, and
/// its answer is taken when it comes.
#[test]
fn what_hangs_costs_no_further_thread_at_a_reload() {
    let host = FakeHost::new("hangs-reloaded");
    fs::create_dir_all(host.root.join("1")).unwrap();
    host.write("1/mountinfo", "1 1 8:1 / /hangs rw - ext4 /dev/a rw\n");
    let ((asked, asks), (answer, answers)) = (mpsc::channel(), mpsc::channel::<()>());
    let answers = Mutex::new(answers);
    let clock = move || {
        asked.send(()).unwrap();
        answers.lock().unwrap().recv().unwrap();
        Ok(vec!["1"; 17].join(" ").into_bytes())
    };
    let (calls, release, begins) = hanging();
    let calls = Calls { clock: Arc::new(clock), ..calls };
    let plans = [plan("filesystem"), plan("timex")];
    let mut collection = host.collection_with(&plans, calls.clone());
    collection.prime();
    begins.recv().unwrap();
    collection.collect(Timestamp(0));
    // Inputs stand in another order, one of them is gone for a while, and it hangs on.
    let swapped = [plan("timex"), plan("filesystem")];
    for (reload, plans) in (1..).zip([&swapped[..], &swapped[..1], &plans[..], &swapped[1..]]) {
        let mut next = host.collection_with(plans, calls.clone());
        next.succeed(collection);
        next.prime();
        collection = next;
        for second in (15..=30).step_by(5) {
            host.time.advance(Duration::from_secs(5));
            collection.collect(Timestamp(60_000 * reload + 1000 * second));
        }
        assert!(collection.host.is_hung(), "reload {reload}");
    }
    let marked = |collection: &Collection| {
        let values = values(collection);
        values.keys().any(|name| name.contains("device_error=\"mountpoint timeout\""))
    };
    assert!(marked(&collection));
    assert_eq!((asks.try_iter().count(), begins.try_iter().count()), (1, 0));
    (0..2).for_each(|_| answer.send(()).unwrap());
    release.send(()).unwrap();
    collection.wait_apart();
    host.time.advance(Duration::from_secs(15));
    collection.collect(Timestamp(600_000));
    assert!(!marked(&collection));
    assert!(values(&collection).keys().any(|name| name.starts_with("node_filesystem_size_bytes")));
}

/// Targets that nobody probes; results are handed in.
fn targets(section: &str) -> Vec<TargetPlan> {
    let text = format!("inputs: {{probe: {{{section}}}}}\n");
    let around = Surroundings { host_name: "h".to_owned(), ..Surroundings::default() };
    read("f", &text, &around, &Overrides::default()).unwrap().0.probes
}

fn succeeded(plan: &TargetPlan, redirects: u32) -> Sight {
    let mut sight = Sight::none(&plan.ask);
    sight.http.as_mut().unwrap().redirects = redirects;
    sight
}

/// The numbers of the groups that are due, with their targets.
fn due(collection: &Collection) -> Vec<(u32, String)> {
    let due = collection.groups().iter().filter(|group| group.due);
    due.map(|group| {
        let instance = group.table.target().get("instance").unwrap_or_default();
        (group.id.0, instance.to_owned())
    })
    .collect()
}

#[test]
fn a_target_has_a_row_of_its_own_group_at_the_tick_after_each_result() {
    let host = FakeHost::new("targets");
    host.write("loadavg", "1.00 2.00 3.00 1/2 3\n");
    let plans = targets("interval: 3s, targets: [{url: 'http://a'}, {url: 'http://b'}]");
    let inputs = [InputPlan { interval: Duration::from_secs(10), ..plan("loadavg") }];
    let (found, sender) = Targets::fed(&plans);
    let mut collection = host.collection(&inputs).beside(found);
    assert_eq!(collection.base(), Duration::from_secs(1), "results wait a second at most");
    assert_eq!(collection.collect(Timestamp(1000)).samples, 0);
    assert_eq!(due(&collection), []);
    for redirects in 0..2 {
        sender.send((1, succeeded(&plans[1], redirects))).unwrap();
    }
    sender.send((0, succeeded(&plans[0], 7))).unwrap();
    assert_eq!(collection.collect(Timestamp(2000)).samples, 2 * 18);
    assert_eq!(due(&collection), [(64, "http://a".to_owned()), (65, "http://b".to_owned())]);
    let latest = Latest::default();
    latest.publish(collection.groups());
    let mut page = Vec::new();
    latest.write(&mut exposition::Writer::new(&mut page));
    let page = String::from_utf8(page).unwrap();
    for line in [
        "probe_http_redirects{agent=\"h\",environment=\"production\",instance=\"http://a\",\
         job=\"blackbox\"} 7\n",
        "instance=\"http://b\",job=\"blackbox\",phase=\"tls\"} 0\n",
    ] {
        assert!(page.contains(line), "{page}");
    }
    assert_eq!(page.matches("# TYPE probe_success gauge").count(), 1);
    collection.collect(Timestamp(3000));
    assert_eq!(due(&collection), [(65, "http://b".to_owned())], "the second result");
    assert_eq!(values(&collection)["probe_http_redirects"], 1.0);
    // More results than can wait are counted.
    (0..6).for_each(|n| sender.send((0, succeeded(&plans[0], n))).unwrap());
    assert_eq!(collection.collect(Timestamp(4000)).probes_dropped, 2);
    assert_eq!(values(&collection)["probe_http_redirects"], 2.0);
}

#[test]
fn over_a_reload_targets_keep_their_groups_and_those_that_are_gone_end() {
    let host = FakeHost::new("reloaded");
    host.write("loadavg", "1.00 2.00 3.00 1/2 3\n");
    let inputs = [plan("loadavg")];
    let all = targets("targets: [{url: 'http://a'}, {url: 'http://b'}, {url: 'http://c'}]");
    let (found, sender) = Targets::fed(&all);
    let mut collection = host.collection(&inputs).beside(found);
    (0..3).for_each(|place| sender.send((place, succeeded(&all[place], 0))).unwrap());
    collection.collect(Timestamp(1000));
    assert_eq!(collection.groups().last().unwrap().table.cadence(), Duration::from_secs(15));

    let some = targets("targets: [{url: 'http://new'}, {url: 'http://c', interval: 1s}]");
    let (found, sender) = Targets::fed(&some);
    let mut next = host.collection(&inputs).beside(found);
    next.succeed(collection);
    next.collect(Timestamp(2000));
    let ended: Vec<u32> =
        next.groups().iter().filter(|g| g.due && g.table.live() == 0).map(|g| g.id.0).collect();
    assert_eq!(ended, [64, 65], "a and b");
    sender.send((0, succeeded(&some[0], 0))).unwrap();
    sender.send((1, succeeded(&some[1], 0))).unwrap();
    next.collect(Timestamp(3000));
    let found = due(&next);
    let expected = [(0, ""), (67, "http://new"), (66, "http://c")];
    assert_eq!(found, expected.map(|(id, instance)| (id, instance.to_owned())));
    let c = next.groups().iter().find(|group| group.id.0 == 66).unwrap();
    assert_eq!((c.table.live(), c.table.columns().len()), (18, 18), "its columns went on");
    assert_eq!(c.table.cadence(), Duration::from_secs(1), "of the new interval");
    assert_eq!(next.groups().len(), 3, "what has ended is gone");
}

#[test]
fn over_a_reload_results_that_wait_go_on_or_are_counted() {
    let host = FakeHost::new("waiting");
    let all = targets("targets: [{url: 'http://a'}, {url: 'http://b'}]");
    let (found, sender) = Targets::fed(&all);
    let mut collection = host.collection(&[]).beside(found);
    // Two of each: one with the rows, one still on its way.
    for redirects in 1..=2 {
        (0..2).for_each(|place| sender.send((place, succeeded(&all[place], redirects))).unwrap());
    }
    assert_eq!(collection.collect(Timestamp(1000)).probes_dropped, 0);
    (0..2).for_each(|place| sender.send((place, succeeded(&all[place], 3))).unwrap());

    let some = targets("targets: [{url: 'http://b'}]");
    let (found, sender) = Targets::fed(&some);
    sender.send((0, succeeded(&some[0], 4))).unwrap();
    let mut next = host.collection(&[]).beside(found);
    next.succeed(collection);
    assert_eq!(next.collect(Timestamp(2000)).probes_dropped, 2, "those of a");
    let mut seen = vec![values(&next)["probe_http_redirects"]];
    for tick in [3000, 4000] {
        assert_eq!(next.collect(Timestamp(tick)).probes_dropped, 0);
        seen.push(values(&next)["probe_http_redirects"]);
    }
    assert_eq!(seen, [2.0, 3.0, 4.0], "those of b, in order");
}

#[test]
fn an_agent_without_inputs_still_says_whose_frames_they_are() {
    let host = FakeHost::new("alone");
    let mut collection = host.collection(&[]);
    assert_eq!(collection.collect(Timestamp(15_000)).samples, 0);
    assert_eq!(due(&collection), [(0, String::new())]);
}

/// The targets of a section `inputs.scrape`, each on a port of its own.
fn scraped(keys: &str, ports: &[u16]) -> Vec<Arc<ScrapeTarget>> {
    let all: Vec<String> = ports.iter().map(|port| format!("'a:{port}'")).collect();
    let text = format!(
        "inputs: {{scrape: {{scrape_configs: [{{job_name: shop, {keys} \
         static_configs: [{{targets: [{}]}}]}}]}}}}\n",
        all.join(", ")
    );
    let around = Surroundings { host_name: "h".to_owned(), ..Surroundings::default() };
    let plan = read("f", &text, &around, &Overrides::default()).unwrap().0;
    let job = &plan.scrapes.jobs[0];
    scrape::target::targets(job, &job.groups).targets.into_iter().map(Arc::new).collect()
}

fn numbered(targets: &[Arc<ScrapeTarget>]) -> Numbered {
    (1..).zip(targets.iter().map(Arc::clone)).collect()
}

fn good(scan: &mut Scan) -> Box<Scrape> {
    let page = Page { body: b"a 1\nb 2\n", format: exposition::Format::Text, version: None };
    let (counts, result) = scan.read(&page);
    Box::new(Scrape { took: Duration::ZERO, counts, result })
}

/// Instances, and live columns, of the groups that are due and not the agent's.
fn due_scrapes(collection: &Collection) -> Vec<(u32, String, usize)> {
    let due = collection.groups().iter().filter(|g| g.due && g.id >= GroupId::TARGETS);
    let shown = |group: &Group| {
        let instance = group.table.target().get("instance").unwrap_or_default();
        (group.id.0, instance.to_owned(), group.table.live())
    };
    due.map(shown).collect()
}

#[test]
fn a_scraped_target_has_two_groups_and_they_come_and_go_with_it() {
    let host = FakeHost::new("scraped");
    host.write("loadavg", "1.00 2.00 3.00 1/2 3\n");
    let inputs = [plan("loadavg")];
    let plans = scraped("", &[1, 2]);
    let (targets, sender) = Targets::scraped_by_hand(numbered(&plans));
    let mut collection = host.collection(&inputs).beside(targets);
    let mut scans: Vec<Scan> = plans.iter().map(|target| Scan::new(Arc::clone(target))).collect();
    sender.send(Event::Scraped(2, good(&mut scans[1]))).unwrap();
    let collected = collection.collect(Timestamp(1000));
    assert_eq!((collected.scrapes.scrapes, collected.scrapes.targets), (1, 2));
    let due = due_scrapes(&collection);
    let [(page, of, 2), (report, _, 6)] = &due[..] else { panic!("{due:?}") };
    assert_eq!(of, "a:2");
    let latest = Latest::default();
    latest.publish(collection.groups());
    let mut written = Vec::new();
    latest.write(&mut exposition::Writer::new(&mut written));
    assert!(!String::from_utf8(written).unwrap().contains("a:2"), "not on the agent's own page");

    // The first goes, a third comes, the second stays.
    let more = scraped("", &[2, 3]);
    let now = vec![(2, Arc::clone(&plans[1])), (3, Arc::clone(&more[1]))];
    sender.send(Event::Targets(now)).unwrap();
    sender.send(Event::Scraped(3, good(&mut Scan::new(Arc::clone(&more[1]))))).unwrap();
    sender.send(Event::Scraped(1, good(&mut scans[0]))).unwrap();
    let collected = collection.collect(Timestamp(2000));
    assert_eq!((collected.scrapes.targets, collected.scrapes.dropped), (2, 1), "one is gone");
    assert!(due_scrapes(&collection).iter().all(|(_, _, live)| *live == 0), "a row to end with");
    assert_eq!(due_scrapes(&collection).len(), 2);
    sender.send(Event::Scraped(2, good(&mut scans[1]))).unwrap();
    collection.collect(Timestamp(3000));
    let due = due_scrapes(&collection);
    assert_eq!(due.len(), 4, "{due:?}");
    assert!(
        due.contains(&(*page, "a:2".to_owned(), 2))
            && due.contains(&(*report, "a:2".to_owned(), 6))
    );
    assert_eq!(due.iter().filter(|(_, instance, _)| instance == "a:3").count(), 2);
    assert_eq!(collection.groups().len(), 1 + 4);
}

#[test]
fn over_a_reload_a_page_that_is_read_alike_keeps_its_group() {
    let host = FakeHost::new("reread");
    host.write("loadavg", "1.00 2.00 3.00 1/2 3\n");
    let inputs = [plan("loadavg")];
    let plans = scraped("", &[1, 2, 3]);
    let (targets, sender) = Targets::scraped_by_hand(numbered(&plans));
    let mut collection = host.collection(&inputs).beside(targets);
    for (number, target) in numbered(&plans) {
        let scrape = good(&mut Scan::new(target));
        sender.send(Event::Scraped(number, scrape)).unwrap();
    }
    collection.collect(Timestamp(1000));
    let before = due_scrapes(&collection);
    assert_eq!(before.len(), 6);

    let reload = |collection: Collection, keys: &str| {
        let plans = scraped(keys, &[3, 2]);
        let (targets, sender) = Targets::scraped_by_hand(numbered(&plans));
        let mut next = host.collection(&inputs).beside(targets);
        next.succeed(collection);
        next.collect(Timestamp(2000));
        let ended = due_scrapes(&next);
        for (number, target) in numbered(&plans) {
            sender.send(Event::Scraped(number, good(&mut Scan::new(target)))).unwrap();
        }
        next.collect(Timestamp(3000));
        (due_scrapes(&next), ended, next)
    };
    let of = |all: &[(u32, String, usize)], instance: &str| -> Vec<u32> {
        all.iter().filter(|(_, of, _)| of == instance).map(|(id, ..)| *id).collect()
    };
    let (now, ended, next) = reload(collection, "scrape_interval: 1s, scrape_timeout: 1s,");
    assert_eq!(
        ended.iter().map(|(id, ..)| *id).collect::<BTreeSet<_>>(),
        of(&before, "a:1").into_iter().collect()
    );
    assert_eq!(of(&now, "a:2"), of(&before, "a:2"));
    assert_eq!(of(&now, "a:3"), of(&before, "a:3"));
    // Read in another way, a page has another number; what is told of scrapes has not.
    let filter = "metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}],";
    let (then, ended, _) = reload(next, filter);
    assert_eq!(ended.len(), 2, "two pages end: {ended:?}");
    for instance in ["a:2", "a:3"] {
        let ([page, report], [was, told]) = (&of(&then, instance)[..], &of(&now, instance)[..])
        else {
            panic!("{then:?}")
        };
        assert_ne!(page, was);
        assert_eq!(report, told);
    }
}
