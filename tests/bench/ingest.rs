//! Frames ingested per CPU-second of a running collector, acknowledged after their sync.
//!
//! `bench-ingest ADDRESS TOKEN_FILE PID [AGENTS COLUMNS ROWS SECONDS]`: so many connections, each
//! an agent of its own, push one frame per request, a row of which a fifth of the columns changed,
//! and wait for each answer; rows are SECONDS apart. Unless told: 50 agents, 500 columns, 600 rows,
//! 1 s. The CPU time is that of process PID from /proc, so that the load itself is not counted.
//! Frames are encoded before the clock starts.

use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{env, fs, thread};

use bellwether_model::time::Timestamp;
use bellwether_model::wire::answer::Case;
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{LightAgent, Pushing};

/// A fifth of the columns changes from row to row.
const CHANGED_EVERY: u32 = 5;

/// How much is pushed.
#[derive(Clone, Copy)]
struct Load {
    agents: u32,
    columns: u32,
    rows: u32,
    cadence: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (Some((places, _)), Some(numbers)) = (arguments.split_at_checked(3), numbers(&arguments))
    else {
        return usage();
    };
    let load = match numbers.as_slice() {
        [] => Load { agents: 50, columns: 500, rows: 600, cadence: Duration::from_secs(1) },
        [agents, columns, rows, seconds] => Load {
            agents: *agents,
            columns: *columns,
            rows: *rows,
            cadence: Duration::from_secs(u64::from(*seconds)),
        },
        _ => return usage(),
    };
    let [address, token_file, pid] = places else { return usage() };
    let token = fs::read_to_string(token_file).expect("the token file").trim().to_owned();
    let clock = Clock::collector();
    let first = clock.now().wall.saturating_sub(load.cadence * (load.rows + 1));
    let ready = Arc::new(Barrier::new(usize::try_from(load.agents).expect("few") + 1));
    let agents: Vec<_> = (0..load.agents)
        .map(|number| {
            let (ready, address, token) = (Arc::clone(&ready), address.clone(), token.clone());
            thread::spawn(move || {
                let bodies = bodies(number, load, first);
                ready.wait();
                push(&address, &token, &bodies)
            })
        })
        .collect();
    ready.wait();
    let (began, cpu_began) = (clock.now().mono, cpu(pid));
    let bytes: usize = agents.into_iter().map(|agent| agent.join().expect("a connection")).sum();
    let (wall, used) = (clock.now().mono.since(began), cpu(pid) - cpu_began);

    let frames = f64::from(load.agents) * f64::from(load.rows);
    let samples = frames * f64::from(load.columns);
    let seconds = used.as_secs_f64();
    println!(
        "frames           {frames:>12.0}  of {} samples, {} connections",
        load.columns, load.agents
    );
    println!("wall             {:>12.2}  s", wall.as_secs_f64());
    println!("collector's CPU  {seconds:>12.2}  s");
    println!("frames           {:>12.0}  per CPU-second", frames / seconds);
    println!("samples          {:>12.0}  per CPU-second", samples / seconds);
    #[expect(clippy::cast_precision_loss, reason = "a count of bytes, printed")]
    let per_sample = bytes as f64 / samples;
    println!("request bodies   {per_sample:>12.3}  bytes a sample");
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: bench-ingest ADDRESS TOKEN_FILE PID [AGENTS COLUMNS ROWS SECONDS]");
    ExitCode::from(2)
}

/// The numbers behind the first three arguments; `None` where one is none.
fn numbers(arguments: &[String]) -> Option<Vec<u32>> {
    arguments.iter().skip(3).map(|argument| argument.parse().ok()).collect()
}

/// The requests of one agent, in order.
fn bodies(number: u32, load: Load, first: Timestamp) -> Vec<Vec<u8>> {
    let columns = usize::try_from(load.columns).expect("few");
    let mut agent = LightAgent::new(number, &format!("bench-{number}"), columns);
    let mut values = vec![0_u32; columns];
    (0..load.rows)
        .map(|row| {
            for (place, value) in (0..).zip(&mut values) {
                if (place + row).is_multiple_of(CHANGED_EVERY) {
                    // Steps of different sizes, as counters of a host have.
                    *value += place % 700 * 7 % 1000 + 1;
                }
            }
            let value = |place: usize| f64::from(values.get(place).copied().unwrap_or_default());
            let frame = agent.frame(first.saturating_add(load.cadence * row), value);
            agent.body(&[&frame], &[])
        })
        .collect()
}

/// Pushes all bodies over one connection; the bytes sent as bodies.
fn push(address: &str, token: &str, bodies: &[Vec<u8>]) -> usize {
    let mut pushing = Pushing::connect(address, Some(token)).expect("a connection");
    let mut sent = 0;
    for body in bodies {
        let (_, answer) = pushing.push(body).expect("a collector's answer");
        assert_eq!(answer.case, Case::Applied, "{}", answer.text);
        sent += body.len();
    }
    sent
}

/// CPU time of all threads of a process so far, from the scheduler.
fn cpu(pid: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process with this PID");
    let nanos = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
