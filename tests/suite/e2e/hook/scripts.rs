//! The programs of `deploy/hooks`: nginx that switches between two backends, releases behind a
//! link.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use bellwether_model::signal::Status;
use bellwether_tests::harness::{Folder, Process, free_port, get, peer, skip, until};

use super::collector::{Collector, Manner, signal};
use super::{Host, SOON, Sight};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/hooks").join(name)
}

/// A backend that tells its version; gives its address.
fn backend(version: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever asked may have gone.
            thread::spawn(move || drop(answer(stream.unwrap(), version)));
        }
    });
    address
}

fn answer(mut stream: TcpStream, version: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..count]);
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nX-Version: {version}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

/// nginx with two backends behind it, on free ports, in a folder.
struct Nginx {
    folder: Folder,
    address: String,
    process: Process,
}

impl Nginx {
    fn start() -> Option<Nginx> {
        if peer("nginx").is_none() || peer("curl").is_none() {
            skip("nginx or curl is not installed");
            return None;
        }
        let folder = Folder::new("nginx");
        let path = |name: &str| folder.join(name).display().to_string();
        let (old, new) = (backend("2.3.9"), backend("2.4.0"));
        let address = format!("127.0.0.1:{}", free_port());
        folder.write("upstream.conf", &format!("upstream checkout {{ server {new}; }}\n"));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("  {name}_temp_path {};\n", path(name)))
            .concat();
        let conf = format!(
            "daemon off;\nworker_processes 1;\npid {pid};\nerror_log stderr;\n\
             events {{ worker_connections 64; }}\nhttp {{\n  access_log off;\n{temporary}  \
             include {include};\n  server {{ listen {address}; location / {{ \
             proxy_pass http://checkout; }} }}\n}}\n",
            pid = path("nginx.pid"),
            include = path("upstream.conf"),
        );
        let conf = folder.write("nginx.conf", &conf);
        folder.write(
            "switch.env",
            &format!(
                "UPSTREAM=checkout\nINCLUDE={}\nCHECK_URL=http://{address}/\nNGINX_CONF={}\n\
                 BACKEND_2_4_0={new}\nBACKEND_2_3_9={old}\nBACKEND_6_6_6='127.0.0.1:nowhere'\n",
                path("upstream.conf"),
                path("nginx.conf"),
            ),
        );
        let mut command = Command::new("nginx");
        let process = Process::start("nginx", command.arg("-c").arg(conf));
        let nginx = Nginx { folder, address, process };
        until("nginx", SOON, || nginx.serves());
        Some(nginx)
    }

    /// The version that answers through it.
    fn serves(&self) -> Option<String> {
        let headers = get(&self.address, "/").ok()?.headers;
        let header = headers.iter().find_map(|line| line.strip_prefix("X-Version: "))?;
        Some(header.to_owned())
    }

    fn switch(&self, action: &str, from: &str, to: &str) -> (Option<i32>, String) {
        let mut command = Command::new(script("nginx-switch.sh"));
        command.arg("--config").arg(self.folder.join("switch.env")).arg(action);
        let output = command.env("BELLWETHER_FROM", from).env("BELLWETHER_TO", to).output();
        said(output.unwrap())
    }

    fn reload(&self) {
        let mut command = Command::new("nginx");
        command.arg("-c").arg(self.folder.join("nginx.conf")).args(["-s", "reload"]);
        assert!(command.status().unwrap().success());
    }

    /// A rollback that comes when reloads work.
    fn reloads_again(&self) {
        fs::copy(self.folder.join("works.env"), self.folder.join("switch.env")).unwrap();
        let (code, text) = self.switch("rollback", "2.4.0", "2.3.9");
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(self.switch("observe", "", ""), (Some(0), "2.3.9\n".to_owned()));
    }

    fn include(&self) -> String {
        fs::read_to_string(self.folder.join("upstream.conf")).unwrap()
    }
}

