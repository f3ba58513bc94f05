//! Secrets nowhere: tokens, passwords in URLs and key material are planted wherever the daemons
//! take them, and then looked for in everything that both say.
//!
//! What both say: logs at `trace`, every page, answers to refused and broken requests and to
//! reloads of wrong files, `check`, `once`, `status`, `doctor` and `host list`, Debug forms of a
//! wrong configuration, and the journals.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bellwether_tests::harness::{
    Authority, Daemon, Folder, Process, daemon, escape, free_port, get_secure, post_secure, until,
};

use super::{START, says};

const SOON: Duration = Duration::from_secs(30);
/// Planted, each where it belongs.
const INGEST: &str = "planted-ingest-8f14e45fceea167a";
const READER: &str = "planted-reader-c9f0f895fb98ab91";
const OPERATOR: &str = "planted-admin-45c48cce2e2d7fbd";
const IN_THE_FILE: &str = "planted-inline-d3d9446802a44259";
const PASSWORD: &str = "planted-password-6512bd43d9caa6e0";
const HOOK: &str = "planted-hook-aab3238922bcc25a";
const SIGNING: &str = "whsec_cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQtcGxhbnRlZA==";
const RELOAD: &str = "planted-reload-eccbc87e4b5ce2fe";
const SCRAPE: &str = "planted-scrape-a87ff679a2f3e71d";
/// Planted where it is wrong.
const WRONG: &str = "planted-wrong-c20ad4d76fe97759";
const ALL: [&str; 10] =
    [INGEST, READER, OPERATOR, IN_THE_FILE, PASSWORD, HOOK, SIGNING, RELOAD, SCRAPE, WRONG];

/// Everything that was said, with who said it.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    fn add(&mut self, who: impl Into<String>, what: impl Into<Vec<u8>>) {
        self.0.push((who.into(), what.into()));
    }

    fn output(&mut self, who: &str, output: &Output) {
        self.add(who, [output.stdout.as_slice(), &output.stderr].concat());
    }

    fn process(&mut self, who: &str, process: &Process) {
        self.add(who, process.lines().join("\n"));
    }

    /// All files below a directory.
    fn files(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(&path);
            } else {
                self.add(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }

    /// Looks for secrets, as they are and as they travel in `Basic` and in URLs.
    fn has_none_of(&self, secrets: &[String]) {
        for (who, what) in &self.0 {
            for secret in secrets {
                let found = what.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret:?} is in what {who} says");
            }
        }
        assert!(self.0.iter().map(|(_, what)| what.len()).sum::<usize>() > 100_000);
    }
}

/// The base64 of text whose length is a multiple of three, which then is part of a longer one.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (triples, _) = text.as_bytes().as_chunks::<3>();
    let mut out = String::new();
    for [a, b, c] in triples {
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        for shift in [18, 12, 6, 0] {
            out.push(char::from(DIGITS[(bits >> shift & 63) as usize]));
        }
    }
    out
}

/// Secrets in every form, and the lines of the private key.
fn secrets(key: &Path) -> Vec<String> {
    let mut secrets: Vec<String> = ALL.iter().map(|secret| (*secret).to_owned()).collect();
    secrets.extend([PASSWORD, SCRAPE].map(|password| base64(&format!("u:{password}"))));
    let key = fs::read_to_string(key).unwrap();
    secrets.extend(key.lines().filter(|line| line.len() > 40).map(str::to_owned));
    secrets.push("PRIVATE KEY".to_owned());
    assert!(secrets.len() > ALL.len() + 2);
    secrets
}

