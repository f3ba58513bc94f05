//! Many at once, much from one, and connections that hang: nobody else waits for them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use bellwether_model::wire::answer::{Case, PUSH_PATH, RefusedReason};
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{Folder, LightAgent, Process, Pushing, free_port, get, until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use super::super::daemons::{Agent, Collector, TOKEN, token_file};
use super::super::{START, query, says};
use super::{is_undisturbed, watched};

/// The columns over an agent's limit, as the collector's page counts them.
const REFUSED: &str = "bellwether_collector_columns_refused_total{reason=\"series_per_agent\"}";

const CROWD: u32 = 1000;
/// Frames that each of the crowd pushes.
const FRAMES: u32 = 3;
const STACK_BYTES: usize = 256 << 10;
/// Series of one agent, five times what a collector takes by default.
const SERIES: usize = 100_000;
const SERIES_TAKEN: usize = 20_000;
/// Connections that hang with half a request.
const HANGING: usize = 25;
/// Readers that do not read, and how often each asks for all series: more than a socket buffers.
const READERS: usize = 5;
const PAGES: usize = 6;
/// A page of the collector's own metrics is smaller.
const PAGE_BYTES: u64 = 1 << 20;
/// A head has 10 s, a body 30 s, an answer 30 s.
const LATE: Duration = Duration::from_secs(60);

/// Lets this process open as many files as the system allows it.
fn open_files() -> bool {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
    let wanted = u64::from(CROWD) + 200;
    getrlimit(Resource::Nofile).current.is_none_or(|current| current >= wanted)
}

/// A thousand agents, released at the same moment.
fn crowd(collector: &Collector) {
    let start = Clock::collector().now().wall.saturating_sub(Duration::from_secs(60));
    let ready = Arc::new(Barrier::new(CROWD as usize));
    let each = |number: u32| {
        let (ready, address) = (Arc::clone(&ready), collector.address.clone());
        move || {
            let mut agent = LightAgent::new(number, &format!("crowd-{number}"), 10);
            ready.wait();
            let mut pushing = Pushing::connect(&address, Some(TOKEN)).unwrap();
            for second in 1..=FRAMES {
                let time = start.saturating_add(Duration::from_secs(1) * second);
                let frame = agent.frame(time, |place| f64::from(second) + place as f64);
                let (status, answer) = pushing.push(&agent.body(&[&frame], &[])).unwrap();
                assert_eq!((status, answer.case), (200, Case::Applied), "{}", answer.text);
            }
        }
    };
    let spawn = |number| thread::Builder::new().stack_size(STACK_BYTES).spawn(each(number));
    let crowd: Vec<_> = (0..CROWD).map(|number| spawn(number).unwrap()).collect();
    crowd.into_iter().for_each(|agent| agent.join().unwrap());
    until("every session counted", LATE, || {
        let sessions = collector.figure("bellwether_collector_sessions");
        (sessions >= u64::from(CROWD)).then_some(())
    });
    assert_eq!(collector.figure("bellwether_listener_connections_refused_total"), 0);
    let kept = query(&collector.address, "light_total{place=\"9\"}[1h]").unwrap();
    assert_eq!(kept.len(), CROWD as usize);
    assert!(kept.iter().all(|series| series.samples.len() == FRAMES as usize));
}

/// An agent with five times the series that are taken: the rest is named and counted.
fn too_many_series(collector: &Collector) {
    let mut agent = LightAgent::new(CROWD, "broad", SERIES);
    let start = Clock::collector().now().wall.saturating_sub(Duration::from_secs(60));
    let mut pushing = Pushing::connect(&collector.address, Some(TOKEN)).unwrap();
    let held = collector.figure("bellwether_store_series ");
    for second in 1..=2 {
        let time = start.saturating_add(Duration::from_secs(1) * second);
        let frame = agent.frame(time, |place| (place % 7) as f64);
        let (status, answer) = pushing.push(&agent.body(&[&frame], &[])).unwrap();
        let case = if second == 1 { Case::RefusedColumns } else { Case::Applied };
        assert_eq!((status, answer.case), (200, case), "{}", answer.text);
        if second == 1 {
            assert_eq!(
                (answer.refused as usize, answer.columns.len()),
                (SERIES - SERIES_TAKEN, 64)
            );
            let named = answer.columns.iter().map(|column| column.reason);
            assert!(named.into_iter().all(|reason| reason == RefusedReason::SeriesPerAgent));
        }
    }
    let refused = until("the refusals counted", LATE, || {
        let refused = collector.figure(REFUSED);
        (refused > 0).then_some(refused)
    });
    assert_eq!(refused, (SERIES - SERIES_TAKEN) as u64);
    let taken = collector.figure("bellwether_store_series ") - held;
    assert!((SERIES_TAKEN as u64..SERIES_TAKEN as u64 + 100).contains(&taken), "{taken}");
    // Both rows of each series that was taken, read back.
    let samples = "count_over_time(light_total{instance=\"broad\"}[1h])";
    for (count, expected) in [("count", SERIES_TAKEN), ("sum", 2 * SERIES_TAKEN)] {
        let kept = query(&collector.address, &format!("{count}({samples})")).unwrap();
        assert_eq!(kept[0].samples[0].1, expected as f64, "{count}");
    }
}

/// Connections that send a part and then nothing.
fn parts(address: &str, part: &str, count: usize) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(part.as_bytes()).unwrap();
        stream.set_read_timeout(Some(LATE)).unwrap();
        stream
    };
    (0..count).map(open).collect()
}

