//! `bellwether-hook` as a real process, beside a collector of the test's own.
//!
//! The program it starts toggles what serves, whatever it is asked for, and writes down each start:
//! called twice it would put the bad version back.

mod collector;
mod commands;
mod kills;
mod refusals;
mod scripts;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Folder, Process, daemon, until};

use self::collector::{NAME, TOKEN};

/// For what follows at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// `$1` is the host's folder. While `gate-run` is there, the program waits in its middle.
const TOGGLE: &str = r#"#!/bin/sh
cd "$1" || exit 1
echo "$BELLWETHER_KEY" >>ran
while [ -e gate-run ]; do sleep 0.02; done
if [ "$(cat serves)" = 2.4.0 ]; then to=2.3.9; else to=2.4.0; fi
echo "$to" >serves.new && mv serves.new serves
echo "toggled to $to"
"#;

/// Whether the file of the hook has `observe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Observed,
    Blind,
}

/// A host with a hook, whose program toggles.
struct Host {
    folder: Folder,
    config: PathBuf,
}

impl Host {
    fn new(collector: &str, sight: Sight) -> Host {
        let folder = Folder::new("hook");
        let host = Host { config: folder.join("hook.yaml"), folder };
        host.write("serves", "2.4.0\n");
        host.program("toggle.sh", TOGGLE);
        host.program("observe.sh", "#!/bin/sh\ncat \"$1/serves\"\n");
        let run = |name: &str| format!("[{}, {}]", host.path(name), host.path(""));
        let observe = match sight {
            Sight::Observed => format!("\n    observe: {{run: {}}}", run("observe.sh")),
            Sight::Blind => String::new(),
        };
        let rollback = format!("rollback: {{run: {}, timeout: 60s}}{observe}", run("toggle.sh"));
        host.configure(collector, &rollback);
        host
    }

    /// Writes the hook's file with the programs of its one lane.
    fn configure(&self, collector: &str, programs: &str) {
        let token = self.folder.write_secret("token", TOKEN);
        let secret = self.folder.write_secret("key", SECRET);
        let text = format!(
            "collector: {{url: 'http://{collector}', token_file: {}, proxy: none}}\n\
             name: {NAME}\nsecret_file: {}\nstate_dir: {}\nlisten: 127.0.0.1:0\nallow:\n  \
             - service: checkout\n    environment: production\n    {programs}\n    \
             versions: '[0-9]+\\.[0-9]+\\.[0-9]+'\n",
            token.display(),
            secret.display(),
            self.path("state"),
        );
        fs::write(&self.config, text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        self.folder.write(name, text);
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.folder.write(name, text);
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(daemon(Daemon::Hook));
        command.arg(subcommand).arg("--config").arg(&self.config);
        command
    }

    /// Starts the runner, and gives the address of its page too.
    fn start(&self) -> (Process, String) {
        let process = Process::start("bellwether-hook", &mut self.command("run"));
        let page = process.line("bellwether-hook: listening on http://", SOON);
        (process, page)
    }

    fn serves(&self) -> String {
        fs::read_to_string(self.folder.join("serves")).unwrap().trim().to_owned()
    }

    /// The keys for which the program was started.
    fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("ran")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn until_ran(&self) {
        until("a start of the program", SOON, || (!self.ran().is_empty()).then_some(()));
    }

    /// Whether the ledger has a file whose name ends so.
    fn has(&self, ending: &str) -> bool {
        let names = fs::read_dir(self.folder.join("state")).into_iter().flatten();
        names.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(ending))
    }
}
