//! A changed configuration taken up by running daemons: all of it or nothing.

use bellwether_tests::harness::{Response, get, get_as, post, until};

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

    // Another collector is shipped to beside the first, on SIGHUP.
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
