use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use bellwether_model::label::LabelSet;

use super::*;
use crate::pure::config::{Overrides, Surroundings, read};
use crate::pure::scrape::page::VersionChange;

/// The plan of one job, by its keys.
fn plan(keys: &str) -> ScrapePlan {
    let text = format!(
        "inputs: {{scrape: {{scrape_configs: [{{job_name: j, scrape_interval: 1s, {keys}}}]}}}}\n"
    );
    let around = Surroundings { host_name: "h".to_owned(), ..Surroundings::default() };
    let plan = read("f", &text, &around, &Overrides::default());
    plan.unwrap_or_else(|problems| panic!("{problems}")).0.scrapes
}

/// A server that answers each request with what a function makes of its number and head, and tells
/// the heads. Connections are kept until the answer says `close`, or there is none.
fn server(
    answer: impl Fn(usize, &str) -> String + Send + 'static,
) -> (SocketAddr, Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = channel();
    thread::spawn(move || {
        let mut requests = 0;
        for (connection, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            while let Some(head) = head(&mut stream) {
                let text = answer(requests, &head);
                requests += 1;
                if sender.send((connection, head)).is_err() {
                    return;
                }
                stream.write_all(text.as_bytes()).ok();
                if text.is_empty() || text.contains("close") {
                    break;
                }
            }
        }
    });
    (address, heads)
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A task for the only target of a plan.
fn task(keys: &str) -> Task {
    let plan = plan(keys);
    let mut targets = Discovery::new(&plan).look();
    Task::new(Arc::new(targets.remove(0)), Clock::agent())
}

/// So many scrapes, one after the other.
fn scrapes(task: &mut Task, count: usize) -> Vec<Scrape> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(task.scrape().await);
        }
        all
    })
}

fn words(scrape: &Scrape) -> String {
    match &scrape.result {
        Ok(values) => format!("{:?}", values.values),
        Err(failure) => format!("{:?}: {}", failure.reason, failure.words),
    }
}

#[test]
fn a_connection_is_kept_and_what_is_asked_is_what_prometheus_asks() {
    let (address, heads) = server(|number, _| ok("", &format!("a {number}\n")));
    let mut task = task(&format!(
        "params: {{x: ['a b']}}, basic_auth: {{username: u, password: p}}, \
         static_configs: [{{targets: ['{address}']}}]"
    ));
    let told: Vec<String> = scrapes(&mut task, 3).iter().map(words).collect();
    assert_eq!(told, ["[0.0]", "[1.0]", "[2.0]"]);
    drop(task);
    for _ in 0..3 {
        let (connection, head) = heads.recv().unwrap();
        assert_eq!(connection, 0, "one for all");
        for line in [
            "GET /metrics?x=a+b HTTP/1.1\r\n",
            &format!("host: {address}\r\n"),
            "accept: application/openmetrics-text;version=1.0.0;",
            "accept-encoding: identity\r\n",
            "x-prometheus-scrape-timeout-seconds: 1\r\n",
            "authorization: Basic dTpw\r\n",
        ] {
            assert!(head.contains(line), "{line} {head}");
        }
    }
}

#[test]
fn a_connection_that_the_other_side_has_closed_is_made_anew() {
    let (address, heads) =
        server(|number, _| ok(if number == 0 { "X: close\r\n" } else { "" }, "a 1\n"));
    let mut task = task(&format!("static_configs: [{{targets: ['{address}']}}]"));
    let told: Vec<String> = scrapes(&mut task, 2).iter().map(words).collect();
    assert_eq!(told, ["[1.0]", "[1.0]"]);
    assert_eq!((heads.recv().unwrap().0, heads.recv().unwrap().0), (0, 1));
}

#[test]
fn what_does_not_come_as_a_page_fails_in_words() {
    let answers = |number: usize, _: &str| match number {
        0 => "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned(),
        1 => ok("", &"a 1\n".repeat(30)),
        2 => ok("Content-Encoding: gzip\r\n", "a 1\n"),
        3 => "HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
        4 => "HTTP/1.1 302 Found\r\nLocation: /m\r\nContent-Length: 0\r\n\r\n".to_owned(),
        5 => ok("Content-Type: application/openmetrics-text; version=1.0.0\r\n", "a 1\n"),
        6 => ok("", "<html>"),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: close\r\n\r\na 1\n".to_owned(),
    };
    let (address, heads) = server(answers);
    let mut task =
        task(&format!("body_size_limit: 100B, static_configs: [{{targets: ['{address}']}}]"));
    let told: Vec<String> = scrapes(&mut task, 7).iter().map(words).collect();
    let expected = [
        "Status: the server answers with the status 503",
        "Limit: the page is longer than 100 bytes",
        "Malformed: the page is encoded as \"gzip\"",
        "Status: the server answers with the status 302",
        "Malformed: line 2, column 1: expected \"# EOF\"",
        "Malformed: line 1, column 1: expected a metric name",
        "Unreachable: the page broke off",
    ];
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} / {expected}");
    }
    drop(task);
    let paths: Vec<String> = heads.iter().take(6).map(|(_, head)| head[..6].to_owned()).collect();
    assert_eq!(paths[5], "GET /m", "redirected on the same server");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut task = self::task(&format!("static_configs: [{{targets: ['{nobody}']}}]"));
    let told = words(&scrapes(&mut task, 1)[0]);
    assert!(told.starts_with("Refused: cannot connect"), "{told}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let mut task =
        self::task(&format!("scrape_timeout: 50ms, static_configs: [{{targets: ['{address}']}}]"));
    let told = words(&scrapes(&mut task, 1)[0]);
    assert_eq!(told, "Timeout: not done within 50ms");
}