/// Readers that ask for everything and read nothing.
fn slow_readers(address: &str) -> Vec<TcpStream> {
    // Ended ones among them, which `/federate` leaves out.
    let series = "/api/v1/series?match[]=%7Bjob=%22light%22%7D";
    let ask = format!("GET {series} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    parts(address, &ask.repeat(PAGES), READERS)
}

/// A link on which nothing comes back until it is mended.
struct Link {
    address: String,
    mended: Arc<AtomicBool>,
}

impl Link {
    fn to(server: &str) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (mended, server) = (Arc::new(AtomicBool::new(false)), server.to_owned());
        let is_mended = Arc::clone(&mended);
        thread::spawn(move || {
            let mut held = Vec::new();
            for client in listener.incoming() {
                let client = client.unwrap();
                if is_mended.load(Ordering::Relaxed) {
                    let server = TcpStream::connect(&server).unwrap();
                    copy(client.try_clone().unwrap(), server.try_clone().unwrap());
                    copy(server, client);
                } else {
                    held.push(client);
                }
            }
        });
        Link { address, mended }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Both).ok();
    });
}

#[test]
fn idle_connections_to_the_page_of_an_agent_cost_nobody_else_anything() {
    /// More than the files that an agent may open by default.
    const IDLE: usize = 1100;
    assert!(open_files(), "this process may not open {IDLE} files");
    let folder = Folder::new("idle");
    let collector = Collector::start(&folder, "");
    let watched = watched(&folder, &collector);
    let pid = i32::try_from(watched.process.id()).ok().and_then(Pid::from_raw);
    let most = Some(1024);
    prlimit(pid, Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let idle: Vec<_> = (0..IDLE).map(|_| TcpStream::connect(&watched.page).unwrap()).collect();
    let numbers = || collector.numbers("watched").len();
    let before = numbers();
    until("rows that go on", LATE, || (numbers() > before + 50).then_some(()));
    let files = std::fs::read_dir(format!("/proc/{}/fd", watched.process.id())).unwrap().count();
    assert!(files < 200, "{files}");
    drop(idle);
    is_undisturbed(&watched, &collector);
}

#[test]
fn crowds_floods_and_connections_that_hang_hold_up_nobody() {
    assert!(open_files(), "this process may not open {CROWD} files");
    let folder = Folder::new("crowds");
    let collector = Collector::start(&folder, "");
    let watched = watched(&folder, &collector);
    // The longest waits begin first.
    let link = Link::to(&collector.address);
    let half_open =
        Agent::start(&folder, "half-open", &link.address, &token_file(&folder, "token"), "");
    let head = format!("POST {PUSH_PATH} HTTP/1.1\r\nhost: {}\r\n", collector.address);
    let heads = parts(&collector.address, &head, HANGING);
    let whole = format!("{head}authorization: Bearer {TOKEN}\r\ncontent-length: 1000\r\n\r\nBWP1");
    let bodies = parts(&collector.address, &whole, HANGING);

    crowd(&collector);
    too_many_series(&collector);
    let readers = slow_readers(&collector.address);
    // Each holds a place for as long as its page is made, not until it has read it.
    until("a page for another reader", LATE, || {
        (get(&collector.address, "/federate?match[]=up").ok()?.status == 200).then_some(())
    });
    assert!(query(&collector.address, "up{instance=\"watched\"}").is_some());

    until("heads given up", LATE, || {
        let late = collector.figure("bellwether_listener_heads_late_total");
        (late == heads.len() as u64).then_some(())
    });
    for mut body in bodies {
        let mut answer = [0; 12];
        body.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400");
    }
    assert_eq!(collector.answers("bad_envelope"), HANGING as u64);
    until("the half-open connection given up", LATE, || {
        (half_open.answers("unreachable") > 0).then_some(())
    });
    assert_eq!(half_open.acked(), (0, 0));
    link.mended.store(true, Ordering::Relaxed);
    half_open.goes_on();
    half_open.catches_up();
    collector.is_whole("half-open");
    is_undisturbed(&watched, &collector);
    until("readers that do not read cut off", LATE, || {
        let late = collector.figure("bellwether_listener_answers_late_total");
        (late == readers.len() as u64).then_some(())
    });
    assert!(collector.figure("bellwether_listener_answers_bytes") < PAGE_BYTES);
}

#[test]
fn a_low_limit_of_open_files_leaves_fewer_connections_or_refuses_the_start() {
    let folder = Folder::new("open-files");
    let config = folder.write("collector.yaml", "");
    let limited = |limit: u32| {
        let address = format!("127.0.0.1:{}", free_port());
        let serve = Collector::command(&address, &folder.join("data"), &config);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
        command.arg(serve.get_program()).args(serve.get_args());
        (address, Process::start("bellwether", &mut command))
    };
    let (address, process) = limited(1024);
    let _listening = process.line("bellwether: listening on http://", START);
    says(&process, "the limit of open files leaves fewer connections", START);
    let open: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(get(&address, "/-/healthy").unwrap().status, 200);
    drop((open, process));
    let (_, mut process) = limited(300);
    says(&process, "the limit of open files is 300, and at least 320 are needed", START);
    assert_eq!(process.end(START).code(), Some(2));
}
