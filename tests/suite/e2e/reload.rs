//! A changed configuration taken up by running daemons: all of it or nothing.

use bellwether_tests::harness::{Folder, Response, get, get_as, post, until};

use super::daemons::{Agent, Collector, token_file};
use super::pair::{ADMIN, AGENT, COLLECTOR, Pair, SOON};
use super::says;

const TOKENS: &str = "exporter: {reload_token: fedcba9876543210fedcba9876543210}\n";

fn reload(address: &str, token: Option<&str>) -> Response {
    post(address, "/-/reload", token).unwrap()
}

#[test]
fn an_agent_takes_up_a_good_file_and_nothing_of_a_bad_one() {
    let mut pair = Pair::new("reload-agent", "", TOKENS);
    pair.start_collector();
    pair.start_agent();
    until("a series", SOON, || pair.query("node_load1{job='node'}"));
    let read = |name: &str| Pair::metric(&pair.page, name);
    assert_eq!(read("bellwether_agent_config_last_reload_successful"), Some(1.0));
    for (token, status) in [(None, 401), (Some("wrong-wrong-wrong"), 401)] {
        assert_eq!(reload(&pair.page, token).status, status);
    }
    assert_eq!(get(&pair.page, "/-/reload").unwrap().status, 401);

    pair.write_agent(&format!("{TOKENS}labels: {{rack: '7'}}\ninputs: {{lodavg: {{}}}}\n"));
    let refused = reload(&pair.page, Some(ADMIN));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("lodavg") && refused.body.contains("agent.yaml:"), "{refused:?}");
    assert_eq!(read("bellwether_agent_config_last_reload_successful"), Some(0.0));
    assert_eq!(pair.told().unwrap()["config_reload_successful"], false);
    // It would have shipped the label by then.
    let frames =
        |pair: &Pair| pair.told()?["shipping"]["collectors"][0]["acked"]["frames"].as_u64();
    let before = frames(&pair);
    until("further frames", SOON, || (frames(&pair) > before.map(|n| n + 3)).then_some(()));
    assert_eq!(pair.query("node_load1{rack='7'}").map(|series| series.len()), None);

    pair.write_agent(&format!(
        "{TOKENS}labels: {{rack: '7'}}\n\
         inputs: {{interval: 2s, uname: {{enabled: false}}, filesystem: {{enabled: false}}, \
         timex: {{enabled: false}}, netclass: {{enabled: false}}, arp: {{enabled: false}}, \
         self: {{enabled: false}}}}\n\
         agent: {{data_dir: /elsewhere}}\n"
    ));
    let taken = reload(&pair.page, Some(ADMIN));
    assert_eq!((taken.status, taken.body.as_str()), (200, "reloaded\n"), "a flag stands over it");
    until("the new label", SOON, || pair.query("node_load1{rack='7'}"));
    until("the end of the old", SOON, || pair.query("node_load1{rack=''}").is_none().then_some(()));
    // What ran in another group, and what runs no more, has ended as well.
    for gone in ["node_uname_info", "node_filesystem_size_bytes", "node_timex_status"] {
        until(gone, SOON, || pair.query(gone).is_none().then_some(()));
    }
    assert_eq!(read("bellwether_agent_config_last_reload_successful"), Some(1.0));
    let inputs = pair.told().unwrap()["inputs"].clone();
    let names: Vec<_> = inputs.as_array().unwrap().iter().map(|i| i["name"].clone()).collect();
    assert!(names.contains(&"cpu".into()) && !names.contains(&"uname".into()), "{names:?}");

    // Other labels and a smaller spool, on SIGHUP.
    let more = format!("{TOKENS}labels: {{rack: '8'}}\nspool: {{bytes_max: 8MiB}}\n");
    pair.write_agent(&more);
    pair.process(AGENT).hang_up();
    until("another label", SOON, || pair.query("node_load1{rack='8'}"));
    assert_eq!(pair.told().unwrap()["shipping"]["spool_bytes_max"], 8 << 20);
    pair.write_agent(&format!("{TOKENS}exporter2: 1\n"));
    pair.process(AGENT).hang_up();
    let failed = "configuration not reloaded";
    let _rest = pair.process(AGENT).line(failed, SOON);
    assert!(pair.process(AGENT).is_running());
}

#[test]
fn a_collector_that_is_added_and_one_that_is_removed_cost_no_row() {
    let folders = ["reload-first", "reload-second"].map(Folder::new);
    let [first, second] = [0, 1].map(|place: usize| Collector::start(&folders[place], ""));
    let token = token_file(&folders[0], "token");
    let mut agent = Agent::start(&folders[0], "moved", &first.address, &token, "");
    let config = |collectors: &[&Collector]| {
        let each = |one: &&Collector| format!("  - url: http://{}\n{token}", one.address);
        let collectors: String = collectors.iter().map(each).collect();
        format!(
            "agent: {{instance: moved}}\ncollectors:\n{collectors}\
             exporter: {{listen: '127.0.0.1:0'}}\n\
             inputs: {{sequence: {{enabled: true, rows_per_second: 10}}}}\n"
        )
    };
    let goes_on = |collector: &Collector| {
        let before = collector.numbers("moved").len();
        until("rows", SOON, || (collector.numbers("moved").len() > before + 20).then_some(()));
    };
    goes_on(&first);
    agent.reload(&config(&[&first, &second]));
    goes_on(&second);
    goes_on(&first);
    agent.reload(&config(&[&second]));
    says(&agent.process, "configuration reloaded", SOON);
    goes_on(&second);
    let left = first.numbers("moved").len();
    goes_on(&second);
    assert_eq!(first.numbers("moved").len(), left, "nobody ships to it any more");
    assert_eq!(agent.figure("bellwether_agent_samples_dropped_total"), 0);
    agent.process.kill();
    // Each frame of the agent has one row with a number, which begins anew with a reload. The
    // second collector was given what was held, which is all; the first has all until it went.
    let second = until("the rows of all frames applied", SOON, || {
        let answer = get(&second.address, "/bellwether/v1/hosts").ok()?;
        let hosts: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
        let numbers = second.numbers("moved");
        (hosts[0]["applied"] == format!("1:{}", numbers.len())).then_some(numbers)
    });
    let first = first.numbers("moved");
    assert_eq!(first, second[..left]);
    let starts = second.iter().filter(|number| **number == (1 << 32) | 1).count();
    let goes_up = second.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert_eq!((starts, goes_up), (3, second.len() - 3), "{second:?}");
}

