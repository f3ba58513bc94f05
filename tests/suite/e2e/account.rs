//! The agent's account beside the collector's recount, after kills and a spool that overflowed; a
//! host that is drained, or forgotten; one that falls silent.

use std::time::Duration;

use bellwether_model::limit;
use bellwether_tests::harness::{delete, until, within};
use serde_json::Value;

use super::pair::{ADMIN, AGENT, COLLECTOR, INGEST, Pair, SOON};

/// A frame every 10 ms, and a spool that holds a minute of them.
const BUSY: &str = "inputs: {sequence: {enabled: true, rows_per_second: 100}}\n\
                    spool: {age_max: 60s}\n";
/// The same at rest, so that both sides can be read at one moment.
const RESTING: &str = "inputs: {interval: 60s}\nspool: {age_max: 60s}\n";

/// Frames that one request may hold, and so the most that a dying collector leaves unanswered.
const ONE_REQUEST: u64 = limit::FRAMES as u64;

/// The agent's only collector, as it tells.
fn tally(status: &Value) -> &Value {
    &status["shipping"]["collectors"][0]
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// Samples and frames owed, and all that they came to.
fn sums(status: &Value) -> [(u64, u64); 2] {
    ["samples", "frames"].map(|what| {
        let tally = tally(status);
        let dropped = tally["dropped"].as_object().unwrap().values();
        let dropped: u64 = dropped.map(|count| number(&count[what])).sum();
        let known = number(&tally["acked"][what]) + number(&tally["held"][what]) + dropped;
        (number(&tally["owed"][what]), known)
    })
}

fn assert_adds_up(status: &Value) {
    for (owed, known) in sums(status) {
        assert_eq!(owed, known, "{status:#}");
    }
    assert_eq!(status["shipping"]["collected"], tally(status)["owed"], "{status:#}");
}

#[test]
fn both_sides_count_the_same_after_kills_and_an_overflow() {
    let mut pair = Pair::new("account", "", BUSY);
    pair.start_collector();
    pair.start_agent();
    until("frames", SOON, || pair.host().filter(|host| number(&host["counts"]["frames"]) > 20));
    for name in [AGENT, COLLECTOR, AGENT] {
        pair.process(name).kill();
        if name == AGENT {
            pair.start_agent();
        } else {
            // Meanwhile the spool takes what comes.
            within(Duration::from_secs(1), || None::<()>);
            pair.start_collector();
        }
        let status = until("a status", SOON, || pair.told());
        assert_adds_up(&status);
        let before = number(&tally(&status)["acked"]["frames"]);
        until("acknowledgements", SOON, || {
            pair.told().filter(|now| number(&tally(now)["acked"]["frames"]) > before + 20)
        });
    }
    // Away for longer than the spool holds.
    pair.process(COLLECTOR).kill();
    until("the spool to be over its bound", Duration::from_secs(120), || {
        pair.told().filter(|now| {
            assert_adds_up(now);
            tally(now)["dropped"]["spool_age"]["frames"].as_u64() > Some(100)
        })
    });
    pair.start_collector();
    pair.write_agent(RESTING);
    pair.process(AGENT).hang_up();
    // Frames that the collector applied and did not live to answer went by age: the agent counts
    // them as dropped, the collector as applied, and what it has it does not count as skipped.
    let both = |ours: &Value, theirs: &Value| {
        let (acked, dropped) = (&ours["acked"], &ours["dropped"]["spool_age"]);
        let skipped = theirs["skipped"]["spool_age"].as_u64().unwrap_or(0);
        let known = number(&acked["frames"]) + dropped["frames"].as_u64().unwrap_or(0);
        (known, number(&theirs["frames"]) + skipped)
    };
    let (status, host) = until("both sides at rest", Duration::from_secs(60), || {
        let (status, host) = (pair.told()?, pair.host()?);
        let (ours, theirs) = both(tally(&status), &host["counts"]);
        let is_idle = number(&tally(&status)["held"]["frames"]) == 0;
        (ours == theirs && is_idle).then_some((status, host))
    });
    assert_adds_up(&status);
    let (tally, counts) = (tally(&status), &host["counts"]);
    let unanswered = number(&counts["frames"]).checked_sub(number(&tally["acked"]["frames"]));
    assert!(unanswered.is_some_and(|frames| frames <= ONE_REQUEST), "{tally:#} {counts:#}");
    if unanswered == Some(0) {
        assert_eq!(tally["acked"]["samples"], counts["samples"], "{tally:#} {counts:#}");
    }
    let parts = ["stored", "unplaced", "out_of_order", "ahead"];
    let parts: u64 = parts.iter().map(|part| number(&counts[*part])).sum();
    assert_eq!(number(&counts["samples"]), parts, "{counts:#}");
    let (well, wide) = pair.bellwether(&["host", "list", "--wide"]);
    assert!(well && wide.contains("DUPLICATES"), "{wide}");
    let (well, table) = pair.status("table");
    assert!(well && table.contains("acked") && table.contains("INPUT"), "{table}");
    pair.process(AGENT).terminate();
    assert!(pair.process(AGENT).end(SOON).success());
    let (well, text) = pair.status("table");
    assert!(!well && text.contains("no agent runs with the directory"), "{text}");
}

#[test]
fn a_drained_host_leaves_without_a_zero() {
    let mut pair = Pair::new("drain", "", "");
    pair.start_collector();
    pair.start_agent();
    let host = until("the host", SOON, || pair.host().filter(|host| host["state"] == "up"));
    until("up", SOON, || pair.query("up == 1"));
    let agent = host["agent"].as_str().unwrap().to_owned();
    let (well, text) = pair.bellwether(&["host", "drain", &agent, "--wait", "20s"]);
    assert!(well && text.contains(&format!("drained: {agent}")), "{text}");
    assert!(pair.process(AGENT).end(SOON).success(), "the agent ends by itself, and well");
    let host = until("the end", SOON, || pair.host().filter(|host| host["state"] == "drained"));
    assert_eq!(host["agent"], agent);
    until("no up", SOON, || pair.query("up").is_none().then_some(()));
    let up = pair.query("up[10m]").unwrap();
    assert!(up.iter().all(|series| series.samples.iter().all(|(_, v)| *v == 1.0)), "{up:?}");
    // Started again it is told again; with the drain taken back it stays.
    pair.start_agent();
    assert!(pair.process(AGENT).end(SOON).success());
    let (well, text) = pair.bellwether(&["host", "drain", &agent, "--cancel"]);
    assert!(well, "{text}");
    pair.start_agent();
    until("up again", SOON, || pair.host().filter(|host| host["state"] == "up"));
    assert!(pair.process(AGENT).is_running());
}

#[test]
fn a_silent_agents_series_end_when_read() {
    let mut pair = Pair::new("absent", "", "");
    pair.start_collector();
    pair.start_agent();
    until("a series", SOON, || pair.query("node_load1"));
    pair.process(AGENT).kill();
    // What was on its way when it was killed has come by then.
    until("silence", SOON, || pair.host().filter(|host| host["lag_ms"].as_i64() > Some(2000)));
    let rows = |pair: &Pair| Pair::metric(&pair.collector, "bellwether_store_rows_total").unwrap();
    let before = rows(&pair);
    until("the end of it", SOON, || pair.query("node_load1").is_none().then_some(()));
    until("a zero", SOON, || pair.query("up == 0"));
    let host = pair.host().unwrap();
    assert_eq!(host["state"], "down");
    // No marker is stored, which would be a row in each of its groups: what was appended since is
    // `up`, twice if its 15 s were over meanwhile.
    let appended = rows(&pair) - before;
    assert!((1.0..=2.0).contains(&appended), "{appended} rows");
}

#[test]
fn a_host_is_forgotten_by_those_who_may() {
    let mut pair = Pair::new("forget", "", "");
    pair.start_collector();
    pair.start_agent();
    let host = until("the host", SOON, || pair.host().filter(|host| host["state"] == "up"));
    until("up", SOON, || pair.query("up == 1"));
    let agent = host["agent"].as_str().unwrap().to_owned();
    let target = format!("/bellwether/v1/hosts/{agent}");
    let ask = |pair: &Pair, token| delete(&pair.collector, &target, token).unwrap().status;
    assert_eq!((ask(&pair, None), ask(&pair, Some(INGEST))), (401, 403));
    assert_eq!(pair.host().unwrap()["state"], "up", "who may not changes nothing");

    pair.process(AGENT).kill();
    let (well, text) = pair.bellwether(&["host", "forget", &agent]);
    assert!(well && text.contains(&format!("forgotten: {agent}")), "{text}");
    assert_eq!(pair.host(), None);
    until("no up", SOON, || pair.query("up").is_none().then_some(()));
    let up = pair.query("up[10m]").unwrap();
    assert!(up.iter().all(|series| series.samples.iter().all(|(_, v)| *v == 1.0)), "{up:?}");
    assert!(pair.query("node_load1[10m]").is_some(), "its samples stay");
    let (well, text) = pair.bellwether(&["host", "forget", &agent]);
    assert!(!well && text.contains("no such agent"), "{text}");

    // One that comes back begins anew; a collector that starts again has forgotten it as well.
    pair.start_agent();
    until("the host again", SOON, || pair.host().filter(|host| host["state"] == "up"));
    pair.process(AGENT).kill();
    assert_eq!((ask(&pair, Some(ADMIN)), ask(&pair, Some(ADMIN))), (204, 404));
    pair.process(COLLECTOR).kill();
    pair.start_collector();
    assert_eq!((pair.host(), ask(&pair, Some(ADMIN))), (None, 404));
}
