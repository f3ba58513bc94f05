//! The packs that come with the program: silent over a healthy day, heard once something is wrong,
//! and read by promtool as by us.

mod dashboards;
pub(crate) mod node_exporter;
mod silence;

use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_tests::harness::{peer, skip};

/// A folder of this repository.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

#[test]
fn promtool_reads_the_packs_and_passes_their_tests() {
    let Some(promtool) = peer("promtool") else { return skip("promtool is not installed") };
    let packs = folder("rules/packs");
    for (arguments, said) in [
        (["check", "rules", "host.yaml"], "SUCCESS: "),
        (["test", "rules", "tests/host.test.yaml"], "SUCCESS"),
    ] {
        let output = Command::new(&promtool).current_dir(&packs).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(said), "{arguments:?}: {text}");
    }
}
