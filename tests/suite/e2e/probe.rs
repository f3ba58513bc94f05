//! Probes by a real agent, seen from the collector, from its page and beside blackbox_exporter.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use bellwether_tests::harness::{
    Daemon, Folder, Process, daemon, free_port, get, peer, skip, until,
};

use super::START;
use super::pair::{AGENT, Pair, SOON};

/// A service that answers until it is stopped; then nobody listens there.
struct Backend {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Backend {
    fn start() -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, is_over) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                answer(&mut stream.unwrap());
            }
        });
        Backend { address, is_over, thread }
    }

    fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address).unwrap());
        self.thread.join().unwrap();
    }
}

/// A head is read to its end, then answered; probes of a port send none.
fn answer(stream: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    stream.write_all(text.as_bytes()).ok();
}

/// The values of a query, in the order of its series.
fn values(pair: &Pair, expression: &str) -> Vec<f64> {
    let series = pair.query(expression).unwrap_or_default();
    series.iter().filter_map(|series| series.samples.last()).map(|sample| sample.1).collect()
}

#[test]
fn a_target_is_up_and_then_down_and_its_series_end_when_it_is_taken_out() {
    let backend = Backend::start();
    let (url, port) = (format!("http://{}/", backend.address), backend.address);
    let section =
        |targets: &str| format!("inputs: {{probe: {{interval: 1s, targets: [{targets}]}}}}\n");
    let both = format!("{{url: '{url}'}}, {{url: 'tcp://{port}', labels: {{tier: web}}}}");
    let mut pair = Pair::new("probe", "", &section(&both));
    pair.start_collector();
    pair.start_agent();
    let success = format!("probe_success{{job='blackbox',instance='{url}'}}");
    until("a success", SOON, || (values(&pair, &success) == [1.0]).then_some(()));
    until("the port", SOON, || (values(&pair, "probe_success{tier='web'}") == [1.0]).then_some(()));
    let found = pair.query("probe_http_status_code").unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    for (name, value) in [("environment", "production"), ("instance", &url), ("job", "blackbox")] {
        assert_eq!(found[0].labels.get(name).map(String::as_str), Some(value));
    }
    let phases = pair.query("sum by (phase) (probe_http_duration_seconds)").unwrap();
    let phases: BTreeSet<&str> = phases.iter().map(|series| &*series.labels["phase"]).collect();
    let all = ["connect", "processing", "resolve", "tls", "transfer"];
    assert_eq!(phases.into_iter().collect::<Vec<_>>(), all);
    // The targets are not agents. `up` has its samples once a second.
    until("the agent's up", SOON, || (values(&pair, "up") == [1.0]).then_some(()));
    assert_eq!(values(&pair, "count(up)"), [1.0]);
    let page = get(&pair.page, "/metrics").unwrap().body;
    assert!(page.contains(&format!("instance=\"{url}\",job=\"blackbox\"}} 200\n")), "{page}");

    backend.stop();
    until("a failure", SOON, || (values(&pair, &success) == [0.0]).then_some(()));
    until("a status of 0", SOON, || {
        (values(&pair, "probe_http_status_code") == [0.0]).then_some(())
    });

    pair.write_agent(&section(&format!("{{url: '{url}'}}")));
    pair.process(AGENT).hang_up();
    let gone = "probe_success{tier='web'}";
    until("the end of the port's series", SOON, || pair.query(gone).is_none().then_some(()));
    assert_eq!(values(&pair, &success), [0.0], "the other goes on");
    pair.write_agent("");
    pair.process(AGENT).hang_up();
    until("the end of all", SOON, || pair.query("probe_success").is_none().then_some(()));
}

/// Names, labels and types of the series of probes on a page, but for those labels.
fn shapes(page: &str, without: &[&str]) -> BTreeSet<String> {
    let mut shapes = BTreeSet::new();
    for line in page.lines().filter(|line| line.contains("probe_")) {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            shapes.insert(kind.to_owned());
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| {
                !label.is_empty() && !without.iter().any(|name| label.starts_with(name))
            });
            shapes.insert(format!("{name} {}", labels.collect::<Vec<_>>().join(",")));
        }
    }
    shapes
}

#[test]
fn once_shows_what_blackbox_exporter_shows() {
    let Some(program) = peer("prometheus-blackbox-exporter") else {
        return skip("prometheus-blackbox-exporter is not installed");
    };
    let (folder, backend) = (Folder::new("blackbox"), Backend::start());
    let modules = "{http_2xx: {prober: http}, tcp_connect: {prober: tcp}}";
    let listen = format!("127.0.0.1:{}", free_port());
    let file = folder.write("blackbox.yml", &format!("modules: {modules}\n"));
    let mut command = Command::new(program);
    command.arg("--config.file").arg(&file).args(["--web.listen-address", &listen]);
    let _exporter = Process::start("blackbox_exporter", &mut command);
    until("its page", START, || get(&listen, "/-/healthy").ok());
    let dead = free_port();
    for (url, module) in [
        (format!("http://{}/", backend.address), "http_2xx"),
        (format!("http://127.0.0.1:{dead}/"), "http_2xx"),
        (format!("tcp://{}", backend.address), "tcp_connect"),
    ] {
        let target = url.trim_start_matches("tcp://");
        let theirs = get(&listen, &format!("/probe?module={module}&target={target}")).unwrap().body;
        let section = format!("modules: {modules}, targets: [{{url: '{url}', module: {module}}}]");
        let agent = folder.write("agent.yaml", &format!("inputs: {{probe: {{{section}}}}}\n"));
        let mut once = Command::new(daemon(Daemon::Agent));
        let output = once.arg("once").arg("--config").arg(agent).output().unwrap();
        let ours = String::from_utf8(output.stdout).unwrap();
        let ours = shapes(&ours, &["agent=", "environment=", "instance=", "job="]);
        let theirs = shapes(&theirs, &[]);
        let lacking: Vec<_> = theirs.difference(&ours).collect();
        // What one or the other version of it has, and nothing else.
        let newer = ["probe_failed_due_to_bytes", "probe_timeout_seconds"];
        let known = |shape: &&&String| newer.iter().any(|name| shape.starts_with(name));
        assert_eq!(lacking.iter().filter(|shape| !known(shape)).count(), 0, "{url}: {lacking:?}");
        let more: Vec<_> = ours.difference(&theirs).collect();
        assert_eq!(more.iter().filter(|shape| !known(shape)).count(), 0, "{url}: {more:?}");
    }
    backend.stop();
}
