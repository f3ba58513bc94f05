use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::time::{Mono, Nanos};
use bellwether_platform::clock::Reading;

use super::*;
use crate::pure::input::INPUTS;
use crate::shell::calls::Calls;
use crate::shell::host::Roots;

/// The answers of a fake host's system: files `calls/space` (mount point, then the answer) and
/// `calls/clock`.
fn calls(root: PathBuf) -> Calls {
    let space = root.clone();
    Calls {
        space: Arc::new(move |path: &Path| {
            let path = Path::new("/").join(path.strip_prefix(&space).unwrap());
            let all = std::fs::read_to_string(space.join("calls/space"))?;
            let answer = all.lines().find_map(|line| {
                let (mount, answer) = line.split_once(": ")?;
                (Path::new(mount) == path).then(|| answer.as_bytes().to_vec())
            });
            answer.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
        }),
        clock: Arc::new(move || std::fs::read(root.join("calls/clock"))),
    }
}

/// The page of a fake host, without what a run takes.
fn page(host: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(host);
    let calls = calls(root.clone());
    let roots = Roots { proc: root.join("proc"), sys: root.join("sys"), host: root };
    let inputs: Vec<InputPlan> =
        INPUTS.iter().filter(|spec| spec.is_default).map(InputPlan::new).collect();
    let at =
        Reading { mono: Mono(Duration::from_secs(100)), system: Nanos(1_700_000_000_500_000_000) };
    let (clock, _) = Clock::manual_agent(at);
    let facts = Facts { page_bytes: 4096, machine: "x86_64".into(), ..Facts::default() };
    let host = Host::new(roots, calls, clock.clone());
    let once =
        once((&inputs, &[], &ScrapePlan::default()), &LabelSet::default(), host, clock, facts)
            .unwrap();
    assert_eq!(once.failed, []);
    String::from_utf8(once.page).unwrap()
}

#[test]
fn a_small_virtual_machine() {
    insta::assert_snapshot!(page("small-vm"));
}

#[test]
fn a_storage_server() {
    insta::assert_snapshot!(page("storage"));
}