#[test]
fn a_collector_takes_up_principals_limits_and_labels() {
    let mut pair = Pair::new("reload-collector", "external_labels: {site: north}\n", "");
    pair.start_collector();
    pair.start_agent();
    until("a series", SOON, || pair.query("node_load1"));
    let federate =
        |address: &str| get_as(address, "/federate?match[]=node_load1", ADMIN).unwrap().body;
    assert!(federate(&pair.collector).contains("site=\"north\""));
    assert_eq!(reload(&pair.collector, None).status, 401);
    let ingest = "0123456789abcdef0123456789abcdef";
    assert_eq!(reload(&pair.collector, Some(ingest)).status, 403, "agents may not");

    pair.write_collector("external_labels: {site: south}\nlimits: {agnts: 3}\n");
    let refused = reload(&pair.collector, Some(ADMIN));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("agnts") && refused.body.contains("collector.yaml:"));
    let good = "bellwether_collector_config_last_reload_successful";
    assert_eq!(Pair::metric(&pair.collector, good), Some(0.0));
    assert!(federate(&pair.collector).contains("site=\"north\""), "nothing has changed");

    pair.write_collector(
        "external_labels: {site: south}\nlimits: {series_per_agent: 50}\nstore: {retention: 1h}\n",
    );
    let taken = reload(&pair.collector, Some(ADMIN));
    assert_eq!((taken.status, taken.body.as_str()), (200, "reloaded; needs a restart: store\n"));
    assert!(federate(&pair.collector).contains("site=\"south\""));
    assert_eq!(Pair::metric(&pair.collector, good), Some(1.0));
    // The limit counts for series that come from now on: another agent's.
    pair.process(AGENT).kill();
    std::fs::remove_dir_all(pair.folder.join("data/agent")).unwrap();
    pair.start_agent();
    until("refused columns", SOON, || {
        let refused = "bellwether_collector_columns_refused_total{reason=\"series_per_agent\"}";
        Pair::metric(&pair.collector, refused).filter(|columns| *columns > 0.0)
    });
    // The agent knows and tells of it.
    let told = until("refused columns in the status", SOON, || {
        let refused = &pair.told()?["shipping"]["collectors"][0]["columns_refused"];
        refused["series_per_agent"].as_u64().filter(|columns| *columns > 0)
    });
    let counted = until("the same on the page", SOON, || {
        Pair::metric(&pair.page, "bellwether_agent_columns_refused_total")
    });
    assert!(told > 0 && counted >= told as f64, "{counted} on the page, {told} told");
    let line = "the collector does not take all columns";
    says(pair.process(AGENT), line, SOON);
    let (well, table) = pair.status("table");
    assert!(well && table.contains("refused") && table.contains("series_per_agent: "), "{table}");
    // A principal that is gone is refused at once, on SIGHUP.
    let admin = pair.folder.join("admin");
    pair.folder.write(
        "collector.yaml",
        &format!("principals: {{people: {{token_file: {}, scopes: [admin]}}}}\n", admin.display()),
    );
    pair.process(COLLECTOR).hang_up();
    until("a refusal", SOON, || {
        let told = pair.told()?;
        let collector = told["shipping"]["collectors"][0].clone();
        (collector["state"] == "refused").then_some(())
    });
}

#[test]
fn of_two_reloads_within_one_tick_the_newer_counts() {
    let mut pair = Pair::new("reload-twice", "", TOKENS);
    let slow = |name: &str, cut: &str| {
        format!(
            "{TOKENS}labels: {{rack: '{name}'}}\ninputs: {{interval: 5s, {cut}: {{enabled: false}}}}\n"
        )
    };
    pair.write_agent(&slow("1", "entropy"));
    pair.start_agent();
    for (name, cut) in [("2", "filefd"), ("3", "uname")] {
        pair.write_agent(&slow(name, cut));
        let taken = reload(&pair.page, Some(ADMIN));
        assert_eq!((taken.status, taken.body.as_str()), (200, "reloaded\n"));
    }
    until("the inputs of the newer file", SOON, || {
        let inputs = pair.told()?["inputs"].clone();
        let names: Vec<_> = inputs.as_array()?.iter().map(|i| i["name"].clone()).collect();
        (names.contains(&"filefd".into()) && !names.contains(&"uname".into())).then_some(())
    });
}
