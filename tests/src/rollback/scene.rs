//! nginx before two versions, an agent that scrapes them, a collector that judges, and a hook that
//! switches nginx.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Backend, Load};
use crate::harness::{Folder, Process, free_port, peer, until};

/// The version that serves, and the one that comes.
const OLD: &str = "2.3.9";
const NEW: &str = "2.4.0";
const START: Duration = Duration::from_secs(60);
const INGEST: &str = "0123456789abcdef0123456789abcdef";
const OPERATOR: &str = "fedcba9876543210fedcba9876543210";
/// 32 bytes that nobody else has.
const KEY: &str = "whsec_QmVsbHdldGhlciBiZW5jaCBrZXksIDMyIGJ5dGVzIQ==";
/// Without requests for so long, the new version gets none any more.
const QUIET: i64 = 1_500_000_000;

/// All of it; ends when it is dropped.
pub struct Scene {
    folder: Folder,
    bin: PathBuf,
    collector: String,
    /// The old version and the new one.
    backends: [Backend; 2],
    /// The weights of both in nginx.
    weights: [u32; 2],
    nginx: PathBuf,
    /// The collector is the second, the runner of hooks the last.
    processes: Vec<Process>,
    load: Load,
}

/// One rollback, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The new version's first bad request.
    pub first_bad: i64,
    /// The hook's program began.
    pub hooked: i64,
    /// The new version's last request.
    pub restored: i64,
}

impl Scene {
    /// Starts all of it, with the programs of ours in a folder; `rate` requests a second, in these
    /// parts to the old version and to the new one. `None` if nginx or curl is not installed.
    ///
    /// # Panics
    /// Something does not start.
    #[must_use]
    pub fn start(name: &str, bin: &Path, rate: u64, weights: [u32; 2]) -> Option<Scene> {
        let nginx = peer("nginx")
            .or_else(|| Some("/usr/sbin/nginx".into()).filter(|p: &PathBuf| p.is_file()))?;
        peer("curl")?;
        let folder = Folder::new(name);
        let backends = [Backend::start(OLD).expect("a port"), Backend::start(NEW).expect("a port")];
        let front: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let scene = Files { folder: &folder, backends: &backends, nginx: &nginx, front };
        let collector = format!("127.0.0.1:{}", free_port());
        scene.write(&collector);
        scene.include(weights);
        let mut processes = vec![scene.nginx()];
        processes.push(serve(bin, &folder, &collector));
        let mut agent = Command::new(bin.join("bellwether-agent"));
        agent.args(["run", "--listen", "127.0.0.1:0"]).arg("--data-dir").arg(folder.join("data"));
        agent.arg("--config").arg(folder.join("agent.yaml"));
        processes.push(started("bellwether-agent", &mut agent, "listening on http://"));
        processes.push(hook(bin, &folder));
        let load = Load::start(front, rate);
        Some(Scene {
            bin: bin.to_owned(),
            collector,
            backends,
            weights,
            nginx,
            processes,
            load,
            folder,
        })
    }

    /// The version that comes.
    #[must_use]
    pub fn canary(&self) -> &Backend {
        &self.backends[1]
    }

    /// Answers to users so far: good ones, and all others.
    #[must_use]
    pub fn answers(&self) -> (u64, u64) {
        self.load.counts()
    }

    /// Ends the collector as nothing can be refused, and starts it again.
    ///
    /// # Panics
    /// It does not start.
    pub fn kill_collector(&mut self) {
        let collector = self.processes.get_mut(1).expect("invariant: the second");
        collector.kill();
        *collector = serve(&self.bin, &self.folder, &self.collector);
    }

    /// Ends the runner of hooks as nothing can be refused.
    ///
    /// # Panics
    /// There is none.
    pub fn kill_hook(&mut self) {
        self.processes.last_mut().expect("invariant: the last").kill();
    }

    /// Starts it again.
    pub fn start_hook(&mut self) {
        let hook = hook(&self.bin, &self.folder);
        *self.processes.last_mut().expect("invariant: the last") = hook;
    }

    /// Has the hook's program wait before it does anything, in seconds.
    pub fn slow_hook(&self, seconds: u32) {
        self.folder.write("slow", &seconds.to_string());
    }

    /// Lets both versions serve again, and waits until the new one is asked and scraped.
    ///
    /// # Panics
    /// That does not come to be.
    pub fn both(&self) {
        self.canary().fail(0);
        let front = ([127, 0, 0, 1], 0).into();
        let files =
            Files { folder: &self.folder, backends: &self.backends, nginx: &self.nginx, front };
        files.include(self.weights);
        files.reload();
        let before = self.canary().served();
        until("requests to both", START, || (self.canary().served() > before + 5).then_some(()));
    }

