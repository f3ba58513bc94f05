//! nginx before the backends of the demo. Its list of servers is switched by the script that is
//! shipped for that.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bellwether_platform::disk::{RealDisk, make_dir, replace_file};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::ANY;
use super::hook::Switch;
use crate::shell::program;

const SCRIPT: &str = include_str!("../../../../../deploy/hooks/nginx-switch.sh");
/// Where distributions put it, which is not in everybody's path.
const SBIN: &str = "/usr/sbin/nginx";
const STARTS_WITHIN: Duration = Duration::from_secs(3);
/// Ends nginx once whoever started it closes its input, by its end too.
const KEEPER: &str = "exec 3<&0; \"$0\" -c \"$1\" -g 'daemon off;' </dev/null & \
                      read -r _ <&3; kill $!; wait $!";

/// nginx while it runs.
pub(super) struct Nginx {
    address: SocketAddr,
    switch: Switch,
    _keeper: Child,
}

impl Nginx {
    /// Where it is, if it is installed and so is what its script asks with.
    pub(super) fn find() -> Option<PathBuf> {
        program::find("curl", None).ok()?;
        let sbin = || Some(PathBuf::from(SBIN)).filter(|path| path.is_file());
        program::find("nginx", None).ok().or_else(sbin)
    }

    /// Starts it with its files in a directory; requests go in turn to the versions.
    ///
    /// # Errors
    /// Its files cannot be written, or it does not answer in time.
    pub(super) async fn start(
        nginx: &Path,
        dir: &Path,
        versions: &[(String, SocketAddr)],
    ) -> io::Result<Nginx> {
        let dir = dir.join("nginx");
        make_dir(&RealDisk, &dir).map_err(io::Error::other)?;
        // Free until nginx takes it.
        let address = TcpListener::bind(ANY)?.local_addr()?;
        let files = Files { nginx, dir: &dir, address };
        files.write(versions).map_err(io::Error::other)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER]).arg(nginx).arg(dir.join("nginx.conf"));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = command.spawn()?;
        let answers = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let is_up = timeout(STARTS_WITHIN, answers).await;
        is_up.map_err(|_| io::Error::other("it does not answer"))?;
        let arguments = vec!["--config".into(), dir.join("switch.env").display().to_string()];
        let switch = Switch { script: SCRIPT, arguments };
        Ok(Nginx { address, switch, _keeper: keeper })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }
}

struct Files<'a> {
    nginx: &'a Path,
    dir: &'a Path,
    address: SocketAddr,
}

impl Files<'_> {
    fn write(
        &self,
        versions: &[(String, SocketAddr)],
    ) -> Result<(), bellwether_platform::disk::DiskError> {
        let at = |name: &str| self.dir.join(name).display().to_string();
        let mut servers = String::from("upstream demo {");
        let mut env = format!(
            "UPSTREAM=demo\nINCLUDE='{}'\nCHECK_URL=http://{}/\nNGINX='{}'\nNGINX_CONF='{}'\n",
            at("upstream.conf"),
            self.address,
            self.nginx.display(),
            at("nginx.conf")
        );
        let mut names = Vec::new();
        for (version, address) in versions {
            write!(servers, " server {address};").ok();
            writeln!(env, "BACKEND_{}={address}", version.replace(['.', '-'], "_")).ok();
            names.push(version.as_str());
        }
        servers.push_str(" }\n");
        writeln!(env, "VERSIONS='{}'", names.join(" ")).ok();
        let mut conf = format!(
            "worker_processes 1;\npid '{}';\nerror_log '{}';\nevents {{}}\nhttp {{\naccess_log off;\n",
            at("nginx.pid"),
            at("nginx.log")
        );
        for of in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(conf, "{of}_temp_path '{}';", at(of)).ok();
        }
        writeln!(
            conf,
            "include '{}';\nserver {{ listen {}; location / {{ proxy_pass http://demo; \
             proxy_next_upstream off; }} }}\n}}",
            at("upstream.conf"),
            self.address
        )
        .ok();
        for (name, text) in [("upstream.conf", servers), ("switch.env", env), ("nginx.conf", conf)]
        {
            replace_file(&RealDisk, &self.dir.join(name), text.as_bytes())?;
        }
        Ok(())
    }
}
