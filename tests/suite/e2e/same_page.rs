//! The page of `once` beside node_exporter's, taken in the same second.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use bellwether_tests::harness::{Daemon, Process, daemon, free_port, get, peer, skip, until};

/// The inputs whose pages must be alike.
const INPUTS: [&str; 21] = [
    "arp",
    "conntrack",
    "cpu",
    "diskstats",
    "entropy",
    "filefd",
    "filesystem",
    "loadavg",
    "meminfo",
    "netclass",
    "netdev",
    "netstat",
    "pressure",
    "schedstat",
    "sockstat",
    "softnet",
    "stat",
    "time",
    "timex",
    "uname",
    "vmstat",
];
/// Patterns of this agent's: packages of node_exporter have others.
const MOUNT_POINTS: &str = "--collector.filesystem.mount-points-exclude=^/(dev|proc|\
    run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const DISKS: &str =
    r"--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
/// Debian's leaves out `lo`.
const DEVICES: &str = "--collector.netdev.device-exclude=^$";
/// Labels that later versions of node_exporter have than Debian's.
const NEWER_LABELS: [&str; 2] = ["adminstate", "rotational"];

/// Series of a page without empty labels, each with the type of its family.
fn series(page: &str) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    let mut all = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            types.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.trim_end_matches('}').split("\",");
            let mut labels: Vec<&str> = labels
                .map(|label| label.trim_end_matches('"'))
                .filter(|label| !label.is_empty() && !label.ends_with('='))
                .filter(|label| !label.ends_with("=\""))
                .filter(|label| !NEWER_LABELS.iter().any(|newer| label.starts_with(newer)))
                .collect();
            labels.sort_unstable();
            all.insert(format!("{name}{{{}}}", labels.join(",")), types[name].clone());
        }
    }
    all
}

fn is_compared(series: &str) -> bool {
    let of_others = ["promhttp", "node_exporter_build_info"];
    !of_others.iter().any(|prefix| series.starts_with(prefix))
}

#[test]
fn once_has_the_series_of_node_exporter_under_their_labels_and_types() {
    let Some(exporter) = peer("prometheus-node-exporter") else {
        return skip("prometheus-node-exporter is not installed");
    };
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(exporter);
    command.arg(format!("--web.listen-address={address}")).args([MOUNT_POINTS, DISKS, DEVICES]);
    command.args(["--collector.disable-defaults", "--web.disable-exporter-metrics"]);
    command.args(INPUTS.map(|input| format!("--collector.{input}")));
    let _exporter = Process::start("node_exporter", &mut command);
    let theirs = until("node_exporter's page", Duration::from_secs(10), || {
        get(&address, "/metrics").ok().filter(|answer| answer.status == 200)
    });
    let ours = Command::new(daemon(Daemon::Agent)).arg("once").output().unwrap();
    let (ours, theirs) = (series(&String::from_utf8(ours.stdout).unwrap()), series(&theirs.body));
    assert!(theirs.len() > 100, "{theirs:#?}");
    let missing: Vec<_> = theirs
        .iter()
        .filter(|(series, kind)| is_compared(series) && ours.get(*series) != Some(kind))
        .map(|(series, kind)| (series, kind, ours.get(series)))
        .collect();
    assert!(missing.is_empty(), "series, their type, ours: {missing:#?}");
    // Nor has a family that both have more series here than there.
    let family = |series: &str| series.split('{').next().unwrap_or_default().to_owned();
    let families: BTreeSet<String> = theirs.keys().map(|series| family(series)).collect();
    let more: Vec<_> = ours
        .keys()
        .filter(|series| families.contains(&family(series)))
        .filter(|series| !theirs.contains_key(*series))
        .collect();
    assert!(more.is_empty(), "series that node_exporter has not: {more:#?}");
}