    /// Announces a rollout.
    ///
    /// # Panics
    /// It is refused.
    pub fn announce(&self, id: &str, more: &[&str]) {
        let words = ["rollout", "start", "--service", "checkout", "--from", OLD, "--to", NEW];
        let (well, text) = self.bellwether(&[&words, &["--id", id][..], more].concat());
        assert!(well, "{text}");
    }

    /// What is known of a rollout.
    ///
    /// # Panics
    /// Nothing is.
    #[must_use]
    pub fn status(&self, id: &str) -> Value {
        self.status_if_up(id).expect("a status")
    }

    /// What is known of a rollout; `None` while nobody answers.
    #[must_use]
    pub fn status_if_up(&self, id: &str) -> Option<Value> {
        let (_, text) = self.bellwether(&["rollout", "status", id, "-o", "json"]);
        serde_json::from_str(&text).ok()
    }

    /// Runs a command of the collector's program against this collector.
    ///
    /// # Panics
    /// The program cannot be run.
    #[must_use]
    pub fn bellwether(&self, words: &[&str]) -> (bool, String) {
        self.bellwether_as("operator", words)
    }

    /// The same as another principal: `operator` or `ingest`.
    ///
    /// # Panics
    /// The program cannot be run.
    #[must_use]
    pub fn bellwether_as(&self, who: &str, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(self.bin.join("bellwether"));
        command.args(words).arg("--url").arg(format!("http://{}", self.collector));
        command.arg("--token-file").arg(self.folder.join(who));
        let done = command.output().expect("our own program");
        let text = if done.status.code() == Some(2) { done.stderr } else { done.stdout };
        (done.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Has so many of a thousand requests to the new version fail, and waits until it gets none.
    ///
    /// # Panics
    /// It is not rolled back.
    #[must_use]
    pub fn fault(&self, id: &str, of_thousand: u64) -> Times {
        let hooks = self.hooks().len();
        self.canary().fail(of_thousand);
        until("a rollback", Duration::from_secs(180), || {
            let is_failed = self.status(id).get("state").is_some_and(|state| state == "failed");
            (is_failed && self.hooks().len() > hooks).then_some(())
        });
        let restored = until("traffic on the old version", START, || {
            let last = self.canary().last()?;
            let newest = self.backends[0].last()?;
            (newest - last > QUIET).then_some(last)
        });
        let first_bad = self.canary().first_bad().expect("a bad request");
        let hooked = *self.hooks().get(hooks).expect("the hook was called");
        Times { first_bad, hooked, restored }
    }

    /// When the hook's program has begun, each time.
    #[must_use]
    pub fn hooks(&self) -> Vec<i64> {
        let text = fs::read_to_string(self.folder.join("hooks.log")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The file of a decision record, and that of the key that checks it.
    #[must_use]
    pub fn record(&self, name: &str) -> (PathBuf, PathBuf) {
        let data = self.folder.join("data");
        (data.join("collector/records").join(name), data.join("record.key.pub"))
    }
}

struct Files<'a> {
    folder: &'a Folder,
    backends: &'a [Backend; 2],
    nginx: &'a Path,
    front: SocketAddr,
}

impl Files<'_> {
    fn write(&self, collector: &str) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        self.folder.write_secret("ingest", &format!("{INGEST}\n"));
        self.folder.write_secret("operator", &format!("{OPERATOR}\n"));
        self.folder.write_secret("key", &format!("{KEY}\n"));
        self.folder.write(
            "collector.yaml",
            &format!(
                "principals:\n  agents: {{token_file: {}, scopes: [ingest]}}\n  \
                 operator: {{token_file: {}, scopes: [read, announce, rollout, hook, admin]}}\n\
                 services: {{files: [{}]}}\nhooks: {{switch: {{runner: {{secret_file: {}}}}}}}\n",
                at("ingest"),
                at("operator"),
                at("service.yaml"),
                at("key")
            ),
        );
        let trains = std::env::var("BELLWETHER_TRAIN_REQUESTS");
        let trains = trains.map(|most| format!("train_requests: {most}\n")).unwrap_or_default();
        self.folder.write(
            "service.yaml",
            &format!(
                "service: checkout\nowner: tests\nmode: act\nhook: switch\n{trains}slis:\n  \
                 errors:\n    total: http_requests_total{{job=\"checkout\"}}\n    \
                 bad: http_requests_total{{job=\"checkout\",code=~\"5..\"}}\n"
            ),
        );
        let [old, new] = self.backends.each_ref().map(Backend::address);
        self.folder.write(
            "agent.yaml",
            &format!(
                "collectors: [{{url: 'http://{collector}', token_file: {}}}]\ninputs:\n  scrape:\n    \
                 scrape_configs:\n    - job_name: checkout\n      scrape_interval: 1s\n      \
                 static_configs: [{{targets: ['{old}', '{new}']}}]\n",
                at("ingest")
            ),
        );
        self.write_hook(collector);
        self.write_nginx();
    }

    fn write_hook(&self, collector: &str) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let [old, new] = self.backends.each_ref().map(Backend::address);
        self.folder.write(
            "hook.yaml",
            &format!(
                "collector: {{url: 'http://{collector}', token_file: {}}}\nname: switch\n\
                 secret_file: {}\nstate_dir: {}\nallow:\n- service: checkout\n  \
                 environment: production\n  versions: '[0-9.]+'\n  \
                 rollback: {{run: [{}, rollback]}}\n  observe: {{run: [{}, observe]}}\n",
                at("operator"),
                at("key"),
                at("hook"),
                at("switch.sh"),
                at("switch.sh")
            ),
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/hooks/nginx-switch.sh");
        self.folder.write_program(
            "switch.sh",
            &format!(
                "#!/bin/sh\n[ \"$1\" = observe ] || {{ date +%s%N >>{}; [ ! -e {} ] || sleep \"$(cat {})\"; }}\nexec sh {} --config {} \"$1\"\n",
                at("hooks.log"),
                at("slow"),
                at("slow"),
                script.display(),
                at("switch.env")
            ),
        );
        self.folder.write(
            "switch.env",
            &format!(
                "UPSTREAM=checkout\nINCLUDE={}\nCHECK_URL=http://{}/\nVERSIONS='{OLD} {NEW}'\n\
                 NGINX={}\nNGINX_CONF={}\nBACKEND_2_3_9={old}\nBACKEND_2_4_0={new}\n",
                at("upstream.conf"),
                self.front,
                self.nginx.display(),
                at("nginx.conf")
            ),
        );
    }

    fn write_nginx(&self) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temp: String = temp
            .iter()
            .map(|of| format!("{of}_temp_path {};\n", at(&format!("temp-{of}"))))
            .collect();
        self.folder.write(
            "nginx.conf",
            &format!(
                "worker_processes 1;\npid {};\nerror_log {};\nevents {{}}\nhttp {{\naccess_log off;\n\
                 {temp}include {};\nserver {{ listen {}; location / {{ proxy_pass http://checkout; \
                 proxy_next_upstream off; }} }}\n}}\n",
                at("nginx.pid"),
                at("nginx.log"),
                at("upstream.conf"),
                self.front
            ),
        );
    }

