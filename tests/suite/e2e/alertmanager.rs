//! A real Alertmanager receives, groups and resolves what we push, and its webhook and ours say the
//! same of the same alerts: of the notifier's alone, and of a collector's whose host falls ill.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use bellwether_collector::pure::config::{Overrides, Surroundings, read};
use bellwether_collector::pure::notify::Notifier;
use bellwether_collector::pure::notify::event::{AlertNow, Effect, Event, RuleRef, Ticket};
use bellwether_collector::pure::notify::plan::NotifyPlan;
use bellwether_collector::pure::notify::record::Outcome;
use bellwether_collector::pure::notify::state::NotifyState;
use bellwether_collector::shell::deliver::{DeliverMetrics, Deliverer, Ended, Outgoing, start};
use bellwether_model::id::{Position, StoreId};
use bellwether_model::label::LabelSet;
use bellwether_model::time::{self, Timestamp};
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{Folder, Process, free_port, get, peer, skip, until};
use prometheus::Registry;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::pair::Pair;
use super::rules::host::Host;
use super::rules::listed;

const SOON: Duration = Duration::from_secs(30);
const OUTSIDE: &str = "http://outside.invalid";

/// Takes webhooks: path and body of each.
fn webhooks() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (told, taken) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let mut buffer = [0; 16 << 10];
            let body = loop {
                let count = stream.read(&mut buffer).unwrap();
                bytes.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&bytes);
                let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
                match serde_json::from_str::<Value>(body) {
                    Ok(body) => break body,
                    Err(_) => assert!(count > 0, "a whole body"),
                }
            };
            let head = String::from_utf8_lossy(&bytes);
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
            if told.send((path, body)).is_err() {
                return;
            }
        }
    });
    (address, taken)
}

/// A notifier and who sends for it.
struct Telling {
    notifier: Notifier,
    clock: Clock,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    outcomes: Receiver<(Ticket, Outcome)>,
    _durable: watch::Sender<Position>,
}

impl Telling {
    fn new(plan: NotifyPlan) -> Telling {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let (told, outcomes) = channel();
        let (durable, synced) = watch::channel(Position(0));
        let clock = Clock::collector();
        let deliverer = Deliverer {
            outgoing: queue,
            durable: synced,
            outcomes: Arc::new(move |ended: Ended| drop(told.send((ended.ticket, ended.outcome)))),
            clock: clock.clone(),
            environment: BTreeMap::new(),
            metrics: DeliverMetrics::new(&Registry::new()),
        };
        start(deliverer).unwrap();
        let notifier = Notifier::new(StoreId([3; 16]), plan, NotifyState::default());
        let mut telling = Telling { notifier, clock, outgoing, outcomes, _durable: durable };
        telling.step(Event::Restored);
        telling
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.notifier.step(self.clock.now(), event, &mut effects);
        for effect in effects {
            if let Effect::Send(delivery) = effect {
                self.outgoing.send((delivery, Position(0))).unwrap();
            }
        }
    }

    /// Takes outcomes and does what is due.
    fn turn(&mut self) {
        while let Ok((ticket, outcome)) = self.outcomes.try_recv() {
            assert!(outcome.is_success(), "{outcome:?}");
            self.step(Event::Delivered { ticket, outcome });
        }
        self.step(Event::Tick);
    }

    fn rule(&mut self, alerts: Vec<AlertNow>) {
        let rule =
            RuleRef { file: "r.yml".into(), group: "g".into(), alert: "Down".into(), number: 0 };
        let slot = self.clock.now().wall;
        self.step(Event::Rule { rule, interval: Duration::from_secs(1), slot, alerts });
    }
}

fn alert(instance: &str, starts_at: Timestamp, ends_at: Option<Timestamp>) -> AlertNow {
    let labels = [("alertname", "Down"), ("instance", instance), ("team", "a\"b<c>")];
    AlertNow {
        labels: LabelSet::new(labels).unwrap(),
        annotations: BTreeMap::from([("summary".to_owned(), format!("{instance} is down & out"))]),
        value: 0.0,
        starts_at,
        ends_at,
        generator_url: format!("{OUTSIDE}/graph?g0.expr=up&g0.tab=1"),
    }
}

/// The next webhook of each of both, with alerts in one order.
fn both(telling: &mut Telling, taken: &Receiver<(String, Value)>, status: &str) -> [Value; 2] {
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    until("webhooks of Alertmanager and of us", SOON, || {
        telling.turn();
        while let Ok((path, mut body)) = taken.try_recv() {
            let alerts = body["alerts"].as_array_mut().unwrap();
            alerts.sort_by_key(|alert| alert["fingerprint"].to_string());
            if alerts.len() == 2 && body["status"] == status {
                found.insert(path, body);
            }
        }
        (found.len() == 2).then_some(())
    });
    [found["/theirs"].clone(), found["/ours"].clone()]
}

/// An Alertmanager that tells `hooks`, and its address; `None` where none is installed.
fn alertmanager(folder: &Folder, hooks: &str) -> Option<(Process, String)> {
    let Some(alertmanager) = peer("prometheus-alertmanager") else {
        skip("prometheus-alertmanager is not installed");
        return None;
    };
    let configuration = format!(
        "route: {{receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 1s, \
         repeat_interval: 1h}}\n\
         receivers: [{{name: ops, webhook_configs: [{{url: 'http://{hooks}/theirs'}}]}}]\n"
    );
    let address = format!("127.0.0.1:{}", free_port());
    let process = Process::start(
        "alertmanager",
        Command::new(alertmanager)
            .arg("--config.file")
            .arg(folder.write("alertmanager.yml", &configuration))
            .arg("--storage.path")
            .arg(folder.join("alertmanager"))
            .args(["--cluster.listen-address=", &format!("--web.listen-address={address}")])
            .arg(format!("--web.external-url={OUTSIDE}"))
            .arg("--web.route-prefix=/"),
    );
    until("Alertmanager is ready", SOON, || {
        get(&address, "/-/ready").ok().filter(|answer| answer.status == 200)
    });
    Some((process, address))
}

