//! The dashboards: what Grafana would show empty, misread or refuse is found here.

use std::collections::BTreeSet;
use std::fs;

use bellwether_agent::pure::input::own;
use bellwether_promql::parse::parse;
use bellwether_rules::group::ALERTS;
use bellwether_tests::host_day::{Day, HostDay};
use serde_json::Value;

use crate::contract;

/// Units of Grafana that the dashboards use: those of rates, times, sizes and parts.
const UNITS: [&str; 10] =
    ["Bps", "bps", "bytes", "iops", "none", "ops", "percentunit", "pps", "s", "short"];
/// How a panel names its data source.
const SOURCE: &str = "${datasource}";
const ROWS: [&str; 8] =
    ["Overview", "CPU", "Memory", "Pressure", "Disks", "Filesystems", "Network", "Agent"];
/// What Grafana puts in place of its own variables.
const INTERVAL: &str = "$__rate_interval";

/// The metrics that hosts have: of the golden pages, the agent's own account, the recording, and
/// what the collector adds.
fn metrics() -> BTreeSet<String> {
    let mut all: BTreeSet<String> = contract::ours().into_keys().collect();
    all.extend(own::FAMILIES.iter().map(|family| family.name.to_owned()));
    all.extend(HostDay::stretched(Day::USUAL).metrics().into_iter().map(str::to_owned));
    all.extend(["up".to_owned(), ALERTS.to_owned()]);
    all
}

/// What is wrong with an expression.
fn expression(text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let expr = match parse(&text.replace(INTERVAL, "5m")) {
        Ok(expr) => expr,
        Err(error) => return vec![format!("{text}: {error}")],
    };
    let mut wrong = Vec::new();
    let mut selectors = 0;
    expr.each_selector(&mut |selector| {
        selectors += 1;
        match &selector.name {
            Some(name) if known.contains(name) => {}
            name => wrong.push(format!("{text}: no host has {name:?}")),
        }
        for label in ["job", "instance"] {
            let asked = format!("{label}=\"${label}\"");
            if !text.contains(&asked) {
                wrong.push(format!("{text}: {asked} is missing"));
            }
        }
    });
    if selectors == 0 {
        wrong.push(format!("{text}: selects nothing"));
    }
    wrong
}

/// What is wrong with a panel that is no row.
fn panel(panel: &Value, known: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or("").trim().to_owned();
    let title = text(&panel["title"]);
    if title.is_empty() {
        wrong.push("a panel has no title".to_owned());
    }
    if text(&panel["description"]).len() < 10 {
        wrong.push(format!("{title:?} has no description"));
    }
    let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
    if !UNITS.contains(&unit.as_str()) {
        wrong.push(format!("{title:?} has the unit {unit:?}"));
    }
    let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
    if targets.is_empty() {
        wrong.push(format!("{title:?} asks nothing"));
    }
    let mut names = BTreeSet::new();
    for target in targets {
        if !names.insert(text(&target["refId"])) {
            wrong.push(format!("{title:?}: two targets have one name"));
        }
        wrong.extend(expression(&text(&target["expr"]), known));
    }
    for source in targets.iter().chain([panel]) {
        if source["datasource"]["uid"] != SOURCE || source["datasource"]["type"] != "prometheus" {
            wrong.push(format!("{title:?} has a data source of its own"));
        }
    }
    wrong
}

/// The corners of a panel: left, top, right, bottom.
fn corners(panel: &Value) -> [i64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_i64().unwrap_or(-1));
    [x, y, x + w, y + h]
}

/// What is wrong with a dashboard.
fn dashboard(document: &Value, known: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let panels = document["panels"].as_array().map_or(&[][..], Vec::as_slice);
    let mut ids = BTreeSet::new();
    for (number, this) in panels.iter().enumerate() {
        if !this["id"].as_i64().is_some_and(|id| ids.insert(id)) {
            wrong.push(format!("the number {} is not one panel's", this["id"]));
        }
        let at = corners(this);
        if at[0] < 0 || at[1] < 0 || at[2] <= at[0] || at[3] <= at[1] || at[2] > 24 {
            wrong.push(format!("{} has no place", this["title"]));
        }
        let over = panels[..number].iter().map(corners).any(|other| {
            at[0] < other[2] && other[0] < at[2] && at[1] < other[3] && other[1] < at[3]
        });
        if over {
            wrong.push(format!("{} lies over another panel", this["title"]));
        }
        if this["type"] != "row" {
            wrong.extend(panel(this, known));
        }
    }
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<&str> = rows.filter_map(|panel| panel["title"].as_str()).collect();
    if rows != ROWS {
        wrong.push(format!("the rows are {rows:?}"));
    }
    wrong.extend(variables(document, known));
    wrong
}

