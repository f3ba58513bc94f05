//! The names that dashboards, mixins and alert collections of others use of node_exporter's page,
//! against the pages of our fixture hosts: type and labels agree wherever an input claims a name,
//! and what no input claims is listed.
//!
//! The contract is `node-metrics.tsv`, read in place from `BELLWETHER_CONTRACTS` or
//! `shared/contracts` beside the checkout; it is not part of this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bellwether_model::exposition::Writer;
use bellwether_platform::process;
use bellwether_tests::harness::skip;

/// The list of what is not covered may only shrink.
const UNCOVERED_MAX: usize = 42;
const UNCOVERED: &str = include_str!("contract/uncovered.txt");
/// Empty on a page where nothing is wrong, which is the same as not being there.
const EMPTY: &str = "device_error";
const PAGES: &str = "../agent/src/shell/once/snapshots";

/// A family: its type and the labels that its series have.
pub(crate) type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn contract() -> Option<String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/contracts");
    let folder = std::env::var_os("BELLWETHER_CONTRACTS").map_or(beside, PathBuf::from);
    fs::read_to_string(folder.join("node-metrics.tsv")).ok()
}

/// Metrics of the contract that node_exporter itself makes.
fn wanted(text: &str) -> Families {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("metric\t"));
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let labels = fields[2].split(',').filter(|label| !label.is_empty()).map(str::to_owned);
        (fields[0].to_owned(), (fields[1].to_owned(), labels.collect()))
    };
    lines.map(row).collect()
}

/// Adds the families of a page.
fn read(page: &str, families: &mut Families) {
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().0 = kind.to_owned();
        }
        let Some((series, _)) = line.rsplit_once(' ') else { continue };
        let Some((name, labels)) = series.split_once('{') else { continue };
        let Some((_, names)) = families.get_mut(name) else { continue };
        let pairs = labels.trim_end_matches('}').split("\",");
        names.extend(pairs.filter_map(|pair| Some(pair.split_once("=\"")?.0.to_owned())));
    }
}

/// What the pages of the fixture hosts and of the process have.
pub(crate) fn ours() -> Families {
    let mut families = Families::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGES);
    let mut pages = 0;
    for entry in fs::read_dir(folder).unwrap() {
        read(&fs::read_to_string(entry.unwrap().path()).unwrap(), &mut families);
        pages += 1;
    }
    assert!(pages >= 2, "{pages} golden pages");
    let mut own = Vec::new();
    process::write(&mut Writer::new(&mut own));
    read(&String::from_utf8(own).unwrap(), &mut families);
    families
}

fn is_kept(wanted: &(String, BTreeSet<String>), ours: &(String, BTreeSet<String>)) -> bool {
    let differ: Vec<_> = wanted.1.symmetric_difference(&ours.1).collect();
    wanted.0 == ours.0 && differ.iter().all(|label| *label == EMPTY)
}

#[test]
fn inputs_keep_the_contract_and_what_none_covers_is_listed() {
    let Some(text) = contract() else {
        return skip("node-metrics.tsv is not beside the checkout nor in BELLWETHER_CONTRACTS");
    };
    let (wanted, ours) = (wanted(&text), ours());
    assert!(wanted.len() > 200, "{} names", wanted.len());
    let differ: Vec<_> = wanted
        .iter()
        .filter_map(|(name, family)| Some((name, family, ours.get(name)?)))
        .filter(|(_, family, ours)| !is_kept(family, ours))
        .collect();
    assert!(differ.is_empty(), "name, contract's, ours: {differ:#?}");

    let missing: BTreeSet<&str> =
        wanted.keys().filter(|name| !ours.contains_key(*name)).map(String::as_str).collect();
    let listed = UNCOVERED.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let listed: BTreeSet<&str> = listed.collect();
    let new: Vec<_> = missing.difference(&listed).collect();
    assert!(new.is_empty(), "no input covers these, and they are not listed: {new:#?}");
    let done: Vec<_> = listed.difference(&missing).collect();
    assert!(done.is_empty(), "covered now: take them off the list: {done:#?}");
    assert!(listed.len() <= UNCOVERED_MAX, "{} names: the list may only shrink", listed.len());
}
