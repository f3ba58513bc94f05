//! The files that the README shows are files that the programs take.

use bellwether_agent::pure::config as agent;
use bellwether_collector::pure::config as collector;
use bellwether_model::config::Environment as Variables;
use bellwether_rules::service::read as service;

const README: &str = include_str!("../../README.md");

/// The blocks of a language, as they stand.
fn blocks(language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = README.split(&begin).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

#[test]
fn each_configuration_in_the_readme_is_taken() {
    let mut taken = [0; 3];
    for text in blocks("yaml") {
        let first = text.lines().next().unwrap_or_default();
        let (kind, problems) = if text.contains("service: ") && !first.contains("collector") {
            (2, service("r.yaml", &text, &Variables::default()).err())
        } else if first.contains("collector.yaml") {
            let (around, options) = (collector::Surroundings::default(), Default::default());
            (0, collector::read("r.yaml", &text, &around, &options).err())
        } else if first.contains("agent.yaml") || first.starts_with("inputs:") {
            let (around, options) = (agent::Surroundings::default(), Default::default());
            (1, agent::read("r.yaml", &text, &around, &options).err())
        } else {
            continue;
        };
        assert!(problems.is_none(), "{}\n{text}", problems.unwrap());
        taken[kind] += 1;
    }
    assert!(taken.iter().all(|count| *count > 0), "{taken:?}");
}