fn variables(document: &Value, known: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let list = document["templating"]["list"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = list.iter().filter_map(|variable| variable["name"].as_str()).collect();
    if names != ["datasource", "job", "instance"] {
        wrong.push(format!("the variables are {names:?}"));
    }
    for variable in list.iter().filter(|variable| variable["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap_or("");
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let Some((selector, label)) = inner.and_then(|inner| inner.rsplit_once(", ")) else {
            wrong.push(format!("{query:?} is no query of a variable"));
            continue;
        };
        if variable["name"] != label || variable["datasource"]["uid"] != SOURCE {
            wrong.push(format!("{query:?} is not for this variable"));
        }
        let named = parse(selector).ok().and_then(|expr| {
            let mut name = None;
            expr.each_selector(&mut |selector| name.clone_from(&selector.name));
            name
        });
        if !named.is_some_and(|name| known.contains(&name)) {
            wrong.push(format!("{query:?}: no host has that"));
        }
    }
    wrong
}

fn host() -> Value {
    let text = fs::read_to_string(super::folder("dashboards/host.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn dashboards_show_what_there_is_with_units() {
    let known = metrics();
    let mut count = 0;
    for entry in fs::read_dir(super::folder("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let document = serde_json::from_str(&text).unwrap();
        let wrong = dashboard(&document, &known);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
        count += 1;
    }
    assert!(count >= 1);
}

#[test]
fn each_fault_of_a_dashboard_is_found() {
    let known = metrics();
    // The first panel behind the first row.
    let changes: [(&str, Value, &str); 11] = [
        ("/panels/1/title", "".into(), "no title"),
        ("/panels/1/description", Value::Null, "no description"),
        ("/panels/1/fieldConfig/defaults/unit", "".into(), "the unit"),
        ("/panels/1/datasource/uid", "bellwether".into(), "data source"),
        ("/panels/1/targets/0/datasource/uid", "bellwether".into(), "data source"),
        ("/panels/1/id", 1.into(), "not one panel's"),
        ("/panels/2/gridPos/x", 0.into(), "over another"),
        ("/panels/1/targets/0/expr", "up{job=\"$job\"".into(), "unexpected"),
        ("/panels/1/targets/0/expr", "up{job=\"$job\"}".into(), "is missing"),
        (
            "/panels/1/targets/0/expr",
            "node_none{job=\"$job\",instance=\"$instance\"}".into(),
            "no host has",
        ),
        ("/templating/list/1/query/query", "label_values(node_none, job)".into(), "no host has"),
    ];
    for (pointer, value, said) in changes {
        let mut document = host();
        *document.pointer_mut(pointer).unwrap() = value;
        let wrong = dashboard(&document, &known);
        assert!(wrong.iter().any(|text| text.contains(said)), "{pointer}: {wrong:?}");
    }
}

#[test]
fn provisioning_names_the_data_source_and_the_folder_of_the_readme() {
    let read = |name: &str| fs::read_to_string(super::folder("dashboards").join(name)).unwrap();
    let readme = read("README.md");
    for (file, wanted) in [
        ("provisioning/datasources/bellwether.yaml", "url: http://127.0.0.1:9797\n"),
        (
            "provisioning/dashboards/bellwether.yaml",
            "path: /var/lib/grafana/dashboards/bellwether\n",
        ),
    ] {
        let text = read(file);
        let source = bellwether_model::diagnostic::Source::new(file, &text);
        let (tree, problems) = bellwether_model::config::parse(source);
        assert!(tree.is_some() && !problems.has_errors(), "{problems}");
        assert!(text.contains(wanted), "{file}: {text}");
        assert!(readme.contains(file), "{file}");
    }
    assert!(readme.contains("/var/lib/grafana/dashboards/bellwether/host.json"));
}