fn start(folder: &Folder, port: u16) -> Process {
    let principal = |name: &str, scope: &str| {
        let file = folder.join(name);
        format!("  {name}: {{token_file: {}, scopes: [{scope}]}}\n", file.display())
    };
    let config = format!(
        "listen: 127.0.0.1:{port}\n\
         tls: {{cert_file: {}, key_file: {}}}\nprincipals:\n{}{}{}\
         notify:\n  receivers: {{ops: {{webhook: {{url: 'http://127.0.0.1:9/{HOOK}', \
         secret: {SIGNING}, bearer_token: {IN_THE_FILE}}}}}}}\n  \
         alertmanagers: [{{url: 'http://127.0.0.1:9', basic_auth: {{username: u, \
         password: {PASSWORD}}}}}]\n  heartbeat: {{url: 'http://127.0.0.1:9/{HOOK}', every: 1s}}\n",
        folder.join("server.pem").display(),
        folder.join("server.key").display(),
        principal("ingest", "ingest"),
        principal("reader", "read"),
        principal("operator", "admin"),
    );
    let mut command = Command::new(daemon(Daemon::Collector));
    command.arg("serve").arg("--config").arg(folder.write("collector.yaml", &config));
    command.arg("--data-dir").arg(folder.join("data")).env("BELLWETHER_LOG", "trace");
    Process::start("bellwether", &mut command)
}

fn start_agent(
    folder: &Folder,
    name: &str,
    collector: &str,
    environment: &[(&str, &str)],
) -> Process {
    let config = format!(
        "collectors:\n  - {{{collector}}}\n\
         exporter: {{listen: 127.0.0.1:0, token: {IN_THE_FILE}, reload_token: {RELOAD}, \
         tls: {{cert_file: {cert}, key_file: {key}}}}}\n\
         inputs: {{scrape: {{scrape_configs: [{{job_name: dead, scrape_interval: 1s, \
         scrape_timeout: 1s, basic_auth: {{username: u, password: {SCRAPE}}}, \
         static_configs: [{{targets: ['127.0.0.1:9']}}]}}]}}}}\n",
        cert = folder.join("server.pem").display(),
        key = folder.join("server.key").display(),
    );
    let mut command = Command::new(daemon(Daemon::Agent));
    command.arg("run").arg("--config").arg(folder.write(&format!("{name}.yaml"), &config));
    command.arg("--data-dir").arg(folder.join(name)).env("BELLWETHER_LOG", "trace");
    Process::start(name, command.envs(environment.iter().copied()))
}

/// Everything that answers, asked with every token and with none.
fn pages(said: &mut Said, base: &str, ca: &Path) {
    let query = format!("/api/v1/query?query={}", escape("{job=~\".+\"}"));
    let token_in_query = format!("/api/v1/query?query={}", escape(&format!("up{{x=\"{WRONG}\"")));
    for path in [
        "/",
        "/metrics",
        "/federate?match[]=%7Bjob=~%22.%2B%22%7D",
        "/federate?match[]=-",
        query.as_str(),
        "/api/v1/series?match[]=up",
        "/api/v1/labels",
        "/api/v1/status/buildinfo",
        "/bellwether/v1/hosts",
        "/bellwether/v1/status",
        "/api/bw/v1/alerts",
        "/api/bw/v1/alerts/why?alert=Any",
        "/runbooks/HostDown",
        "/-/healthy",
        "/-/ready",
        "/agent/v1/push",
        "/nowhere",
    ] {
        let tokens = [INGEST, READER, OPERATOR, IN_THE_FILE, RELOAD, WRONG];
        for token in [None].into_iter().chain(tokens.map(Some)) {
            let answer = get_secure(base, path, ca, token).unwrap();
            let headers = answer.headers.join("\n");
            said.add(format!("{base}{path} with {token:?}"), headers + "\n" + &answer.body);
        }
    }
    // What a caller writes into a query is the caller's own; it must not be logged all the same.
    get_secure(base, &token_in_query, ca, Some(READER)).unwrap();
}