fn said(output: std::process::Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn nginx_switches_to_the_version_named_and_back_to_nothing() {
    let Some(nginx) = Nginx::start() else { return };
    let observe = || nginx.switch("observe", "", "");
    assert_eq!(observe(), (Some(0), "2.4.0\n".to_owned()));
    let refused = nginx.include();
    let (code, text) = nginx.switch("rollback", "2.4.0", "6.6.6");
    assert!(code == Some(1) && text.contains("the old one is in place"), "{text}");
    assert_eq!((nginx.include(), observe().1.as_str()), (refused, "2.4.0\n"));
    for (from, to, expected) in [
        ("2.4.0", "2.3.8", 5),
        ("2.4.0", "$(touch x)", 5),
        ("2.5.0", "2.3.9", 4),
        ("2.4.0", "2.3.9", 0),
        ("2.4.0", "2.3.9", 3),
    ] {
        let (code, text) = nginx.switch("rollback", from, to);
        assert_eq!(code, Some(expected), "{from} to {to}: {text}");
    }
    assert_eq!(observe(), (Some(0), "2.3.9\n".to_owned()));
    assert_eq!(nginx.serves().as_deref(), Some("2.3.9"));
    assert!(nginx.include().contains("version 2.3.9 serves"));
    let names = fs::read_dir(nginx.folder.path()).unwrap().flatten();
    let left = names.filter(|entry| entry.file_name().to_string_lossy().contains(".conf."));
    assert_eq!(left.count(), 0, "nothing is left of the switch");
}

#[test]
fn a_signal_switches_a_real_nginx() {
    let Some(mut nginx) = Nginx::start() else { return };
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Observed);
    let run = |action: &str| {
        let (script, config) = (script("nginx-switch.sh"), nginx.folder.join("switch.env"));
        format!("[{}, --config, {}, {action}]", script.display(), config.display())
    };
    let programs =
        format!("rollback: {{run: {}}}\n    observe: {{run: {}}}", run("rollback"), run("observe"));
    host.configure(&collector.address, &programs);
    let (_runner, _) = host.start();
    collector.open(signal(1));
    let answer = collector.ended(1, 0);
    assert_eq!(answer.status, Status::Done, "{}", answer.detail);
    assert_eq!(answer.current_version.as_deref(), Some("2.3.9"));
    assert_eq!(nginx.serves().as_deref(), Some("2.3.9"));
    assert!(nginx.process.is_running());
}

/// An nginx with 19 of 20 requests for the old version.
fn with_canary(reload: &str) -> Option<(Nginx, String)> {
    let nginx = Nginx::start()?;
    let config = fs::read_to_string(nginx.folder.join("switch.env")).unwrap();
    let address = |name: &str| config.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let include = format!(
        "upstream checkout {{ server {} weight=19; server {}; }}\n",
        address("BACKEND_2_3_9="),
        address("BACKEND_2_4_0=")
    );
    nginx.folder.write("upstream.conf", &include);
    nginx.reload();
    until("the old version", SOON, || nginx.serves().filter(|version| version == "2.3.9"));
    let config = format!("{config}CHECK_SECONDS=1\n");
    nginx.folder.write("works.env", &config);
    nginx.folder.write("switch.env", &format!("{config}RELOAD={reload}\n"));
    Some((nginx, include))
}

#[test]
fn an_nginx_that_does_not_reload_keeps_its_include() {
    let Some((nginx, include)) = with_canary("false") else { return };
    for _ in 0..2 {
        let (code, text) = nginx.switch("rollback", "2.4.0", "2.3.9");
        assert!(code == Some(1) && text.contains("the old file is in place"), "{text}");
        assert_eq!(nginx.include(), include);
        assert_eq!(nginx.switch("observe", "", ""), (Some(0), "2.4.0\n".to_owned()));
    }
    nginx.reloads_again();
}

#[test]
fn two_versions_that_answer_are_not_told_as_one() {
    let Some((nginx, include)) = with_canary("true") else { return };
    for _ in 0..2 {
        let (code, text) = nginx.switch("rollback", "2.4.0", "2.3.9");
        assert!(code == Some(1) && text.contains("2.3.9 does not serve"), "{text}");
        assert_ne!(nginx.include(), include);
        let (code, text) = nginx.switch("observe", "", "");
        assert!(code == Some(1) && text.contains("several versions answer"), "{text}");
        assert!(text.contains("2.3.9") && text.contains("2.4.0"), "{text}");
    }
    let (code, text) = nginx.switch("rollback", "2.5.0", "2.3.9");
    assert_eq!(code, Some(4), "{text}");
    nginx.reloads_again();
}

/// Releases behind a link, and a systemctl that knows one unit.
struct Unit(Folder);

impl Unit {
    /// With 2.4.0 running.
    fn start() -> Unit {
        let folder = Folder::new("releases");
        for version in ["2.3.9", "2.4.0"] {
            fs::create_dir_all(folder.join("a root/releases").join(version)).unwrap();
        }
        folder.write_program(
            "systemctl",
            "#!/bin/sh\ncd \"${0%/*}\" || exit 9\ncase $1 in\nrestart)\n  \
             [ ! -e denied ] || exit 4\n  [ ! -e idle ] || exit 0\n  \
             TZ=UTC date '+%a %F %T.%6N UTC' >started\n  \
             if [ -e crashes ]; then echo 0; else echo 77; fi >pid\n  \
             if [ -e fails ]; then exit 1; fi ;;\n\
             is-active) [ \"$(cat pid)\" != 0 ] ;;\n\
             show) [ ! -e mute ] || exit 1\n  \
             echo \"ExecMainStartTimestamp=$(cat started)\"\n  \
             echo \"MainPID=$(cat pid)\" ;;\nesac\n",
        );
        let root = folder.join("a root").display().to_string();
        folder.write("release.env", &format!("ROOT='{root}'\nUNIT=checkout.service\n"));
        let unit = Unit(folder);
        unit.deploy("2.4.0");
        unit.restart();
        unit
    }