#[test]
fn an_alertmanager_receives_groups_and_resolves_and_its_webhooks_are_like_ours() {
    let (hooks, taken) = webhooks();
    let folder = Folder::new("alertmanager");
    let Some((_alertmanager, address)) = alertmanager(&folder, &hooks) else { return };
    let text = format!(
        "external_labels: {{site: north}}\nnotify:\n  receivers: {{ops: {{webhook: {{url: \
         'http://{hooks}/ours', group_wait: 1s, group_interval: 1s}}}}}}\n  \
         alertmanagers: [{{url: 'http://{address}'}}]\n"
    );
    let plan = read("c.yaml", &text, &Surroundings::default(), &Overrides::default());
    let plan = plan.unwrap_or_else(|problems| panic!("{problems}")).0;
    let external_url = OUTSIDE.to_owned();
    let mut telling = Telling::new(NotifyPlan { external_url, ..plan.notify });
    let since = telling.clock.now().wall;
    telling.rule(vec![alert("a", since, None), alert("b", since, None)]);
    let [theirs, ours] = both(&mut telling, &taken, "firing");
    assert_eq!(theirs, ours);
    assert_eq!(ours["groupKey"], r#"{}:{alertname="Down"}"#);
    assert_eq!(ours["commonLabels"]["site"], "north");

    let ended = Some(telling.clock.now().wall);
    telling.rule(vec![alert("a", since, ended), alert("b", since, ended)]);
    let [theirs, ours] = both(&mut telling, &taken, "resolved");
    assert_eq!(theirs, ours);
    assert!(telling.notifier.state().clone() != NotifyState::default());
}

/// What the API of an Alertmanager answers.
fn api(address: &str, target: &str) -> Value {
    let answer = get(address, target).unwrap();
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// The same time, in whatever form each writes it.
fn is_same_time(one: &Value, other: &Value) -> bool {
    let read = |value: &Value| time::parse(value.as_str().unwrap()).unwrap();
    read(one) == read(other)
}

#[test]
fn an_alertmanager_is_told_by_a_collector_of_a_host_that_falls_ill_and_recovers() {
    let (hooks, taken) = webhooks();
    let mut pair = Pair::new("through-alertmanager", "", "");
    let Some((_alertmanager, address)) = alertmanager(&pair.folder, &hooks) else { return };
    let rules = pair.folder.write(
        "rules.yml",
        "groups: [{name: g, interval: 500ms, rules: [{alert: Ill, expr: light_total > 0, for: 1s, \
         labels: {severity: page}, annotations: {summary: 'it is {{ $value }}'}}]}]\n",
    );
    pair.write_collector(&format!(
        "external_url: {OUTSIDE}\nexternal_labels: {{site: north}}\n\
         rules: {{files: ['{}']}}\nnotify: {{alertmanagers: [{{url: 'http://{address}'}}]}}\n",
        rules.display()
    ));
    pair.start_collector();
    let host = Host::start(&pair.collector);
    host.set(1);
    let theirs = until("the alert at Alertmanager", SOON, || {
        api(&address, "/api/v2/alerts").as_array()?.first().cloned()
    });
    let ours = listed(&pair, "a firing alert", |alert| alert["state"] == "firing");
    assert!(is_same_time(&theirs["startsAt"], &ours["firing_since"]), "{theirs} {ours}");
    let page = format!("{OUTSIDE}/graph?g0.expr=light_total+%3E+0&g0.tab=1");
    assert_eq!(theirs["generatorURL"], Value::from(page));
    assert_eq!(theirs["status"]["state"], "active");
    assert_eq!(theirs["fingerprint"], ours["fingerprint"]);
    assert_eq!(theirs["annotations"]["summary"], "it is 1");
    let mut labels = theirs["labels"].clone();
    assert_eq!(labels["alertname"].take(), "Ill");
    labels.as_object_mut().unwrap().remove("alertname");
    assert_eq!(labels, ours["labels"]);
    assert_eq!((&labels["site"], &labels["severity"]), (&"north".into(), &"page".into()));

    let groups = api(&address, "/api/v2/alerts/groups");
    assert_eq!(groups[0]["labels"]["alertname"], "Ill");
    assert_eq!(groups[0]["alerts"].as_array().map(Vec::len), Some(1));
    let (_, told) = taken.recv_timeout(SOON).unwrap();
    assert_eq!(
        (&told["status"], &told["alerts"][0]["status"]),
        (&"firing".into(), &"firing".into())
    );
    assert!(is_same_time(&told["alerts"][0]["startsAt"], &ours["firing_since"]));

    host.set(0);
    until("no alert at Alertmanager", SOON, || {
        api(&address, "/api/v2/alerts").as_array()?.is_empty().then_some(())
    });
    let over = listed(&pair, "a resolved alert", |alert| alert["state"] == "resolved");
    let (_, told) = taken.recv_timeout(SOON).unwrap();
    assert_eq!(told["status"], "resolved");
    assert!(is_same_time(&told["alerts"][0]["startsAt"], &ours["firing_since"]));
    assert!(is_same_time(&told["alerts"][0]["endsAt"], &over["resolved_at"]), "{told} {over}");
}