fn commands(said: &mut Said, folder: &Folder, base: &str) {
    let broken = format!(
        "listn: x\nprincipals:\n  a: {{token: {IN_THE_FILE}, scopes: [ingest]}}\n  \
         b: {{token_hash: {WRONG}, scopes: [ingest]}}\n\
         notify:\n  receivers:\n    a: {{webhook: {{url: 'ftp://{HOOK}', secret: {WRONG}}}}}\n    \
         b: {{webhook: {{url: 'http://u:{PASSWORD}@h/', secrets: [{{secret: {WRONG}}}], \
         bearer_token: [{WRONG}]}}}}\n"
    );
    let agents = format!(
        "collectors:\n  - {{url: 'https://u:{PASSWORD}@c:9797', token: {IN_THE_FILE}, \
         proxy: 'ftp://u:{PASSWORD}@c:1'}}\n  - {{url: 'https://c:1', token: [{WRONG}]}}\n\
         exporter: {{token: '{WRONG} with a space'}}\n"
    );
    let agent = daemon(Daemon::Agent);
    for output in ["table", "json"] {
        let mut check = Command::new(daemon(Daemon::Collector));
        check.args(["check", "config", "-o", output, "--agent-bin"]).arg(&agent);
        check.arg(folder.write("broken.yaml", &broken)).arg(folder.write("agent.yaml", &agents));
        check.arg(folder.join("collector.yaml")).arg(folder.join("shipping.yaml"));
        let checked = check.output().unwrap();
        assert_eq!(checked.status.code(), Some(1));
        said.output(&format!("check -o {output}"), &checked);
    }
    for token in ["operator", "ingest", "wrong", "server.key"] {
        let mut list = Command::new(daemon(Daemon::Collector));
        list.args(["host", "list", "--url", base, "--token-file"]).arg(folder.join(token));
        list.arg("--ca-file").arg(folder.join("ca.pem"));
        said.output(&format!("host list as {token}"), &list.output().unwrap());
    }
    for name in ["shipping", "refused", "through", "around"] {
        for output in ["table", "json"] {
            let mut status = Command::new(&agent);
            status.args(["status", "-o", output, "--data-dir"]).arg(folder.join(name));
            let status = status.output().unwrap();
            assert!(status.status.success(), "{status:?}");
            said.output(&format!("status -o {output} of {name}"), &status);
        }
    }
    for (name, code) in [("shipping.yaml", 0), ("agent.yaml", 2)] {
        let mut once = Command::new(&agent);
        once.arg("once").arg("--config").arg(folder.join(name)).env("BELLWETHER_LOG", "trace");
        let once = once.output().unwrap();
        assert_eq!(once.status.code(), Some(code), "{once:?}");
        said.output(&format!("once with {name}"), &once);
    }
    for (config, token) in
        [("collector.yaml", "reader"), ("collector.yaml", "wrong"), ("broken.yaml", "reader")]
    {
        for output in ["table", "json"] {
            let mut doctor = Command::new(daemon(Daemon::Collector));
            doctor.args(["doctor", "-o", output, "--url", base, "--config"]);
            doctor.arg(folder.join(config)).arg("--data-dir").arg(folder.join("data"));
            doctor.arg("--token-file").arg(folder.join(token));
            doctor.arg("--ca-file").arg(folder.join("ca.pem"));
            let who = format!("doctor -o {output} of {config} as {token}");
            said.output(&who, &doctor.output().unwrap());
        }
    }
    let mut run = Command::new(&agent);
    run.arg("run").arg("--config").arg(folder.join("agent.yaml"));
    said.output("agent with a broken file", &run.env("BELLWETHER_LOG", "trace").output().unwrap());
    let mut serve = Command::new(daemon(Daemon::Collector));
    serve.arg("serve").arg("--config").arg(folder.join("broken.yaml"));
    said.output("collector with a broken file", &serve.output().unwrap());
}