    fn deploy(&self, version: &str) {
        let link = self.0.join("a root/current");
        let make = || {
            drop(fs::remove_file(&link));
            std::os::unix::fs::symlink(format!("releases/{version}"), &link).unwrap();
            fs::symlink_metadata(&link).unwrap().modified().unwrap()
        };
        // A file's time is that of the kernel's last tick: within the tick of a start, a link made
        // after it would be older.
        let first = make();
        until("another tick", SOON, || (make() != first).then_some(()));
    }

    fn restart(&self) {
        let done = Command::new(self.0.join("systemctl")).arg("restart").status().unwrap();
        assert!(done.success());
    }

    /// Has the unit behave in a way, or no more.
    fn manner(&self, name: &str, is_so: bool) {
        if is_so {
            self.0.write(name, "");
        } else {
            fs::remove_file(self.0.join(name)).unwrap();
        }
    }

    fn run(&self, action: &str, from: &str, to: &str) -> (Option<i32>, String) {
        let mut command = Command::new(script("systemd-previous-release.sh"));
        command.arg("--config").arg(self.0.join("release.env")).arg(action);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.0.path().display()));
        said(command.env("BELLWETHER_FROM", from).env("BELLWETHER_TO", to).output().unwrap())
    }

    fn rollback(&self) -> (Option<i32>, String) {
        self.run("rollback", "2.4.0", "2.3.9")
    }

    /// What it tells; `None` if it cannot.
    fn observe(&self) -> Option<String> {
        let (code, text) = self.run("observe", "", "");
        assert!(matches!(code, Some(0 | 1)), "{text}");
        (code == Some(0)).then(|| text.trim_end().to_owned())
    }

    fn link(&self) -> PathBuf {
        fs::read_link(self.0.join("a root/current")).unwrap()
    }
}

#[test]
fn a_unit_runs_the_release_that_is_named() {
    let unit = Unit::start();
    assert_eq!(unit.observe().as_deref(), Some("2.4.0"));
    for (from, to, expected) in [
        ("2.4.0", "2.3.8", 5),
        ("2.4.0", "../releases", 5),
        ("2.5.0", "2.3.9", 4),
        ("2.4.0", "2.3.9", 0),
        ("2.4.0", "2.3.9", 3),
    ] {
        let (code, text) = unit.run("rollback", from, to);
        assert_eq!(code, Some(expected), "{from} to {to}: {text}");
    }
    assert_eq!(unit.observe().as_deref(), Some("2.3.9"));
    assert_eq!(unit.link(), Path::new("releases/2.3.9"));
    let names = fs::read_dir(unit.0.join("a root")).unwrap().flatten();
    assert_eq!(names.count(), 3, "the releases, the link, and whose it is");
}

#[test]
fn a_unit_that_does_not_restart_keeps_its_link() {
    let unit = Unit::start();
    unit.manner("denied", true);
    for _ in 0..2 {
        let (code, text) = unit.rollback();
        assert!(code == Some(1) && text.contains("does not restart"), "{text}");
        assert_eq!(unit.link(), Path::new("releases/2.4.0"));
        assert_eq!(unit.observe().as_deref(), Some("2.4.0"));
    }
    unit.manner("denied", false);
    // A restart that is said to have failed, and has not: the link is back, and tells nothing.
    unit.manner("fails", true);
    assert_eq!(unit.rollback().0, Some(1));
    assert_eq!((unit.link().as_path(), unit.observe()), (Path::new("releases/2.4.0"), None));
    unit.manner("fails", false);
    let (code, text) = unit.rollback();
    assert_eq!((code, unit.observe().as_deref()), (Some(0), Some("2.3.9")), "{text}");
}

#[test]
fn a_link_that_no_process_started_by_tells_nothing() {
    let unit = Unit::start();
    unit.deploy("2.3.9");
    assert_eq!(unit.observe(), None);
    let (code, text) = unit.rollback();
    assert_eq!((code, unit.observe().as_deref()), (Some(0), Some("2.3.9")), "{text}");
    unit.manner("mute", true);
    assert_eq!(unit.observe(), None);
    unit.manner("mute", false);
    unit.deploy("2.4.0");
    unit.restart();
    unit.manner("idle", true);
    let (code, text) = unit.rollback();
    assert!(code == Some(1) && text.contains("does not run 2.3.9"), "{text}");
    assert_eq!(unit.observe(), None);
}

#[test]
fn a_crashed_release_is_rolled_back_and_a_crashed_rollback_does_not_serve() {
    let unit = Unit::start();
    unit.manner("crashes", true);
    unit.restart();
    assert_eq!(unit.observe().as_deref(), Some("2.4.0"));
    let (code, text) = unit.rollback();
    assert!(code == Some(1) && text.contains("is not active"), "{text}");
    assert_eq!(unit.observe(), None);
    unit.manner("crashes", false);
    let (code, text) = unit.rollback();
    assert_eq!((code, unit.observe().as_deref()), (Some(0), Some("2.3.9")), "{text}");
}