/// Only a connection that is refused says that nobody is there; one that is closed comes of a
/// handler that panics too, and a proxy's end tells nothing of the target.
#[test]
fn what_is_closed_without_an_answer_is_not_refused() {
    let told = |answer: &'static str, keys: &str| {
        let (address, _heads) = server(move |_, _| answer.to_owned());
        let mut task = task(&format!("{keys} static_configs: [{{targets: ['{address}']}}]"));
        words(&scrapes(&mut task, 1)[0])
    };
    let is = |told: String, expected: &str| assert!(told.starts_with(expected), "{told}");
    is(told("", ""), "Unreachable: no answer");
    is(told("close", ""), "Unreachable: no answer");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = format!("proxy_url: 'http://{nobody}',");
    is(told("", &proxy), "Unreachable: cannot connect");
}

#[test]
fn a_version_comes_from_a_header_or_a_file() {
    let (address, _heads) = server(|number, _| {
        let version = if number < 2 { "1.0" } else { "1.1" };
        ok(&format!("X-Version:  {version} \r\n"), "a 1\n")
    });
    let mut task = task(&format!(
        "version: {{header: X-Version}}, static_configs: [{{targets: ['{address}']}}]"
    ));
    let all = scrapes(&mut task, 3);
    let version = |scrape: &Scrape| {
        let values = scrape.result.as_ref().unwrap();
        let version = values.layout[0].labels.get("version").map(str::to_owned);
        (version.unwrap_or_default(), values.change)
    };
    assert_eq!(version(&all[1]), ("1.0".to_owned(), None));
    assert_eq!(version(&all[2]), ("1.1".to_owned(), Some(VersionChange::Unclear)));

    let file = std::env::temp_dir().join(format!("bellwether-version-{}", std::process::id()));
    std::fs::write(&file, "7.1\nand more\n").unwrap();
    let shown = file.display();
    let mut task = self::task(&format!(
        "version: {{file: '{shown}'}}, static_configs: [{{targets: ['{address}']}}]"
    ));
    assert_eq!(version(&scrapes(&mut task, 1)[0]).0, "7.1");
    std::fs::remove_file(&file).unwrap();
    let told = words(&scrapes(&mut task, 1)[0]);
    assert!(told.starts_with("Local: cannot read"), "{told}");
}

#[test]
fn targets_of_files_come_and_go_with_them() {
    let folder = std::env::temp_dir().join(format!("bellwether-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let shown = folder.display().to_string();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let plan = plan(&format!(
        "static_configs: [{{targets: ['s:1']}}], file_sd_configs: [{{files: ['{shown}/*.yml']}}], \
         relabel_configs: [{{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: f}}]"
    ));
    write("a.yml", "- targets: ['a:1', 'a:2']\n");
    write("no.txt", "- targets: ['no:1']\n");
    let mut discovery = Discovery::new(&plan);
    let all = |targets: Vec<ScrapeTarget>| -> Vec<String> {
        let get = |labels: &LabelSet, name: &str| labels.get(name).unwrap_or("-").to_owned();
        targets.iter().map(|t| get(&t.labels, "instance") + " " + &get(&t.labels, "f")).collect()
    };
    assert_eq!(all(discovery.look()), ["s:1 -", "a:1 a.yml", "a:2 a.yml"]);
    assert!(discovery.look_again().is_none());
    write("b.yml", "- targets: ['b:1']\n");
    let found = all(discovery.look_again().unwrap());
    assert_eq!(found, ["s:1 -", "a:1 a.yml", "a:2 a.yml", "b:1 b.yml"]);
    write("b.yml", "- targets: b\n# broken\n");
    assert!(discovery.look_again().is_none(), "it keeps what it had");
    let findings = Discovery::check(&plan);
    assert_eq!((findings.files.len(), findings.targets.len()), (1, 0));
    assert!(findings.files[0].contains("`targets` must be a list"), "{findings:?}");
    std::fs::remove_file(folder.join("a.yml")).unwrap();
    assert_eq!(all(discovery.look_again().unwrap()), ["s:1 -", "b:1 b.yml"]);

    let mut numbers = Numbers::default();
    let first = numbers.of(discovery.look());
    write("b.yml", "- targets: ['c:1', 'b:1']\n");
    let second = numbers.of(discovery.look_again().unwrap());
    assert_eq!(first.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(second.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 3, 2]);
    std::fs::remove_dir_all(&folder).unwrap();
}
