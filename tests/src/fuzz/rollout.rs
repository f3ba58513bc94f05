//! Readers around a verdict: decision records, the tables that `judge` takes, files of services.

use std::collections::BTreeMap;

use bellwether_collector::pure::judge;
use bellwether_model::config::Environment;
use bellwether_rules::record::{self, Context, Hash, Record, SecretKey};
use bellwether_rules::service::{self, Catalogue, Described};
use bellwether_rules::verdict::{Arm, Config, Tick};

fn key() -> SecretKey {
    SecretKey::new([7; 32])
}

/// Records short enough for a mutation to hit any part.
pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let tick = |second, stratum, bad| {
        let (canary, baseline) = (Arm { n: 9, bad }, Arm { n: 80, bad: 1 });
        Tick { second, stratum, canary, baseline }
    };
    let long = vec![tick(-1, 0, 0), tick(0, 0, 5), tick(0, 1, 9), tick(7, 1, 9)];
    let subject = BTreeMap::from([("source".to_owned(), "a \"b\"\t\u{1}é".to_owned())]);
    let (strata, previous) = (vec!["a".to_owned(), "b".to_owned()], Some(Hash([0xab; 32])));
    let context = Context { previous, subject, strata };
    let seal = |ticks, context| {
        let config = Config { share: Some(0.1), ..Config::default() };
        Record::judge(config, ticks, context).expect("counts that can be").seal(&key())
    };
    vec![seal(long, context), seal(Vec::new(), Context::default())]
}

/// What is read is what would be written, and checking it is no worse than refusing it.
pub(super) fn read_record(input: &[u8]) {
    let key = key();
    let report = record::verify(input, &key.public(), None);
    assert_eq!(report.record.is_some(), record::read(input).is_ok());
    let Ok(read) = record::read(input) else { return };
    let (again, signed) = (read.record.seal(&key), record::split(input));
    let body = |file: &[u8]| record::split(file).expect("what we write, we read").body.to_vec();
    assert_eq!(body(&again), signed.expect("it was read").body);
    if report.failures.is_empty() {
        assert_eq!(again, input);
    }
}

/// A table is read whole, and every tick can be, or there is a problem with a place.
pub(super) fn read_table(input: &[u8]) {
    match judge::read("f", input) {
        Ok(counts) => {
            assert!(counts.ticks.iter().all(|tick| tick.check().is_ok()));
            assert!(counts.ticks.is_sorted_by_key(|tick| tick.second));
            let strata = counts.ticks.iter().map(|tick| usize::from(tick.stratum));
            assert!(strata.max().unwrap_or(0) < counts.strata.len().max(1));
        }
        Err(problems) => {
            assert!(problems.has_errors());
            assert!(problems.iter().all(|problem| problem.place.is_some()));
            assert!(problems.to_string().contains("error[csv"));
        }
    }
}

/// Files of services and of environments.
pub(super) fn service_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "service: a\nowner: b\nmode: act\nhook: c\nstratum_label: route\nslis:\n  \
         d: {total: 'e{f=\"g\"}', bad: 'e{h=~\"5..\"}'}\n  \
         i: {histogram: j_seconds, threshold: 300ms}\nenvironments: {k: {mode: advise}}\n",
        "environment: a\nmode: act\nrisk_floor: high\nmatch: {b: c}\nalerts: {d: e}\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).into()
}

/// A file is read whole, and stands in a catalogue, or there is a problem with a place.
pub(super) fn read_service(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match service::read("f", text, &Environment::new()) {
        Ok((file, _)) => {
            if let Described::Service(service) = &file.described {
                assert!(!service.slis.is_empty() && !service.name.is_empty());
                assert!(service.slis.values().all(|sli| !sli.total().is_empty()));
            }
            assert!(Catalogue::build(vec![file], None).is_ok());
        }
        Err(problems) => {
            assert!(problems.has_errors());
            assert!(problems.iter().all(|problem| problem.place.is_some()));
        }
    }
}
