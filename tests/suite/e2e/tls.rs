//! TLS from agent to collector through a proxy, over an exchange of certificates.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bellwether_tests::harness::{
    Authority, Daemon, Folder, Process, daemon, free_port, get_secure, until,
};

use super::{START, json, says, series};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const READER: &str = "fedcba9876543210fedcba9876543210";
/// For what the agent tries again every five seconds at most, and the collector each second.
const SOON: Duration = Duration::from_secs(30);

/// A proxy that speaks CONNECT and nothing else; its connections can be cut.
struct Proxy {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, open) = (listener.local_addr().unwrap(), Arc::default());
        let kept = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, kept) = (client.unwrap(), Arc::clone(&kept));
                thread::spawn(move || tunnel(client, &kept));
            }
        });
        Proxy { address, open }
    }

    fn cut(&self) -> usize {
        let open: Vec<TcpStream> = self.open.lock().unwrap().drain(..).collect();
        open.iter().filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    }
}

fn tunnel(mut client: TcpStream, kept: &Mutex<Vec<TcpStream>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    let mut server = TcpStream::connect(target).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    kept.lock().unwrap().push(client.try_clone().unwrap());
    let (mut to_server, mut from_client) =
        (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Both).ok();
    });
    copy(&mut server, &mut client).ok();
    client.shutdown(Shutdown::Both).ok();
}

fn start_collector(folder: &Folder, port: u16) -> Process {
    let token = folder.write_secret("token", TOKEN);
    let reader = folder.write_secret("reader", READER);
    let config = format!(
        "listen: 127.0.0.1:{port}\n\
         tls: {{cert_file: {cert}, key_file: {key}}}\n\
         principals:\n  agents: {{token_file: {token}, scopes: [ingest]}}\n  \
         people: {{token_file: {reader}, scopes: [read]}}\n",
        cert = folder.join("server.pem").display(),
        key = folder.join("server.key").display(),
        token = token.display(),
        reader = reader.display(),
    );
    let mut command = Command::new(daemon(Daemon::Collector));
    command.arg("serve").arg("--config").arg(folder.write("collector.yaml", &config));
    let collector =
        Process::start("bellwether", command.arg("--data-dir").arg(folder.join("data")));
    let _address = collector.line("bellwether: listening on https://", START);
    collector
}

/// An agent whose page speaks TLS too and asks for a token.
fn start_agent(folder: &Folder, name: &str, collector: &str) -> (Process, String) {
    let config = format!(
        "collectors:\n  - {{{collector}, token_file: {token}}}\n\
         exporter: {{listen: 127.0.0.1:0, token_file: {reader}, \
         tls: {{cert_file: {cert}, key_file: {key}}}}}\n\
         inputs: {{sequence: {{enabled: true, rows_per_second: 10}}}}\n",
        token = folder.join("token").display(),
        reader = folder.join("reader").display(),
        cert = folder.join("server.pem").display(),
        key = folder.join("server.key").display(),
    );
    let mut command = Command::new(daemon(Daemon::Agent));
    command.arg("run").arg("--config").arg(folder.write(&format!("{name}.yaml"), &config));
    let agent = Process::start(name, command.arg("--data-dir").arg(folder.join(name)));
    let address = agent.line("bellwether-agent: listening on https://", START);
    let port = address.rsplit_once(':').unwrap().1;
    (agent, format!("https://localhost:{port}"))
}

/// Neither page nor collector is read without a token; the command line has one.
fn only_the_known_read(folder: &Folder, page: &str, collector: &str, ca: &Path) {
    let status =
        |base, path, token| get_secure(base, path, ca, token).map(|answer| answer.status).unwrap();
    assert_eq!(status(page, "/metrics", None), 401);
    assert_eq!(status(page, "/-/healthy", None), 200);
    assert_eq!(status(collector, "/metrics", None), 401);
    assert_eq!(status(collector, "/metrics", Some(TOKEN)), 403);
    let list = |ca: &Path| {
        let mut command = Command::new(daemon(Daemon::Collector));
        command.args(["host", "list", "--url", collector, "--token-file"]);
        let output = command.arg(folder.join("reader")).arg("--ca-file").arg(ca).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), told)
    };
    let (listed, told) = list(ca);
    assert!(listed && told.contains("node"), "{told}");
    let (listed, told) = list(&folder.join("gone.pem"));
    assert!(!listed && told.contains("gone.pem\" does not exist"), "{told}");
}

#[test]
fn frames_go_through_tls_and_a_proxy_over_an_exchange_of_authorities() {
    let folder = Folder::new("tls");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    old.issue("localhost", &folder);
    let ca = folder.write("ca.pem", &old.pem());
    let all = folder.write("all.pem", &(old.pem() + &new.pem()));
    let port = free_port();
    let url = format!("https://localhost:{port}");
    let collector = start_collector(&folder, port);
    let proxy = Proxy::start();
    let route = format!(
        "url: '{url}', ca_file: {ca}, proxy: 'http://user:hunter2@{proxy}'",
        ca = ca.display(),
        proxy = proxy.address
    );
    let (mut agent, page) = start_agent(&folder, "agent", &route);
    says(&agent, "collector acknowledges", SOON);
    let figure = |name: &str| {
        let page = get_secure(&page, "/metrics", &all, Some(READER)).ok()?;
        let line = page.body.lines().find(|line| line.starts_with(name))?;
        line.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    let acked = || figure("bellwether_agent_acked_seq").unwrap_or(0);
    until("frames acknowledged", SOON, || (acked() & 0xffff_ffff > 10).then_some(()));

    only_the_known_read(&folder, &page, &url, &all);
    let (plain, _) = start_agent(&folder, "plain", &format!("url: 'http://localhost:{port}'"));
    says(&plain, "the collector speaks TLS: the URL must begin with https://", SOON);

    // A certificate of an authority that the agent does not know.
    new.issue("localhost", &folder);
    says(&collector, "changed certificate read", SOON);
    let held = acked();
    until("the old connection still used", SOON, || (acked() > held).then_some(()));
    assert!(proxy.cut() > 0);
    says(&agent, "its certificate is signed by none of", SOON);
    until("counted as such", SOON, || {
        (figure("bellwether_agent_push_total{case=\"tls\"}")? > 0).then_some(())
    });

    // A broken certificate changes nothing; the new authority in the agent's file is noticed.
    folder.write("server.pem", "nothing");
    says(&collector, "changed certificate unusable; the old one stays in use", SOON);
    std::fs::copy(&all, &ca).unwrap();
    let held = acked();
    until("frames acknowledged again", SOON, || (acked() > held + 20).then_some(()));
    agent.terminate();
    assert!(agent.end(Duration::from_secs(15)).success());

    let path = "/api/v1/query?query=bellwether_agent_sequence%5B1h%5D";
    let answer = get_secure(&url, path, &all, Some(READER)).unwrap();
    let result = json(&answer).unwrap();
    let rows = series(&result["data"]["result"][0]);
    let numbers: Vec<u64> = rows
        .samples
        .iter()
        .map(|(_, value)| format!("{value:.0}").parse::<u64>().unwrap())
        .collect();
    let first = numbers[0];
    let whole: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!((first & 0xffff_ffff, &numbers), (1, &whole), "each row once");
    for process in [&collector, &agent, &plain] {
        let log = process.lines().join("\n");
        for secret in [TOKEN, READER, "hunter2", "PRIVATE KEY"] {
            assert!(!log.contains(secret), "a secret is in the log: {log}");
        }
    }
    let told = agent.lines().iter().filter(|line| line.contains("signed by none of")).count();
    assert_eq!(told, 1, "a state is told once");
}