    fn include(&self, [old, new]: [u32; 2]) {
        let [first, second] = self.backends.each_ref().map(Backend::address);
        self.folder.write(
            "upstream.conf",
            &format!(
                "upstream checkout {{ server {first} weight={old}; server {second} weight={new}; }}\n"
            ),
        );
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.nginx);
        command.arg("-c").arg(self.folder.join("nginx.conf"));
        command
    }

    fn nginx(&self) -> Process {
        let process = Process::start("nginx", self.command().args(["-g", "daemon off;"]));
        until("nginx", START, || std::net::TcpStream::connect(self.front).ok());
        process
    }

    fn reload(&self) {
        let done = self.command().args(["-s", "reload"]).output().expect("nginx");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn serve(bin: &Path, folder: &Folder, listen: &str) -> Process {
    let mut serve = Command::new(bin.join("bellwether"));
    serve.args(["serve", "--listen", listen]).arg("--data-dir").arg(folder.join("data"));
    serve.arg("--config").arg(folder.join("collector.yaml"));
    started("bellwether", &mut serve, "bellwether: listening on http://")
}

fn hook(bin: &Path, folder: &Folder) -> Process {
    let mut hook = Command::new(bin.join("bellwether-hook"));
    hook.arg("run").arg("--config").arg(folder.join("hook.yaml"));
    Process::start("bellwether-hook", &mut hook)
}

fn started(name: &str, command: &mut Command, mark: &str) -> Process {
    let process = Process::start(name, command);
    let _address = process.line(mark, START);
    process
}
