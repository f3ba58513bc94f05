use std::path::Path;
use std::time::Duration;

use bellwether_model::time::{Mono, Nanos};
use bellwether_platform::clock::Reading;

use super::*;
use crate::pure::input::INPUTS;

/// The page of a fake host, without what a run takes.
fn page(host: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(host);
    let roots = Roots { proc: root.join("proc"), sys: root.join("sys"), host: root };
    let inputs: Vec<InputPlan> =
        INPUTS.iter().filter(|spec| spec.is_default).map(InputPlan::new).collect();
    let at =
        Reading { mono: Mono(Duration::from_secs(100)), system: Nanos(1_700_000_000_500_000_000) };
    let (clock, _) = Clock::manual_agent(at);
    let facts = Facts { machine: "x86_64".into(), ..Facts::default() };
    let once = once(&inputs, roots, clock, facts).unwrap();
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