/// Reloads of files that are wrong where they hold secrets: what both answer, with which their logs
/// agree.
fn reloads(said: &mut Said, folder: &Folder, (base, page): (&str, &str), ca: &Path) {
    let wrong = |good: &str, wrong: &str| {
        let path = folder.join(good);
        fs::copy(&path, folder.join("kept.yaml")).unwrap();
        fs::copy(folder.join(wrong), &path).unwrap();
    };
    for (who, good, bad, token) in [
        (base, "collector.yaml", "broken.yaml", OPERATOR),
        (page, "shipping.yaml", "agent.yaml", RELOAD),
    ] {
        wrong(good, bad);
        for token in [None, Some(WRONG), Some(token)] {
            let answer = post_secure(who, "/-/reload", ca, token).unwrap();
            let is_read = token.is_some_and(|token| token != WRONG);
            assert_eq!(answer.status, if is_read { 400 } else { 401 }, "{answer:?}");
            let headers = answer.headers.join("\n");
            said.add(format!("the reload of {bad} at {who}"), headers + "\n" + &answer.body);
        }
        fs::copy(folder.join("kept.yaml"), folder.join(good)).unwrap();
    }
}

#[test]
fn no_secret_is_in_anything_that_is_said() {
    let folder = Folder::new("secrets");
    let authority = Authority::new("planted");
    let (_, key) = authority.issue("localhost", &folder);
    let secrets = secrets(&key);
    let ca = folder.write("ca.pem", &authority.pem());
    for (name, token) in
        [("ingest", INGEST), ("reader", READER), ("operator", OPERATOR), ("wrong", WRONG)]
    {
        folder.write_secret(name, token);
    }
    let (port, dead) = (free_port(), free_port());
    let base = format!("https://localhost:{port}");
    let collector = start(&folder, port);
    says(&collector, "bellwether: listening on https://", START);

    let route = |token: &str| {
        format!(
            "url: '{base}', ca_file: {}, token_file: {}",
            ca.display(),
            folder.join(token).display()
        )
    };
    let proxy = format!("http://u:{PASSWORD}@127.0.0.1:{dead}");
    let shipping = start_agent(&folder, "shipping", &route("ingest"), &[]);
    let refused = start_agent(&folder, "refused", &route("wrong"), &[]);
    let through = route("ingest") + &format!(", proxy: '{proxy}'");
    let through = start_agent(&folder, "through", &through, &[]);
    // Proxies of the environment do not count for this machine itself.
    let elsewhere = route("ingest").replace("localhost", "collector.invalid");
    let around = start_agent(&folder, "around", &elsewhere, &[("HTTPS_PROXY", &proxy)]);
    let page = shipping.line("bellwether-agent: listening on https://", START);
    let page = format!("https://localhost:{}", page.rsplit_once(':').unwrap().1);
    says(&shipping, "collector acknowledges", SOON);
    says(&refused, "the token is not known", SOON);
    let troubled = |agent: &Process| {
        until("a proxy that is not there", SOON, || {
            agent.lines().iter().any(|line| line.contains("frames are not taken")).then_some(())
        });
    };
    troubled(&through);
    troubled(&around);

    let mut said = Said::default();
    pages(&mut said, &base, &ca);
    pages(&mut said, &page, &ca);
    commands(&mut said, &folder, &base);
    reloads(&mut said, &folder, (&base, &page), &ca);
    // A secret exchanged while it runs, for another and for one that cannot be used.
    folder.write_secret("reader", IN_THE_FILE);
    says(&collector, "token read again", SOON);
    folder.write_secret("reader", &format!("{WRONG} with more"));
    says(&collector, "token unusable", SOON);
    folder.write_secret("server.key", &format!("-----BEGIN {WRONG}"));
    says(&collector, "changed certificate unusable", SOON);

    let daemons = [
        ("the collector", collector),
        ("an agent that ships", shipping),
        ("an agent that is refused", refused),
        ("an agent with a proxy", through),
        ("an agent with a proxy in its environment", around),
    ];
    for (_, process) in &daemons {
        process.terminate();
    }
    for (name, mut process) in daemons {
        process.end(SOON);
        said.process(name, &process);
    }
    for data in ["data", "shipping", "refused", "through"] {
        said.files(&folder.join(data));
    }
    said.has_none_of(&secrets);
}
